/* SPDX-License-Identifier: MIT */
#include "config/settings.h"

#include "base/scope.h"
#include "base/text.h"
#include "base/trusted.h"
#include "config/origin.h"
#include "config/value.h"
#include "config/value_command.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

void faults_fini(struct faults *f)
{
	buffer_fini(&f->text);
}

void faults_add(struct faults *f, int status, const char *format, ...)
{
	scoped_str line = NULL;
	scoped_str shown = NULL;
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&line, format, args);
	va_end(args);
	if (n == -1)
		line = NULL;
	else
		shown = malloc(4 * (size_t)n + 1);
	if (shown != NULL)
		text_escape(shown, 4 * (size_t)n + 1, line, (size_t)n);
	/* a user or group that may be known the next time is no mistake in the file */
	if (f->count++ == 0 || f->status == EX_TEMPFAIL)
		f->status = status;
	/* out of memory: the count still tells that something is wrong */
	buffer_printf(&f->text, "%s\n", shown != NULL ? shown : "out of memory");
}

/* -1: out of memory. */
static int set_defaults(const char *section, void *base)
{
	const struct option_row *row = NULL;
	struct error err;

	while ((row = option_next(section, row)) != NULL)
		if (row->fallback != NULL && field_set(row, base, 0, row->fallback, &err) == -1) {
			assert(err.sys == ENOMEM); /* the table is right */
			return -1;
		}
	return 0;
}

static void clear_all(const char *section, void *base)
{
	const struct option_row *row = NULL;

	while ((row = option_next(section, row)) != NULL)
		field_clear(row, base);
	free(((struct texts *)base)->list);
}

struct settings *settings_new(void)
{
	struct settings *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->control_gid = -1;
	s->origins = calloc(1, sizeof(*s->origins));
	if (s->origins == NULL || set_defaults("nclust", s) == -1) {
		settings_free(s);
		return NULL;
	}
	return s;
}

void settings_free(struct settings *s)
{
	if (s == NULL)
		return;
	if (s->origins != NULL) {
		for (size_t i = 0; i < s->origins->included_count; i++)
			free(s->origins->included[i].path);
		free(s->origins->included);
		free(s->origins->clusters);
		free(s->origins->file);
		free(s->origins);
	}
	for (size_t i = 0; i < s->cluster_count; i++)
		cluster_settings_unref(s->clusters[i]);
	free(s->clusters);
	clear_all("nclust", s);
	free(s->http_secret);
	free(s->config_file);
	free(s);
}

void login_clear(struct cluster_settings *c)
{
	free(c->login);
	free(c->home);
	free(c->groups);
	c->login = c->home = NULL;
	c->groups = NULL;
	c->group_count = 0;
}

int login_find(struct cluster_settings *c)
{
	const struct passwd *entry;
	gid_t primary = LOGIN_NOBODY; /* of a uid without a name or a group */
	int room = 32;
	int n = 1;
	int got;

	login_clear(c);
	errno = 0;
	entry = getpwuid((uid_t)c->uid);
	if (entry != NULL) {
		c->login = strdup(entry->pw_name);
		c->home = strdup(entry->pw_dir);
	}
	if (entry == NULL ? errno == ENOMEM : c->login == NULL || c->home == NULL)
		return -1;
	if (c->gid >= 0)
		primary = (gid_t)c->gid;
	else if (entry != NULL)
		primary = entry->pw_gid;
	do {
		gid_t *more = reallocarray(c->groups, (size_t)room, sizeof(*more));

		if (more == NULL)
			return -1;
		c->groups = more;
		*more = primary;
		n = c->login != NULL ? room : 1;
		got = c->login != NULL ? getgrouplist(c->login, primary, more, &n) : 1;
		if (got == -1)
			n = room; /* the user has at least so many */
		room *= 2;
	} while (got == -1 && room <= 1 << 18);
	c->group_count = (size_t)n;
	return 0;
}

struct cluster_settings *cluster_settings_ref(const struct cluster_settings *c)
{
	struct cluster_settings *mine = (struct cluster_settings *)(uintptr_t)c;

	mine->refs++;
	return mine;
}

void cluster_settings_unref(struct cluster_settings *c)
{
	if (c == NULL || --c->refs > 0)
		return;
	clear_all("cluster", c);
	login_clear(c);
	free(c->fallback_page);
	free(c->configured);
	free(c->directory_now);
	free(c->name);
	free(c);
}

struct cluster_settings *cluster_settings_new(void)
{
	struct cluster_settings *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->refs = 1;
	c->uid = -1;
	c->gid = -1;
	c->user_gid = -1;
	c->umask = -1;
	c->nice = INT_MIN;
	if (set_defaults("cluster", c) == 0)
		return c;
	cluster_settings_unref(c);
	return NULL;
}

size_t settings_take_cluster(struct settings *s, struct cluster_settings *c, struct origin head)
{
	if (c == NULL || !array_grow(s->clusters, s->cluster_count) ||
		!array_grow(s->origins->clusters, s->cluster_count)) {
		cluster_settings_unref(c);
		return SIZE_MAX;
	}
	s->origins->clusters[s->cluster_count] = (struct origin_group){.head = head};
	s->clusters[s->cluster_count] = c;
	return s->cluster_count++;
}

size_t settings_add_cluster(struct settings *s, const char *name, struct origin head)
{
	struct cluster_settings *c = cluster_settings_new();

	if (c != NULL && name != NULL && (c->name = strdup(name)) == NULL) {
		cluster_settings_unref(c);
		return SIZE_MAX;
	}
	return settings_take_cluster(s, c, head);
}

void settings_drop_cluster(struct settings *s, size_t at)
{
	cluster_settings_unref(s->clusters[at]);
	s->cluster_count--;
	for (; at < s->cluster_count; at++) {
		s->clusters[at] = s->clusters[at + 1];
		s->origins->clusters[at] = s->origins->clusters[at + 1];
	}
}

void cluster_settings_finish(struct cluster_settings *c)
{
	for (unsigned i = 0; i < c->stop_count; i++)
		if (c->stop[i].timeout == -1)
			c->stop[i].timeout = c->stop_timeout;
}

size_t settings_find(const struct settings *s, size_t end, const char *name)
{
	for (size_t i = 0; i < end; i++) {
		const char *other = s->clusters[i]->name;

		if (!s->origins->clusters[i].shadow &&
			(name == NULL || other == NULL ? name == other : strcmp(name, other) == 0))
			return i;
	}
	return SIZE_MAX;
}

void *settings_base(const struct settings *s, size_t at)
{
	return at == INSTANCE ? (void *)(uintptr_t)s : s->clusters[at];
}

struct origin *settings_origin(const struct settings *s, size_t at, const struct option_row *row)
{
	struct origin *rows =
		at == INSTANCE ? s->origins->instance.rows : s->origins->clusters[at].rows;

	return &rows[row - option_rows];
}

const char *origin_path(const struct origin_table *t, const struct origin *o)
{
	return o->file == 0 ? t->file : t->included[o->file - 1].path;
}

const char *origin_text(char to[ORIGIN_TEXT_MAX], const struct settings *s,
	const struct origin *first, const struct origin *second)
{
	if (first->file == second->file)
		snprintf(to, ORIGIN_TEXT_MAX, "line %u", first->line);
	else
		snprintf(to, ORIGIN_TEXT_MAX, "%.100s:%u", origin_path(s->origins, first),
			first->line);
	return to;
}

char *origin_whole(const struct settings *s, const char *path, size_t len)
{
	size_t ours = s->origins->file != NULL ? strlen(s->origins->file) : 0;
	size_t whole = s->config_file != NULL ? strlen(s->config_file) : 0;
	size_t before = *path != '/' && whole > ours ? whole - ours : 0;
	char *text = malloc(before + len + 1);

	if (text == NULL)
		return NULL;
	if (before > 0) /* what made ours whole */
		memcpy(text, s->config_file, before);
	memcpy(text + before, path, len);
	text[before + len] = '\0';
	return text;
}

char *settings_file(const struct settings *s, size_t n)
{
	const struct origin_table *t = s->origins;

	if (n == 0)
		return s->config_file != NULL ? strdup(s->config_file) : NULL;
	return n > t->included_count
		? NULL
		: origin_whole(s, t->included[n - 1].path, strlen(t->included[n - 1].path));
}

int origin_include(struct origin_table *t, const char *path, struct origin by)
{
	char *copy = strdup(path);

	if (copy == NULL || !array_grow(t->included, t->included_count)) {
		free(copy);
		return -1;
	}
	t->included[t->included_count++] = (struct included){copy, by};
	return 0;
}

void origins_each(const struct settings *s, size_t at, origin_taker *take, void *to)
{
	const struct option_row *row = NULL;

	while ((row = option_next(section_of(at), row)) != NULL) {
		const struct origin *o = settings_origin(s, at, row);

		if (o->kind != ORIGIN_DEFAULT)
			take(to, row->name, o->kind, o->line,
				o->file > 0 ? origin_path(s->origins, o) : NULL);
	}
}

/* The number of a file, which is noted if it is new; or -1. */
static int file_of(struct origin_table *t, const char *file)
{
	size_t n = 0;

	if (file == NULL)
		return 0;
	while (n < t->included_count && strcmp(t->included[n].path, file) != 0)
		n++;
	if (n == t->included_count && origin_include(t, file, (struct origin){0}) == -1)
		return -1;
	return (int)n + 1;
}

int origins_set(struct settings *s, size_t at, const char *key, enum origin_kind kind,
	unsigned line, const char *file)
{
	const struct option_row *row = NULL;
	int number = file_of(s->origins, file);

	if (number == -1)
		return -1;

	/* by the row's name, which is no key for signals */
	while ((row = option_next(section_of(at), row)) != NULL)
		if (strcmp(row->name, key) == 0)
			*settings_origin(s, at, row) = (struct origin){
				.kind = kind, .line = line, .file = (unsigned)number};
	return 0;
}

/* Single variables, signals and events are keys of their own. */
static bool has_own_keys(const struct option_row *row)
{
	return row->type == &type_env || option_is_family(row);
}

int settings_set(struct settings *s, size_t at, const struct option_row *row, int member,
	const char *text, struct origin origin, struct error *err)
{
	struct origin *was = settings_origin(s, at, row);
	void *base = settings_base(s, at);
	char first[ORIGIN_TEXT_MAX];
	const unsigned line = origin.line;

	if (origin.kind == ORIGIN_FILE && was->kind == ORIGIN_FILE && !row->repeatable)
		return error_set(
			err, 0, "given twice, first in %s", origin_text(first, s, was, &origin));
	/* of other keys the last one counts, but of places none is to get lost */
	if (origin.kind == ORIGIN_ARGV && was->kind == ORIGIN_ARGV && row->type == &type_log)
		return error_set(
			err, 0, "given twice; write several in one: --log 'prefix file:PATH'");
	if (origin.kind == ORIGIN_FILE && field_has(row, base, member, text))
		return row->type == &type_env
			? error_set(err, 0, "'%.*s' is given twice", (int)strcspn(text, "="), text)
			: error_set(err, 0, "given twice");
	/* the command line's list replaces a file's */
	if (origin.kind != was->kind && row->repeatable && !has_own_keys(row))
		field_clear(row, base);
	if (was->kind == origin.kind) { /* of a list: keep its first line */
		origin.line = was->line;
		origin.file = was->file;
		origin.from_defaults = was->from_defaults;
	}
	origin.bad = was->bad;
	*was = origin;
	if (field_set(row, base, member, text, err) == -1) {
		was->bad = true;
		return -1;
	}
	field_set_line(row, base, member, line);
	return 0;
}

void settings_give(struct settings *s, size_t at, const struct settings *from, size_t from_at,
	struct faults *faults)
{
	const struct option_row *row = NULL;
	void *base = settings_base(s, at);
	struct error err;

	while ((row = option_next(section_of(at), row)) != NULL) {
		const struct origin *theirs = settings_origin(from, from_at, row);
		struct origin *own = settings_origin(s, at, row);
		bool is_same = own->kind == theirs->kind;

		if (theirs->kind == ORIGIN_DEFAULT || (is_same && !has_own_keys(row)))
			continue;
		if (!has_own_keys(row))
			field_clear(row, base);
		if (field_give(row, base, settings_base(from, from_at), is_same, &err) == -1)
			faults_add(faults, err.status != 0 ? err.status : EX_OSERR, "%s: %s",
				row->name, err.text);
		if (!is_same)
			*own = *theirs;
	}
}

static bool is_auto(const struct workers_count *n)
{
	return n->fixed == 0 && n->multiply == 1 && n->divide == 1 && n->plus == 0;
}

unsigned workers_count(const struct workers_count *w, unsigned cpus)
{
	int64_t n;

	if (w->fixed > 0)
		return w->fixed;
	n = (int64_t)(cpus > 0 ? cpus : 1) * w->multiply / w->divide + w->plus;
	if (n < 1)
		return 1;
	return n < WORKERS_MAX ? (unsigned)n : WORKERS_MAX;
}

struct workers_range cluster_range(const struct cluster_settings *c, unsigned cpus)
{
	const struct workers_wanted *w = &c->workers;
	struct workers_range range = {.most = workers_count(&w->most, cpus)};

	if (w->least.fixed > 0 || w->least.multiply > 0)
		range.least = workers_count(&w->least, cpus);
	if (range.least > range.most) /* with few or many CPUs */
		range.least = range.most;
	return range;
}

unsigned cluster_workers(const struct cluster_settings *c, unsigned cpus)
{
	unsigned least = cluster_range(c, cpus).least;

	if (c->accept && is_auto(&c->workers.least))
		return ACCEPT_AUTO;
	return least == 0 && c->listen_count == 0 ? 1 : least;
}

const char *cluster_env(const struct cluster_settings *c, const char *key)
{
	char *const *entry =
		array_find(its, c->env.list, c->env.count, strncmp(*its, key, strlen(key)) == 0);

	return entry != NULL ? *entry + strlen(key) : NULL;
}

int cluster_find_program(
	const struct cluster_settings *c, const char *path, const char *name, char found[PATH_MAX])
{
	struct strings paths;
	int failure = value_candidates(&paths, path, name) == -1 ? ENOMEM : ENOENT;

	for (size_t i = 0; i < paths.count && failure != 0; i++) {
		const char *at = paths.list[i];
		bool inside = *at != '/' && c->directory != NULL;
		struct stat st;

		snprintf(found, PATH_MAX, "%s%s%s%s",
			c->chroot != NULL && (*at == '/' || inside) ? c->chroot : "",
			inside ? c->directory : "", inside ? "/" : "", at);
		if (stat(found, &st) == -1)
			continue;
		failure = S_ISDIR(st.st_mode)                     ? EISDIR
			: c->uid >= 0 || access(found, X_OK) == 0 ? 0
								  : EACCES;
	}
	strings_clear(&paths);
	return failure;
}

bool cluster_has_own(const struct cluster_settings *c, bool all)
{
	size_t own = 0;

	for (size_t i = 0; i < c->listen_count; i++)
		own += c->listen[i].each != NULL;
	return own > 0 && (!all || own == c->listen_count);
}

unsigned cluster_threads(const struct cluster_settings *c, unsigned cpus, unsigned workers)
{
	unsigned share = workers > 0 && cpus > workers ? cpus / workers : 1;
	unsigned most = (c->cpu_max + 99) / 100; /* threads that can run all the time */

	if (c->threads != THREADS_AUTO)
		return c->threads;
	return most > 0 && most < share ? most : share;
}

char *name_from_path(const char *path, const char *suffix)
{
	const char *last = strrchr(path, '/');
	char name[65];
	size_t len;

	last = last != NULL ? last + 1 : path;
	len = strlen(last);
	if (suffix != NULL && len > strlen(suffix) &&
		strcmp(last + len - strlen(suffix), suffix) == 0)
		len -= strlen(suffix);
	while (len > 0 && (*last == '.' || *last == '-')) {
		last++;
		len--;
	}
	if (len > sizeof(name) - 1)
		len = sizeof(name) - 1;
	memcpy(name, last, len);
	name[len] = '\0';
	for (char *c = name; *c != '\0'; c++) {
		char one[3] = {'a', *c, '\0'};

		if (!text_is_name(one))
			*c = '-';
	}
	return strdup(text_is_name(name) ? name : "nclust");
}

/* ---- named ---- */

/* The small files that settings name. */

/* Shorter ones can be guessed; longer ones are no token but some other file. */
#define TOKEN_LEAST 16
#define TOKEN_MOST 256
#define FILE_MOST ((size_t)64 * 1024)

/* Printable ASCII, of which RFC 6750 allows a part, and of the right length? */
static bool is_token(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] >= 0x7f)
			return false;
	return len >= TOKEN_LEAST && len <= TOKEN_MOST;
}

int config_read_token(struct settings *s, struct error *err)
{
	scoped_str text = NULL;
	size_t len;

	if (s->http.text == NULL || s->http_token == NULL)
		return 0;
	text = trusted_read(s->http_token, FILE_MOST, &len, NULL, err);
	while (text != NULL && len > 0 && strchr("\r\n", text[len - 1]) != NULL)
		text[--len] = '\0';
	if (text != NULL && is_token(text, len)) {
		free(s->http_secret);
		s->http_secret = str_release(&text);
		return 0;
	}
	if (text != NULL)
		error_set(err, 0,
			"wanted one line of %d to %d printable characters without spaces, such as "
			"'openssl rand -hex 32' makes",
			TOKEN_LEAST, TOKEN_MOST);
	error_wrap(err, "http-token '%s'", s->http_token);
	return error_status(err, EX_CONFIG);
}

int page_read(struct cluster_settings *c, struct error *err)
{
	size_t len;
	scoped_str text = trusted_read(c->fallback, FILE_MOST, &len, NULL, err);

	if (text != NULL && len > 0 && memchr(text, '\0', len) == NULL) {
		free(c->fallback_page);
		c->fallback_page = str_release(&text);
		return 0;
	}
	if (text != NULL)
		error_set(err, 0, "wanted %s",
			len > 0 ? "text, found a NUL byte"
				: "a file of 1 byte to 64k, found an empty one");
	return error_wrap(err, "'%s'", c->fallback);
}
