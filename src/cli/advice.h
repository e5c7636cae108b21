/* SPDX-License-Identifier: MIT */
#pragma once

#include "cli/wrap.h"

#include <jansson.h>

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
