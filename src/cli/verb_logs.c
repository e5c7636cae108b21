/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/terminal.h"
#include "base/text.h"
#include "cli/client.h"
#include "cli/output.h"
#include "cli/render.h"
#include "cli/session.h"
#include "os/descriptors.h"
#include "os/place/sharedmem.h"
#include "protocol/json.h"
#include "protocol/logwire.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

/* The output of workers, read from files whose descriptors nclust sends: see
 * nclust-control(7). */

/* The interval between looks at the files for new lines; nclust has no part in that. */
#define LOOK_EACH_MS 100

struct log_slot {
	char cluster[65];
	uint32_t number;
	struct linering ring;
	uint64_t at;               /* place in the file up to which was read */
	int64_t latest;            /* the greatest time of a line so far: clocks are set back */
	struct linering_text text; /* the lines that are shown now */
};

struct log_record {
	struct logline line;
	const struct log_slot *slot;
	int64_t when;
	size_t order; /* grows in the order of reading */
};

struct logs {
	const struct arguments *arguments;
	const char *target; /* whose output */
	bool terminal;
	bool has_pattern;
	regex_t pattern;

	struct log_slot **slots; /* heap */
	size_t count;
	struct buffer kept;         /* the records */
	struct log_record *records; /* there */
	size_t record_count;
	size_t missing; /* clusters that keep no output */
	uint64_t last;  /* number of the last file that has come */
	bool whole; /* all files have come that there were; nclust sends later ones as they begin */
};

/* ---- the files ---- */

/* The slot owns the descriptor from then on. */
static int add_slot(struct logs *l, const json_t *of, int fd)
{
	struct log_slot *slot = calloc(1, sizeof(*slot));

	if (slot == NULL || !array_grow(l->slots, l->count) ||
		!linering_take(&slot->ring, &linering_output, fd)) {
		free(slot);
		fd_close(&fd);
		return -1;
	}
	text_copy(slot->cluster, sizeof(slot->cluster), field_raw(of, "cluster"));
	slot->number = (uint32_t)field_number(of, "slot");
	l->slots[l->count++] = slot;
	return 0;
}

static int take_files(struct logs *l, struct client *c, const json_t *result, struct error *err)
{
	json_t *list = json_object_get(result, "logs");
	size_t count = json_array_size(list);
	const json_t *one;
	size_t i;
	int got = 0;

	for (i = 0; got == 0 && i < count && i < c->passed_count; i++)
		got = add_slot(l, json_array_get(list, i), fd_release(&c->passed[i]));
	if (got == -1 || !json_is_object(result) || count != c->passed_count)
		got = error_set(err, 0, "'%s' did not return the output of its workers", c->name);
	c->passed_count = 0;
	l->last = (uint64_t)field_number(result, "last");
	l->whole = !field_is_true(result, "more");
	json_array_foreach(json_object_get(result, "missing"), i, one)
	{
		log_warn("%s: %s", field_raw(one, "cluster"), field_raw(one, "text"));
		l->missing++;
	}
	return got;
}

/* Ask for files that have not come yet.  -1 and `err`. */
static int ask_files(struct logs *l, struct client *c, struct error *err)
{
	struct control_request request = {
		.method = METHOD_LOGS, .follow = l->whole, .after = l->last};

	text_copy(request.target, sizeof(request.target), l->target);
	return client_ask(c, &request, err);
}

/* ---- their lines ---- */

static bool matches_filter(const struct logs *l, const struct logline *line)
{
	regmatch_t all = {.rm_eo = (regoff_t)line->len};

	if (line->ms < l->arguments->request.since / MSEC)
		return false;
	if (arguments_has(l->arguments, OPTION_STDERR) && line->stream != 2)
		return false;
	if (!l->has_pattern)
		return true;
	return line->kind != LOGLINE_LEFT_OUT &&
		regexec(&l->pattern, line->text, 1, &all, REG_STARTEND) == 0;
}

static int add_record(struct logs *l, struct log_slot *slot, const struct logline *line)
{
	struct log_record record = {.line = *line, .slot = slot, .order = l->kept.len};

	if (line->ms > slot->latest)
		slot->latest = line->ms;
	record.when = slot->latest;
	return matches_filter(l, line) ? buffer_append(&l->kept, &record, sizeof(record)) : 0;
}

static int read_slot(struct logs *l, struct log_slot *slot)
{
	const char *at;
	const char *end;
	struct logline line = {0};

	if (linering_look(&slot->ring) == -1 ||
		linering_read(&slot->ring, slot->at, &slot->text) == -1)
		return 0; /* written by no logger of nclust */
	slot->at = slot->text.at + slot->text.len;
	at = slot->text.text;
	for (size_t left = slot->text.len; left > 0; at = end + 1) {
		end = memchr(at, '\n', left);
		if (end == NULL)
			break;
		left -= (size_t)(end + 1 - at);
		if (logline_parse(&line, at, (size_t)(end - at)) &&
			add_record(l, slot, &line) == -1)
			return -1;
	}
	return 0;
}

static int by_time(const void *a, const void *b)
{
	const struct log_record *x = a;
	const struct log_record *y = b;

	if (x->when != y->when)
		return x->when < y->when ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* Read the lines that have come since the last call, in the order of their time.
 * -1: out of memory. */
static int read_lines(struct logs *l)
{
	int got = 0;

	buffer_clear(&l->kept);
	for (size_t i = 0; got == 0 && i < l->count; i++)
		got = read_slot(l, l->slots[i]);
	l->records = (struct log_record *)(void *)l->kept.data;
	l->record_count = l->kept.len / sizeof(*l->records);
	if (l->record_count > 1)
		qsort(l->records, l->record_count, sizeof(*l->records), by_time);
	return got;
}

static void drop_lines(struct logs *l)
{
	for (size_t i = 0; i < l->count; i++)
		linering_drop(&l->slots[i]->text);
}

static void free_logs(struct logs *l)
{
	drop_lines(l);
	for (size_t i = 0; i < l->count; i++) {
		linering_close(&l->slots[i]->ring);
		free(l->slots[i]);
	}
	free(l->slots);
	buffer_fini(&l->kept);
	if (l->has_pattern)
		regfree(&l->pattern);
}

/* ---- showing ---- */

static void put_object(struct buffer *out, const struct log_record *r)
{
	struct json_writer w;

	json_begin(&w, out);
	json_open_object(&w);
	json_put_real(&w, "time", (double)r->line.ms / 1000, 3);
	json_put_text(&w, "cluster", r->slot->cluster);
	json_put_int(&w, "slot", r->slot->number);
	json_put_int(&w, "pid", r->line.pid);
	json_put_text(&w, "stream", r->line.stream == 2 ? "stderr" : "stdout");
	if (r->line.kind == LOGLINE_GOES_ON)
		json_put_bool(&w, "continued", true);
	json_key(&w, r->line.kind == LOGLINE_LEFT_OUT ? "left_out" : "message");
	json_bytes(&w, r->line.text, r->line.len);
	json_close_object(&w);
}

static void put_line(const struct logs *l, struct buffer *out, const struct log_record *r)
{
	time_t at = (time_t)(r->line.ms / 1000);
	const char *text = r->line.text;
	size_t len = r->line.len;
	struct tm local;
	char stamp[32];

	if (localtime_r(&at, &local) != NULL &&
		strftime(stamp, sizeof(stamp), "%F %T  ", &local) > 0)
		buffer_string(out, stamp);
	buffer_printf(
		out, "%s.%" PRIu32 " %c ", r->slot->cluster, r->slot->number, (char)r->line.kind);
	if (l->terminal) {
		len = terminal_redrawn(&text, len);
		(void)terminal_put(out, text, len);
	} else {
		buffer_append(out, text, len);
	}
	if (r->line.kind == LOGLINE_LEFT_OUT)
		buffer_string(out, " lines are not kept: too much at once");
}

static int show_records(const struct logs *l, size_t from)
{
	scoped_buffer out = {0};
	int got = 0;

	for (size_t i = from; got == 0 && i < l->record_count; i++) {
		if (arguments_has(l->arguments, OPTION_JSON))
			put_object(&out, &l->records[i]);
		else
			put_line(l, &out, &l->records[i]);
		buffer_append(&out, "\n", 1);
		if (out.len < (size_t)64 * 1024 && i + 1 < l->record_count)
			continue;
		got = out.failed ? -1 : output_write(STDOUT_FILENO, out.data, out.len);
		buffer_clear(&out);
	}
	return got;
}

/* Show new lines, or the last `most` of them (-1: all). */
static int show_new(struct logs *l, int most)
{
	size_t from = 0;
	int got = read_lines(l);

	if (most >= 0 && l->record_count > (size_t)most)
		from = l->record_count - (size_t)most;
	if (got == 0)
		got = show_records(l, from);
	drop_lines(l);
	return got;
}

/* Show the lines of all files and, if the user follows them, new ones until the reader or
 * nclust has ended. */
static int show_files(struct logs *l, struct client *c, struct error *err)
{
	struct pollfd fds[2] = {{.fd = c->fd, .events = POLLIN},
		{.fd = STDOUT_FILENO}}; /* no event: poll(2) reports its end alone */
	int most = l->arguments->request.last;
	int got = ask_files(l, c, err);
	struct answer answer;

	while (got != -1) {
		int wait = l->whole ? LOOK_EACH_MS : -1;

		if (poll(fds, COUNT_OF(fds), wait) == -1 && errno != EINTR)
			return error_set(err, errno, "cannot wait");
		if (fds[1].revents != 0)
			return error_set(err, ECANCELED, "ended");
		/* take files that have come, and ask for more */
		got = client_look(c, NULL, NULL, &answer, err);
		if (got == 1)
			got = take_files(l, c, answer.result, err) == 0 ? ask_files(l, c, err) : -1;
		if (!l->whole)
			continue;
		if (l->missing > 0 && l->count == 0)
			return error_set(err, ECANCELED, "nothing is kept");
		if (show_new(l, most) == -1)
			return error_set(err, ECANCELED, "cannot show it");
		if (!l->arguments->request.follow)
			break;
		most = -1;
	}
	return got == -1 ? -1 : 0;
}

static int compile_pattern(struct logs *l)
{
	const char *pattern = l->arguments->pattern;
	char why[128];
	int code;

	if (pattern == NULL)
		return 0;
	code = regcomp(&l->pattern, pattern, REG_EXTENDED);
	l->has_pattern = code == 0;
	if (code == 0)
		return 0;
	(void)regerror(code, &l->pattern, why, sizeof(why));
	log_error("--grep: '%s': %s", pattern, why);
	return -1;
}

int verb_logs(struct arguments *a)
{
	struct logs l = {.arguments = a, .terminal = isatty(STDOUT_FILENO) == 1};
	struct session s;
	struct error err;
	int status = 0;

	if (compile_pattern(&l) == -1)
		return EX_USAGE;
	descriptors_allow_many(); /* one descriptor for each slot */
	if (session_open(&s, a, false, -1, &err) == -1)
		return output_error(&err);
	l.target = s.meant.target;
	if (show_files(&l, s.client, &err) == -1)
		status = output_error(&err);
	free_logs(&l);
	session_close(&s);
	return status;
}
