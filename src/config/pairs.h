/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_PAIRS_H
#define CONFIG_PAIRS_H

#include "config/settings.h"

#include <stdbool.h>

/*
 * Settings as pairs of words, by the option table, and back: how they are
 * carried to another nclust, whose table may be another.  What was looked up
 * (users, groups) is not looked up again: the numbers go beside the pairs.
 */

/* Which settings: the instance's (struct settings), or a cluster's (struct
 * cluster_settings). */
#define PAIRS_NCLUST "nclust"
#define PAIRS_CLUSTER "cluster"

/* Called for each value, in the order of the table.  A key that may be
 * repeated comes several times. */
typedef void pair_taker(void *to, const char *key, const char *text);
void pairs_take(const char *section, const void *base, pair_taker *take, void *to);

/* 0; 1: no such key here; -1 and `err`. */
int pairs_put(
	const char *section, void *base, const char *key, const char *text, struct error *err);
/* All pairs of the cluster are there: what depends on several is filled in. */
void pairs_finish_cluster(struct cluster_settings *c);
/* One more cluster of the instance; the reference is handed over.  -1: no
 * memory. */
int pairs_add_cluster(struct settings *s, struct cluster_settings *c);

/* Where the values came from, but for the defaults.  `at`: of which cluster,
 * or PAIRS_INSTANCE.  `file`: the included file that it was, or NULL. */
#define PAIRS_INSTANCE SIZE_MAX
typedef void origin_taker(
	void *to, const char *key, enum origin_kind kind, unsigned line, const char *file);
void pairs_origins(const struct settings *s, size_t at, origin_taker *take, void *to);
/* One that is not known here is forgotten.  -1: no memory. */
int pairs_set_origin(struct settings *s, size_t at, const char *key, enum origin_kind kind,
	unsigned line, const char *file);
/* As the user wrote the file's name; NULL: there is none. */
const char *pairs_file(const struct settings *s);
int pairs_set_file(struct settings *s, const char *file); /* -1: no memory */

#endif
