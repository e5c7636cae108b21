/* SPDX-License-Identifier: MIT */
#ifndef OS_DISPOSITION_H
#define OS_DISPOSITION_H

#include <stdint.h>

#define DISPOSITION_ALL UINT64_MAX

/*
 * Reset the dispositions of these signals, bit n-1 for signal n, to their
 * default.  DISPOSITION_ALL includes those that glibc keeps for itself (32 and
 * 33: a caller can have left them ignored).  Safe between clone and exec.  0,
 * or -1 and errno.
 */
int disposition_reset(uint64_t which);

#endif
