/* SPDX-License-Identifier: MIT */
#include "config/config.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/expand.h"
#include "config/natsurl.h"
#include "config/option.h"
#include "config/origin.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* The settings in force, as an INI file or as JSON. */

/* The file's whole path, which means the same everywhere, in one line. */
static void put_place(struct buffer *out, const struct settings *s, const struct origin *o)
{
	const char *path = origin_path(s->origins, o);
	scoped_str whole = origin_whole(s, path, strlen(path));
	char shown[PATH_MAX];

	if (whole == NULL) {
		out->failed = true;
		return;
	}
	(void)text_escape(shown, sizeof(shown), whole, strlen(whole));
	(void)buffer_printf(out, "%s:%u", shown, o->line);
}

static void put_origin(
	struct buffer *out, const struct settings *s, size_t at, const struct option_row *row)
{
	const struct origin *o = settings_origin(s, at, row);

	if (row->type == OPT_COMMAND && s->clusters[at]->configured != NULL)
		(void)buffer_string(out, "restart");
	else if (o->kind == ORIGIN_DEFAULT)
		(void)buffer_string(out, "default");
	else if (o->kind == ORIGIN_ARGV)
		(void)buffer_string(out, "command line");
	else
		put_place(out, s, o);
}

/* How they are shown, beside their names. */
struct view {
	const struct settings *s;
	bool secrets;
	struct buffer value; /* of what is being shown */
};

/* "nats://", three asterisks, "@HOST" */
static void mask_user(struct buffer *value)
{
	const char *text = buffer_text(value);
	struct error err;
	struct natsurl url;
	scoped_str rest = NULL;

	if (!natsurl_is(text) || natsurl_parse(&url, text, &err) == -1 || url.user_len == 0)
		return;
	rest = strdup(url.user + url.user_len);
	value->len = (size_t)(url.user - text);
	(void)buffer_printf(value, "***%s", rest != NULL ? rest : "");
}

/* Into view->value. */
static void format_value(
	struct view *view, const struct option_row *row, const void *base, size_t n)
{
	struct buffer *value = &view->value;
	const char *equals;

	(void)field_format(row, base, n, value);
	if (!view->secrets && row->type == OPT_RELAY)
		mask_user(value);
	if (view->secrets || value->len == 0 || (row->type != OPT_ENV && row->type != OPT_HEADER))
		return;
	equals = memchr(value->data, row->type == OPT_ENV ? '=' : ':', value->len);
	if (equals == NULL)
		return;
	value->len = (size_t)(equals - value->data) + 1;
	(void)buffer_string(value, "***");
}

static void put_json_values(
	struct buffer *out, struct view *view, const struct option_row *row, const void *base)
{
	struct buffer *value = &view->value;
	size_t count = field_count(row, base);
	char key[40];

	if (count == 0)
		(void)buffer_string(out, row->repeatable ? "[]" : "null");
	for (size_t n = 0; n < count; n++) {
		if (row->repeatable)
			(void)buffer_string(out, n == 0 ? "[" : ",");
		buffer_clear(value);
		if (option_is_family(row))
			(void)buffer_printf(value, "%s = ", field_key(row, base, n, key));
		format_value(view, row, base, n);
		(void)buffer_json(out, value->data, value->len);
		if (row->repeatable && n + 1 == count)
			(void)buffer_string(out, "]");
	}
}

static void put_json_section(struct buffer *out, struct view *view, size_t at)
{
	const struct settings *s = view->s;
	struct buffer *value = &view->value;
	const struct option_row *row = NULL;
	const char *comma = "";

	(void)buffer_string(out, "{");
	while ((row = option_next(section_of(at), row)) != NULL) {
		(void)buffer_printf(out, "%s\"%s\":{\"value\":", comma, row->name);
		put_json_values(out, view, row, settings_base(s, at));
		(void)buffer_string(out, ",\"origin\":");
		buffer_clear(value);
		put_origin(value, s, at, row);
		(void)buffer_json(out, value->data, value->len);
		(void)buffer_string(out, "}");
		comma = ",";
	}
	(void)buffer_string(out, "}");
}

static void describe_json(struct buffer *out, struct view *view)
{
	const struct settings *s = view->s;

	(void)buffer_string(out, "{\"nclust\":");
	put_json_section(out, view, INSTANCE);
	for (size_t i = 0; i < s->cluster_count; i++) {
		(void)buffer_printf(out, ",\"cluster:%s\":", s->clusters[i]->name);
		put_json_section(out, view, i);
	}
	(void)buffer_string(out, "}");
}

/* Of an environment variable, as a file has it. */
static void quote_env(struct buffer *value)
{
	scoped_str plain = strdup(buffer_text(value) != NULL ? buffer_text(value) : "");

	buffer_clear(value);
	if (plain == NULL || expand_quote_env(value, plain) == -1)
		value->failed = true;
}

/* "key = value", one line each, control bytes made visible. */
static void put_ini_line(struct buffer *out, struct view *view, const struct option_row *row,
	const void *base, size_t n)
{
	struct buffer *value = &view->value;
	char key[40];
	char *text;

	buffer_clear(value);
	format_value(view, row, base, n);
	if (row->type == OPT_ENV)
		quote_env(value);
	text = malloc(4 * value->len + 1);
	if (text == NULL) {
		out->failed = true;
		return;
	}
	(void)text_escape(text, 4 * value->len + 1, value->data, value->len);
	(void)buffer_printf(out, "%s = %s\n", field_key(row, base, n, key), text);
	free(text);
}

static void put_ini_section(struct buffer *out, struct view *view, size_t at)
{
	const struct settings *s = view->s;
	const struct option_row *row = NULL;
	const void *base = settings_base(s, at);

	while ((row = option_next(section_of(at), row)) != NULL) {
		size_t count = field_count(row, base);

		if (count == 0)
			continue;
		(void)buffer_string(out, "; ");
		put_origin(out, s, at, row);
		(void)buffer_string(out, "\n");
		for (size_t n = 0; n < count; n++)
			put_ini_line(out, view, row, base, n);
	}
}

static void describe_ini(struct buffer *out, struct view *view)
{
	const struct settings *s = view->s;

	(void)buffer_string(out, "[nclust]\n");
	put_ini_section(out, view, INSTANCE);
	for (size_t i = 0; i < s->cluster_count; i++) {
		(void)buffer_printf(out, "\n[cluster:%s]\n", s->clusters[i]->name);
		put_ini_section(out, view, i);
	}
}

int describe_settings(struct buffer *out, const struct settings *s, bool json, bool secrets)
{
	struct view view = {.s = s, .secrets = secrets};
	bool failed;

	buffer_init(&view.value, 0);
	if (json)
		describe_json(out, &view);
	else
		describe_ini(out, &view);
	failed = view.value.failed || out->failed;
	buffer_fini(&view.value);
	return failed ? -1 : 0;
}

int describe_help(struct buffer *out)
{
	(void)buffer_string(out,
		"usage: nclust [OPTION]... -- COMMAND [ARG]...  "
		"run copies of a command\n"
		"       nclust [OPTION]... -c FILE              "
		"run the clusters of a file\n"
		"       nclust VERB [TARGET] [OPTION]...        "
		"talk to a running nclust\n\n");
	for (size_t i = 0; i < option_count; i++) {
		const struct option_row *row = &option_rows[i];
		char left[40];

		if (!row->common)
			continue;
		(void)snprintf(left, sizeof(left), "%c%c%c --%s%s%s", row->letter != 0 ? '-' : ' ',
			row->letter != 0 ? row->letter : ' ', row->letter != 0 ? ',' : ' ',
			row->name, row->argument != NULL ? " " : "",
			row->argument != NULL ? row->argument : "");
		(void)buffer_printf(out, "  %-25s %s\n", left, row->help);
	}
	return out->failed ? -1 : 0;
}
