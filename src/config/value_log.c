/* SPDX-License-Identifier: MIT */
#include "config/value_log.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/expand.h"
#include "config/value.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Sinks of the workers' output. */

static const char *const modes[] = {
	[LOG_AUTO] = "auto",
	[LOG_INHERIT] = "inherit",
	[LOG_SINKS] = NULL,
	[LOG_OFF] = "off",
};
const char *const value_log_kinds[] = {
	[SINK_PREFIX] = "prefix",
	[SINK_JSON] = "json",
	[SINK_FILE] = "file",
	[SINK_JOURNAL] = "journal",
	[SINK_SYSLOG] = "syslog",
};
/* By number: RFC 5424, table 1; the others are of other services. */
static const char *const facilities[] = {NULL, "user", "mail", "daemon", "auth", "syslog", "lpr",
	"news", "uucp", "cron", "authpriv", "ftp", NULL, NULL, NULL, NULL, "local0", "local1",
	"local2", "local3", "local4", "local5", "local6", "local7"};
#define FACILITY_USUAL 3U

static void clear_sinks(struct log_sink *list, size_t *count)
{
	while (*count > 0)
		free(list[--*count].path);
}

static void hold_log(const struct field *f, const char *kept)
{
	struct cluster_settings *c = f->base;

	if (kept == NULL)
		clear_sinks(c->log_sinks, &c->log_sink_count);
}

static int refuse_sink(struct error *err, const char *text)
{
	(void)value_wanted(err, text,
		"'auto', 'inherit' or 'off' alone, or one or more of 'prefix', 'json', "
		"'file:PATH', 'file:PATH,time', 'journal' and 'syslog', with 'stderr:' before it "
		"for standard error alone");
	return *text == '/' ? error_hint(err, "write a path after 'file:'") : -1;
}

/* "rfc5424", "local0", or the rest is a path. */
static int parse_syslog(struct log_sink *sink, const char **rest)
{
	size_t len = strcspn(*rest, ":");
	int facility = value_index_of(*rest, len, facilities, COUNT_OF(facilities));

	if (facility != -1)
		sink->facility = (unsigned)facility;
	else if (len == 7 && strncmp(*rest, "rfc5424", len) == 0)
		sink->old = false;
	else if (len != 7 || strncmp(*rest, "rfc3164", len) != 0)
		return -1;
	*rest += len;
	return 0;
}

static int parse_rest(struct log_sink *sink, const char *text, const char *rest, struct error *err)
{
	while (*rest == ':') {
		rest++;
		if (sink->kind == SINK_SYSLOG && *rest != '/') {
			if (parse_syslog(sink, &rest) == -1)
				return value_wanted(err, text,
					"'syslog', and after colons 'rfc5424', a facility such as "
					"'local0', or the path of its socket");
			continue;
		}
		if (*rest == '\0' || strlen(rest) > LOG_PATH_MAX ||
			(sink->kind != SINK_FILE && *rest != '/'))
			return value_wanted(err, text, "a path of at most %u bytes after '%s:'",
				LOG_PATH_MAX, value_log_kinds[sink->kind]);
		sink->path = strdup(rest);
		return sink->path != NULL ? 0 : value_no_memory(err);
	}
	return 0;
}

static int parse_sink(struct log_sink *sink, const char *text, struct error *err)
{
	bool apart = strncmp(text, "stderr:", 7) == 0;
	const char *place = apart ? text + 7 : text;
	size_t len = strcspn(place, ":");
	bool has_more = place[len] == ':';
	int kind = value_index_of(place, len, value_log_kinds, COUNT_OF(value_log_kinds));

	if (kind == -1 || (has_more && kind < SINK_FILE) || (!has_more && kind == SINK_FILE))
		return refuse_sink(err, text);
	*sink = (struct log_sink){
		.kind = (enum sink_kind)kind,
		.facility = FACILITY_USUAL,
		.old = kind == SINK_SYSLOG,
		.has_stdout = !apart,
		.has_stderr = true,
	};
	return parse_rest(sink, text, place + len, err);
}

static int parse_sinks(struct log_sink *list, size_t *count, const char *text, struct error *err)
{
	char word[LOG_PATH_MAX + 64];
	const char *at = text;
	bool apart = false;

	while (value_next_word(&at, word, sizeof(word))) {
		if (strcmp(word, "time") == 0 && *count > 0 && list[*count - 1].kind == SINK_FILE) {
			list[*count - 1].timed = true;
			continue;
		}
		if (*count == LOG_SINKS_MAX)
			return value_wanted(err, text, "at most %u places", LOG_SINKS_MAX);
		if (parse_sink(&list[*count], word, err) == -1)
			return -1;
		apart |= !list[(*count)++].has_stdout;
	}
	for (size_t i = 0; i < *count; i++)
		list[i].has_stderr = !apart || !list[i].has_stdout;
	return *count == 0 ? refuse_sink(err, text) : 0;
}

static void put_sink(struct buffer *out, const struct log_sink *sink)
{
	buffer_printf(out, "%s%s%s%s", out->len > 0 ? " " : "",
		sink->has_stdout ? "" : "stderr:", value_log_kinds[sink->kind],
		sink->kind == SINK_SYSLOG && !sink->old ? ":rfc5424" : "");
	if (sink->kind == SINK_SYSLOG && sink->facility != FACILITY_USUAL)
		buffer_printf(out, ":%s", facilities[sink->facility]);
	if (sink->path != NULL) {
		buffer_string(out, ":");
		value_put_word(out, sink->path);
	}
	buffer_string(out, sink->timed ? ",time" : "");
}

static int parse_log(const struct field *f, const char *text, struct error *err)
{
	struct cluster_settings *c = f->base;
	int mode = value_index(text, modes, COUNT_OF(modes));
	struct log_sink list[LOG_SINKS_MAX] = {0};
	size_t count = 0;

	if (mode == -1) {
		mode = LOG_SINKS;
		if (parse_sinks(list, &count, text, err) == -1) {
			clear_sinks(list, &count);
			return -1;
		}
		for (size_t i = 0; i < count; i++)
			put_sink(f->out, &list[i]);
	}
	hold_log(f, NULL);
	c->log = (enum log_mode)mode;
	memcpy(c->log_sinks, list, count * sizeof(*list));
	c->log_sink_count = count;
	return 0;
}

const struct option_type type_log = {parse_log, hold_log};

bool value_log_is_by_slot(const struct log_sink *sink)
{
	return sink->kind == SINK_FILE &&
		(strstr(sink->path, "{slot}") != NULL || strstr(sink->path, "{slot+") != NULL);
}

bool value_log_path(
	const struct log_sink *sink, const char *cluster, unsigned slot, char *to, size_t size)
{
	scoped_str own = expand_names(sink->path, cluster, slot, &(struct error){0});

	return own != NULL && text_copy(to, size, own) < size;
}
