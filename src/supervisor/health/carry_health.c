/* SPDX-License-Identifier: MIT */
#include "supervisor/health/health.h"
#include "supervisor/hooks/hooks.h"

/* What of a worker's health goes through an upgrade, with a probe that runs. */

/* clang-format off */
static const struct plain_row health_rows[] = {
	PLAIN(1, health, failures, UNSIGNED),
	PLAIN(2, health, ok, UNSIGNED),
	PLAIN(3, health, failed, UNSIGNED),
	PLAIN(4, health, last, TEXT),
	PLAIN(5, health, proving, BOOL),
	PLAIN(6, health, check_inode, UNSIGNED),
	PLAIN(7, health, hang, TEXT),
	PLAIN(8, health, above_since, SIGNED),
	PLAIN(9, health, requests, UNSIGNED),
	CARRY_GROUP(CARRY_HELPER, health, helper, &carried_helper),
};
/* clang-format on */

const struct carried carried_health = {
	.called = "a worker's health",
	CARRIED_ROWS(health_rows, health),
};
