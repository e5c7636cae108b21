/* SPDX-License-Identifier: MIT */
#include "cli/top.h"

#include "base/text.h"
#include "cli/render.h"

#include <inttypes.h>
#include <string.h>

#define WRITTEN_KEPT 1000 /* lines */

static void add_line(struct top *t, double time, const char *level, const char *text, size_t len)
{
	json_t *line = json_pack("{s:f,s:s}", "time", time, "level", level);

	(void)json_object_set_new(line, "text", json_stringn_nocheck(text, len));
	(void)json_array_append_new(t->written, line);
	if (json_array_size(t->written) > WRITTEN_KEPT)
		(void)json_array_remove(t->written, 0);
}

static void end_reading(struct top *t, const char *text)
{
	client_fini(&t->reader);
	add_line(t, t->latest, "warn", text, strlen(text));
}

/* Take out the colours that a worker gave its lines: this screen has other colours. */
static size_t drop_colours(char *text, size_t len)
{
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\033')
			while (i < len && text[i] != 'm')
				i++;
		else
			text[used++] = text[i];
	}
	return used;
}

static void add_record(struct top *t, const struct log_record *r)
{
	const char *shown = r->line.text;
	size_t len = terminal_redrawn(&shown, r->line.len);
	scoped_buffer text = {0};

	if (strrchr(t->reading, '.') == NULL)
		buffer_printf(&text, "%s.%" PRIu32 " ", r->slot->cluster, r->slot->number);
	(void)terminal_put(&text, shown, len);
	if (r->line.kind == LOGLINE_LEFT_OUT)
		buffer_string(&text, " lines are not kept: too much at once");
	if (!text.failed)
		add_line(t, (double)r->line.ms / 1000, "info", text.data,
			drop_colours(text.data, text.len));
	buffer_fini(&text);
}

/* Read new lines: nclust does not announce them. */
void top_read_more(struct top *t)
{
	size_t from = 0;

	if (logs_read(&t->logs) == -1)
		end_reading(t, "out of memory");
	if (t->logs.record_count > WRITTEN_KEPT)
		from = t->logs.record_count - WRITTEN_KEPT;
	for (size_t i = from; i < t->logs.record_count; i++)
		add_record(t, &t->logs.records[i]);
	logs_drop(&t->logs);
}

void top_read_begin(struct top *t)
{
	struct error err;

	top_read_end(t);
	t->written = json_array();
	t->logs.target = t->reading;
	if (top_reach(t, &t->reader, &err) == -1 || logs_ask(&t->logs, &t->reader, &err) == -1)
		end_reading(t, err.text);
}

void top_read_answer(struct top *t)
{
	struct error err;
	json_t *one;
	size_t i;
	int got = logs_look(&t->logs, &t->reader, &err);

	if (got == -1)
		end_reading(t, err.text);
	if (got != 1)
		return;
	json_array_foreach(t->logs.missing, i, one)
	{
		const char *text = field_raw(one, "text");

		add_line(t, t->latest, "warn", text, strlen(text));
	}
}

void top_read_end(struct top *t)
{
	client_fini(&t->reader);
	logs_fini(&t->logs);
	json_decref(t->written);
	t->written = NULL;
}
