/* SPDX-License-Identifier: MIT */
#pragma once

struct cluster;

/* Count again all that the core keeps in counters and deadlines.  NULL, or what does not
 * add up. */
const char *cluster_check(const struct cluster *c);
