/* SPDX-License-Identifier: MIT */
#pragma once

extern const struct carried carried_node_server;
extern const struct carried carried_node_wait;
extern const struct carried carried_node_use;

/* How servers and workers go through an upgrade; workers refer to servers, which are written
 * first. */
extern const struct carried carried_node_cluster;
extern const struct carried carried_node_worker;
