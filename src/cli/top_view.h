/* SPDX-License-Identifier: MIT */
#ifndef CLI_TOP_VIEW_H
#define CLI_TOP_VIEW_H

#include "cli/row.h"
#include "protocol/control.h"

/*
 * The content of `nclust top`, without drawing: its rows, their order, which of
 * them are grouped, and which one is selected.  Pure.
 */
enum top_kind {
	TOP_INSTANCE,
	TOP_CLUSTER,
	TOP_TEXT, /* a line about the cluster above; cannot be selected */
	TOP_WORKERS,
};

struct top_row {
	enum top_kind kind;
	const json_t *cluster; /* object of the status; NULL: the instance */
	size_t text;           /* offset in `text`; TOP_WORKERS: unused */
	const json_t *workers; /* of the cluster; TOP_WORKERS: those of this row */
	struct group group;
	struct sums sums;
};

#define TOP_TARGET sizeof(((struct control_request *)NULL)->target)

/* What the selected row is about, whatever its number after the next look. */
struct top_pick {
	enum top_kind kind;
	char cluster[65];
	long long slot;
	long long id; /* of the worker; -1: the slot is empty */
};

struct top_view {
	json_t *status; /* of the last look; NULL: none */
	json_t *seen;   /* a worker's CPU seconds at the last look, and its percent */
	double seen_at; /* the instance's age at that look, in seconds */
	json_t *turned; /* clusters that are grouped against the default */
	char filter[64];
	enum column sort;
	bool backwards;
	size_t height; /* rows that fit on the screen */

	struct top_row *rows; /* heap */
	size_t count;
	size_t room;
	json_t *shown;      /* the arrays to which rows point by `workers` */
	struct buffer text; /* lines with colours as marks (wrap.h) */
	size_t selected;
	size_t first; /* the first row on the screen */
	struct top_pick pick;
};

void top_view_init(struct top_view *v);
void top_view_fini(struct top_view *v);

/* Take over a new status; NULL: nclust is gone.  Each worker's "cpu_percent" becomes
 * its CPU time since the last status. */
int top_view_look(struct top_view *v, json_t *status);
/* Make the rows anew, after a change of the view.  -1, as above: out of memory. */
int top_view_make(struct top_view *v);

/* Sort by this column; a second call turns the order round. */
void top_view_sort(struct top_view *v, enum column column);
/* Is the least above? */
bool top_view_ascends(const struct top_view *v);
/* Select the row that is so many rows further, or the nearest to that one. */
void top_view_move(struct top_view *v, long rows);
/* Group the workers of the selected cluster, or give each a row. */
void top_view_turn(struct top_view *v);

/* The selected row; NULL: none. */
const struct top_row *top_view_row(const struct top_view *v);
/* The target of a change at the selected row: "" (the instance), "web", "web.2".
 * The cluster, if the row is a group, or the method takes no slot. */
const char *top_view_target(
	const struct top_view *v, enum control_method method, char to[TOP_TARGET]);

#endif
