/* SPDX-License-Identifier: MIT */
#ifndef CLI_RENDER_H
#define CLI_RENDER_H

#include "cli/wrap.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

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

/* Append one instance.  `target`: "" all, a cluster, or, with `slot`, a slot of one.
 * Out of memory: out->failed. */
void render_status(struct render *r, const json_t *status, const char *target, bool slot);
/* The lines above the tables: about an instance; about a cluster. */
void render_head(struct wrap *lines, const json_t *status);
void render_cluster(struct render *r, const json_t *cluster);
/* Add a bar of so many columns, of which a part is full: 0 to 1. */
#define RENDER_BAR 10
void render_bar(struct wrap *lines, enum colour colour, double part, size_t columns);
/* The colour of a resource of which that part is used up. */
enum colour render_level(double part);

/* Is this the cluster that `target` names? */
bool render_is_meant(const json_t *cluster, const char *target, bool slot);

/* How many workers are wanted and how many of them are ready. */
struct tally {
	unsigned long wanted;
	unsigned long ready;
	bool lacking; /* a cluster has fewer workers than it wants */
};
void tally_add(struct tally *t, const json_t *status, const char *target, bool slot);
int tally_exit_status(const struct tally *t); /* 0 all, 1 some, 2 none */

#endif
