/* SPDX-License-Identifier: MIT */
#pragma once

/* How listeners and shared memory go through an upgrade.  Each is written once, before the clusters
 * that refer to it. */
extern const struct carried carried_listener;
extern const struct carried carried_inherited; /* LISTEN_FDS and fd:N */
extern const struct carried carried_socket;    /* of a listener that has several */
extern const struct carried carried_segment;

/* Sets are carried as references to listeners; carried_learned has room for LEARNED_MAX. */
extern const struct carried carried_set;
extern const struct carried carried_learned;
