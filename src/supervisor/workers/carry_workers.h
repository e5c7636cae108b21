/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CARRY_WORKERS_H
#define SUPERVISOR_CARRY_WORKERS_H

#include "supervisor/common/carried.h"

/* How clusters and their workers go through an upgrade; supervisor/carries.c has the order. */
extern const struct carried carried_services; /* all clusters of the instance */
extern const struct carried carried_service;
extern const struct carried carried_early; /* of a cluster: by slot */
extern const struct carried
	carried_holdings; /* listeners, memory, recipes and slotlogs of a cluster */
extern const struct carried carried_children; /* its workers, by slot */
extern const struct carried carried_child;
extern const struct carried carried_recipe;

#endif
