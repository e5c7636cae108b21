/* SPDX-License-Identifier: MIT */
#ifndef OS_VFORK_H
#define OS_VFORK_H

#include "base/nsec.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/types.h>

/*
 * Children that run on our memory (CLONE_VM) for a short time, each on a stack of
 * its own, while we wait: as after vfork(2), but we need not wait for ever.
 *
 * What another user's process has made may keep a system call waiting as long as
 * that process likes, and SIGKILL does not end such a wait: for a file server
 * that does not answer (FUSE, NFS), or for a lock that it holds meanwhile.  So a
 * child does such calls.  One that takes too long is killed, and if that does not
 * end it, it is left alone with its stack until the kernel lets it go.
 *
 * It then runs no code any more, but the call in which it waits may still write
 * where it was told to: in a child, a call that may wait writes only to the
 * child's stack.  The child's own code may write anywhere.
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

/* One such child. */
struct vfork {
	/* set by the caller: even if very many are stuck; the CPU time that it may
	 * need, if that is more than the patience */
	bool needed;
	nsec_t work;
	struct vfork_stack *stack;
	pid_t pid;
};

/* clone(2) a child, which runs `start`.  `flags`: more of them, with the signal
 * that tells its end (0: none); `pidfd`: where CLONE_PIDFD puts it, or NULL.  All
 * signals are blocked in the child, so that no handler or default action of ours
 * runs there.  -1 and errno.  vfork_wait() must follow.  Until then the two have one
 * errno, too. */
int vfork_begin(
	struct vfork *child, int (*start)(void *argument), void *argument, int flags, int *pidfd);
/* Wait until it has called exec or exited; `patience`
 * 0: however long that takes.  True: it has, and its stack is free again. */
bool vfork_wait(struct vfork *child, nsec_t patience);
/* Kill one that has not.  True: it has ended, and is reaped; else its stack stays
 * its own until it has. */
bool vfork_kill(struct vfork *child);
/* Reap one that has exited, which may take time yet: as above. */
bool vfork_reap(struct vfork *child);
/* Can a child be waited for in this way?  Not where it gets a copy of our memory
 * (valgrind); then we make all calls ourselves. */
bool vfork_is_shared(void);
/* So many children were killed in vain, and are still there. */
unsigned vfork_stuck(void);
bool vfork_has(pid_t pid); /* is it one of them? */

/*
 * Run `deed` in such a child, with our descriptors (CLONE_FILES), for no longer
 * than `patience`.  It must not lock or allocate.  0: it has returned; -1 and
 * errno (ETIMEDOUT: it was killed).
 */
int vfork_run(void (*deed)(void *argument), void *argument, nsec_t patience);
/* How a child may be born that first calls vfork_leave_table(), a flag for vfork_begin():
 * CLONE_FILES; or 0 where close_range(2) is refused: the kernel copies the descriptors
 * at its birth then. */
int vfork_table(void);
/* As vfork_run(), for what calls vfork_leave_table() first. */
int vfork_run_alone(void (*deed)(void *argument), void *argument, nsec_t patience);
/* Was the last such child killed, or is it unable to end? */
bool vfork_left(void);
/* Is it there still, so long after it was killed?  The time of it is waited for. */
bool vfork_stays(nsec_t patience);
/* The same, with a copy of our descriptors, which `deed` may change. */
int vfork_run_apart(void (*deed)(void *argument), void *argument, nsec_t patience);
/* The same as a user: with all ids and the groups set to these, which requires
 * CAP_SETUID and CAP_SETGID (EPERM).  That user may kill or stop the child: its
 * table of descriptors is its own, so that it leaves none behind.  From then on
 * the kernel makes our memory not dumpable, unless fs.suid_dumpable is 1; the
 * saved group of the child stays ours, so that in neither case the user can read
 * our memory through the child, unless `gid` is our own group. */
struct vfork_user {
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* the supplementary ones */
	size_t group_count;
};
/* The saved group of such a child: this one; or -1: ours (setresgid(2)). */
gid_t vfork_saved_group(gid_t gid);
int vfork_run_as(void (*deed)(void *argument), void *argument, nsec_t patience,
	const struct vfork_user *user);

/* Make a call that another process can make wait, since it has the same socket
 * and so the lock of it: in such a child if somebody may have fewer rights than
 * we, for as long as vfork_patience() says.  What `deed` returns, with its errno;
 * or -1 and errno (ETIMEDOUT). */
int vfork_call(int (*deed)(void *argument), void *argument);
/* The same with that descriptor alone of ours: a child that hangs would keep the
 * others, and their ports. */
int vfork_call_on(int fd, int (*deed)(void *argument), void *argument);
/* The same with a channel, too, on which the child sends what it gets. */
int vfork_call_through(int fd, int channel, int (*deed)(void *argument), void *argument);
/* The same for a change in a directory that others can read: who reads it has its
 * lock.  A disk may be slow: it takes 0.5 s at most.  `keep`: as below. */
int vfork_call_in(int keep, int (*deed)(void *argument), void *argument);
/* The same with none of them, if a process of that user may make it wait. */
int vfork_call_alone(uid_t uid, int (*deed)(void *argument), void *argument);
bool vfork_calls(void); /* does it use one? */
/* In a child that shares our descriptors: leave them, but for these two (or one, or
 * -1), before something that may wait.  -1 and errno. */
int vfork_leave_table(int keep, int also);

/*
 * How long to wait for a child that sleeps, if a process of this user may be the
 * cause: 0.1 s.  For 10 s after a child was late, its user gets 2 ms; and 0 (no look
 * is tried) when 0.15 s were spent so, or while 8 of its children are stuck.
 */
#define VFORK_SOMEBODY ((uid_t)-1) /* it is not known whose */
#define VFORK_FILES ((uid_t)-3)    /* who keeps a file of a worker's settings */
nsec_t vfork_patience(uid_t uid);
void vfork_was_late(uid_t uid, nsec_t waited);

/* All time that we have waited in vfork_run() and its like for a deed that slept.
 * What one waits for that only wants to run is the time of other processes. */
nsec_t vfork_slept(void);

#endif
