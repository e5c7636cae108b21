/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"

#include <stddef.h>

/*
 * Where instances may be.  `wanted` (runtime-directory) or else
 * $NCLUST_RUNTIME_DIR (not under AT_SECURE) is the only place where it is
 * given.  Otherwise these, in this order; a new instance takes the first that can
 * be used:
 *
 *	the directory of $NCLUST_SOCKET, for those who look for an instance (`seek`)
 *	/run/nclust (root)
 *	$XDG_RUNTIME_DIR/nclust, /run/user/UID/nclust (others), where the
 *	directory above is theirs
 *	/tmp/nclust-UID
 */

/* Write the n-th place into `path`: 1; 0: there is none; -1 and `err`. */
int rundir_place(
	const char *wanted, bool seek, unsigned n, char *path, size_t size, struct error *err);
/* Open a place, checked; with `make`, a missing one is made, 0755, but
 * /tmp/nclust-UID 0700 (root's 0711: its workers may be other users), which must be
 * ours.  -1 and `err`. */
int rundir_open_place(const char *path, bool make, struct error *err);
/* Open the place of a new instance: the first place that has an instance of that
 * name, else the first that can be used, made where it is missing.  -1 and `err`;
 * *none: no place can be used, as opposed to one that exists and is refused. */
int rundir_choose(const char *wanted, const char *name, char *path, size_t size, bool *none,
	struct error *err);
