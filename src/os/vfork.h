/* SPDX-License-Identifier: MIT */
#ifndef OS_VFORK_H
#define OS_VFORK_H

#include "base/nsec.h"

#include <stddef.h>
#include <sys/types.h>

/*
 * What all children have in common that run on our memory while we stand still
 * (CLONE_VM | CLONE_VFORK).  Only one of them at a time.
 */

/* glibc's wrappers would change the ids of every thread.  The 32-bit calls have
 * 16-bit namesakes on old machines. */
#ifdef SYS_setresuid32
#define VFORK_SETRESUID SYS_setresuid32
#define VFORK_SETRESGID SYS_setresgid32
#define VFORK_SETGROUPS SYS_setgroups32
#else
#define VFORK_SETRESUID SYS_setresuid
#define VFORK_SETRESGID SYS_setresgid
#define VFORK_SETGROUPS SYS_setgroups
#endif

/* The stack for such a child: its upper end, for clone(2).  NULL: no memory. */
char *vfork_stack_top(void);

/*
 * In the child, before all else: SIGKILL for ourselves after that time (0:
 * never), unless we get to an exec or an end before.  Without a timer
 * (RLIMIT_SIGPENDING) it has to go well.
 */
void vfork_bound_time(nsec_t patience);

/*
 * Run `deed` where it cannot hold us up: in such a child, with our descriptors
 * (CLONE_FILES), and no longer than that.  What it may touch is what `argument`
 * points to; it takes no lock and no memory.  0: it has run to its end; -1 and
 * errno (ETIMEDOUT: it was ended in the midst of it).
 */
int vfork_run(void (*deed)(void *argument), void *argument, nsec_t patience);
/* The same, with a copy of our descriptors: it may do to them what it likes. */
int vfork_run_apart(
	void (*deed)(void *argument), void *argument, nsec_t patience);
/* The same with all ids those; nothing of it without CAP_SETUID and CAP_SETGID
 * (EPERM).  Whose ids they are may end or stop it: its table of descriptors is
 * its own, so that it leaves none behind.  Our memory is not dumpable from then on
 * (the kernel sees to it), so that the user cannot look into it by that child. */
int vfork_run_as(void (*deed)(void *argument), void *argument, nsec_t patience,
	uid_t uid, gid_t gid);

#endif
