/* SPDX-License-Identifier: MIT */
#ifndef OS_LOCKFD_H
#define OS_LOCKFD_H

#include <stdbool.h>

/*
 * An empty sealed file in memory, made to be locked (flock(2)).  A lock belongs
 * to an open file description: the kernel frees the lock when the description's
 * last duplicate is closed, so also when the process that holds it ends.
 */

/* Make such a file.  Its descriptor (CLOEXEC) is the caller's; -1 and errno. */
int lockfd_make(const char *name);
/* Open the file of that descriptor anew: another file description.  -1 and errno. */
int lockfd_again(int fd);
/* Is `fd` a descriptor of such a file?  A worker may have sent any descriptor. */
bool lockfd_is_one(int fd);

/* Lock the file for this description, which may have the lock already.  False:
 * another description has the lock. */
bool lockfd_take(int fd);
void lockfd_drop(int fd);

#endif
