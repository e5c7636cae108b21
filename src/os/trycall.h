/* SPDX-License-Identifier: MIT */
#ifndef OS_TRYCALL_H
#define OS_TRYCALL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * System calls that a filter may forbid by ending the process, as systemd's
 * SystemCallFilter= does without SystemCallErrorNumber=.  A child tries them first;
 * those that have ended it fail with EPERM, as other filters make them fail.
 */

/* Try them, before the first is used.  Without a filter that is one system call. */
void trycall_probe(void);
bool trycall_is_deadly(long number);
/* The names of those that would end us, with a space between; "": none. */
const char *trycall_deadly(char *to, size_t size);

/* As syscall(2). */
#define trycall(number, ...) \
	(trycall_is_deadly(number) ? (errno = EPERM, -1L) : syscall((number), __VA_ARGS__))

#endif
