/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_RECIPE_H
#define SUPERVISOR_RECIPE_H

#include "supervisor/common/state.h"

#include <limits.h>

/* A recipe is what all workers of a generation have in common.  It is made when the generation
 * begins, so each rollout reads env-file and PATH anew, and dropped when no worker needs it. */

/* The recipe of a generation, made when it is needed first.  NULL and `err`. */
struct recipe *recipe_get(struct service *service, unsigned generation,
	const struct cluster_settings *settings, struct error *err);
/* Drop recipes that are not of the generation in force, of the rollout under way, or of the
 * settings in force: a recipe holds listeners, which must not outlive their settings. */
void recipes_trim(struct service *service);
/* After an upgrade: compute the limits from the settings. */
void recipe_limits(struct recipe *r, const struct rlimit *nofile);
void recipes_free(struct service *service);

/* A recipe for a command of nclust's own, with nclust's user, environment and limits.  It takes
 * nothing from a cluster, whose files a worker may have written.  NULL and `err`. */
struct recipe *recipe_ours(const struct supervisor *sup, struct error *err);
void recipe_free(struct recipe *r);

/* Does nclust itself accept connections for Node's workers, and hand them out in turn?  The second
 * asks without a recipe; `policy` is NODE_CLUSTER_SCHED_POLICY or NULL. */
bool recipe_accepts(const struct recipe *r);
bool settings_accept(const struct cluster_settings *s, const char *policy);
/* Is the kernel to spread connections over a socket for each worker?  The second asks for settings,
 * and leaves out whether nclust accepts itself. */
bool recipe_spreads(const struct recipe *r);
bool settings_spread(const struct cluster_settings *s);

/* The recipe of a generation, or NULL; never makes one. */
struct recipe *recipe_of(const struct service *service, unsigned generation);
/* The value of "KEY=" in the recipe's environment, or NULL. */
const char *recipe_env(const struct recipe *r, const char *key);
/* The paths at which a program may be, by PATH of the recipe's environment.  -1 and `err`. */
int recipe_candidates(
	struct strings *to, const struct recipe *r, const char *name, struct error *err);

/* The path by which nclust finds a candidate: below the worker's root, in its directory. */
void recipe_path(const struct recipe *r, const char *candidate, char to[PATH_MAX]);

/* Check before a start or reload that a recipe can be made of these settings, and that nclust has
 * the rights that they need.  `patient`: wait for file servers, because the loop does not run. */
int recipe_check(const struct supervisor *sup, const struct cluster_settings *settings,
	bool patient, struct error *err);

#endif
