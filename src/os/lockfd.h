/* SPDX-License-Identifier: MIT */
#ifndef OS_LOCKFD_H
#define OS_LOCKFD_H

#include <stdbool.h>

/*
 * An empty file in memory, sealed, that is there to be locked (flock(2)).  A lock
 * belongs to an open file description: the kernel frees it when the last duplicate of
 * that is closed, as by the end of the process that has it.
 */

/* Make one.  Its descriptor (CLOEXEC) is the caller's; -1 and errno. */
int lockfd_make(const char *name);
/* Open the file of that descriptor anew: another description.  -1 and errno. */
int lockfd_again(int fd);
/* Is it a descriptor of such a file?  It may be any that a worker has had. */
bool lockfd_is_one(int fd);

/* Lock it for this description, which may have the lock already.  False: another
 * one has it. */
bool lockfd_take(int fd);
void lockfd_drop(int fd);

#endif
