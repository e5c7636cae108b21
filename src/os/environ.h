/* SPDX-License-Identifier: MIT */
#pragma once

#include <sys/types.h>

/*
 * Look up a variable in the environment that a process was started with
 * (/proc/PID/environ, which requires the rights of ptrace(2)).  The process can
 * have changed these pages, and can make reading them block.
 */
struct environ_look {
	pid_t pid;
	char key[32];
	char value[4200]; /* a longer one is cut */
};

/* Fill in the value of a struct environ_look; to be called by remote_run().  0; -1
 * and errno: ENOENT: the process has no such variable, or is gone; EAGAIN: the
 * process is in execve(2), look again soon; else the environment cannot be read. */
int environ_find(void *look);
