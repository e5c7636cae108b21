/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_RECIPE_H
#define SUPERVISOR_RECIPE_H

#include "supervisor/common/state.h"

#include <limits.h>

/* A recipe is what all workers of one generation share.  It is made when the
 * generation begins (so each rolling restart reads env-file and PATH anew), and
 * dropped when no worker needs it. */

/* The recipe of a generation, made on first use.  NULL and `err`. */
struct recipe *recipe_get(struct service *service, unsigned generation,
	const struct cluster_settings *settings, struct error *err);
/* Drop all but those of the generation in force and of the rollout under way, and
 * of workers by the same settings: a recipe holds listeners, which must not outlive
 * their settings. */
void recipes_trim(struct service *service);
/* After an upgrade: compute the limits from the settings. */
void recipe_limits(struct recipe *r, const struct rlimit *nofile);
void recipes_free(struct service *service);

/* For a command of nclust's own: its own user, environment and limits, and nothing
 * of a cluster, which its worker may have written.  NULL and `err`. */
struct recipe *recipe_ours(const struct supervisor *sup, struct error *err);
void recipe_free(struct recipe *r);

/* Does nclust accept for its workers, if they are Node's, and hand each connection to
 * the next in turn?  The second: without a recipe, with NODE_CLUSTER_SCHED_POLICY or
 * NULL. */
bool recipe_accepts(const struct recipe *r);
bool settings_accept(const struct cluster_settings *s, const char *policy);
/* Is the kernel to spread connections, over a socket for each worker?  The second: but
 * for where nclust accepts. */
bool recipe_spreads(const struct recipe *r);
bool settings_spread(const struct cluster_settings *s);

/* The recipe of a generation, or NULL; never makes one. */
struct recipe *recipe_of(const struct service *service, unsigned generation);
/* What stands behind "KEY=" in its environment, or NULL. */
const char *recipe_env(const struct recipe *r, const char *key);
/* Where a program of that name may be, by the PATH of the recipe's environment.
 * -1 and `err`. */
int recipe_candidates(
	struct strings *to, const struct recipe *r, const char *name, struct error *err);

/* The path by which the kernel will look for such a candidate: in the directory
 * and below the root of the worker. */
void recipe_path(const struct recipe *r, const char *candidate, char to[PATH_MAX]);

/* Can a recipe be made of these settings (env-file readable …), and does this
 * system have what they ask for?  For checks before a reload.  `patient`: a file
 * server may take its time, as the loop does not run. */
int recipe_check(const struct supervisor *sup, const struct cluster_settings *settings,
	bool patient, struct error *err);

#endif
