/* SPDX-License-Identifier: MIT */
#pragma once

#include "config/config.h"
#include "config/option.h"
#include "config/settings.h"

/*
 * Settings while they are being made, and where each value came from.  Only
 * config/ looks in here.
 */
struct origin {
	enum origin_kind kind;
	unsigned line;      /* of an ORIGIN_FILE */
	unsigned file;      /* of an ORIGIN_FILE: 0 is the main one, n the n-th included one */
	bool bad;           /* given, but refused: the field holds its default */
	bool from_defaults; /* given for all clusters, in [defaults] */
};

struct origin_group {
	struct origin head; /* the section's line */
	struct origin rows[OPTIONS_MAX];
	bool shadow; /* of a refused section, or left out: not checked further */
};

/* A file that another one includes. */
struct included {
	char *path;
	struct origin by; /* the line that includes the file */
};

struct origin_table {
	char *file; /* as the user wrote it; NULL: no file */
	struct included *included;
	size_t included_count;
	struct origin_group instance;
	struct origin_group *clusters; /* as many as settings->clusters */
};

#define INSTANCE SIZE_MAX /* in place of a cluster's index */

/* The name of an ORIGIN_FILE's file for messages. */
const char *origin_path(const struct origin_table *t, const struct origin *o);

/* "line 3" of the same file, or "conf.d/web.ini:3"; for messages.  Returns `to`. */
#define ORIGIN_TEXT_MAX 120
const char *origin_text(char to[ORIGIN_TEXT_MAX], const struct settings *s,
	const struct origin *first, const struct origin *second);
/* The first `len` bytes of a file's path, made a whole path; the caller's, NULL:
 * out of memory. */
char *origin_whole(const struct settings *s, const char *path, size_t len);
/* Note one more included file.  -1: out of memory. */
int origin_include(struct origin_table *t, const char *path, struct origin by);

/* Where the values came from, but for the defaults.  `file`: the included one that it was,
 * or NULL. */
typedef void origin_taker(
	void *to, const char *key, enum origin_kind kind, unsigned line, const char *file);
void origins_each(const struct settings *s, size_t at, origin_taker *take, void *to);
/* A key that is not known here is dropped.  -1: out of memory. */
int origins_set(struct settings *s, size_t at, const char *key, enum origin_kind kind,
	unsigned line, const char *file);

static inline const char *section_of(size_t at)
{
	return at == INSTANCE ? "nclust" : "cluster";
}

/* Add a cluster with defaults; the name may be NULL until settings_check().
 * Returns its index, or SIZE_MAX when out of memory. */
size_t settings_add_cluster(struct settings *s, const char *name, struct origin head);

/* The same for an existing cluster: the reference is handed over. */
size_t settings_take_cluster(struct settings *s, struct cluster_settings *c, struct origin head);
void settings_drop_cluster(struct settings *s, size_t at);

/* The first of the clusters before `end` that has this name (NULL: none yet), but
 * for those of refused sections; or SIZE_MAX. */
size_t settings_find(const struct settings *s, size_t end, const char *name);

/*
 * Parse and store one value.  A key that is not repeatable stands once in all files
 * together; a value from the command line takes the place of a file's.
 */
int settings_set(struct settings *s, size_t at, const struct option_row *row, int member,
	const char *text, struct origin origin, struct error *err);

/*
 * Give a cluster, or the instance, what was set in another one: it takes the place of what comes
 * from elsewhere, but not of what the same kind of origin says for that key.
 */
void settings_give(struct settings *s, size_t at, const struct settings *from, size_t from_at,
	struct faults *faults);

struct origin *settings_origin(const struct settings *s, size_t at, const struct option_row *row);
/* The struct with the row's field: the settings or one of its clusters. */
void *settings_base(const struct settings *s, size_t at);

/*
 * Checks of several values, once all are there: names, users' groups, times of
 * stop steps, duplicates, exclusions.  An instance without a name gets one
 * from its file or its command.
 */
void settings_check(struct settings *s, struct faults *faults);

/* Read a file and the files that it includes, or the bytes of one file alone, and
 * add mistakes to `faults`.  `data` is cut into lines in place and has one byte more
 * than `len`. */
void inifile_read(struct settings *s, const char *path, struct faults *faults);
void inifile_parse(
	struct settings *s, const char *path, char *data, size_t len, struct faults *faults);

/* The next line from *at on, terminated, without its end; NULL at the end of the file. */
char *inifile_line(char **at, char *end, size_t *len);

/* Read the file that `fallback` names: text of 1 byte to 64 KiB.  -1 and `err`. */
int page_read(struct cluster_settings *c, struct error *err);

/* "web": the last part of a path, made a valid name.  Heap, or NULL. */
char *name_from_path(const char *path, const char *suffix);

/* ---- check ---- */

/* The parts of settings_check(), each of which looks at several settings. */
struct check {
	struct settings *s;
	struct faults *faults;
	size_t at; /* the cluster, or INSTANCE */
	struct cluster_settings *c;
};

/* Begin at INSTANCE.  What only looks at settings that are read only does not change them. */
struct check check_begin(const struct settings *s, struct faults *faults);
/* Go on to the next cluster, but for those of refused sections; false: there is none. */
bool check_next(struct check *k);
/* Where the key came from. */
const struct origin *check_origin(const struct check *k, const char *key);
/* Was the key refused already?  Then faults that follow from that are not reported. */
bool check_is_bad(const struct check *k, const char *key);
/* Report a mistake in `key`, at the key's line or, if no line has the key, at the head of the
 * cluster's section. */
void check_fault(const struct check *k, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same if the rule is broken, which the sentence tells. */
void check_rule(const struct check *k, bool is_broken, const char *key, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Check the addresses where a cluster listens, and note in `places` where each slot does.  A place
 * that is noted already is a mistake. */
void check_listen(const struct check *k, struct buffer *places);
/* Check the addresses where nclust itself listens. */
void check_http(const struct check *k);

/* ---- procfile ---- */

/*
 * A Procfile, as foreman and its kin read it: each line "name: command" is a
 * cluster.  It is run in the directory of the file, with the variables of the
 * file .env there, and with PORT: 5000, or what PORT says in .env or in our own
 * environment, and 100 more for each further line.  A command that needs a shell
 * gets one.  "release: command" is run once before all of them, as their `before`.
 */

/* Is the file a Procfile by its name: Procfile, Procfile.dev, dev.Procfile? */
bool procfile_is(const char *path);
/* The directory of a Procfile: heap, or NULL.  The path is absolute. */
char *procfile_directory(const char *path);

/* Add the clusters of a Procfile's bytes, which have one byte more than `len`.
 * Mistakes are reported with their lines. */
void procfile_parse(
	struct settings *s, const char *path, char *data, size_t len, struct faults *faults);

/* "web=2,worker=1": the number of workers by cluster; clusters that are not named stay
 * unchanged, `all` names all of them, and a cluster with 0 is left out.  `again`: at a
 * reload, names may be gone.  -1 and `err`. */
int procfile_form(struct settings *s, const char *formation, bool again, struct error *err);

/* All settings are there: give PORT to clusters without another one.  -1: out of
 * memory. */
int procfile_finish(struct settings *s);

/* Files of more bytes are refused. */
#define ENV_FILE_MAX (1024L * 1024L)

/*
 * A file of variables: lines K=V, which systemd, compose and dotenv read as well.
 * Blanks around both are left out, and an "export" before K.  V may be in quotes,
 * and span lines then; a comment may follow it.  '#' and ';' begin a line that is a
 * comment.  What the others read in different ways is an error, or means what it
 * means to systemd (EnvironmentFile).
 */
struct envfile {
	char *rest;    /* ends with a NUL; changed in place */
	unsigned line; /* the line of what was read last; 0 at first */
	unsigned more; /* lines of that variable beyond its first */
	bool warns;    /* ENVFILE_WARNING is true of the entry */
};
#define ENVFILE_WARNING \
	"no shell reads this, so the '$' in %.*s stays as it is; single quotes say that it is " \
	"meant"

/* 1: *entry is "K=V", in the text; 0: no more; -1 and `err`. */
int envfile_next(struct envfile *f, char **entry, struct error *err);
