/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"
#include "cli/wrap.h"

#include <jansson.h>

/* ---- group ---- */

/* What is shown of a worker, or of several that share a row. */
enum column {
	COLUMN_SLOT,
	COLUMN_GENERATION, /* shown only where generations differ */
	COLUMN_PID,
	COLUMN_STATE,
	COLUMN_UP,
	COLUMN_RESTARTS,
	COLUMN_CPU,
	COLUMN_MEMORY,
	COLUMNS, /* then the text about the last exit follows, of any length */
};

/* A worker of a cluster, or neighbours that are alike. */
struct group {
	const json_t *cluster;
	size_t first; /* in the array of workers */
	size_t count;
};

const json_t *group_worker(const struct group *g, size_t i);
/* The group after this one; at first `count` is 0.  Without `crowded` each worker is a
 * group.  False: there are no more. */
bool group_next(struct group *g, bool crowded);

/* Sums over all workers of a group. */
struct sums {
	unsigned pids;
	double of[COLUMNS]; /* restarts; CPU in percent; memory in bytes */
	bool has[COLUMNS];  /* of these, and of COLUMN_UP: is it known of any? */
	nsec_t youngest;
	nsec_t oldest;
};
void group_sum(struct sums *s, const struct group *g);

/* The worker of a group that has failed last; of a group of one, that worker; NULL:
 * none has failed. */
const json_t *group_latest(const struct group *g);
/* Add, after `before`, how that worker has failed; and, of a group of one, what the worker does,
 * waits for and says of itself.  Returns whether there is any. */
enum { GROUP_LAST = 1, GROUP_NOW = 2 };
bool group_put(struct wrap *lines, const struct group *g, const char *before, unsigned what);

/* ---- table ---- */

/*
 * A table of workers, of `status` and of `top`: a row is a group.  Pure.
 */
struct column_head {
	const char *title;
	bool right;
};
extern const struct column_head column_heads[COLUMNS];

struct row {
	char cell[COLUMNS][48];
	struct sums sums;
};
/* `named`: the cluster's name stands before the slot. */
void row_format(struct row *row, const struct group *g, bool named);
/* "9.0M" */
void row_format_memory(char *to, size_t size, double bytes);

struct table {
	size_t width[COLUMNS]; /* of the widest cell so far */
	bool shown[COLUMNS];
	const char *last; /* what stands for no text about the last exit; NULL: no such column */
	bool now;         /* the last column also has what the worker does */
	size_t bar;       /* columns of a bar beside CPU% and MEM; 0: none */
	double memory;    /* the memory, in bytes, of a full bar */
};
/* Show all columns, without bars; widths that are known already are kept. */
void table_begin(struct table *t);
void table_measure(struct table *t, const struct group *g, bool named);
/* How wide the columns are up to the last one, which is of any length. */
size_t table_columns(const struct table *t);
/* Leave out what does not fit into so many columns: bars, then the columns of a list. */
void table_fit(struct table *t, size_t most, const enum column *gives_way, size_t count);
/* Add the titles; a mark follows that of the column `sorted`, if that is a column. */
void table_put_titles(
	const struct table *t, struct wrap *lines, enum column sorted, const char *mark);
/* Add a row. */
void table_put_row(const struct table *t, struct wrap *lines, const struct group *g, bool named);

/*
 * The table of a cluster's workers in `status`.  Columns that do not fit are left out, the
 * least important first.  `crowded`: neighbours that are alike share a row.
 */
void table_put(struct wrap *lines, const json_t *cluster, bool crowded);

/* The colour of a cluster's or a worker's state, and of a worker. */
enum colour row_state_colour(const char *state);
enum colour row_colour(const json_t *worker);
/* Why a worker failed, by `key` of its failure: "cause", else "last_output".  "":
 * unknown. */
const char *row_cause(const json_t *worker, const char **key);
