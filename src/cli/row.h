/* SPDX-License-Identifier: MIT */
#ifndef CLI_ROW_H
#define CLI_ROW_H

#include "base/nsec.h"
#include "cli/wrap.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * A row of a table of workers, of `status` and of `top`: one worker, or
 * neighbours that are alike.  Pure; see render.h.
 */
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

struct column_head {
	const char *title;
	bool right;
};
extern const struct column_head column_heads[COLUMNS];
extern const char column_last[]; /* the title of that text */

struct row {
	char cell[COLUMNS][48];
};

/* Neighbours that are alike. */
struct group {
	size_t first; /* in the array of workers */
	size_t count;
};

/* The groups of an array of workers; `to` has room for as many as there are workers.
 * Without `crowded` each worker is a group.  Returns how many groups. */
size_t row_groups(struct group *to, const json_t *workers, bool crowded);
/* Add so many workers that are alike, which may be too few for one group. */
size_t row_add_group(struct group *to, size_t used, size_t first, size_t count);

/* Sums over all workers of a row. */
struct sums {
	unsigned pids;
	long long restarts;
	bool has_restarts;
	double cpu; /* percent */
	bool has_cpu;
	double memory; /* bytes */
	bool has_memory;
	nsec_t youngest;
	nsec_t oldest;
	bool has_age;
};

void row_sum(struct sums *s, const json_t *workers, const struct group *g);
void row_format(struct row *row, const json_t *workers, const struct group *g);
/* "9.0M" */
void row_format_memory(char *to, size_t size, double bytes);
/* Widen each column to the row's cell. */
void row_measure(const struct row *row, size_t width[COLUMNS]);

/* The colour of a cluster's or a worker's state, and of a worker. */
enum colour row_state_colour(const char *state);
enum colour row_colour(const json_t *worker);

/* The worker of a group that has failed last; of a group of one, that worker; NULL:
 * none has failed. */
const json_t *row_latest(const json_t *workers, const struct group *g);
/* Add how that worker has failed, or the worker's own status text.  Returns whether there is any. */
bool row_put_last(struct wrap *lines, const json_t *workers, const struct group *g);
/* Why a worker failed, by `key` of its failure: "cause", else "last_output".  "":
 * unknown. */
const char *row_cause(const json_t *worker, const char **key);

#endif
