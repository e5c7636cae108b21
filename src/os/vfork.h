/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/*
 * Children that run on our memory (CLONE_VM) for a short time, each on a stack of
 * its own, while we wait: as after vfork(2), but with a limit of time.
 *
 * Another user's process may keep a system call waiting as long as it likes, and
 * SIGKILL does not end such a wait: for a file server that does not answer (FUSE,
 * NFS), or for a lock that the process holds meanwhile.  So a child makes such
 * calls.  A child that takes too long is killed, and if that does not end it, it
 * is left alone with its stack until the kernel ends the wait.
 *
 * It then runs no code any more, but the system call in which it waits may still
 * write to its buffers: in a child, a call that may wait writes only to the
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
	/* set by the caller: start the child even if very many are stuck; the CPU
	 * time that it may need, if that is more than the patience */
	bool needed;
	nsec_t work;
	struct vfork_stack *stack;
	pid_t pid;
};

/* clone(2) a child, which runs `start`.  `flags`: more of them, with the signal at
 * its end (0: none); `pidfd`: where CLONE_PIDFD puts it, or NULL.  All signals are
 * blocked in the child, so that no handler or default action of ours runs there.  -1
 * and errno. vfork_wait() must follow.  Until then parent and child share one errno,
 * too. */
int vfork_begin(
	struct vfork *child, int (*start)(void *argument), void *argument, int flags, int *pidfd);
/* Wait until the child has called exec or exited; `patience` 0: however long that
 * takes.  True: it has, and its stack is free again. */
bool vfork_wait(struct vfork *child, nsec_t patience);
/* Kill a child that has not.  True: it has ended, and is reaped; else its stack
 * stays taken until it ends. */
bool vfork_kill(struct vfork *child);
/* Reap a child that has exited, which may take time.  Result as of vfork_kill(). */
bool vfork_reap(struct vfork *child);
/* Can a child's memory show that it has ended?  Not where it gets a copy of our
 * memory (valgrind); then nclust makes all calls itself. */
bool vfork_is_shared(void);
/* How many children were killed in vain, and are still there. */
unsigned vfork_stuck(void);
/* The owner of one that has been for so long (vfork_blame()), who is told once; 0: none. */
uint64_t vfork_overdue(nsec_t age);
bool vfork_has(pid_t pid); /* is the process one of these children? */

/*
 * Run `function` in such a child, with our descriptors (CLONE_FILES), for no longer
 * than `patience`.  It must not lock or allocate.  Returns its result, with its errno; or
 * -1 and errno (ETIMEDOUT: the child was killed).
 */
int vfork_run(int (*function)(void *argument), void *argument, nsec_t patience);
/* A flag for vfork_begin() of a child that first calls vfork_leave_table():
 * CLONE_FILES; or 0 where close_range(2) is refused, so that the kernel copies the
 * descriptors at clone. */
int vfork_table(void);
/* In a child that shares our descriptors: leave the table, but keep these two (or
 * one, or -1), before a call that may wait.  -1 and errno. */
int vfork_leave_table(int keep, int also);

/* All ids and the groups of a child, which requires CAP_SETUID and CAP_SETGID (EPERM).
 * That user may kill or stop the child: so the child has a table of descriptors of its
 * own, and leaves none behind.  From then on the kernel makes our memory not dumpable,
 * unless fs.suid_dumpable is 1; then the saved group of the child stays ours.  So in
 * neither case can the user read our memory through the child, unless `gid` is our own
 * group. */
struct vfork_user {
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* the supplementary ones */
	size_t group_count;
};
/* The saved group of such a child: this one; or -1: ours (setresgid(2)). */
gid_t vfork_saved_group(gid_t gid);

/* In place of a descriptor to keep. */
#define VFORK_LEAVES (-2) /* the function calls vfork_leave_table() */
#define VFORK_SHARES (-3) /* the child has our table */

/* A function for a child, and what the child has of ours. */
struct vfork_call {
	int (*function)(void *argument);
	void *argument;
	const struct vfork_user *user; /* NULL: our own ids */
	int keep, also; /* of our descriptors it keeps these two (or one, or -1: none) */
	bool needed;    /* even if very many children are stuck */
};
/* Make the call as vfork_run() does.  -1 and EAGAIN: no child can be started. */
int vfork_run_call(const struct vfork_call *call, nsec_t patience);
/* Make the call, for no longer than `patience` (0: not at all); should it take longer,
 * that user was late.  Returns the function's result, with its errno; or -1 and errno
 * (ETIMEDOUT: the child was killed). */
int vfork_make_call(const struct vfork_call *call, uid_t uid, nsec_t patience);
/* Was the last child killed, or is it unable to end? */
bool vfork_left(void);
/* Is the last child still there, `patience` after it was killed?  Waits for so long at most. */
bool vfork_stays(nsec_t patience);

/* Make a call that another process can make wait, since it has the same socket and
 * so the socket's lock: in such a child if a process may have fewer rights than
 * nclust, for as long as vfork_patience() says.  Returns the function's result, with its
 * errno; or -1 and errno (ETIMEDOUT). */
int vfork_call(int (*function)(void *argument), void *argument);
/* The same with that descriptor alone of ours: a child that hangs would keep the
 * others open, and their ports. */
int vfork_call_on(int fd, int (*function)(void *argument), void *argument);
/* The same with a channel, too, on which the child sends its result. */
int vfork_call_through(int fd, int channel, int (*function)(void *argument), void *argument);
/* The same for a change in a directory that other users can read: a reader can hold the
 * directory's lock.  A disk may be slow: it takes 2 s at most.  `keep`: vfork_leave_table(). */
int vfork_call_in(int keep, int (*function)(void *argument), void *argument);
/* The same without descriptors of ours, if a process of that user may make the call wait. */
int vfork_call_alone(uid_t uid, int (*function)(void *argument), void *argument);
bool vfork_calls(void); /* does vfork_call() use a child? */

/* A function for such a child that makes one system call; `argument` is this struct. */
struct vfork_syscall {
	long number;
	long args[5];
};
int vfork_syscall(void *argument);

/*
 * How long to wait for a child that sleeps, if a process of this user may be the cause: 0.1 s.
 * For 10 s after a child was late, its user gets 2 ms; and 0 (no call is tried) when 0.15 s were
 * spent so, or while 8 of its children are stuck.
 */
#define VFORK_SOMEBODY ((uid_t)-1) /* the user is unknown */
#define VFORK_FILES ((uid_t)-3)    /* in place of a uid: files of workers' settings */
nsec_t vfork_patience(uid_t uid);
void vfork_was_late(uid_t uid, nsec_t waited);
/* Is the last child stuck?  Then it counts against this user, and that owner. */
bool vfork_blame(uid_t uid, uint64_t owner);

/* All time that nclust has waited in vfork_run() and its like for a function that slept.
 * Waits for a function that only lacked a CPU do not count. */
nsec_t vfork_slept(void);
