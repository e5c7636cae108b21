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

/* Read the file that `fallback` names: text of 1 byte to 64 KiB.  -1 and `err`. */
int page_read(struct cluster_settings *c, struct error *err);

/* "web": the last part of a path, made a valid name.  Heap, or NULL. */
char *name_from_path(const char *path, const char *suffix);
