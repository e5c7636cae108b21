/* SPDX-License-Identifier: MIT */
#include "config/inifile.h"

#include "base/scope.h"
#include "base/text.h"
#include "base/trusted.h"
#include "config/expand.h"
#include "config/origin.h"
#include "config/procfile.h"

#include <errno.h>
#include <glob.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

/*
 * inih splits a line into key and value.  Its silent mistakes are dealt with
 * before a line reaches it (inih 55, as Debian ships it): it cuts lines over 198
 * bytes and section names over 49, ignores text behind a ']', takes an indented
 * line for more of the value before it, takes ':' for '=', cuts at " ;" inside
 * quotes, and knows the line of the first error only.  So the reader looks at
 * each line first, reports what is wrong with it, keeps the section and the
 * value, and hands on an empty line, or the key alone.
 */
#define FILE_MAX ((size_t)1 << 20)
#define FILES_MAX 100
#define KEY_MAX 100

/* A file that was read, so that no file is read twice: a cycle would never end. */
struct identity {
	dev_t dev;
	ino_t ino;
};

/* What all files share. */
struct reader {
	struct settings *s;
	struct faults *faults;
	bool follows;    /* read what is included */
	size_t defaults; /* the cluster that holds [defaults], or SIZE_MAX */
	struct identity seen[FILES_MAX + 1];
	size_t seen_count;
};

struct ini {
	struct reader *all;
	struct settings *s;
	const char *path;
	unsigned file;     /* as in struct origin */
	const char *dir;   /* with its '/', or "" */
	const char *whole; /* `dir` as a whole path, for values */
	const char *value; /* of the line's key */
	char *at;          /* the rest of the file */
	char *end;
	unsigned line;
	const char *section; /* "nclust", "cluster"; NULL: none, or refused */
	bool refused;        /* in an unknown section: its keys are skipped */
	size_t cluster;      /* index, or INSTANCE */
	char where[90];      /* "cluster:web", for messages */
};

/* status 0: a mistake */
static void __attribute__((format(printf, 3, 4)))
fault_status(const struct ini *ini, int status, const char *format, ...)
{
	char text[800];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	faults_add(ini->all->faults, status != 0 ? status : EX_CONFIG, "%s:%u: %s", ini->path,
		ini->line, text);
}

#define fault(ini, ...) fault_status(ini, 0, __VA_ARGS__)

static struct origin origin_here(const struct ini *ini)
{
	return (struct origin){
		.kind = ORIGIN_FILE,
		.line = ini->line,
		.file = ini->file,
		.from_defaults = ini->cluster == ini->all->defaults,
	};
}

/* ---- lines, before inih sees them ---- */

/* Is the line text?  If not, that is reported. */
static bool is_text(const struct ini *ini, const char *line, size_t len)
{
	size_t n = 1;

	for (size_t i = 0; i < len; i += n) {
		unsigned char c = (unsigned char)line[i];

		n = text_utf8(line + i, len - i);
		if (n > 0 && (c >= ' ' || c == '\t') && c != 0x7f)
			continue;
		if (c == '\0')
			fault(ini, "wanted text, found a NUL byte");
		else
			fault(ini, "wanted %s, found the %sbyte 0x%02x in column %zu",
				n == 0 ? "UTF-8 text" : "text", n == 0 ? "" : "control ", c, i + 1);
		return false;
	}
	return true;
}

static void open_cluster(struct ini *ini, const char *name)
{
	const struct origin head = origin_here(ini);
	char at[ORIGIN_TEXT_MAX];
	bool good = name == NULL || text_is_name(name);
	size_t first;

	ini->section = "cluster";
	snprintf(ini->where, sizeof(ini->where), "cluster%s%.66s", name != NULL ? ":" : "",
		name != NULL ? name : "");
	if (!good)
		fault(ini,
			"wanted a cluster's name of 1 to 64 of 'A-Z a-z 0-9 . _ -', not beginning "
			"with '.' or '-', found '%.100s'",
			name);
	first = good ? settings_find(ini->s, ini->s->cluster_count, name) : SIZE_MAX;
	if (first != SIZE_MAX) {
		fault(ini, "section [%s] is given twice, first in %s", ini->where,
			origin_text(at, ini->s, &ini->s->origins->clusters[first].head, &head));
		good = false;
	}
	ini->cluster = settings_add_cluster(ini->s, good ? name : NULL, head);
	if (ini->cluster == SIZE_MAX) {
		fault(ini, "out of memory");
		ini->section = NULL;
		ini->refused = true;
		return;
	}
	ini->s->origins->clusters[ini->cluster].shadow = !good;
}

/* [nclust], [defaults]: once in each file. */
static void open_common(struct ini *ini, const char *name, size_t at)
{
	struct origin_table *t = ini->s->origins;
	struct origin *head = at == INSTANCE ? &t->instance.head : &t->clusters[at].head;

	ini->section = section_of(at);
	ini->cluster = at;
	text_copy(ini->where, sizeof(ini->where), name);
	if (head->kind == ORIGIN_FILE && head->file == ini->file)
		fault(ini, "section [%s] is given twice, first in line %u", name, head->line);
	else
		*head = origin_here(ini);
}

/* The keys of [defaults] are those of a cluster that is never run. */
static void open_defaults(struct ini *ini)
{
	struct reader *all = ini->all;

	if (all->defaults == SIZE_MAX) {
		all->defaults = settings_add_cluster(ini->s, NULL, (struct origin){0});
		if (all->defaults == SIZE_MAX) {
			fault(ini, "out of memory");
			ini->refused = true;
			return;
		}
		ini->s->origins->clusters[all->defaults].shadow = true;
	}
	open_common(ini, "defaults", all->defaults);
}

static void unknown_section(struct ini *ini, const char *name)
{
	static const char *const names[] = {"nclust", "cluster", "defaults"};
	char word[32];
	size_t len = strcspn(name, ":");
	const char *own = name[len] == ':' ? name + len + 1 : name; /* as in [program:web] */
	const char *near = NULL;

	ini->refused = true;
	if (len < sizeof(word)) {
		text_copy(word, len + 1, name);
		near = text_nearest(word, names, COUNT_OF(names));
	}
	if (near != NULL)
		fault(ini, "unknown section [%.100s]; did you mean [%s%.66s]?", name, near,
			strcmp(near, "cluster") == 0 ? name + len : "");
	else if (text_is_name(own))
		fault(ini, "unknown section [%.100s]; did you mean [cluster:%s]?", name, own);
	else
		fault(ini,
			"unknown section [%.100s]; wanted [nclust], [defaults], [cluster] or "
			"[cluster:NAME]",
			name);
}

/* `line` begins with '['. */
static void take_section(struct ini *ini, char *line)
{
	char *close = strchr(line, ']');
	char *rest;

	ini->section = NULL;
	ini->refused = true;
	if (close == NULL) {
		fault(ini, "wanted a ']', found '%.100s'", line);
		return;
	}
	rest = close + 1 + strspn(close + 1, " \t");
	if (*rest != '\0' && *rest != ';' && *rest != '#') {
		fault(ini, "wanted nothing after ']', found '%.100s'", rest);
		return;
	}
	*close = '\0';
	ini->refused = false;
	if (strcmp(line + 1, "nclust") == 0)
		open_common(ini, "nclust", INSTANCE);
	else if (strcmp(line + 1, "defaults") == 0)
		open_defaults(ini);
	else if (strcmp(line + 1, "cluster") == 0)
		open_cluster(ini, NULL);
	else if (strncmp(line + 1, "cluster:", 8) == 0)
		open_cluster(ini, line + 9);
	else
		unknown_section(ini, line + 1);
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

/* Where a comment begins, or NULL.  A ';' begins one inside of quotes, too, as inih has it. */
static const char *comment_in(const char *value)
{
	const char *first = value + strspn(value, " \t"); /* "#1000" is a user */

	for (const char *s = value; *s != '\0'; s++)
		if (s > value && (s[-1] == ' ' || s[-1] == '\t') &&
			(*s == ';' || (*s == '#' && s > first && !is_quoted(value, s))))
			return s;
	return NULL;
}

/* The line's row; NULL: it has none here. */
static const struct option_row *row_of(const struct ini *ini, const char *line)
{
	scoped_str key = strndup(line, strcspn(line, " \t="));

	return key != NULL && ini->section != NULL ? option_find(ini->section, key, NULL) : NULL;
}

/* Is the value a command, so that a ';' may be a part of it? */
static bool is_command(const struct option_row *row, const char *value)
{
	const struct option_type *type = row != NULL ? row->type : NULL;

	if (type == &type_ready)
		return strncmp(value + strspn(value, " \t"), "exec:", 5) == 0;
	return type == &type_command || type == &type_run || type == &type_hook ||
		type == &type_env || type == &type_header ||
		(type == &type_probe && strcmp(row->name, "check") == 0);
}

/* The line's key was given, though its value is refused: then the key is not
 * reported as missing. */
static void refuse_key(const struct ini *ini, const char *line)
{
	const struct option_row *row = row_of(ini, line);

	if (row == NULL)
		return;
	*settings_origin(ini->s, ini->cluster, row) = origin_here(ini);
	settings_origin(ini->s, ini->cluster, row)->bad = true;
}

/* The value, without the comment and the blanks around it. */
static void keep_value(struct ini *ini, char *value, const char *comment)
{
	size_t len = comment != NULL ? (size_t)(comment - value) : strlen(value);

	while (len > 0 && strchr(" \t", value[len - 1]) != NULL)
		len--;
	value[len] = '\0';
	ini->value = value + strspn(value, " \t");
}

/* A line with a key: may inih have the key? */
static bool take_key(struct ini *ini, char *line)
{
	char *equals = strchr(line, '=');
	const char *comment;

	if (*line == ' ' || *line == '\t') {
		fault(ini,
			"wanted a key at the beginning of the line, found a blank; a value cannot "
			"continue on the next line");
		return false;
	}
	if (equals == NULL || equals == line || strcspn(line, ":;") < (size_t)(equals - line)) {
		fault(ini, "wanted 'key = value', found '%.100s'", line);
		return false;
	}
	if (ini->section == NULL) {
		if (!ini->refused)
			fault(ini, "wanted a section such as [cluster:web] before the first key");
		return false;
	}
	comment = comment_in(equals + 1);
	if (comment != NULL &&
		(is_command(row_of(ini, line), equals + 1) || is_quoted(equals + 1, comment))) {
		fault(ini,
			"%s.%.*s: a '%c' after a blank would begin a comment here; %s, or write "
			"it without the blank, and comments on lines of their own",
			ini->where, (int)strcspn(line, " \t="), line, *comment,
			*comment == '#' ? "put it in quotes"
					: "write it as '\\;' outside of quotes");
		refuse_key(ini, line);
		return false;
	}
	keep_value(ini, equals + 1, comment);
	*equals = '\0';
	return true;
}

char *inifile_line(char **at, char *end, size_t *len)
{
	char *line = *at;
	char *newline;

	if (line >= end)
		return NULL;
	newline = memchr(line, '\n', (size_t)(end - line));
	if (newline == NULL)
		newline = end; /* the buffer has one byte more */
	*at = newline + 1;
	*newline = '\0';
	if (newline > line && newline[-1] == '\r')
		*--newline = '\0';
	*len = (size_t)(newline - line);
	return line;
}

/* Called by inih for a line, like fgets(3). */
static char *on_read(char *to, int size, void *stream)
{
	struct ini *ini = stream;
	size_t len;
	char *line = inifile_line(&ini->at, ini->end, &len);
	const char *text;

	if (line == NULL)
		return NULL;
	ini->line++;
	text_copy(to, (size_t)size, "\n");
	if (!is_text(ini, line, len)) {
		refuse_key(ini, line);
		return to;
	}
	text = line + strspn(line, " \t");
	if (*text == '\0' || *text == ';' || *text == '#')
		return to;
	if (*line == '[')
		take_section(ini, line);
	else if (take_key(ini, line))
		snprintf(to, (size_t)size, "%.*s=\n", KEY_MAX, line);
	return to;
}

static void unknown_key(const struct ini *ini, const char *key)
{
	const char *near = option_nearest(ini->section, key);
	bool instance = ini->cluster == INSTANCE;

	if (option_find(instance ? "cluster" : "nclust", key, NULL) != NULL ||
		strcmp(key, "include") == 0)
		fault(ini, "%s.%s: this key belongs in %s", ini->where, key,
			instance ? "a [cluster:NAME] section" : "[nclust]");
	else if (strncmp(key, "export ", 7) == 0)
		fault(ini, "%s.%s: unknown key; use 'env = %s=...'", ini->where, key, key + 7);
	else if (strcmp(key, "metrics") == 0)
		fault(ini, "%s.%s: unknown key; use 'listen = %s'", ini->where, key, LISTEN_EACH);
	else if (near != NULL)
		fault(ini, "%s.%s: unknown key; did you mean '%s'?", ini->where, key, near);
	else
		fault(ini, "%s.%s: unknown key", ini->where, key);
}

static void set_key(struct ini *ini, const struct option_row *row, int member, const char *name)
{
	struct error err;
	scoped_str value = expand_check_path(row, true, ini->value, &err) == 0
		? expand_value(row, ini->value, ini->whole, &err)
		: NULL;

	if (value == NULL)
		refuse_key(ini, name);
	if (value == NULL ||
		settings_set(ini->s, ini->cluster, row, member, value, origin_here(ini), &err) ==
			-1)
		fault_status(ini, err.status, "%s.%s: %s", ini->where, name, err.text);
}

/* False: that is a mistake. */
static bool include_file(struct ini *ini, const char *path)
{
	struct origin_table *t = ini->s->origins;

	if (t->included_count == FILES_MAX)
		fault(ini, "nclust.include: wanted at most %d files", FILES_MAX);
	else if (path == NULL || origin_include(t, path, origin_here(ini)) == -1)
		fault(ini, "out of memory");
	else
		return true;
	return false;
}

static void include_files(struct ini *ini)
{
	bool is_pattern = strpbrk(ini->value, "*?[") != NULL;
	scoped_buffer path = {0};
	glob_t found;
	int got;

	if (*ini->value == '\0')
		fault(ini, "nclust.include: wanted a path, found ''");
	if (*ini->value == '\0' || !ini->all->follows)
		return;
	/* the directory has no wildcards, whatever its name */
	for (const char *c = ini->dir; *ini->value != '/' && *c != '\0'; c++)
		buffer_printf(
			&path, "%s%c", is_pattern && strchr("*?[\\", *c) != NULL ? "\\" : "", *c);
	buffer_string(&path, ini->value);
	if (!is_pattern || buffer_text(&path) == NULL) {
		(void)include_file(ini, buffer_text(&path));
		return;
	}
	got = glob(path.data, 0, NULL, &found);
	if (got == GLOB_NOMATCH)
		fault(ini, "nclust.include: '%.100s' matches no file", ini->value);
	else if (got != 0)
		fault(ini, "nclust.include: cannot look for '%.100s'", ini->value);
	for (size_t i = 0; got == 0 && i < found.gl_pathc; i++)
		if (!include_file(ini, found.gl_pathv[i]))
			break;
	globfree(&found);
}

/* inih found a key.  The section that it gives may be cut: our own copies are not.  Always 1: parsing
 * goes on. */
static int on_key(
	void *user, const char *section UNUSED, const char *name, const char *value UNUSED)
{
	struct ini *ini = user;
	const struct option_row *row;
	int member;

	row = option_find(ini->section, name, &member);
	if (strcmp(name, "include") == 0 && ini->cluster == INSTANCE)
		include_files(ini);
	else if (row == NULL)
		unknown_key(ini, name);
	else if (member == -1)
		fault(ini, "%s.%s: unknown signal '%s'", ini->where, name, name + 7);
	else
		set_key(ini, row, member, name);
	return 1;
}

/* `file`: as in struct origin. */
static void parse_file(struct reader *all, const char *path, unsigned file, char *data, size_t len)
{
	const char *slash = strrchr(path, '/');
	size_t dir_len = slash != NULL ? (size_t)(slash - path) + 1 : 0;
	scoped_str dir = strndup(path, dir_len);
	scoped_str whole = origin_whole(all->s, path, dir_len);
	struct ini ini = {
		.all = all,
		.s = all->s,
		.path = path,
		.file = file,
		.dir = dir != NULL ? dir : "",
		.whole = whole != NULL ? whole : "",
		.at = data,
		.end = data + len,
	};

	ini.at += text_bom(data, len);
	/* the result counts lines that inih could not read: none are left */
	(void)ini_parse_stream(on_read, &ini, on_key, &ini);
}

/* The clusters get what [defaults] has and they have not. */
static void finish_file(struct reader *all, const char *path, unsigned before)
{
	struct settings *s = all->s;
	size_t defaults = all->defaults;

	for (size_t i = 0; defaults != SIZE_MAX && i < s->cluster_count; i++)
		if (i != defaults)
			settings_give(s, i, s, defaults, all->faults);
	if (defaults != SIZE_MAX)
		settings_drop_cluster(s, defaults);
	if (s->cluster_count == 0 && all->faults->count == before)
		faults_add(all->faults, EX_CONFIG,
			"%s: wanted a [cluster:NAME] section, found none", path);
}

void inifile_parse(
	struct settings *s, const char *path, char *data, size_t len, struct faults *faults)
{
	struct reader all = {.s = s, .faults = faults, .defaults = SIZE_MAX};
	unsigned before = faults->count;

	parse_file(&all, path, 0, data, len);
	finish_file(&all, path, before);
}

/* ---- the files ---- */

/* A mistake in a file as a whole, reported where it is included. */
static void file_fault(
	const struct reader *all, unsigned file, int status, const char *path, const char *text)
{
	const struct origin_table *t = all->s->origins;
	const struct origin *by = file > 0 ? &t->included[file - 1].by : NULL;

	if (by == NULL)
		faults_add(all->faults, status, "%s: %s", path, text);
	else
		faults_add(all->faults, status, "%s:%u: nclust.include: '%s': %s",
			origin_path(t, by), by->line, path, text);
}

/* Was the file read before?  If not, note it. */
static bool is_seen(struct reader *all, const struct stat *st)
{
	for (size_t i = 0; i < all->seen_count; i++)
		if (all->seen[i].dev == st->st_dev && all->seen[i].ino == st->st_ino)
			return true;
	all->seen[all->seen_count++] = (struct identity){st->st_dev, st->st_ino};
	return false;
}

/* Does a line begin so, but for blanks and the '{' of JSON? */
static bool has_line(const char *data, const char *start)
{
	for (; data != NULL; data = strchr(data, '\n')) {
		data += strspn(data, "\n\t {");
		if (strncmp(data, start, strlen(start)) == 0)
			return true;
	}
	return false;
}

/* Is the first line that says something one of an INI file? */
static bool is_ini(const char *data)
{
	data += strspn(data, "\r\n\t ");
	while (*data == '#' || *data == ';') {
		data += strcspn(data, "\n");
		data += strspn(data, "\r\n\t ");
	}
	return *data == '\0' || *data == '[' || data[strcspn(data, "=\n")] == '=';
}

/* Is it the file of another tool, or a program?  Then -1 and `err`. */
static int check_kind(const char *path, const char *data, struct error *err)
{
	static const char from[] = "; see COMING FROM ";
	static const char inside[] = ", which runs inside of the containers; see ";
	/* what a line begins with, or the path has, and what to say */
	static const char *const known[][3] = {{"[program:", from, "SUPERVISORD"},
		{"[supervisord]", from, "SUPERVISORD"}, {"[Service]", from, "SYSTEMD"},
		{"[Socket]", from, "SYSTEMD"}, {".config.", from, "PM2"},
		{"module.exports", from, "PM2"}, {"\"apps\"", from, "PM2"}, {"apps:", from, "PM2"},
		{"gunicorn", from, "GUNICORN"}, {"apiVersion:", inside, "KUBERNETES"},
		{"services:", inside, "COMPOSE"}, {"FROM ", inside, "CONTAINER"}};
	const char *runs = strncmp(data, "#!", 2) == 0 ? "" : text_interpreter(path);

	if (has_line(data, "[cluster") || has_line(data, "[nclust]") ||
		has_line(data, "[defaults]"))
		return 0;
	for (size_t i = 0; i < COUNT_OF(known); i++)
		if (has_line(data, known[i][0]) || strstr(path, known[i][0]) != NULL)
			return error_set(err, 0, "is no INI file of nclust%s%s in nclust-guide(7)",
				known[i][1], known[i][2]);
	if (runs != NULL)
		return error_set(err, 0,
			"is no INI file of nclust; if it is the program: nclust -n auto -- %s%s%s",
			runs,
			*runs != '\0'                       ? " "
				: strchr(path, '/') == NULL ? "./"
							    : "",
			path);
	return is_ini(data)
		? 0
		: error_set(err, 0,
			  "is no INI file of nclust, see nclust.ini(5); to run a program: "
			  "nclust -n auto -- COMMAND");
}

static void read_file(struct reader *all, const char *path, unsigned file)
{
	struct error err = {0};
	struct stat st;
	size_t len;
	scoped_str data = trusted_read(path, FILE_MAX, &len, &st, &err);
	scoped_str whole = data == NULL ? origin_whole(all->s, path, strlen(path)) : NULL;
	bool is_procfile = file == 0 && procfile_is(path);
	bool is_bad = data == NULL;

	if (data == NULL && err.sys == EACCES)
		error_hint(&err, "let the user who starts nclust read it");
	else if (file == 0 && err.sys == ENOENT && *path != '/')
		error_hint(&err, "looked for '%s'", whole != NULL ? whole : path);
	if (data != NULL && is_seen(all, &st)) {
		is_bad = true;
		error_set(&err, 0, "is read already; a file is included once, and not by itself");
	}
	if (is_bad || (!is_procfile && check_kind(path, data + text_bom(data, len), &err) == -1))
		file_fault(all, file, err.sys == ENOMEM ? EX_OSERR : EX_CONFIG, path, err.text);
	else if (is_procfile)
		procfile_parse(all->s, path, data, len, all->faults);
	else
		parse_file(all, path, file, data, len);
}

void inifile_read(struct settings *s, const char *path, struct faults *faults)
{
	const struct origin_table *t = s->origins;
	struct reader all = {.s = s, .faults = faults, .follows = true, .defaults = SIZE_MAX};
	unsigned before = faults->count;

	read_file(&all, path, 0);
	/* included files may include others */
	for (size_t i = 0; i < t->included_count; i++)
		read_file(&all, t->included[i].path, (unsigned)i + 1);
	finish_file(&all, path, before);
}
