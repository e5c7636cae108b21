/* SPDX-License-Identifier: MIT */
#include "config/origin.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/rootsown.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

/*
 * inih splits a line into key and value.  What it would silently do wrong is
 * dealt with before a line reaches it (inih 55, as Debian ships it): it cuts
 * lines over 198 bytes and section names over 49, ignores what stands behind
 * a ']', takes an indented line for more of the value before it, takes ':' for
 * '=', cuts at " ;" inside quotes, and knows the line of the first error only.
 * So the reader looks at each line first, tells what is wrong with it, keeps
 * the section, and hands an empty line on in its place.
 */
#define FILE_MAX ((size_t)1 << 20)

struct ini {
	struct settings *s;
	struct faults *faults;
	const char *path;
	char *at; /* the rest of the file */
	char *end;
	unsigned line;
	const char *section; /* "nclust", "cluster"; NULL: none, or refused */
	bool refused;        /* in an unknown section: its keys are skipped */
	size_t cluster;      /* index, or INSTANCE */
	char where[90];      /* "cluster:web", for messages */
};

static void fault(const struct ini *ini, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void fault(const struct ini *ini, const char *format, ...)
{
	char text[800];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	faults_add(ini->faults, EX_CONFIG, "%s:%u: %s", ini->path, ini->line,
		text);
}

static struct origin here(const struct ini *ini)
{
	return (struct origin){.kind = ORIGIN_FILE, .line = ini->line};
}

/* ---- lines, before inih sees them ---- */

/* Is the line made of text?  Says so if not. */
static bool is_text(const struct ini *ini, const char *line, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = text_utf8(line + i, len - i);
		unsigned char c = (unsigned char)line[i];

		if (c == '\0') {
			fault(ini, "wanted text, found a NUL byte");
			return false;
		}
		if (n == 0) {
			fault(ini,
				"wanted UTF-8 text, found the byte 0x%02x in "
				"column %zu",
				c, i + 1);
			return false;
		}
		if ((c < ' ' && c != '\t') || c == 0x7f) {
			fault(ini,
				"wanted text, found the control byte 0x%02x in "
				"column %zu",
				c, i + 1);
			return false;
		}
		i += n;
	}
	return true;
}

static const char *shown(char to[100], const char *text)
{
	(void)text_escape(to, 100, text, strlen(text));
	return to;
}

static void open_cluster(struct ini *ini, const char *name)
{
	const struct origin_table *t = ini->s->origins;
	char text[100];
	bool good = name == NULL || text_is_name(name);
	size_t first;

	ini->section = "cluster";
	(void)snprintf(ini->where, sizeof(ini->where), "cluster%s%.66s",
		name != NULL ? ":" : "", name != NULL ? shown(text, name) : "");
	if (!good)
		fault(ini,
			"wanted a cluster's name of 1 to 64 of 'A-Z a-z 0-9 . "
			"_ -', not beginning with '.' or '-', found '%s'",
			shown(text, name));
	first = good ? settings_find(ini->s, ini->s->cluster_count, name)
		     : SIZE_MAX;
	if (first != SIZE_MAX) {
		fault(ini, "section [%s] is given twice, first in line %u",
			ini->where, t->clusters[first].head.line);
		good = false;
	}
	ini->cluster =
		settings_add_cluster(ini->s, good ? name : NULL, here(ini));
	if (ini->cluster == SIZE_MAX) {
		fault(ini, "out of memory");
		ini->section = NULL;
		ini->refused = true;
		return;
	}
	ini->s->origins->clusters[ini->cluster].shadow = !good;
}

static void open_instance(struct ini *ini)
{
	struct origin *head = &ini->s->origins->instance.head;

	ini->section = "nclust";
	ini->cluster = INSTANCE;
	(void)text_copy(ini->where, sizeof(ini->where), "nclust");
	if (head->kind == ORIGIN_FILE)
		fault(ini, "section [nclust] is given twice, first in line %u",
			head->line);
	else
		*head = here(ini);
}

static void unknown_section(struct ini *ini, const char *name)
{
	static const char *const names[] = {"nclust", "cluster"};
	char text[100];
	char word[32];
	size_t len = strcspn(name, ":");
	const char *near = NULL;

	if (len < sizeof(word)) {
		(void)text_copy(word, len + 1, name);
		near = text_nearest(word, names, COUNT_OF(names));
	}
	if (near != NULL)
		fault(ini, "unknown section [%s]; did you mean [%s%.66s]?",
			shown(text, name), near,
			strcmp(near, "cluster") == 0 ? name + len : "");
	else
		fault(ini,
			"unknown section [%s]; wanted [nclust], [cluster] or "
			"[cluster:NAME]",
			shown(text, name));
}

/* `line` begins with '['.  Is it whole, so that inih may have it? */
static bool take_section(struct ini *ini, char *line)
{
	char *close = strchr(line, ']');
	char text[100];
	char *rest;

	ini->section = NULL;
	ini->refused = true;
	if (close == NULL) {
		fault(ini, "wanted a ']', found '%s'", shown(text, line));
		return false;
	}
	rest = close + 1 + strspn(close + 1, " \t");
	if (*rest != '\0' && *rest != ';' && *rest != '#') {
		fault(ini, "wanted nothing behind ']', found '%s'",
			shown(text, rest));
		return false;
	}
	*close = '\0';
	ini->refused = false;
	if (strcmp(line + 1, "nclust") == 0)
		open_instance(ini);
	else if (strcmp(line + 1, "cluster") == 0)
		open_cluster(ini, NULL);
	else if (strncmp(line + 1, "cluster:", 8) == 0)
		open_cluster(ini, line + 9);
	else {
		unknown_section(ini, line + 1);
		ini->refused = true;
	}
	*close = ']';
	return true;
}

/* Where inih would cut a comment off, or NULL. */
static const char *comment_in(const char *value)
{
	for (const char *s = value; *s != '\0'; s++)
		if (*s == ';' && s > value && (s[-1] == ' ' || s[-1] == '\t'))
			return s;
	return NULL;
}

/* Is the place inside of quotes, as value_split() sees them? */
static bool is_quoted(const char *value, const char *place)
{
	char quote = '\0';

	for (const char *s = value; s < place; s++) {
		if (*s == '\\' && quote != '\'' && s + 1 < place)
			s++;
		else if (*s == quote)
			quote = '\0';
		else if (quote == '\0' && (*s == '"' || *s == '\''))
			quote = *s;
	}
	return quote != '\0';
}

static bool has_key(const char *line, const char *key)
{
	size_t len = strlen(key);

	return strncmp(line, key, len) == 0 &&
		strchr(" \t=", line[len]) != NULL;
}

/* Does the line's value run something, so that a ';' may be a part of it? */
static bool is_command(const char *line, const char *value)
{
	if (has_key(line, "ready"))
		return strncmp(value + strspn(value, " \t"), "exec:", 5) == 0;
	return has_key(line, "command") || has_key(line, "env") ||
		has_key(line, "check") || strncmp(line, "on-", 3) == 0;
}

/* The line's key was given, though its value is refused: that it is missing is
 * no news then. */
static void refuse_key(const struct ini *ini, const char *line)
{
	const struct option_row *row;
	scoped_str key = NULL;
	int member;

	if (ini->section == NULL)
		return;
	key = strndup(line, strcspn(line, " \t="));
	row = key != NULL ? option_find(ini->section, key, &member) : NULL;
	if (row == NULL)
		return;
	*settings_origin(ini->s, ini->cluster, row) = (struct origin){
		.kind = ORIGIN_FILE, .line = ini->line, .bad = true};
}

/* A line with a key: may inih have it? */
static bool take_key(const struct ini *ini, const char *line, size_t most)
{
	const char *equals = strchr(line, '=');
	size_t len = strlen(line);
	const char *comment;
	char text[100];

	if (*line == ' ' || *line == '\t') {
		fault(ini,
			"wanted a key at the beginning of the line, found a "
			"blank; a value cannot go on in the next line");
		return false;
	}
	if (len > most) {
		fault(ini, "wanted a line of at most %zu bytes, found %zu",
			most, len);
		refuse_key(ini, line);
		return false;
	}
	if (equals == NULL || equals == line ||
		strcspn(line, ":;") < (size_t)(equals - line)) {
		fault(ini, "wanted 'key = value', found '%s'",
			shown(text, line));
		return false;
	}
	if (ini->section == NULL) {
		if (!ini->refused)
			fault(ini,
				"wanted a section such as [cluster:web] "
				"before the first key");
		return false;
	}
	comment = comment_in(equals + 1);
	if (comment == NULL)
		return true;
	if (is_command(line, equals + 1) || is_quoted(equals + 1, comment)) {
		fault(ini,
			"%s.%.*s: a ';' behind a blank would begin a comment "
			"here; write it as '\\;' outside of quotes, or without "
			"the blank, and comments on lines of their own",
			ini->where, (int)strcspn(line, " \t="), line);
		refuse_key(ini, line);
		return false;
	}
	return true;
}

/* The next line, terminated, without its end; NULL at the end of the file. */
static char *next_line(struct ini *ini, size_t *len)
{
	char *line = ini->at;
	char *newline;

	if (line >= ini->end)
		return NULL;
	newline = memchr(line, '\n', (size_t)(ini->end - line));
	if (newline == NULL)
		newline = ini->end; /* there is one byte more */
	ini->at = newline + 1;
	ini->line++;
	*newline = '\0';
	if (newline > line && newline[-1] == '\r')
		*--newline = '\0';
	*len = (size_t)(newline - line);
	return line;
}

/* inih asks for a line, as by fgets(3). */
static char *on_read(char *to, int size, void *stream)
{
	struct ini *ini = stream;
	size_t len;
	char *line = next_line(ini, &len);
	const char *text;

	if (line == NULL)
		return NULL;
	(void)text_copy(to, (size_t)size, "\n");
	if (!is_text(ini, line, len))
		return to;
	text = line + strspn(line, " \t");
	if (*text == '\0' || *text == ';' || *text == '#')
		return to;
	if (*line == '[') {
		if (!take_section(ini, line) || len + 2 > (size_t)size)
			return to;
	} else if (!take_key(ini, line, (size_t)size - 2)) {
		return to;
	}
	(void)snprintf(to, (size_t)size, "%s\n", line);
	return to;
}

/* ---- keys ---- */

static void unknown_key(const struct ini *ini, const char *key)
{
	const char *near = option_nearest(ini->section, key);
	bool instance = ini->cluster == INSTANCE;
	char text[100];
	int member;

	(void)shown(text, key);
	if (option_find(instance ? "cluster" : "nclust", key, &member) != NULL)
		fault(ini, "%s.%s: this key belongs in %s", ini->where, text,
			instance ? "a [cluster:NAME] section" : "[nclust]");
	else if (near != NULL)
		fault(ini, "%s.%s: unknown key; did you mean '%s'?", ini->where,
			text, near);
	else
		fault(ini, "%s.%s: unknown key", ini->where, text);
}

/* inih found a key and its value.  Always 1: parsing goes on. */
static int on_key(
	void *user, const char *section, const char *name, const char *value)
{
	struct ini *ini = user;
	const struct option_row *row;
	struct error err;
	char text[100];
	int member;

	(void)section; /* may be cut: ours is not */
	row = option_find(ini->section, name, &member);
	if (row == NULL)
		unknown_key(ini, name);
	else if (member == -1)
		fault(ini, "%s.%s: unknown signal '%s'", ini->where,
			shown(text, name), text + 7);
	else if (settings_set(ini->s, ini->cluster, row, member, value,
			 here(ini), &err) == -1)
		fault(ini, "%s.%s: %s", ini->where, name, err.text);
	return 1;
}

void inifile_parse(struct settings *s, const char *path, char *data, size_t len,
	struct faults *faults)
{
	struct ini ini = {
		.s = s,
		.faults = faults,
		.path = path,
		.at = data,
		.end = data + len,
	};
	unsigned before = faults->count;

	if (len >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
		ini.at += 3;
	/* its result tells of lines that it could not read: there are none */
	(void)ini_parse_stream(on_read, &ini, on_key, &ini);
	if (s->cluster_count == 0 && faults->count == before)
		faults_add(faults, EX_CONFIG,
			"%s: wanted a [cluster:NAME] section, found none",
			path);
}

/* ---- the file ---- */

static bool is_usable(
	const char *path, int fd, const struct stat *st, struct faults *f)
{
	if (!S_ISREG(st->st_mode))
		faults_add(f, EX_CONFIG, "%s: not a regular file", path);
	else if (st->st_size > (off_t)FILE_MAX)
		faults_add(f, EX_CONFIG, "%s: larger than 1 MiB", path);
	else if (geteuid() == 0 && rootsown_is_shared(fd, st))
		faults_add(f, EX_CONFIG,
			"%s: writable by others than its owner, refused for "
			"root; try chmod go-w",
			path);
	else
		return true;
	return false;
}

/* As many bytes as there are up to `size`, or -1. */
static ssize_t read_all(int fd, char *data, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, data + len, size - len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size &&
		a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
		a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

void inifile_read(struct settings *s, const char *path, struct faults *faults)
{
	struct error err;
	scoped_fd fd = rootsown_open(path, &err);
	scoped_str data = NULL;
	struct stat before;
	struct stat after;
	ssize_t len;

	if (fd == -1) {
		faults_add(faults, EX_CONFIG, "%s: %s", path, err.text);
		return;
	}
	if (fstat(fd, &before) == -1) {
		faults_add(faults, EX_CONFIG, "%s: cannot read: %s", path,
			strerror(errno));
		return;
	}
	if (!is_usable(path, fd, &before, faults))
		return;
	/* one byte more, to see that it grew, and one for the last line's end */
	data = malloc((size_t)before.st_size + 2);
	if (data == NULL) {
		faults_add(faults, EX_OSERR, "%s: out of memory", path);
		return;
	}
	len = read_all(fd, data, (size_t)before.st_size + 1);
	if (len == -1 || fstat(fd, &after) == -1)
		faults_add(faults, EX_CONFIG, "%s: cannot read: %s", path,
			strerror(errno));
	else if (len != before.st_size || !is_same(&before, &after))
		faults_add(faults, EX_CONFIG,
			"%s: changed while it was read; try again", path);
	else
		inifile_parse(s, path, data, (size_t)len, faults);
}
