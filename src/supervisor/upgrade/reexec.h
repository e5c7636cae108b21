/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_REEXEC_H
#define SUPERVISOR_REEXEC_H

#include "supervisor/upgrade/carry.h"
#include "supervisor/common/part.h"

extern const struct part upgrade_part;

/*
 * nclust replaces itself by the binary on disk: the same process, with the same
 * workers, sockets and clients (man/nclust-upgrade.7).
 *
 * The binary is first run beside us, on our real state, and says whether it
 * could take over; then it is executed in our place, by the descriptor that was
 * checked.  Until that moment nothing has changed; and what finds, after it,
 * that it cannot go on, executes us again.
 */

/* By which path nclust was started: kept, as it means what it did then. */
void reexec_find_path(struct supervisor *sup);

/* How one ended: as news, and to all rooms. */
void reexec_tell(struct supervisor *sup, const char *text, bool failed);

/* Begin; its end is told as news, and to the clients that expect it.  -1 and
 * `err`: refused, and nothing was begun. */
int reexec_begin(struct supervisor *sup, struct error *err);
/* Once a turn while an upgrade is under way, with nothing else to do: is it time?
 * May not return. */
void reexec_look(struct supervisor *sup);
/* Forget one that has begun. */
void reexec_fini(struct supervisor *sup);

/*
 * Execute `image` with all descriptors that the state names (NULL: with all).  `state` is its descriptor;
 * `image_back` is what the new one may go back to, or -1, and then `why` says
 * why that had to be.  Returns only on failure: errno, and all is CLOEXEC as
 * before.
 */
void reexec_into(int image, int state, const char *descriptors, size_t count,
	char **argv, int image_back, const char *why);

/* The environment variable that says so to the new one: "STATE:IMAGE:WHY". */
#define REEXEC_VARIABLE "NCLUST_HANDOVER"
/* What a checked binary says last, with its versions behind it. */
#define REEXEC_CHECKED "nclust-state-ok "

#endif
