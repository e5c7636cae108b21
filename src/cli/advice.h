/* SPDX-License-Identifier: MIT */
#ifndef CLI_ADVICE_H
#define CLI_ADVICE_H

#include "cli/wrap.h"

#include <jansson.h>
#include <stdbool.h>

/*
 * What a user can do next where something is wrong: one sentence with a command
 * to copy for each kind of trouble, the most urgent first.  Without trouble the
 * list is empty.
 */
enum advice_kind {
	ADVICE_GAVE_UP,    /* a cluster is not started again */
	ADVICE_FAILS,      /* a worker fails again and again */
	ADVICE_WAITS,      /* the worker's slot waits for the next try */
	ADVICE_UNKILLABLE, /* a process outlives SIGKILL */
	ADVICE_RESTART,    /* the last restart failed */
	ADVICE_HANG,
	ADVICE_UNHEALTHY,
	ADVICE_STOPPED, /* a worker is stopped by a signal */
	ADVICE_DROPS,   /* a queue is full, or was */
	ADVICE_KINDS,
};

#define ADVICE_MOST 4 /* so many sentences are shown */

struct advice {
	const char *runtime_directory; /* the option's value, or NULL */
	char fails[192];               /* the target that ADVICE_FAILS is about */
	struct {
		char text[320]; /* "": no trouble of that kind */
		char command[320];
	} list[ADVICE_KINDS];
};

/* Add the advice that the status of an instance calls for; `target` and `slot`: see render.h. */
void advice_on_status(struct advice *a, const json_t *status, const char *target, bool slot);
/* Add the advice that one event of the instance calls for; `now`: the wall clock, in seconds. */
void advice_on_event(struct advice *a, const char *instance, const json_t *event, double now);

void advice_put(const struct advice *a, struct wrap *lines);

#endif
