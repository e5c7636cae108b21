/* SPDX-License-Identifier: MIT */
#ifndef OS_DESCRIPTORS_H
#define OS_DESCRIPTORS_H

#include <stdbool.h>

/*
 * Mark whole ranges of descriptors close-on-exec.  Safe between clone and
 * exec: no allocation, no lock.  The first uses close_range(2) (the flag is
 * of Linux 5.11) and falls back on the second, which walks /proc/self/fd.  -1 and
 * errno.
 */
int descriptors_cloexec(unsigned first, unsigned last);
int descriptors_cloexec_by_proc(unsigned first, unsigned last);

/* As many as we may have; where that is refused, as many as before. */
void descriptors_allow_many(void);

/* Are both open, and the same file? */
bool descriptors_same(int a, int b);

#endif
