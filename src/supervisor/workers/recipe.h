/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_RECIPE_H
#define SUPERVISOR_RECIPE_H

#include "supervisor/common/state.h"

/*
 * A recipe is what all workers of one generation share.  Made when the
 * generation begins (so env-file, PATH and group membership are read anew by
 * each rolling restart), dropped when no worker may be born from it any more.
 */

/* The recipe of a generation, made on first use.  NULL and `err`. */
struct recipe *recipe_get(struct service *service, unsigned generation,
	struct cluster_settings *settings, struct error *err);
/* Drop all but those of the generation in force and of the rollout under way:
 * a recipe holds listeners, which must not outlive their settings. */
void recipes_trim(struct service *service);
/* Of one that was carried: its limits, which follow from its settings. */
void recipe_limits(struct recipe *r, const struct rlimit *nofile);
void recipes_free(struct service *service);

/* Are connections handed to its workers in turn, should they be Node's? */
bool recipe_wants_rr(const struct recipe *r);

/* That of a generation, if there is one now: none is made. */
struct recipe *recipe_of(const struct service *service, unsigned generation);
/* Where a program of that name may be, by the PATH of the recipe's environment:
 * NULL-terminated, heap.  NULL and `err`. */
char **recipe_candidates(
	const struct recipe *r, const char *name, struct error *err);
void recipe_candidates_free(char **list);

/* Can a recipe be made of these settings (env-file readable …), and what they ask
 * for be had here?  For checks before a reload. */
int recipe_check(const struct supervisor *sup,
	const struct cluster_settings *settings, struct error *err);

#endif
