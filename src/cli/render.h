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
