/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"
#include "cli/wrap.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* ---- fields ---- */

/*
 * Members of the objects that a status is made of.  The object may be NULL, and
 * the member of another type, or missing.
 */

/* The member's text; "" if it is no text. */
const char *field_raw(const json_t *object, const char *key);
/* Add the member's whole text to a line, after `before`; nothing where it is no text, or "".
 * Returns whether there is any. */
bool field_put(struct wrap *w, enum colour colour, const char *before, const json_t *object,
	const char *key);
/* The member's number; 0 if it is none, or cannot be shown. */
long long field_number(const json_t *object, const char *key);
nsec_t field_seconds(const json_t *object, const char *key);
bool field_is_number(const json_t *object, const char *key);
bool field_is_true(const json_t *object, const char *key);

/* Is this the worker's state? */
bool worker_is(const json_t *worker, const char *state);
/* The worker's last end that was not asked for; NULL: none. */
const json_t *worker_failure(const json_t *worker);
/* Did the worker's slot fail a short time ago, and might do so again? */
#define FIELDS_LATELY (10 * MINUTE)
bool worker_failed_lately(const json_t *worker);

/* ---- render ---- */

/*
 * The result of `status` (man/nclust-control.7) as a table for people, and as
 * an exit status.  Pure; members that are missing or null are shown as '-'.
 * Texts came over the wire and may be any bytes (wrap.h).
 *
 * Where a cluster has more than RENDER_MANY workers, or all of them do not fit on
 * the screen, neighbours that are alike share a row.
 */
#define RENDER_MANY 16 /* with two lines of advice they fill 24 lines */

struct render {
	struct wrap *lines;
	size_t rows; /* of the screen; 0: not on a screen */
	bool each;   /* a row for each worker, however many there are */
	bool bars;   /* small bars, for a terminal that is redrawn */
};

/* Append one instance, or what of it the status is about.  Out of memory: out->failed. */
void render_status(struct render *r, const json_t *status);
/* The lines above the tables: about an instance; about a cluster. */
void render_head(struct wrap *lines, const json_t *status);
void render_cluster(struct render *r, const json_t *cluster);
/* Add a bar of so many columns, of which a part is full: 0 to 1. */
#define RENDER_BAR 10
void render_bar(struct wrap *lines, enum colour colour, double part, size_t columns);
/* The colour of a resource of which that part is used up. */
enum colour render_level(double part);

/* How many workers are wanted and how many of them are ready. */
struct tally {
	unsigned long wanted;
	unsigned long ready;
	bool lacking; /* a cluster has fewer workers than it wants */
};
/* `slot`: the status is about one slot, which wants one worker. */
void tally_add(struct tally *t, const json_t *status, bool slot);
int tally_exit_status(const struct tally *t); /* 0 all, 1 some, 2 none */

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

/* ---- advice ---- */

/*
 * Advice for the user: for each kind of trouble one sentence with a command to copy, the
 * most urgent trouble first.  Without trouble there is no advice.
 */
enum advice_kind {
	ADVICE_GAVE_UP, /* a cluster is not started again */
	ADVICE_FAILS,   /* a worker fails again and again */
	ADVICE_WAITS,   /* the worker's slot waits for the next try */
	ADVICE_RESTART, /* the last restart failed */
	ADVICE_STOPPED, /* a worker is stopped by a signal, or a cluster by its operator */
	ADVICE_CHANGED, /* a file is to be read again */
	ADVICE_DROPS,   /* a queue is full, or was */
	ADVICE_KINDS,
};

#define ADVICE_MOST 4 /* so many sentences are shown */

struct advice {
	const char *runtime_directory; /* the option's value, or NULL */
	struct {
		char text[400]; /* "": no trouble of that kind */
		char command[320];
	} list[ADVICE_KINDS];
};

/* Add the advice that the status of an instance calls for. */
/* Its file has changed since it was read. */
void advice_on_changed(struct advice *a, const char *instance, const char *file);
void advice_on_status(struct advice *a, const json_t *status);

void advice_put(const struct advice *a, struct wrap *lines);
