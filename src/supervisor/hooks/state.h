/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"

#include <ev.h>
#include <stdbool.h>

/* What only this room knows: a member of struct supervisor. */
struct helper;
struct hook_run;

/* A cluster's. */
struct cluster_hooks {
	unsigned queued; /* that wait */
	unsigned running;
	unsigned long dropped; /* since that was told last */
	nsec_t told_at;        /* when it was told that some are dropped; or 0 */
};

struct hooks {
	struct hook_run *head; /* oldest first */
	unsigned queued;       /* that wait */
	unsigned running;
	ev_timer look;
	nsec_t over_at; /* when nclust waits for hooks no longer; 0: it does not end yet */
	bool over;
};

struct commands {
	struct helper *helpers; /* that run now */
	struct hooks hooks;
};
