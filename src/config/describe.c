/* SPDX-License-Identifier: MIT */
#include "config/describe.h"

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
	text_escape(shown, sizeof(shown), whole, strlen(whole));
	buffer_printf(out, "%s:%u", shown, o->line);
}

static void put_origin(
	struct buffer *out, const struct settings *s, size_t at, const struct option_row *row)
{
	const struct origin *o = settings_origin(s, at, row);

	if (row->type == &type_command && s->clusters[at]->configured != NULL)
		buffer_string(out, "restart");
	else if (o->kind == ORIGIN_DEFAULT)
		buffer_string(out, "default");
	else if (o->kind == ORIGIN_ARGV)
		buffer_string(out, "command line");
	else
		put_place(out, s, o);
}

/* How settings are shown. */
struct view {
	const struct settings *s;
	bool secrets;
};

/* Where the secret part of a text begins, and the text behind it; NULL: no secret. */
static const char *find_secret(const struct option_row *row, const char *text, const char **rest)
{
	struct natsurl url;

	*rest = "";
	if (row->type == &type_env || row->type == &type_header)
		return strchr(text, row->type == &type_env ? '=' : ':') + 1;
	if (row->type != &type_relay || !natsurl_is(text) ||
		natsurl_parse(&url, text, &(struct error){0}) == -1 || url.user_len == 0)
		return NULL;
	*rest = url.user + url.user_len;
	return url.user;
}

/* The n-th text, with three asterisks in place of its secret part. */
static void put_value(struct buffer *out, const struct view *view, const struct option_row *row,
	const void *base, size_t n)
{
	const char *text = field_at(row, base, n);
	const char *rest = "";
	const char *secret = view->secrets ? NULL : find_secret(row, text, &rest);

	if (secret == NULL)
		buffer_string(out, text);
	else
		buffer_printf(out, "%.*s***%s", (int)(secret - text), text, rest);
}

static void put_json(struct buffer *out, struct buffer *text)
{
	buffer_json(out, text->data, text->len);
	out->failed |= text->failed;
}

static void put_json_values(
	struct buffer *out, const struct view *view, const struct option_row *row, const void *base)
{
	size_t count = field_count(row, base);
	char key[40];

	if (count == 0)
		buffer_string(out, row->repeatable ? "[]" : "null");
	for (size_t n = 0; n < count; n++) {
		scoped_buffer value = {0};

		if (row->repeatable)
			buffer_string(out, n == 0 ? "[" : ",");
		if (option_is_family(row))
			buffer_printf(&value, "%s = ", field_key(row, base, n, key));
		put_value(&value, view, row, base, n);
		put_json(out, &value);
		if (row->repeatable && n + 1 == count)
			buffer_string(out, "]");
	}
}

static void put_json_section(struct buffer *out, const struct view *view, size_t at)
{
	const struct settings *s = view->s;
	const struct option_row *row = NULL;
	const char *comma = "{";

	while ((row = option_next(section_of(at), row)) != NULL) {
		scoped_buffer origin = {0};

		buffer_printf(out, "%s\"%s\":{\"value\":", comma, row->name);
		put_json_values(out, view, row, settings_base(s, at));
		buffer_string(out, ",\"origin\":");
		put_origin(&origin, s, at, row);
		put_json(out, &origin);
		buffer_string(out, "}");
		comma = ",";
	}
	buffer_string(out, "}");
}

/* "key = value", one line each, control bytes made visible. */
static void put_ini_line(struct buffer *out, const struct view *view, const struct option_row *row,
	const void *base, size_t n)
{
	scoped_buffer value = {0};
	scoped_buffer quoted = {0};
	struct buffer *whole = row->type == &type_env ? &quoted : &value;
	scoped_str text = NULL;
	char key[40];

	put_value(&value, view, row, base, n);
	if (buffer_text(&value) != NULL && row->type == &type_env)
		(void)expand_quote_env(&quoted, value.data);
	text = malloc(4 * whole->len + 1);
	if (text == NULL || value.failed || whole->failed) {
		out->failed = true;
		return;
	}
	text_escape(text, 4 * whole->len + 1, whole->data, whole->len);
	buffer_printf(out, "%s = %s\n", field_key(row, base, n, key), text);
}

bool config_starts_once(const struct cluster_settings *s)
{
	return s->workers_by_default && s->listen_count == 0 && s->spare == 0 && !s->accept &&
		s->intercept != INTERCEPT_OFF;
}

static void put_ini_section(struct buffer *out, const struct view *view, size_t at)
{
	const struct settings *s = view->s;
	const struct option_row *row = NULL;
	const void *base = settings_base(s, at);

	while ((row = option_next(section_of(at), row)) != NULL) {
		size_t count = field_count(row, base);

		if (count == 0)
			continue;
		buffer_string(out, "; ");
		put_origin(out, s, at, row);
		if (row->type == &type_workers && config_starts_once(s->clusters[at]))
			buffer_string(out,
				": one, until it opens a port; one that keeps its state in itself "
				"stays one");
		buffer_string(out, "\n");
		for (size_t n = 0; n < count; n++)
			put_ini_line(out, view, row, base, n);
	}
}

int describe_settings(struct buffer *out, const struct settings *s, bool json, bool secrets)
{
	const struct view view = {.s = s, .secrets = secrets};
	void (*put_section)(struct buffer *, const struct view *, size_t) =
		json ? put_json_section : put_ini_section;

	buffer_string(out, json ? "{\"nclust\":" : "[nclust]\n");
	put_section(out, &view, INSTANCE);
	for (size_t i = 0; i < s->cluster_count; i++) {
		buffer_printf(
			out, json ? ",\"cluster:%s\":" : "\n[cluster:%s]\n", s->clusters[i]->name);
		put_section(out, &view, i);
	}
	buffer_string(out, json ? "}" : "");
	return out->failed ? -1 : 0;
}

static void put_option(struct buffer *out, const struct option_row *row)
{
	char left[40];

	snprintf(left, sizeof(left), "%c%c%c --%s%s%s", row->letter != 0 ? '-' : ' ',
		row->letter != 0 ? row->letter : ' ', row->letter != 0 ? ',' : ' ', row->name,
		row->argument != NULL ? " " : "", row->argument != NULL ? row->argument : "");
	buffer_printf(out, "  %-25s %s\n", left, row->help);
}

/* Lists the options whose name has the word in it; if none has, those whose description has. */
static bool put_options_with(struct buffer *out, const char *word)
{
	bool any = false;

	for (int names = 1; names >= 0 && !any; names--)
		for (size_t i = 0; i < option_count; i++) {
			const struct option_row *row = &option_rows[i];

			if (strcasestr(names ? row->name : row->help, word) == NULL)
				continue;
			put_option(out, row);
			any = true;
		}
	return any;
}

/* "memory-limit": what has all of it, else what has its longest part. */
static bool put_options_like(struct buffer *out, const char *word)
{
	char part[40] = "";

	if (put_options_with(out, word))
		return true;
	for (size_t len; *word != '\0'; word += len + (word[len] != '\0')) {
		len = strcspn(word, "-_");
		if (len > strlen(part) && len < sizeof(part))
			(void)text_copy(part, len + 1, word);
	}
	return strlen(part) > 2 && put_options_with(out, part);
}

bool describe_option(struct buffer *out, const char *word)
{
	static const char *const at_reload[] = {
		[CHANGE_LIVE] = "applies it at once",
		[CHANGE_ROLL] = "replaces the workers for it",
		[CHANGE_RESTART] = "does not apply it, only a new start of nclust does",
	};
	const struct option_row *row = option_find(NULL, word, NULL);
	bool any;

	if (row != NULL) {
		put_option(out, row);
		buffer_string(out, "\n");
		if (row->fallback != NULL || row->unset != NULL)
			buffer_printf(out, "The default: %s.  ",
				row->fallback != NULL ? row->fallback : row->unset);
		if (row->change != CHANGE_NONE)
			buffer_printf(out, "'nclust reload' %s.  ", at_reload[row->change]);
	}
	any = row != NULL || put_options_like(out, word);
	if (any)
		buffer_printf(out, "%sMore: man nclust.ini\n", row == NULL ? "\n" : "");
	return any;
}

int describe_help(struct buffer *out)
{
	buffer_string(out,
		"usage: nclust [OPTION]... -- COMMAND [ARG]...  run copies of a command\n"
		"       nclust [OPTION]... -c FILE              run the clusters of a file\n"
		"       nclust VERB [TARGET] [OPTION]...        talk to a running nclust\n\n");
	for (size_t i = 0; i < option_count; i++)
		if (option_rows[i].common)
			put_option(out, &option_rows[i]);
	return out->failed ? -1 : 0;
}
