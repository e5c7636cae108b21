/* SPDX-License-Identifier: MIT */
#ifndef OS_RUNDIR_WALK_H
#define OS_RUNDIR_WALK_H

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * Directories that are reached only through what root or we ourselves
 * control.  All descriptors are O_PATH | O_DIRECTORY | O_CLOEXEC.
 */

/*
 * Open an absolute path, component by component.  None may belong to
 * somebody else or be writable by others (a sticky one may, but not the
 * last); symbolic links are followed only where root or we made them, and
 * never as the last.  With a `mode`, a missing last component is made so.
 * -1 and `err`; err->sys is ENOENT where something is missing.
 */
int rundir_walk(const char *path, mode_t mode, struct error *err);

/*
 * A directory below: made with `mode` if `make`, opened without following a
 * link, checked the same.  `path` is for the message.
 */
int rundir_enter(
	int dirfd, const char *name, bool make, mode_t mode, const char *path, struct error *err);

/*
 * May the directory of `path` be anybody's, but nobody else than root or we lead the
 * way to it elsewhere?  0; -1 and errno; EPERM: somebody can.
 */
int rundir_check_way(const char *path);

#endif
