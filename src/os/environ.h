/* SPDX-License-Identifier: MIT */
#ifndef OS_ENVIRON_H
#define OS_ENVIRON_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Copy the value of a variable in the environment that a process was started
 * with (/proc/PID/environ, which requires the rights of ptrace(2)).  0; -1 and
 * errno: ENOENT: it has no such variable, or is gone; else it cannot be read.
 */
int environ_value(pid_t pid, const char *key, char *to, size_t size);

#endif
