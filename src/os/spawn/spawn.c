/* SPDX-License-Identifier: MIT */
#include "os/spawn/spawn.h"

#include "base/scope.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "os/privilege.h"
#include "os/process.h"
#include "os/spawn/internal.h"
#include "os/vfork.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int start_child(struct spawn_child *child, struct vfork *v, int *pidfd)
{
	int flags = CLONE_PIDFD | SIGCHLD;

	/* The kernel gives all processes that share memory the same score, but for a
	 * child whose parent waits by vfork(2) (__set_oom_adj() in fs/proc).  With
	 * all rights nclust sets the score after the exec; where that would be
	 * refused the child sets it before, and then the wait has no limit of time. */
	child->scored_later = child->plan->oom_score_adj != NULL && child->plan->own_score > 0 &&
		vfork_calls() && privilege_has(CAP_DAC_OVERRIDE) && privilege_has(CAP_SYS_PTRACE);
	if (child->plan->oom_score_adj != NULL && !child->scored_later)
		flags |= CLONE_VFORK;
	return vfork_begin(v, spawn_child_run, child, flags, pidfd);
}

/* The child has hung in this step, and was killed: note the failure. */
static void note_timeout(struct spawn_child *child)
{
	const struct spawn_plan *plan = child->plan;
	enum spawn_step step = child->at;
	const char *what = NULL;

	/* the child may hang after the step, which then need not have had a path */
	if (step == SPAWN_CHROOT)
		what = plan->chroot;
	else if (step == SPAWN_DIRECTORY)
		what = plan->directory;
	else if (step == SPAWN_EXEC && plan->candidates != NULL && plan->candidates[0] != NULL)
		what = plan->candidates[0];
	errno = ETIMEDOUT;
	(void)spawn_fail(&child->failure, step, what != NULL ? what : "");
}

/*
 * The child reports a failure by the memory that it shares with nclust, or, where
 * it does not share (valgrind makes a fork of it), by a pipe that exec closes.
 */
static int open_report(int *reader, int *writer)
{
	int ends[2];

	if (vfork_is_shared())
		return 0;
	if (pipe2(ends, O_CLOEXEC) == -1)
		return -1;
	*reader = ends[0];
	*writer = ends[1];
	return 0;
}

/* End of file: exec closed the pipe, or the child was killed before, which its pidfd
 * reports like any other death. */
static bool has_failed(struct spawn_child *child, int reader)
{
	ssize_t n;

	if (reader == -1)
		return child->failed;
	do {
		n = read(reader, &child->failure, sizeof(child->failure));
	} while (n == -1 && errno == EINTR);
	return n == (ssize_t)sizeof(child->failure);
}

/* Receive the notify descriptor that the child has sent, if it got so far. */
static void take_trap(struct spawn_trap *trap)
{
	struct fdpass_message m;
	int error;

	while (fdpass_receive(trap->channel[0], &error, sizeof(error), &m) == 1) {
		if (m.len == (ssize_t)sizeof(error)) {
			fd_close(&trap->fd);
			trap->error = error;
			if (m.fd_count == 1)
				trap->fd = fd_release(&m.fds[0]);
		}
		fdpass_drop(&m);
	}
}

static void read_own(int fd, char score[16])
{
	ssize_t n = pread(fd, score, 15, 0);

	score[n > 0 ? n : 0] = '\0';
}

enum { YIELDS = 8 };

/* The futex is woken a moment before exec has separated the two memories: then
 * nclust's own score has changed, too. */
static int set_score(pid_t pid, const char *score, int own)
{
	const struct timespec pause = {.tv_nsec = 100 * 1000};
	char before[16];
	char after[16];

	read_own(own, before);
	if (*before != '\0' && strtol(before, NULL, 10) == strtol(score, NULL, 10))
		return 0; /* the child has inherited the score */
	for (int i = 0; i < 100; i++) {
		if (spawn_oom_score(pid, score) == -1)
			return -1;
		read_own(own, after);
		if (strcmp(before, after) == 0)
			return 0;
		(void)spawn_oom_score(getpid(), before);
		/* exec needs a CPU for some µs, and a pause takes 0.9 ms */
		if (i < YIELDS)
			(void)sched_yield();
		else
			(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
	}
	return 0;
}

/* The child has called exec, has failed, or was `late` and killed. */
static int end_spawn(struct spawn_child *child, struct vfork *v, int reader, bool late)
{
	const struct spawn_plan *plan = child->plan;
	bool failed = late || has_failed(child, reader);

	if (late)
		note_timeout(child);
	if (!failed && child->scored_later &&
		set_score(v->pid, plan->oom_score_adj, plan->own_score) == -1) {
		/* for want of a descriptor another try may succeed */
		(void)spawn_fail(&child->failure, errno == EMFILE ? SPAWN_CLONE : SPAWN_OOM_SCORE,
			plan->oom_score_adj);
		(void)vfork_kill(v);
		return -1;
	}
	if (failed && !late)
		(void)vfork_reap(v);
	return failed ? -1 : 0;
}

int spawn(const struct spawn_plan *plan, pid_t *pid, int *pidfd, struct spawn_failure *failure)
{
	scoped_fd reader = -1;
	scoped_fd writer = -1;
	scoped_fd handle = -1;
	struct spawn_child child = {.plan = plan, .parent = getpid(), .at = SPAWN_SESSION};
	struct vfork v = {.needed = true};
	bool late;
	int got;

	if (plan->trap != NULL) {
		plan->trap->fd = -1;
		plan->trap->error = EPROTO;
	}
	if (open_report(&reader, &writer) == -1)
		return spawn_fail(failure, SPAWN_CLONE, "");
	child.report = writer;
	if (start_child(&child, &v, &handle) == -1)
		return spawn_fail(failure, SPAWN_CLONE, "");
	late = !vfork_wait(&v, plan->patience);
	if (late)
		(void)vfork_kill(&v);
	fd_close(&writer);
	got = end_spawn(&child, &v, reader, late);
	if (plan->trap != NULL)
		take_trap(plan->trap);
	if (got == -1) {
		*failure = child.failure;
		if (plan->trap != NULL)
			fd_close(&plan->trap->fd);
		return -1;
	}
	*pid = v.pid;
	*pidfd = fd_release(&handle);
	return 0;
}
