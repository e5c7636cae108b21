/* SPDX-License-Identifier: MIT */
#include "os/spawn/spawn.h"

#include "base/scope.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "os/privilege.h"
#include "os/process.h"
#include "os/spawn/spawn_child.h"
#include "os/vfork.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int start(struct spawn_child *child, struct vfork *v, int *pidfd)
{
	int flags = CLONE_PIDFD | SIGCHLD;

	/* The kernel gives all processes of one memory the same score, but for
	 * one whose parent waits by vfork(2) (__set_oom_adj() in fs/proc).  With
	 * all rights it is set after the exec, where that would be refused to us
	 * it is set before, and then there is no limit of time. */
	child->scored_later = child->plan->oom_score_adj != NULL &&
		child->plan->own_score > 0 && vfork_calls() &&
		privilege_has(CAP_DAC_OVERRIDE) &&
		privilege_has(CAP_SYS_PTRACE);
	if (child->plan->oom_score_adj != NULL && !child->scored_later)
		flags |= CLONE_VFORK;
	return vfork_begin(v, spawn_child_run, child, flags, pidfd);
}

/* It waits in this step, and was killed. */
static void blame(struct spawn_child *child)
{
	const struct spawn_plan *plan = child->plan;
	enum spawn_step step = child->at;
	const char *what = NULL;

	/* it may wait in what follows such a step, without a directory */
	if (step == SPAWN_CHROOT)
		what = plan->chroot;
	else if (step == SPAWN_DIRECTORY)
		what = plan->directory;
	else if (step == SPAWN_EXEC && plan->candidates != NULL &&
		plan->candidates[0] != NULL)
		what = plan->candidates[0];
	errno = ETIMEDOUT;
	(void)spawn_fail(&child->failure, step, what != NULL ? what : "");
}

static ssize_t read_report(int fd, struct spawn_failure *failure)
{
	ssize_t n;

	do {
		n = read(fd, failure, sizeof(*failure));
	} while (n == -1 && errno == EINTR);
	return n;
}

/*
 * The child tells of a failure by the memory that it shares with us, or, where it
 * does not (valgrind makes a fork of it), by a pipe that exec closes.
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

/* The end of file says that exec closed the pipe; or that the child was killed
 * before, which its pidfd tells like any other death. */
static bool has_failed(struct spawn_child *child, int reader)
{
	if (reader == -1)
		return child->failed;
	return read_report(reader, &child->failure) ==
		(ssize_t)sizeof(child->failure);
}

/* Take what the child has sent of its trap: one message, or none where it did not
 * get so far. */
static void take_trap(struct spawn_trap *trap)
{
	struct fdpass_message m;
	int error;

	while (fdpass_receive(trap->channel[0], &error, sizeof(error), &m) ==
		1) {
		if (m.len == (ssize_t)sizeof(error)) {
			fd_close(&trap->fd);
			trap->error = error;
			if (m.fd_count == 1)
				trap->fd = fd_release(&m.fds[0]);
		}
		fdpass_drop(&m);
	}
}

struct scoring {
	pid_t pid;
	const char *score;
	int error;
};

/* With a table of its own, in which it makes room. */
static void write_score(void *argument)
{
	struct scoring *s = argument;

	(void)close(STDIN_FILENO);
	s->error = spawn_oom_score(s->pid, s->score) == -1 ? errno : 0;
}

static void read_own(int fd, char score[16])
{
	ssize_t n = pread(fd, score, 15, 0);

	score[n > 0 ? n : 0] = '\0';
}

enum { YIELDS = 8 };

/* The futex says exec a moment before the memories are two: then our own score
 * has changed, too. */
static int set_score(pid_t pid, const char *score, int own)
{
	struct scoring s = {.pid = pid, .score = score};
	const struct timespec pause = {.tv_nsec = 100 * 1000};
	char before[16];
	char after[16];
	int got;

	read_own(own, before);
	if (*before != '\0' &&
		strtol(before, NULL, 10) == strtol(score, NULL, 10))
		return 0; /* it has inherited it */
	for (int i = 0; i < 100; i++) {
		s.error = 0;
		got = spawn_oom_score(pid, score);
		if (got == -1 && errno == EMFILE)
			got = vfork_run_apart(write_score, &s, SECOND);
		else if (got == -1)
			s.error = errno;
		if (s.error != 0) {
			errno = s.error;
			return -1;
		}
		read_own(own, after);
		if (got == -1 || strcmp(before, after) == 0)
			return got;
		(void)spawn_oom_score(getpid(), before);
		/* it needs a CPU for some µs, and a pause takes 0.9 ms */
		if (i < YIELDS)
			(void)sched_yield();
		else
			(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
	}
	return got;
}

/* Wait for the exec.  -1 and child->failure: nothing is left of the child. */
static int await_exec(
	struct spawn_child *child, struct vfork *v, int reader, int *writer)
{
	const struct spawn_plan *plan = child->plan;
	bool late = !vfork_wait(v, plan->patience);

	fd_close(writer);
	if (late) {
		blame(child);
	} else if (has_failed(child, reader)) {
		(void)vfork_reap(v);
		return -1;
	} else if (!child->scored_later ||
		set_score(v->pid, plan->oom_score_adj, plan->own_score) == 0) {
		return 0;
	} else {
		(void)spawn_fail(
			&child->failure, SPAWN_OOM_SCORE, plan->oom_score_adj);
	}
	(void)vfork_kill(v);
	return -1;
}

static int spawn_child(struct spawn_child *child, pid_t *pid, int *pidfd)
{
	struct vfork v = {.needed = true};
	scoped_fd reader = -1;
	scoped_fd writer = -1;
	scoped_fd handle = -1;

	if (open_report(&reader, &writer) == -1 ||
		spawn_table_fill(&child->table, child->plan, writer) == -1 ||
		start(child, &v, &handle) == -1)
		return spawn_fail(&child->failure, SPAWN_CLONE, "");
	if (await_exec(child, &v, reader, &writer) == -1)
		return -1;
	*pid = v.pid;
	*pidfd = fd_release(&handle);
	return 0;
}

int spawn(const struct spawn_plan *plan, pid_t *pid, int *pidfd,
	struct spawn_failure *failure)
{
	struct spawn_child child = {
		.plan = plan, .parent = getpid(), .at = SPAWN_SESSION};
	struct spawn_trap *trap = plan->trap;
	int got;

	if (trap != NULL) {
		trap->fd = -1;
		trap->error = EPROTO;
	}
	got = spawn_child(&child, pid, pidfd);
	if (trap != NULL)
		take_trap(trap);
	if (got == -1) {
		*failure = child.failure;
		if (trap != NULL)
			fd_close(&trap->fd);
	}
	return got;
}
