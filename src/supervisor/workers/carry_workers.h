/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CARRY_WORKERS_H
#define SUPERVISOR_CARRY_WORKERS_H

#include "supervisor/common/carried.h"

/*
 * How clusters and their workers go through an upgrade, in the order in which
 * supervisor/carries.c says what is put into a cluster's group.
 */
extern const struct carried carried_services; /* all, of the instance */
extern const struct carried carried_service;
extern const struct carried carried_early;    /* of a cluster: by slot */
extern const struct carried carried_holdings; /* what its workers get */
extern const struct carried carried_children; /* its workers, by slot */
extern const struct carried carried_child;
extern const struct carried carried_recipe;

#endif
