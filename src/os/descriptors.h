/* SPDX-License-Identifier: MIT */
#ifndef OS_DESCRIPTORS_H
#define OS_DESCRIPTORS_H

#include <stdbool.h>

/*
 * Close whole ranges of descriptors, or mark them close-on-exec.  Safe between
 * clone and exec: no allocation, no lock.  These functions call close_range(2)
 * (the flag is of Linux 5.11), and where that is refused walk /proc/self/fd, as
 * the third one does.  -1 and errno.
 */
int descriptors_close(unsigned first, unsigned last);
int descriptors_cloexec(unsigned first, unsigned last);
int descriptors_cloexec_by_proc(unsigned first, unsigned last);

/* Raise RLIMIT_NOFILE to its hard limit; where that is refused, leave it. */
void descriptors_allow_many(void);

/* How many descriptors this process has open; -1: /proc does not tell. */
long descriptors_count(void);

/* access(2) relative to a directory. faccessat(3) is another system call with some
 * libc, which filters of containers refuse. */
int access_in(int dir, const char *file, int mode);

/* Are both open, and the same file? */
bool descriptors_same(int a, int b);

#endif
