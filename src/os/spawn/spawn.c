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

	if (child->table.first_other != 0)
		flags |= CLONE_FILES;
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
	child->failed = true;
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

/* Receive the notify descriptors that children have sent; each child sends one
 * message, or none where it did not get so far. */
static void take_traps(int channel, struct spawning *list, unsigned count)
{
	struct fdpass_message m;
	struct spawn_trapped got;

	while (fdpass_receive(channel, &got, sizeof(got), &m) == 1) {
		struct spawn_trap *trap = m.len == (ssize_t)sizeof(got) && got.nth < count
			? list[got.nth].plan->trap
			: NULL;

		if (trap != NULL) {
			fd_close(&trap->fd);
			trap->error = got.error;
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

/* A spawn that has begun and not ended. */
struct flight {
	struct spawn_child child;
	struct vfork v;
	int reader;
	int writer;
	int handle;
	bool begun;
	bool late; /* it has hung, and was killed */
};

static void begin_flight(struct flight *f, unsigned nth, struct spawning *it)
{
	const struct spawn_plan *plan = it->plan;

	*f = (struct flight){
		.child = {.plan = plan, .nth = nth, .parent = getpid(), .at = SPAWN_SESSION},
		.v = {.needed = true},
		.reader = -1,
		.writer = -1,
		.handle = -1,
	};
	it->pidfd = -1;
	if (plan->trap != NULL) {
		plan->trap->fd = -1;
		plan->trap->error = EPROTO;
	}
	if (open_report(&f->reader, &f->writer) == -1 ||
		spawn_table_lend(&f->child.table, plan, f->writer) == -1) {
		(void)spawn_fail(&it->failure, SPAWN_CLONE, "");
		return;
	}
	f->begun = start_child(&f->child, &f->v, &f->handle) == 0;
	if (!f->begun) {
		(void)spawn_fail(&it->failure, SPAWN_CLONE, "");
		spawn_table_return(&f->child.table);
	}
}

/* Wait for one exec; the time counts from when all children were started. */
static void await_exec(struct flight *f, nsec_t since)
{
	nsec_t patience = f->child.plan->patience;
	nsec_t left = patience - (clock_now() - since);

	if (left < MSEC)
		left = MSEC;
	f->late = !vfork_wait(&f->v, patience == 0 ? 0 : left);
	if (f->late)
		(void)vfork_kill(&f->v);
}

/* No child shares errno any more. */
static void end_flight(struct flight *f, struct spawning *it)
{
	bool failed;

	if (f->late)
		note_timeout(&f->child);
	spawn_table_return(&f->child.table);
	spawn_table_note(f->handle);
	it->pid = f->v.pid;
	fd_close(&f->writer);
	failed = has_failed(&f->child, f->late ? -1 : f->reader);
	if (!failed && f->child.scored_later &&
		set_score(f->v.pid, it->plan->oom_score_adj, it->plan->own_score) == -1) {
		/* for want of a descriptor another try may succeed */
		(void)spawn_fail(&f->child.failure, errno == EMFILE ? SPAWN_CLONE : SPAWN_OOM_SCORE,
			it->plan->oom_score_adj);
		(void)vfork_kill(&f->v);
		f->late = true;
	}
	if (failed || f->late) {
		it->failure = f->child.failure;
		if (!f->late)
			(void)vfork_reap(&f->v);
		fd_close(&f->handle);
	}
	it->pidfd = f->handle;
}

/* Where children would overwrite errno (spawn_overlaps), they are started one after the other. */
void spawn_many(struct spawning *list, unsigned count)
{
	struct flight flights[SPAWN_MANY] uninitialized;
	const struct spawn_trap *trap = NULL;
	nsec_t since;

	for (unsigned i = 0; i < count; i++) {
		begin_flight(&flights[i], i, &list[i]);
		if (flights[i].begun && !spawn_overlaps)
			await_exec(&flights[i], clock_now());
	}
	since = clock_now();
	for (unsigned i = 0; i < count; i++)
		if (flights[i].begun && spawn_overlaps)
			await_exec(&flights[i], since);
	for (unsigned i = 0; i < count; i++) {
		if (flights[i].begun)
			end_flight(&flights[i], &list[i]);
		fd_close(&flights[i].reader);
		fd_close(&flights[i].writer);
		if (list[i].plan->trap != NULL)
			trap = list[i].plan->trap;
	}
	if (trap != NULL)
		take_traps(trap->channel[0], list, count);
	for (unsigned i = 0; i < count; i++)
		if (list[i].pidfd == -1 && list[i].plan->trap != NULL)
			fd_close(&list[i].plan->trap->fd);
}

int spawn(const struct spawn_plan *plan, pid_t *pid, int *pidfd, struct spawn_failure *failure)
{
	struct spawning it = {.plan = plan};

	spawn_many(&it, 1);
	if (it.pidfd == -1) {
		*failure = it.failure;
		return -1;
	}
	*pid = it.pid;
	*pidfd = it.pidfd;
	return 0;
}
