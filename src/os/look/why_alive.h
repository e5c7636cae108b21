/* SPDX-License-Identifier: MIT */
#ifndef OS_WHY_ALIVE_H
#define OS_WHY_ALIVE_H

#include <stddef.h>
#include <sys/types.h>

/* Why is a process still there after SIGKILL?  Returns "it waits in the kernel (fuse_flush,
 * state D)"; "" if it has ended.  This call itself never waits for the process. */
const char *why_alive(pid_t pid, char *to, size_t size);

/* "4711 (python3) is still there: it waits ...", or "". */
#define WHY_ALIVE_TEXT 200
const char *why_alive_text(pid_t pid, char to[WHY_ALIVE_TEXT]);

#endif
