/* SPDX-License-Identifier: MIT */
#include "config/procfile.h"

#include "base/scope.h"
#include "base/text.h"
#include "base/trusted.h"
#include "config/inifile.h"
#include "config/option.h"
#include "config/origin.h"
#include "config/value.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define PORT_FIRST 5000
#define PORT_STEP 100

bool procfile_is(const char *path)
{
	static const char name[] = "Procfile";
	const char *last = strrchr(path, '/');
	size_t len;

	last = last != NULL ? last + 1 : path;
	len = strlen(last);
	return strcmp(last, name) == 0 || strncmp(last, "Procfile.", 9) == 0 ||
		(len > 9 && strcmp(last + len - 9, ".Procfile") == 0);
}

char *procfile_directory(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strndup(path, slash > path ? (size_t)(slash - path) : 1);
}

/* ---- lines ---- */

static int set_key(struct settings *s, size_t at, const char *key, const char *text, unsigned line,
	struct error *err)
{
	int member;
	const struct option_row *row = option_find("cluster", key, &member);

	return settings_set(
		s, at, row, member, text, (struct origin){.kind = ORIGIN_FILE, .line = line}, err);
}

/* A command for a shell.  "exec" saves a process, and lets signals reach the program;
 * several commands cannot have it in front, and before variables it needs env(1). */
static char *in_shell(const char *text)
{
	size_t word = strcspn(text, " \t=");
	const char *exec = strpbrk(text, ";&|()<>`\n") != NULL || text_is_of_shell(text) ? ""
		: text[word] == '=' ? "exec env "
				    : "exec ";
	scoped_buffer line = {0};
	scoped_buffer whole = {0};

	buffer_printf(&line, "%s%s", exec, text);
	buffer_string(&whole, "/bin/sh -c ");
	if (buffer_text(&line) != NULL)
		(void)value_quote(&whole, line.data);
	return line.failed ? NULL : buffer_take(&whole);
}

static bool is_plain(const char *text)
{
	struct strings words = {0};
	bool plain = strpbrk(text, "$;&|()<>`*?[]~#=") == NULL && !text_is_of_shell(text) &&
		/* the shell reports quotes that do not end */
		value_split(&words, text, &(struct error){0}) == 0;

	strings_clear(&words);
	return plain;
}

static int set_command(struct settings *s, size_t at, const char *key, const char *text,
	unsigned line, struct error *err)
{
	scoped_str whole = is_plain(text) ? strdup(text) : in_shell(text);

	if (whole == NULL)
		return error_set(err, ENOMEM, "cannot keep a command");
	return set_key(s, at, key, whole, line, err);
}

static int set_variables(struct settings *s, size_t at, unsigned line, struct error *err)
{
	scoped_str directory = procfile_directory(s->config_file);
	scoped_str variables = NULL;

	if (directory == NULL || asprintf(&variables, "%s/.env", directory) == -1) {
		variables = NULL;
		return error_set(err, ENOMEM, "cannot keep a cluster");
	}
	return access(variables, F_OK) == 0 ? set_key(s, at, "env-file", variables, line, err) : 0;
}

struct release {
	const char *command; /* NULL: none */
	unsigned line;
};

/* `line` is "name: command", or a fault. */
static int take_line(
	struct settings *s, struct release *release, char *line, unsigned number, struct error *err)
{
	const struct origin here = {.kind = ORIGIN_FILE, .line = number};
	char *colon = strchr(line, ':');
	char *end = line + strlen(line);
	bool is_release;
	size_t at;

	while (end > line && strchr(" \t\r", end[-1]) != NULL)
		*--end = '\0';
	if (colon == NULL)
		return error_set(err, 0, "wanted 'name: command', found '%.100s'", line);
	*colon++ = '\0';
	colon += strspn(colon, " \t");
	if (!text_is_name(line))
		return error_set(err, 0,
			"wanted a name of 1 to 64 of 'A-Z a-z 0-9 . _ -' before the ':', found "
			"'%.100s'",
			line);
	is_release = strcmp(line, "release") == 0;
	at = settings_find(s, s->cluster_count, line);
	if (at != SIZE_MAX || (is_release && release->command != NULL))
		return error_set(err, 0, "'%s' is given twice, first in line %u", line,
			is_release ? release->line : s->origins->clusters[at].head.line);
	if (*colon == '\0')
		return error_set(err, 0, "%s: wanted a command, found none", line);
	if (is_release) {
		*release = (struct release){colon, number};
		return 0;
	}
	at = settings_add_cluster(s, line, here);
	if (at == SIZE_MAX)
		return error_set(err, ENOMEM, "cannot keep a cluster");
	if (set_key(s, at, "workers", "1", number, err) == -1 ||
		set_variables(s, at, number, err) == -1)
		return -1;
	return set_command(s, at, "command", colon, number, err);
}

static bool is_text(const char *line, size_t len)
{
	size_t n;

	for (size_t at = 0; at < len; at += n) {
		n = text_utf8(line + at, len - at);
		if (n == 0 || line[at] == '\0')
			return false;
	}
	return true;
}

void procfile_parse(
	struct settings *s, const char *path, char *data, size_t len, struct faults *faults)
{
	unsigned before = faults->count;
	struct release release = {.command = NULL};
	char *end = data + len;
	unsigned number = 0;
	struct error err;
	char *line;

	data += text_bom(data, len);
	while ((line = inifile_line(&data, end, &len)) != NULL) {
		number++;
		err = (struct error){0};
		if (!is_text(line, len))
			faults_add(faults, EX_CONFIG, "%s:%u: wanted UTF-8 text without NUL bytes",
				path, number);
		else if (line[strspn(line, " \t\r")] != '\0' && line[strspn(line, " \t")] != '#' &&
			take_line(s, &release, line, number, &err) == -1)
			faults_add(faults, EX_CONFIG, "%s:%u: %s", path, number, err.text);
	}
	/* "release: command" is no cluster: it runs before all of them */
	for (size_t i = 0; release.command != NULL && i < s->cluster_count; i++) {
		s->clusters[i]->before_of_all = true;
		if (set_command(s, i, "before", release.command, release.line, &err) == -1)
			faults_add(faults, EX_OSERR, "%s", err.text);
	}
	if (s->cluster_count == 0 && faults->count == before)
		faults_add(
			faults, EX_CONFIG, "%s: wanted a line 'name: command', found none", path);
}

/* ---- how many ---- */

/* "release: command" is no cluster: "1" leaves it as it is, "0" takes it out. */
static int form_release(struct settings *s, const char *count, struct error *err)
{
	const struct origin argv = {.kind = ORIGIN_ARGV};

	if (strcmp(count, "1") == 0)
		return 0;
	if (strcmp(count, "0") != 0)
		return value_wanted(err, count, "0 or 1 for 'release', which runs once");
	for (size_t i = 0; i < s->cluster_count; i++) {
		s->clusters[i]->before_of_all = false;
		if (settings_set(s, i, option_find("cluster", "before", NULL), 0, "none", argv,
			    err) == -1)
			return -1;
	}
	return 0;
}

/* "2" for the cluster of that name, or for all. */
static int form_cluster(
	struct settings *s, const char *name, const char *count, bool again, struct error *err)
{
	const struct origin argv = {.kind = ORIGIN_ARGV};
	bool all = strcmp(name, "all") == 0;
	bool found = all || again;

	if (s->cluster_count > 0 && s->clusters[0]->before_of_all && strcmp(name, "release") == 0)
		return form_release(s, count, err);
	for (size_t i = 0; i < s->cluster_count; i++) {
		bool *is_out = &s->origins->clusters[i].shadow;

		if (!all && strcmp(s->clusters[i]->name, name) != 0)
			continue;
		found = true;
		*is_out = strcmp(count, "0") == 0;
		if (!*is_out &&
			settings_set(s, i, option_find("cluster", "workers", NULL), 0, count, argv,
				err) == -1)
			return error_wrap(err, "%s", name);
	}
	return found ? 0 : error_set(err, 0, "there is no '%s' in the Procfile", name);
}

/* Take what it says of `all`, or of names. */
static int form_some(
	struct settings *s, const char *formation, bool all, bool again, struct error *err)
{
	scoped_str copy = strdup(formation);
	char *rest = copy;
	char *one;

	if (copy == NULL)
		return value_no_memory(err);
	while ((one = strsep(&rest, ",")) != NULL) {
		char *count = strchr(one, '=');

		if (count == NULL)
			return value_wanted(err, one, "how many of what, such as 'web=2,worker=1'");
		*count++ = '\0';
		if ((strcmp(one, "all") == 0) == all &&
			form_cluster(s, one, count, again, err) == -1)
			return -1;
	}
	return 0;
}

/* A name counts before `all`, wherever it stands. */
int procfile_form(struct settings *s, const char *formation, bool again, struct error *err)
{
	if (form_some(s, formation, true, again, err) == -1 ||
		form_some(s, formation, false, again, err) == -1)
		return -1;
	for (size_t i = s->cluster_count; i-- > 0;)
		if (s->origins->clusters[i].shadow)
			settings_drop_cluster(s, i);
	return s->cluster_count > 0 ? 0 : error_set(err, 0, "nothing is left to run");
}

/* ---- files of variables ---- */

#define BLANK " \t\r"

static bool is_blank(char c)
{
	return c != '\0' && strchr(BLANK, c) != NULL;
}

/* Take a value from its opening quote on; returns the text behind the closing one. */
static char *take_quoted(struct envfile *f, char *value, struct error *err)
{
	const char quote = *value;
	char *to = value;
	char *s = value + 1;

	for (; *s != quote; s++) {
		if (quote == '"' && *s == '\\' && (*++s == '\0' || strchr("\"\\$`", *s) == NULL)) {
			error_set(err, 0,
				"between double quotes a '\\' can only stand before \" \\ $ or `, "
				"as systemd and others differ in the rest; use single quotes, or "
				"break the line itself in place of '\\n'");
			return NULL;
		}
		if (*s == '\0') {
			error_set(err, 0, "the quote is not closed");
			return NULL;
		}
		f->more += *s == '\n';
		*to++ = *s;
	}
	*to = '\0';
	for (to = ++s; is_blank(*s); s++)
		;
	if (*s == '#' && s > to)
		s += strcspn(s, "\n");
	if (*s == '\0' || *s == '\n')
		return s;
	error_set(err, 0, "wanted a line's end or ' # comment' after the closing quote");
	return NULL;
}

/* Take the text up to the end of the line. */
static char *take_plain(char *value, struct error *err)
{
	char *next = value + strcspn(value, "\n");
	char *end = next;

	while (end > value && is_blank(end[-1]))
		end--;
	for (const char *s = value; s < end; s++)
		if (*s == '\\' || (*s == '#' && is_blank(s[-1]))) {
			error_set(err, 0,
				"systemd and others differ in what '%s' means without quotes; put "
				"the value in single quotes",
				*s == '\\' ? "\\" : " #");
			return NULL;
		}
	if (end < next)
		*end = '\0';
	return next;
}

/* Skip blanks, and lines without a variable. */
static void skip_to_variable(struct envfile *f)
{
	f->line += 1 + f->more;
	f->more = 0;
	for (;; f->rest++, f->line++) {
		f->rest += strspn(f->rest, BLANK);
		if (*f->rest == '#' || *f->rest == ';')
			f->rest += strcspn(f->rest, "\n");
		if (*f->rest != '\n')
			return;
	}
}

int envfile_next(struct envfile *f, char **entry, struct error *err)
{
	char *key;
	char *value;
	char *next;
	bool is_literal;
	size_t len;

	skip_to_variable(f);
	if (*f->rest == '\0')
		return 0;
	key = f->rest;
	if (strncmp(key, "export", 6) == 0 && is_blank(key[6]))
		key += 6 + strspn(key + 6, BLANK);
	len = strcspn(key, "= \t\r\n");
	value = key + len + strspn(key + len, BLANK);
	if (len == 0 || *value != '=')
		return error_set(err, 0, "wanted KEY=VALUE, because no shell reads this file");
	value++;
	value += strspn(value, BLANK);
	is_literal = *value == '\'';
	next = *value == '"' || *value == '\'' ? take_quoted(f, value, err)
					       : take_plain(value, err);
	if (next == NULL)
		return -1;
	f->rest = next;
	if (*next == '\n')
		*f->rest++ = '\0';
	key[len] = '=';
	memmove(key + len + 1, value, strlen(value) + 1);
	f->warns = !is_literal && value_expansion(key + len + 1, true) != NULL;
	*entry = key;
	return 1;
}

/* ---- PORT ---- */

/* The number at the beginning of `text`, if it can be a port; else 0. */
static unsigned port_in(const char *text)
{
	uint64_t n;

	return text != NULL && text_number(&n, text, strspn(text, "0123456789"), UINT16_MAX) > 0
		? (unsigned)n
		: 0;
}

/* PORT in .env, or 0.  *empty: it is set there to nothing, and stays so. */
static unsigned port_of_file(const char *path, bool *empty)
{
	struct error err;
	size_t len;
	scoped_str text = trusted_read(path, ENV_FILE_MAX, &len, NULL, &err);
	struct envfile f = {.rest = text};
	char *entry;
	unsigned port = 0;

	if (text == NULL)
		return 0;
	f.rest += text_bom(text, len);
	while (envfile_next(&f, &entry, &err) == 1)
		if (strncmp(entry, "PORT=", 5) == 0) {
			port = port_in(entry + 5);
			*empty = entry[5] == '\0';
		}
	return port;
}

int procfile_finish(struct settings *s)
{
	unsigned first = 0;
	struct error err;

	for (size_t i = 0; i < s->cluster_count; i++) {
		struct cluster_settings *c = s->clusters[i];
		unsigned line = s->origins->clusters[i].head.line;
		char text[32];
		unsigned port_there = 0;
		bool empty = false;
		size_t port;

		for (size_t k = 0; k < c->env_file.count; k++)
			port_there = port_of_file(c->env_file.list[k], &empty);
		if (first == 0)
			first = port_there;
		if (first == 0)
			first = port_in(getenv("PORT"));
		if (first == 0)
			first = PORT_FIRST;
		port = first + i * PORT_STEP;
		snprintf(text, sizeof(text), "PORT=%zu", port);
		if (cluster_env(c, "PORT=") == NULL && c->listen_count == 0 && !empty &&
			port <= UINT16_MAX && set_key(s, i, "env", text, line, &err) == -1)
			return -1;
	}
	return 0;
}
