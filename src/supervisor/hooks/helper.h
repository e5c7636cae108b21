/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

/*
 * A helper is a short-lived process that runs beside the workers of a cluster:
 * a hook, or an `exec:` check.  It has the user, group, directory, limits and
 * environment of its recipe, but no listener, and a session of its own.  When
 * its time is over its whole group is killed; when it exits, so is what is left
 * of the group.  It dies with nclust, and runs on through an upgrade.
 */

/* Called when a helper has ended; `late`: it was killed because its time was
 * over. */
typedef void helper_over(void *owner, const struct pidfd_end *end, bool late);
/* A connect(2) of the helper waits in its trap. */
typedef void helper_connects(void *owner, int trap);

/* Why that is a failure: `late`, or such as "exit 1"; NULL: it is none.  `text` is room for it. */
const char *helper_failure(char text[64], const struct pidfd_end *end, const char *late);

struct helper {
	struct helper *next; /* in the list of all that run */
	struct job job;
	helper_over *over; /* NULL: the result is not needed */
	helper_connects *connects;
	void *owner;
	char *file; /* heap: what it works on, or NULL */
	int trap;   /* of its connect(2); or -1 */
	ev_io calls;
};

struct helper_plan {
	struct service *service;
	const struct recipe *recipe;
	const struct strings *command;
	const struct buffer *facts; /* "K=V", each with its NUL: they stand
				       before the recipe's environment */
	const char *file;           /* what it works on, or NULL */
	int output[2];              /* its stdout and stderr; 0 or -1: as below */
	bool silent;                /* output to /dev/null; else nclust's */
	nsec_t patience;
	helper_over *over;         /* called once, when the helper is freed */
	helper_connects *connects; /* or NULL: its calls are not trapped */
	void *owner;
};

/* Start a helper, and wait for its exec.  NULL and `err`: it could not be
 * started; `over` is not called. */
struct helper *helper_start(const struct helper_plan *plan, struct error *err);
/* Hear its calls, or let them wait. */
void helper_hear(struct helper *h, bool on);
/* The owner is about to go: kill the helper; `over` is not called. */
void helper_forget(struct helper *h);

/* Make an empty helper, which an upgrade fills; NULL: out of memory. */
void *helper_carried(struct carry_reader *r, void *owner);
/* After an upgrade: give a helper its owner, and what to call at its end. */
void helper_claim(struct helper *h, helper_over *over, helper_connects *connects, void *owner);
/* After an upgrade: watch all helpers again. */
void helpers_resume(struct supervisor *sup);

/* Add the variables of all helpers: NCLUST_NAME, NCLUST_CLUSTER,
 * NCLUST_SOCKET. */
void helper_facts(struct buffer *facts, const struct service *service);
/* Add one more variable; the value is not changed. */
void helper_fact(struct buffer *facts, const char *key, const char *value);
void helper_number(struct buffer *facts, const char *key, uint64_t n);

/* nclust ends: kill the rest, and call their `over`. */
void helpers_free(struct supervisor *sup);
