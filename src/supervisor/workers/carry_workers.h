/* SPDX-License-Identifier: MIT */
#pragma once

/* How clusters and their workers go through an upgrade; supervisor/carries.c has the order. */
extern const struct carried carried_services; /* all clusters of the instance */
extern const struct carried carried_service;
extern const struct carried
	carried_holdings; /* listeners, memory, recipes and slotlogs of a cluster */
extern const struct carried carried_children; /* its workers, by slot */
extern const struct carried carried_child;
extern const struct carried carried_recipe;
