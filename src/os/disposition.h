/* SPDX-License-Identifier: MIT */
#ifndef OS_DISPOSITION_H
#define OS_DISPOSITION_H

/*
 * Every signal's disposition to its default, those included that glibc keeps
 * to itself (32 and 33: a caller can have left them ignored).  Safe between
 * clone and exec.  0, or -1 and errno.
 */
int disposition_reset(void);

#endif
