/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_REEXEC_H
#define SUPERVISOR_REEXEC_H

#include "supervisor/upgrade/carry.h"

/*
 * An upgrade: nclust replaces itself by the binary on disk, in the same
 * process, with the same workers, sockets and clients (man/nclust-upgrade.7).
 *
 * nclust first runs the new binary beside itself, on its real state, to check
 * that it can take over.  Then it executes it in its own place, by the
 * descriptor that was checked.  Until then nothing has changed.  A new binary
 * that still cannot go on executes the old one again.
 */

/* Note the path by which nclust was started, as it is resolved now. */
void reexec_find_path(struct supervisor *sup);

/* Report the end of an upgrade: as news, and to all rooms. */
void reexec_tell(struct supervisor *sup, const char *text, bool failed);

/* Begin an upgrade; its end is reported as news, and to the clients that wait
 * for it.  -1 and `err`: refused, and nothing was begun. */
int reexec_begin(struct supervisor *sup, struct error *err);
/* Called once a turn during an upgrade: go on with it when nothing else is
 * under way.  May not return. */
void reexec_look(struct supervisor *sup);
/* Cancel an upgrade that has begun. */
void reexec_fini(struct supervisor *sup);

/*
 * Execute `image` with the descriptors that the state names (NULL: with all).
 * `state` is the state's descriptor.  `image_back` is the binary that the new
 * one may go back to; -1: this is the way back, and `why` is its reason.
 * Returns only on failure: errno, and all is CLOEXEC as before.
 */
void reexec_into(int image, int state, const struct carry_descriptor *descriptors, size_t count,
	char **argv, int image_back, const char *why);

/* The environment variable for the new binary: "STATE:IMAGE:WHY". */
#define REEXEC_VARIABLE "NCLUST_HANDOVER"
/* The last line of a checked binary begins so, followed by its versions. */
#define REEXEC_CHECKED "nclust-state-ok "

#endif
