/* SPDX-License-Identifier: MIT */
#ifndef OS_ENVIRON_H
#define OS_ENVIRON_H

#include <sys/types.h>

/*
 * A variable in the environment that a process was started with
 * (/proc/PID/environ, which requires the rights of ptrace(2)).  These are pages
 * of its own, so it can have changed them, and can make reading them block.
 */
struct environ_look {
	pid_t pid;
	char key[32];
	char value[4200]; /* a longer one is cut */
};

/* Fill in the value of a struct environ_look; to be called by remote_run().  0; -1 and
 * errno: ENOENT: it has no such variable, or is gone; EAGAIN: it is in the middle of
 * execve(2), look again soon; else it cannot be read. */
int environ_find(void *look);

#endif
