/* SPDX-License-Identifier: MIT */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * System calls that a filter may forbid by ending the process, as systemd's
 * SystemCallFilter= does without SystemCallErrorNumber=.  A child tries the calls first;
 * those that have ended the child fail with EPERM, as other filters make them fail.
 */

/* Try the calls, before the first is used.  Without a filter that is one system call. */
void trycall_probe(void);
bool trycall_is_deadly(long number);
/* The names of the calls that would end this process, separated by spaces; "": none. */
const char *trycall_deadly(char *to, size_t size);

/* As syscall(2). */
#define trycall(number, ...) \
	(trycall_is_deadly(number) ? (errno = EPERM, -1L) : syscall((number), __VA_ARGS__))
