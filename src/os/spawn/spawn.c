/* SPDX-License-Identifier: MIT */
#include "os/spawn/spawn.h"

#include "base/scope.h"
#include "base/text.h"
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

/* A table that has to grow while a child shares it waits for all CPUs: 10 ms and more
 * (expand_fdtable() in the kernel's fs/file.c).  So let it grow before, for the
 * descriptors that the clones and the children make. */
static void grow_table(int channel)
{
	int free = fcntl(channel, F_DUPFD_CLOEXEC, 0);
	int above = free != -1 ? fcntl(channel, F_DUPFD_CLOEXEC, free + 8 * SPAWN_MANY) : -1;

	fd_close(&free);
	fd_close(&above);
}

/* With thousands of workers nclust holds tens of thousands of descriptors: to copy them
 * for each child, which then closes them, takes longer than all the rest.  So the child
 * shares the table at first, and gets what the plan names in a message.  False: it has to
 * have a copy. */
static bool lend(const struct spawn_plan *plan)
{
	int fds[SPAWN_FDS_MAX + 2];
	size_t n = 0;

	if (plan->channel == NULL || !vfork_is_shared() || vfork_table() == 0)
		return false;
	for (; n < plan->fd_count && n < SPAWN_FDS_MAX; n++)
		fds[n] = plan->fds[n].from;
	if (plan->null_fd != -1)
		fds[n++] = plan->null_fd;
	if (plan->exec_fd != -1)
		fds[n++] = plan->exec_fd;
	return fdpass_send(plan->channel[0], "", 1, fds, n) == 0;
}

static int start_child(struct spawn_child *child, struct vfork *v, int *pidfd)
{
	int flags = CLONE_PIDFD | SIGCHLD;

	child->lent = lend(child->plan);
	if (child->lent)
		flags |= CLONE_FILES;
	/* The kernel gives all processes that share memory the same score, but for a
	 * child whose parent waits by vfork(2) (__set_oom_adj() in fs/proc).  With
	 * all rights nclust sets the score after the exec; where that would be
	 * refused the child sets it before, and then the wait has no limit of time. */
	child->scored_later = child->plan->oom_score_adj != NULL && vfork_calls() &&
		privilege_has(CAP_DAC_OVERRIDE) && privilege_has(CAP_SYS_PTRACE);
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

/* Receive the notify descriptor that the child has sent, if it got so far. */
static void take_trap(int channel, struct spawn_trap *trap)
{
	struct fdpass_message m;
	int error;

	while (fdpass_receive(channel, &error, sizeof(error), &m) == 1) {
		if (m.len == (ssize_t)sizeof(error)) {
			fd_close(&trap->fd);
			trap->error = m.lost ? EMFILE : error;
			if (m.fd_count == 1)
				trap->fd = fd_release(&m.fds[0]);
		}
		fdpass_drop(&m);
	}
}

/* A spawn that has begun and not ended. */
struct flight {
	struct spawn_child child;
	struct vfork v;
	int handle;
	bool begun;
	bool late; /* it has hung, and was killed */
	int unfit; /* errno: why it has no oom_score_adj, or no trap for want of a descriptor; or 0 */
};

static void begin_flight(struct flight *f, struct spawning *it)
{
	const struct spawn_plan *plan = it->plan;

	*f = (struct flight){
		.child = {.plan = plan, .parent = getpid(), .at = SPAWN_SESSION},
		.v = {.needed = true},
		.handle = -1,
	};
	if (plan->trap != NULL) {
		plan->trap->fd = -1;
		plan->trap->error = EPROTO;
	}
	f->begun = start_child(&f->child, &f->v, &f->handle) == 0;
	if (!f->begun)
		(void)spawn_fail(&f->child.failure, SPAWN_CLONE, "");
}

/* Wait for one exec; the time counts from when all children were started. */
static void await_exec(struct flight *f, nsec_t since)
{
	nsec_t patience = f->child.plan->patience;

	if (!f->begun)
		return;
	if (patience != 0) {
		patience -= clock_now() - since;
		if (patience < MSEC)
			patience = MSEC;
	}
	f->late = !vfork_wait(&f->v, patience);
	if (f->late)
		(void)vfork_kill(&f->v);
}

enum { YIELDS = 8 };

static bool has_execed(const struct flight *f)
{
	return f->begun && !f->late && !f->child.failed;
}

/* The score of those that have called exec; NULL: they need none. */
static const char *score_of(const struct flight *flights, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (has_execed(&flights[i]) && flights[i].child.scored_later)
			return flights[i].child.plan->oom_score_adj;
	return NULL;
}

static ssize_t read_own(char score[16])
{
	return process_read(getpid(), "oom_score_adj", score, 16);
}

/* The futex is woken a moment before exec has separated the two memories: then
 * nclust's own score has changed, too. */
static void set_scores(struct flight *flights, unsigned count)
{
	const struct timespec pause = {.tv_nsec = 100 * 1000};
	const char *score = score_of(flights, count);
	char before[16];
	char after[16];

	if (score == NULL)
		return;
	if (read_own(before) == -1) {
		for (unsigned i = 0; i < count; i++)
			flights[i].unfit = errno;
		return;
	}
	if (strtol(before, NULL, 10) == strtol(score, NULL, 10))
		return; /* the children have inherited the score */
	for (int tries = 0; tries < 100; tries++) {
		for (unsigned i = 0; i < count; i++)
			if (has_execed(&flights[i]) &&
				spawn_oom_score(flights[i].v.pid, score) == -1)
				flights[i].unfit = errno;
		if (read_own(after) == -1 || strcmp(before, after) == 0)
			return;
		(void)spawn_oom_score(getpid(), before);
		/* exec needs a CPU for some µs, and a pause takes 0.9 ms */
		if (tries < YIELDS)
			(void)sched_yield();
		else
			(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
	}
}

/* Has the program been executed? */
static bool end_child(struct flight *f)
{
	struct spawn_child *child = &f->child;

	if (f->late)
		note_timeout(child);
	else if (f->begun && child->failed)
		(void)vfork_reap(&f->v);
	if (!has_execed(f) || f->unfit == 0)
		return has_execed(f);
	/* for want of a descriptor another try may succeed */
	errno = f->unfit;
	if (errno == EMFILE)
		(void)spawn_fail(&child->failure, SPAWN_CLONE, "");
	else
		(void)spawn_fail(&child->failure, SPAWN_OOM_SCORE, child->plan->oom_score_adj);
	(void)vfork_kill(&f->v);
	return false;
}

/* No child shares errno any more. */
static void end_flight(struct flight *f, struct spawning *it)
{
	const struct spawn_plan *plan = it->plan;
	struct fdpass_message m;
	char byte;
	bool runs;

	if (plan->trap != NULL) {
		take_trap(plan->channel[0], plan->trap);
		/* its filter without a listener would make each bind(2) fail */
		if (plan->trap->error == EMFILE)
			f->unfit = EMFILE;
	}
	runs = end_child(f);
	/* A child that has failed, or was killed, may have left the message of lend() unread: it is
	 * not for the next one. */
	while (f->child.lent && fdpass_receive(plan->channel[1], &byte, 1, &m) == 1)
		fdpass_drop(&m);
	it->pid = f->v.pid;
	it->pidfd = -1;
	if (runs)
		it->pidfd = fd_release(&f->handle);
	else if (plan->trap != NULL)
		fd_close(&plan->trap->fd);
	it->failure = f->child.failure;
	fd_close(&f->handle);
}

static void fly(struct spawning *list, unsigned count)
{
	struct flight flights[SPAWN_MANY] uninitialized;
	nsec_t since;

	if (list[0].plan->channel != NULL)
		grow_table(list[0].plan->channel[0]);
	for (unsigned i = 0; i < count; i++)
		begin_flight(&flights[i], &list[i]);
	since = clock_now();
	for (unsigned i = 0; i < count; i++)
		await_exec(&flights[i], since);
	set_scores(flights, count);
	for (unsigned i = 0; i < count; i++)
		end_flight(&flights[i], &list[i]);
}

/* Children that run at once share one errno, which then may be another one's: one that has failed is
 * started again by itself. */
void spawn_many(struct spawning *list, unsigned count)
{
	if (count > 0)
		fly(list, count);
	for (unsigned i = 0; count > 1 && i < count; i++)
		if (list[i].pidfd == -1 && list[i].failure.error != ETIMEDOUT)
			fly(&list[i], 1);
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

/* ---- in words ---- */

/* The step that failed, for a sentence "cannot STEP for 'name'". */
static const char *const steps[] = {
	[SPAWN_TRAP] = "trap bind and listen",
	[SPAWN_SESSION] = "make a session",
	[SPAWN_SIGNALS] = "reset the signals",
	[SPAWN_LIMIT] = "set the resource limit",
	[SPAWN_NICE] = "set the nice value",
	[SPAWN_OOM_SCORE] = "set the OOM score",
	[SPAWN_AFFINITY] = "pin the CPU",
	[SPAWN_DESCRIPTORS] = "arrange descriptor",
	[SPAWN_CHROOT] = "change root to",
	[SPAWN_GROUPS] = "set the groups",
	[SPAWN_USER] = "change the user",
	[SPAWN_DIRECTORY] = "enter directory",
	[SPAWN_PARENT] = "follow the supervisor",
	[SPAWN_CAPABILITIES] = "set the capabilities",
	[SPAWN_NO_NEW_PRIVS] = "set no_new_privs",
	[SPAWN_CGROUP] = "enter the cgroup",
};

int spawn_exit_status(const struct spawn_failure *f)
{
	if (f->step == SPAWN_CLONE || f->step == SPAWN_CGROUP || f->error == ETIMEDOUT)
		return 0;
	if (f->error == EAGAIN && (f->step == SPAWN_EXEC || f->step == SPAWN_USER))
		return 0; /* RLIMIT_NPROC of the user */
	if (f->step == SPAWN_EXEC && (f->error == ENOENT || f->error == ENOTDIR))
		return 127;
	return 126;
}

static const struct {
	enum spawn_step step;
	int error;
	const char *text;
} hints[] = {
	{SPAWN_CLONE, EMFILE, "nclust's limit of open files is reached (RLIMIT_NOFILE)"},
	{SPAWN_CHROOT, EPERM, "this needs root"},
	{SPAWN_GROUPS, EPERM, "this needs root"},
	{SPAWN_USER, EPERM, "this needs root"},
	{SPAWN_CAPABILITIES, EPERM,
		"nclust can only pass on what it has, and needs CAP_SETPCAP, "
		"or no-new-privs = yes, to take the rest away"},
	{SPAWN_CHROOT, ETIMEDOUT, "does its file server answer?"},
	{SPAWN_DIRECTORY, ETIMEDOUT, "does its file server answer?"},
	{SPAWN_EXEC, ETIMEDOUT, "does its file server answer?"},
	{SPAWN_EXEC, ENOEXEC,
		"neither a program for this machine nor a script whose first "
		"line names its interpreter ('#!/bin/sh')"},
	{SPAWN_EXEC, E2BIG,
		"its arguments and environment together are larger than the kernel takes"},
	{SPAWN_EXEC, ETXTBSY, "a process has it open for writing"},
	{SPAWN_EXEC, ENOMEM, "the machine or the cgroup is short of memory"},
	{SPAWN_EXEC, EAGAIN, "the user's limit of processes (RLIMIT_NPROC) is reached"},
};

static void explain_step(const struct spawn_failure *f, const char *name, struct error *err)
{
	const char *step = f->step < COUNT_OF(steps) ? steps[f->step] : NULL;

	if (!step)
		step = "go on";
	if (f->what[0] != '\0')
		error_set(err, f->error, "cannot %s '%s' for '%s'", step, f->what, name);
	else
		error_set(err, f->error, "cannot %s for '%s'", step, name);
}

void spawn_explain(const struct spawn_failure *f, const char *name, struct error *err)
{
	switch (f->step) {
	case SPAWN_CLONE:
		error_set(err, f->error, "cannot start '%s'", name);
		error_hint_processes(err);
		break;
	case SPAWN_EXEC:
		if (f->error == ENOENT && strchr(name, '/') == NULL) {
			error_set(err, 0, "cannot find '%s' in PATH", name);
			if (strchr(name, '=') != NULL)
				error_hint(err, "no shell runs this: try env %s COMMAND", name);
			if (text_is_of_shell(name))
				error_hint(err,
					"no shell runs this: try sh -c '%s ...', or --directory",
					name);
		} else
			error_set(err, f->error, "cannot execute '%s'",
				f->what[0] != '\0' ? f->what : name);
		if ((f->error == ENOENT || f->error == EACCES || f->error == ENOEXEC) &&
			text_interpreter(name) != NULL)
			error_hint(err, "try: %s %s", text_interpreter(name), name);
		if (f->error == ENOENT && strpbrk(name, " \t") != NULL)
			error_hint(err, "that is one word: without quotes its words are apart");
		break;
	case SPAWN_INTERPRETER:
		if (f->what[0] != '\0')
			error_set(err, f->error, "cannot execute '%s': its interpreter '%s'", name,
				f->what);
		else
			error_set(err, f->error, "cannot execute '%s': its dynamic loader", name);
		break;
	case SPAWN_REGAIN:
		error_set(err, 0, "cannot start '%s': the new user could become root again", name);
		break;
	default:
		explain_step(f, name, err);
		break;
	}
	for (size_t i = 0; i < COUNT_OF(hints); i++)
		if (hints[i].step == f->step && hints[i].error == f->error)
			error_hint(err, "%s", hints[i].text);
	(void)error_status(err, spawn_exit_status(f));
}
