/* SPDX-License-Identifier: MIT */
#ifndef OS_LOCKWAIT_H
#define OS_LOCKWAIT_H

#include <stdbool.h>
#include <sys/types.h>

/* The lock of a file for which a process waits, in flock(2) or fcntl(2). */
struct lockwait {
	char path[200]; /* escaped for people */
	pid_t holder;   /* 0, -1: unknown */
};

/* Does the process, or a descendant of it, wait for a file lock?  False: no, or unknown. */
bool lockwait_look(struct lockwait *l, pid_t pid);

#endif
