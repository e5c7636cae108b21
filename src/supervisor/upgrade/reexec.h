/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

/*
 * An upgrade: nclust executes the binary on disk in its own process, and goes on with the same
 * workers, sockets and clients (man/nclust-upgrade.7).
 *
 * nclust first runs the new binary beside itself, on its real state, to check that it can go on
 * from there; until then nothing has changed.  Then it executes the descriptor that was checked.  A
 * new binary that fails all the same executes the old binary again.
 */

/* Note the path by which nclust was started, for later upgrades. */
void reexec_find_path(struct supervisor *sup);

/* Publish the end of an upgrade, and call moment_verb(). */
void reexec_tell(struct supervisor *sup, const char *text, bool failed);

/* The capabilities of this process, as bits. */
uint64_t reexec_capabilities(void);

/* Begin an upgrade, whose end reexec_tell() reports.  -1 and `err`: refused. */
int reexec_begin(struct supervisor *sup, struct error *err);
/* Called once a turn during an upgrade: go on with it when no rollout is under way.  May not
 * return. */
void reexec_look(struct supervisor *sup);
/* Cancel an upgrade that has begun. */
void reexec_fini(struct supervisor *sup);

/*
 * Execute `image` with `state`, the descriptor of the state, and the descriptors that the state
 * names (NULL: with all that are not CLOEXEC).  `image_back` is the binary that the new one may go back to;
 * -1: this is the way back, for the reason `why`.  Returns only on failure: errno, and all
 * descriptors are CLOEXEC.
 */
void reexec_into(int image, int state, const struct buffer *descriptors, char **argv,
	int image_back, const char *why);

/* The environment variable that tells the new binary "STATE:IMAGE:WHY". */
#define REEXEC_VARIABLE "NCLUST_HANDOVER"
/* The last line that a checked binary prints begins so; its versions follow. */
#define REEXEC_CHECKED "nclust-state-ok "
