/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/workers/recipe.h"

/* Fill in the parts of a spawn plan that differ by worker: argv, environment and descriptors
 * (nclust(1), ENVIRONMENT OF A WORKER).  The strings are in scratch memory, which the next call for
 * the same `nth` uses again.  -1: out of memory. */
int environment_fill(
	struct supervisor *sup, const struct worker_place *place, struct spawn_plan *plan);

/* Append the variables of `env` that differ by worker, as a worker of that slot has them, each with
 * its NUL. */
void environment_of_slot(struct buffer *out, const struct recipe *recipe, uint32_t slot);

/* Find a variable in the environment of any process, with that process' rights and within a time
 * limit (os/look/remote.h).  0; -1 and errno as of environ_find(). */
int environment_look(struct environ_look *look, pid_t pid, const char *key);
