/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "cli/client.h"
#include "cli/logs.h"
#include "cli/render.h"
#include "os/clock.h"
#include "os/descriptors.h"
#include "protocol/json.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

/* The interval between looks at the files for new lines; nclust has no part in that. */
#define LOOK_EACH_MS 100

struct show {
	const struct arguments *arguments;
	bool terminal;
	struct logs logs;
	size_t missing; /* clusters that keep no output */
};

static void tell_missing(struct show *l)
{
	size_t i;
	json_t *one;

	json_array_foreach(l->logs.missing, i, one)
	{
		log_warn("%s: %s", field_raw(one, "cluster"), field_raw(one, "text"));
		l->missing++;
	}
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

static void put_line(const struct show *l, struct buffer *out, const struct log_record *r)
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

static int show_records(const struct show *l, size_t from)
{
	scoped_buffer out = {0};
	int got = 0;

	for (size_t i = from; got == 0 && i < l->logs.record_count; i++) {
		if (arguments_has(l->arguments, OPTION_JSON))
			put_object(&out, &l->logs.records[i]);
		else
			put_line(l, &out, &l->logs.records[i]);
		buffer_append(&out, "\n", 1);
		if (out.len < (size_t)64 * 1024 && i + 1 < l->logs.record_count)
			continue;
		got = out.failed ? -1 : output_write(STDOUT_FILENO, out.data, out.len);
		buffer_clear(&out);
	}
	return got;
}

/* Show new lines, or the last `most` of them (-1: all). */
static int show_new(struct show *l, int most)
{
	size_t from = 0;
	int got = logs_read(&l->logs);

	if (most >= 0 && l->logs.record_count > (size_t)most)
		from = l->logs.record_count - (size_t)most;
	if (got == 0)
		got = show_records(l, from);
	logs_drop(&l->logs);
	return got;
}

/* Show the lines of all files and, if the user follows them, new ones until the reader or
 * nclust has ended. */
static int show_files(struct show *l, struct client *c, struct error *err)
{
	struct pollfd fds[2] = {{.fd = c->fd, .events = POLLIN},
		{.fd = STDOUT_FILENO}}; /* no event: poll(2) reports its end alone */
	int most = l->arguments->request.last;
	int got = logs_ask(&l->logs, c, err);

	while (got != -1) {
		int wait = l->logs.whole ? LOOK_EACH_MS : -1;

		if (poll(fds, COUNT_OF(fds), wait) == -1 && errno != EINTR)
			return error_set(err, errno, "cannot wait");
		if (fds[1].revents != 0)
			return error_set(err, ECANCELED, "ended");
		got = logs_look(&l->logs, c, err);
		if (got == 1)
			tell_missing(l);
		if (!l->logs.whole)
			continue;
		if (l->missing > 0 && l->logs.count == 0)
			return error_set(err, ECANCELED, "nothing is kept");
		if (show_new(l, most) == -1)
			return error_set(err, ECANCELED, "cannot show it");
		if (!l->arguments->request.follow)
			break;
		most = -1;
	}
	return got == -1 ? -1 : 0;
}

static int compile_pattern(struct show *l)
{
	const char *pattern = l->arguments->pattern;
	char why[128];
	int code;

	if (pattern == NULL)
		return 0;
	code = regcomp(&l->logs.pattern, pattern, REG_EXTENDED);
	l->logs.has_pattern = code == 0;
	if (code == 0)
		return 0;
	(void)regerror(code, &l->logs.pattern, why, sizeof(why));
	log_error("--grep: '%s': %s", pattern, why);
	return -1;
}

int verb_logs(struct arguments *a)
{
	struct show l = {.arguments = a,
		.terminal = isatty(STDOUT_FILENO) == 1,
		.logs = {
			.since = a->request.since, .only_stderr = arguments_has(a, OPTION_STDERR)}};
	struct session s;
	struct error err;
	int status = 0;

	if (compile_pattern(&l) == -1)
		return EX_USAGE;
	descriptors_allow_many(); /* one descriptor for each slot */
	if (session_open(&s, a, false, -1, &err) == -1)
		return output_error(&err);
	l.logs.target = s.meant.target;
	if (show_files(&l, s.client, &err) == -1)
		status = output_error(&err);
	logs_fini(&l.logs);
	session_close(&s);
	return status;
}
