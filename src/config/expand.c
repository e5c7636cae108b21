/* SPDX-License-Identifier: MIT */
#include "config/expand.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/value.h"

#include <ctype.h>
#include <fnmatch.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_DIGITS 9
#define VALUE_MAX ((size_t)1 << 20)

/* The text of a buffer, handed over; NULL and `err`. */
static char *text_of(struct buffer *out, struct error *err)
{
	char *text = buffer_take(out);

	if (text == NULL)
		(void)value_no_memory(err);
	return text;
}

/* ---- variables ---- */

/* A variable's value never ends a quote, and is never split into words. */
static void put_escaped(struct buffer *out, const char *value, char quote)
{
	const char *special = quote == '"' ? "\"\\$`" : " \t\n'\"\\$";

	if (*value == '\0' && quote == '\0')
		buffer_string(out, "''");
	for (; *value != '\0'; value++) {
		if (strchr(special, *value) != NULL)
			buffer_append(out, "\\", 1);
		buffer_append(out, value, 1);
	}
}

/* `at` begins with "${".  Returns the place behind it, or NULL and `err`. */
static const char *put_variable(
	struct buffer *out, const char *at, bool is_shell, char quote, struct error *err)
{
	size_t len = strspn(at + 2, NAME_BYTES);
	scoped_str name = strndup(at + 2, len);
	const char *value = NULL;

	if (name == NULL)
		return (void)value_no_memory(err), NULL;
	if (len == 0 || at[2 + len] != '}')
		(void)value_wanted(err, at, "a variable such as '${HOME}'");
	else if ((value = getenv(name)) == NULL)
		error_set(err, 0, "'${%.100s}' is not set in nclust's environment", name);
	if (value == NULL) {
		error_hint(err, "single quotes keep nclust from replacing it");
		return NULL;
	}
	if (is_shell)
		put_escaped(out, value, quote);
	else
		buffer_string(out, value);
	return at + 2 + len + 1;
}

/* `is_shell`: quotes and backslashes are those of value_split(). */
static char *expand_variables(const char *text, bool is_shell, struct error *err)
{
	scoped_buffer out = {.limit = VALUE_MAX};
	char quote = '\0';

	while (*text != '\0' && !out.failed) {
		size_t len = 1;

		if (is_shell && *text == '\\' && quote != '\'' && text[1] != '\0')
			len = 2;
		else if (is_shell && *text == quote)
			quote = '\0';
		else if (is_shell && quote == '\0' && (*text == '"' || *text == '\''))
			quote = *text;
		else if (*text == '$' && text[1] == '{' && quote != '\'') {
			text = put_variable(&out, text, is_shell, quote, err);
			if (text == NULL)
				return NULL;
			continue;
		}
		buffer_append(&out, text, len);
		text += len;
	}
	if (out.failed) {
		error_set(err, 0, "longer than 1 MiB with its variables");
		return NULL;
	}
	return text_of(&out, err);
}

/* ---- quotes of `env` ---- */

static bool is_quote(char c)
{
	return c == '"' || c == '\'';
}

bool expand_has_next_variable(const char *value)
{
	const char *equals = strchr(value, '=');
	const char *name = equals;

	while (name != NULL && name > value && strchr(NAME_CAPITALS, name[-1]) != NULL)
		name--;
	return name != NULL && name > value && name < equals && strchr(" \t,", name[-1]) != NULL;
}

/* Does it begin with "~/" or with "~" and a user that there is? */
static bool is_home(const char *text)
{
	size_t len = strcspn(text, "/:, ");
	scoped_str name = *text == '~' ? strndup(text + 1, len - 1) : NULL;

	return name != NULL && (*name != '\0' ? getpwnam(name) != NULL : text[len] == '/');
}

/* What a shell would replace in a value that is not in quotes, and nclust does not; or NULL. */
static const char *part_for_shell(const char *value)
{
	return is_home(value) ? value : value_expansion(value, false);
}

/* "NAME=value", NAME="a value", "NAME=a value" */
static char *expand_environment(const char *text, struct error *err)
{
	size_t key = strcspn(text, "=");
	const char *value = text + key + (text[key] == '=');
	const char *part;
	struct strings words = {0};
	scoped_str whole = NULL;
	scoped_buffer out = {0};

	if (is_quote(*text))
		value = text;
	if (!is_quote(*value) && expand_has_next_variable(value)) {
		(void)value_wanted(err, text, "one variable a line");
		error_hint(err, "if all of it is the value, put it in quotes");
		return NULL;
	}
	part = *value != '\'' ? part_for_shell(value) : NULL;
	if (part != NULL) {
		error_set(err, 0,
			"no shell reads this, so '%.*s' would stay as it is: write ${HOME} and the "
			"like, or put the value in single quotes if it is meant",
			(int)strcspn(part, "/: "), part);
		return NULL;
	}
	if (!is_quote(*value))
		return expand_variables(text, false, err);
	whole = expand_variables(value, true, err);
	if (whole == NULL || value_split(&words, whole, err) == -1)
		return NULL;
	if (words.count != 1) {
		strings_clear(&words);
		(void)value_wanted(err, value, "one value, in quotes as a whole");
		return NULL;
	}
	buffer_append(&out, text, (size_t)(value - text));
	buffer_string(&out, words.list[0]);
	strings_clear(&words);
	return text_of(&out, err);
}

int expand_quote_env(struct buffer *out, const char *entry)
{
	size_t key = strcspn(entry, "=");
	const char *value = entry + key + (entry[key] == '=');
	size_t len = strlen(value);
	bool plain = len == 0 ||
		(!is_quote(*value) && strstr(value, "${") == NULL &&
			strchr(" \t", *value) == NULL && strchr(" \t", value[len - 1]) == NULL &&
			strstr(value, " ;") == NULL && strstr(value, "\t;") == NULL &&
			strstr(value, " #") == NULL && strstr(value, "\t#") == NULL &&
			!expand_has_next_variable(value) && part_for_shell(value) == NULL);

	if (plain)
		return buffer_string(out, entry);
	buffer_append(out, entry, (size_t)(value - entry));
	return value_quote(out, value);
}

/* ---- paths ---- */

static bool is_relative(const char *path)
{
	return *path != '\0' && *path != '/' && !is_quote(*path);
}

/* "unix:web.sock, mode=0660" */
static char *expand_listener(const char *text, const char *dir, struct error *err)
{
	static const char *const kinds[] = {"unix:", "unix-dgram:", "unix-seqpacket:"};
	scoped_str value = expand_variables(text, false, err);
	scoped_buffer out = {0};
	size_t kind = 0;

	if (value == NULL)
		return NULL;
	for (size_t i = 0; i < COUNT_OF(kinds); i++)
		if (strncmp(value, kinds[i], strlen(kinds[i])) == 0)
			kind = strlen(kinds[i]);
	if (kind > 0 && strchr("/@,", value[kind]) != NULL)
		kind = 0; /* the value is whole, or a word such as "off" */
	buffer_append(&out, value, kind);
	buffer_string(&out, kind > 0 ? dir : "");
	buffer_string(&out, value + kind);
	return text_of(&out, err);
}

/* "prefix file:web.log" */
static char *log_paths(const char *text, const char *dir, struct error *err)
{
	static const char file[] = "file:";
	const size_t len = sizeof(file) - 1;
	scoped_buffer out = {0};
	bool begins = true; /* at the beginning of a word */

	for (; *text != '\0'; text++) {
		if (begins && strncmp(text, file, len) == 0 && is_relative(text + len)) {
			buffer_string(&out, file);
			value_put_word(&out, dir);
			text += len;
		}
		buffer_append(&out, text, 1);
		begins = strchr(" \t,", *text) != NULL;
	}
	return text_of(&out, err);
}

/* Some words mean none, and are no path. */
static bool is_path(const struct option_row *row, const char *text)
{
	static const char *const pages[] = {"off", "none", "503"};

	if (row->type == &type_fallback)
		return value_index(text, pages, COUNT_OF(pages)) == -1;
	return (row->type == &type_path || row->type == &type_paths) &&
		(row->word == NULL || strcmp(row->word, text) != 0);
}

/* A '%' and a letter alone, as "%h" in a unit and "%Y" in a name with the time; or NULL.  The zone of an
 * address, "%eth0", has more letters. */
static const char *find_specifier(const char *text)
{
	for (; (text = strchr(text, '%')) != NULL; text++)
		if (isalpha((unsigned char)text[1]) && !isalnum((unsigned char)text[2]) &&
			text[2] != ']')
			return text;
	return NULL;
}

int expand_check_path(
	const struct option_row *row, bool in_file, const char *text, struct error *err)
{
	bool listens = row->type == &type_listen;
	/* with a shell they are a file's own, and in "*:8000" no wildcard */
	bool takes_stars = !in_file || listens || strcmp(row->name, "watch") == 0;
	const char *part;

	if (row->section == NULL || (!listens && row->type != &type_log && !is_path(row, text)))
		return 0;
	part = value_expansion(text, !listens);
	for (const char *s = text; part == NULL && *s != '\0'; s += strspn(s, "/:")) {
		if (strcmp(s, "~") == 0 || strncmp(s, "~/", 2) == 0 ||
			((s == text || s[-1] == ':') && is_home(s)))
			part = s;
		s += strcspn(s, "/:");
	}
	if (part == NULL)
		part = strpbrk(text, takes_stars ? "`" : "`*");
	if (part == NULL && in_file)
		part = find_specifier(text);
	if (part == NULL)
		return 0;
	return error_set(err, 0, "%s, so '%.*s' would stay as it is: write %s",
		*part == '%' ? "this is no placeholder" : "no shell reads this",
		*part == '%' ? 2 : (int)strcspn(part, "/, "), part,
		listens ? "the value itself, or ${NAME} in a file" : "the path itself");
}

/* ---- whole values ---- */

char *expand_value(
	const struct option_row *row, const char *text, const char *dir, struct error *err)
{
	scoped_buffer out = {0};

	if (row->type == &type_relay || row->type == &type_command)
		return expand_variables(text, row->type == &type_command, err);
	if (row->type == &type_listen)
		return expand_listener(text, dir, err);
	if (row->type == &type_env)
		return expand_environment(text, err);
	if (row->type == &type_log)
		return log_paths(text, dir, err);
	buffer_string(&out, is_path(row, text) && is_relative(text) ? dir : "");
	buffer_string(&out, text);
	return text_of(&out, err);
}

bool expand_slot(const char *word, size_t len, unsigned slot, uint64_t *number)
{
	uint64_t n = 0;

	*number = slot;
	if (len < 4 || strncmp(word, "slot", 4) != 0)
		return false;
	if (len == 4)
		return true;
	if (len < 6 || len - 5 > SLOT_DIGITS ||
		text_number(&n, word + 5, len - 5, UINT32_MAX) < len - 5)
		return false;
	*number = word[4] == '+' ? slot + n : word[4] == '%' && n > 0 ? slot % n : UINT64_MAX;
	return *number != UINT64_MAX;
}

int expand_check_slot(const char *at, struct error *err)
{
	size_t len = strcspn(at, "} \t:'\"");
	uint64_t number;

	if (strncmp(at, "{slot", 5) != 0 || at[len] != '}' ||
		expand_slot(at + 1, len - 1, 0, &number))
		return 0;
	return value_wanted(
		err, at, "'{slot}', a sum such as '{slot+9229}' or a rest such as '{slot%%2}'");
}

char *expand_names(const char *text, const char *cluster, long slot, struct error *err)
{
	scoped_buffer out = {0};
	uint64_t number;

	while (*text != '\0') {
		const char *end = *text == '{' ? strchr(text, '}') : NULL;
		size_t len = end != NULL ? (size_t)(end - text) - 1 : 0;

		if (end != NULL && cluster != NULL && strncmp(text, "{cluster}", 9) == 0) {
			buffer_string(&out, cluster);
		} else if (end != NULL && slot >= 0 &&
			expand_slot(text + 1, len, (unsigned)slot, &number)) {
			buffer_number(&out, number, 10);
		} else if (slot >= 0 && expand_check_slot(text, err) == -1) {
			return NULL;
		} else {
			buffer_append(&out, text, 1);
			end = text;
		}
		text = end + 1;
	}
	return text_of(&out, err);
}

/* ---- slotword ---- */

/* Debuggers' options, by a part of the word; the port if the word has none, and what stands
 * before one. */
static const struct {
	const char *part;
	unsigned port;
	const char *before;
} inspectors[] = {{"--inspect", 9229, "--inspect="}, {"debugpy", 5678, "--listen "},
	{"jdwp", 5005, "address=*:"}, {"--remote-debugging", 9222, "--remote-debugging-port="}};

bool slotword_has_port(const char *word, unsigned port)
{
	static const char digits[] = "0123456789";
	uint64_t n;

	while (*(word += strcspn(word, digits)) != '\0') {
		size_t len = strspn(word, digits);

		if (text_number(&n, word, len, UINT16_MAX) == len && n == port)
			return true;
		word += len;
	}
	return false;
}

const char *slotword_of_debugger(char *const *words, unsigned port)
{
	for (; words != NULL && *words != NULL; words++)
		for (size_t i = 0; i < COUNT_OF(inspectors); i++)
			if (strstr(*words, inspectors[i].part) != NULL &&
				(port == inspectors[i].port || slotword_has_port(*words, port)))
				return inspectors[i].before;
	return NULL;
}

/* ---- known programs ---- */

bool command_schedules(const char *command)
{
	static const char *const patterns[] = {"*celery* beat*", "*airflow scheduler*",
		"*supercronic*", "*rqscheduler*", "*schedule:work*"};
	bool found = false;

	for (size_t i = 0; i < COUNT_OF(patterns) && !found; i++)
		found = command != NULL && fnmatch(patterns[i], command, 0) == 0;
	return found;
}

const char *command_stop_signal(const char *command)
{
	static const char *const known[][2] = {
		{"postgres", "INT"}, {"nginx", "QUIT"}, {"apache2", "WINCH"}, {"httpd", "WINCH"}};

	for (size_t i = 0; i < COUNT_OF(known) && command != NULL; i++)
		if (strstr(command, known[i][0]) != NULL)
			return known[i][1];
	return NULL;
}
