/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "base/log.h"
#include "base/scope.h"
#include "cli/client.h"
#include "cli/output.h"
#include "cli/render.h"
#include "cli/session.h"

#include <string.h>
#include <sysexits.h>
#include <time.h>

/* The text of a worker's message, as it was sent; NULL: another event. */
static const char *message_of(json_t *params)
{
	return strcmp(field_raw(params, "event"), "message") == 0
		? json_string_value(json_object_get(params, "message"))
		: NULL;
}

static int show_message(json_t *params)
{
	json_t *message = json_incref(json_object_get(params, "message"));
	scoped_buffer line = {0};
	scoped_str text = NULL;

	(void)json_object_del(params, "message");
	text = json_dumps(params, JSON_COMPACT | JSON_REAL_PRECISION(15));
	if (text != NULL)
		buffer_append(&line, text, strlen(text) - 1);
	buffer_string(&line, ",\"message\":");
	buffer_append(&line, json_string_value(message), json_string_length(message));
	buffer_string(&line, "}");
	line.failed |= text == NULL;
	json_decref(message);
	return output_buffer(STDOUT_FILENO, &line, output_json);
}

static int show_sentence(json_t *params)
{
	const char *text = field_raw(params, "text");
	const char *message = message_of(params);
	time_t at = (time_t)field_number(params, "time");
	scoped_buffer line = {0};
	struct tm local;
	char stamp[32];

	if (*text == '\0')
		return 0;
	if (field_is_number(params, "time") && localtime_r(&at, &local) != NULL &&
		strftime(stamp, sizeof(stamp), "%F %T  ", &local) > 0)
		buffer_string(&line, stamp);
	buffer_string(&line, text);
	if (message != NULL) {
		buffer_string(&line, ": ");
		buffer_string(&line, message);
	}
	return output_buffer(STDOUT_FILENO, &line, output_line);
}

static int show_event(json_t *params, void *data)
{
	const struct arguments *a = data;

	if (!arguments_has(a, OPTION_JSON))
		return show_sentence(params);
	/* the number of our request means nothing to the reader */
	(void)json_object_del(params, "request");
	if (message_of(params) != NULL)
		return show_message(params);
	return output_value(STDOUT_FILENO, params);
}

static int show_end(const struct answer *answer, void *data UNUSED)
{
	return answer->code != 0 ? output_refusal(answer) : 0;
}

static int take_kinds(struct control_request *request, const char *list)
{
	scoped_buffer out = {0};
	struct error err;

	for (size_t len; list != NULL; list = list[len] == ',' ? list + len + 1 : NULL) {
		len = strcspn(list, ",");
		if (eventkind_add(request->kinds, list, len, &err) == 0)
			continue;
		log_error("--kind: %s", err.text);
		buffer_string(&out, "the kinds are:");
		for (size_t i = 0; i < event_kind_count; i++)
			buffer_printf(&out, "%s%-18s", i % 4 > 0 ? " " : "\n  ", event_kinds[i]);
		(void)output_buffer(STDERR_FILENO, &out, output_lines);
		return -1;
	}
	return 0;
}

int verb_events(struct arguments *a)
{
	if (take_kinds(&a->request, a->kinds) == -1)
		return EX_USAGE;
	/* the reader may end first: as in `events -f | head` */
	return session_ask(a, STDOUT_FILENO, show_event, show_end, a);
}
