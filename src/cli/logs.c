/* SPDX-License-Identifier: MIT */
#include "cli/logs.h"

#include "base/scope.h"
#include "base/text.h"
#include "cli/render.h"

#include <stdlib.h>
#include <string.h>

/* ---- the files ---- */

/* The slot owns the descriptor from then on. */
static int add_slot(struct logs *l, const json_t *of, int fd)
{
	struct log_slot **list = reallocarray(l->slots, l->count + 1, sizeof(*list));
	struct log_slot *slot = calloc(1, sizeof(*slot));

	if (list != NULL)
		l->slots = list;
	if (list == NULL || slot == NULL || !linering_take(&slot->ring, &linering_output, fd)) {
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
	int got = 0;

	for (size_t i = 0; got == 0 && i < count && i < c->passed_count; i++)
		got = add_slot(l, json_array_get(list, i), fd_release(&c->passed[i]));
	if (got == -1 || !json_is_object(result) || count != c->passed_count)
		got = error_set(err, 0, "'%s' did not return the output of its workers", c->name);
	c->passed_count = 0;
	l->last = (uint64_t)field_number(result, "last");
	l->whole = !field_is_true(result, "more");
	json_decref(l->missing);
	l->missing = json_incref(json_object_get(result, "missing"));
	return got;
}

int logs_ask(struct logs *l, struct client *c, struct error *err)
{
	struct control_request request = {
		.method = METHOD_LOGS, .follow = l->whole, .after = l->last};

	text_copy(request.target, sizeof(request.target), l->target);
	return client_ask(c, &request, err);
}

int logs_look(struct logs *l, struct client *c, struct error *err)
{
	struct answer answer;
	int got = client_look(c, NULL, NULL, &answer, err);

	if (got == 1 && (take_files(l, c, answer.result, err) == -1 || logs_ask(l, c, err) == -1))
		return -1;
	return got;
}

/* ---- their lines ---- */

static bool matches_filter(const struct logs *l, const struct logline *line)
{
	regmatch_t all = {.rm_eo = (regoff_t)line->len};

	if (l->since != 0 && line->ms < l->since / MSEC)
		return false;
	if (l->only_stderr && line->stream != 2)
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

int logs_read(struct logs *l)
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

void logs_drop(struct logs *l)
{
	for (size_t i = 0; i < l->count; i++)
		linering_drop(&l->slots[i]->text);
	l->record_count = 0;
}

void logs_fini(struct logs *l)
{
	logs_drop(l);
	for (size_t i = 0; i < l->count; i++) {
		linering_close(&l->slots[i]->ring);
		free(l->slots[i]);
	}
	free(l->slots);
	buffer_fini(&l->kept);
	if (l->has_pattern)
		regfree(&l->pattern);
	json_decref(l->missing);
	*l = (struct logs){.slots = NULL};
}
