/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_RECIPE_H
#define SUPERVISOR_RECIPE_H

#include "supervisor/state.h"

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
void recipes_free(struct service *service);

/* Can a recipe be made of these settings (env-file readable …)?  For checks
 * before a reload. */
int recipe_check(const struct cluster_settings *settings, struct error *err);

#endif
