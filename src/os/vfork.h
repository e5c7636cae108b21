/* SPDX-License-Identifier: MIT */
#ifndef OS_VFORK_H
#define OS_VFORK_H

#include "base/nsec.h"

#include <stddef.h>
#include <sys/syscall.h>
#include <sys/types.h>

/* Children that run on our memory while we are suspended (CLONE_VM |
 * CLONE_VFORK), one at a time: what they have in common. */

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
/* clone(2) such a child, which runs `start`.  All signals are blocked in it, so
 * that no handler or default action of ours runs there.  -1 and errno. */
pid_t vfork_clone(
	int (*start)(void *argument), void *argument, int flags, int *pidfd);

/* Called in the child before all else: kill the child by SIGKILL after that
 * time (0: never), unless it has called exec or exited.  If no timer can be
 * made (RLIMIT_SIGPENDING) there is no limit. */
void vfork_bound_time(nsec_t patience);

/*
 * Run `deed` in such a child, with our descriptors (CLONE_FILES), for no longer
 * than `patience`.  It may change only what `argument` points to, and must not
 * lock or allocate.  0: it has returned; -1 and errno (ETIMEDOUT: it was
 * killed).
 */
int vfork_run(void (*deed)(void *argument), void *argument, nsec_t patience);
/* The same, with a copy of our descriptors, which `deed` may change. */
int vfork_run_apart(
	void (*deed)(void *argument), void *argument, nsec_t patience);
/* The same as a user: with all ids and the groups set to these, which requires
 * CAP_SETUID and CAP_SETGID (EPERM).  That user may kill or stop the child: its
 * table of descriptors is its own, so that it leaves none behind.  From then on
 * the kernel makes our memory not dumpable, so that the user cannot read it
 * through the child. */
struct vfork_user {
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* the supplementary ones */
	size_t group_count;
};
int vfork_run_as(void (*deed)(void *argument), void *argument, nsec_t patience,
	const struct vfork_user *user);

#endif
