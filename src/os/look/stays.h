/* SPDX-License-Identifier: MIT */
#ifndef OS_STAYS_H
#define OS_STAYS_H

#include <stddef.h>
#include <sys/types.h>

/* Why is a process still there after SIGKILL?  Returns "it waits in the kernel (fuse_flush,
 * state D)"; "" if it has ended.  This call itself never waits for the process. */
const char *stays_why(pid_t pid, char *to, size_t size);

/* "4711 (python3) is still there: it waits ...", or "". */
#define STAYS_TEXT 200
const char *stays_text(pid_t pid, char to[STAYS_TEXT]);

#endif
