/* SPDX-License-Identifier: MIT */
#include "os/spawn.h"

#include "base/scope.h"
#include "os/spawn_child.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

enum { STACK_SIZE = 64 * 1024 };

/*
 * The child's stack, above a guard page; made at the first spawn and kept, as
 * one mmap and its page faults at each spawn would be a good part of its
 * cost.  One is enough: vfork semantics let one child run at a time.
 */
static char *child_stack(void)
{
	static char *stack;
	size_t guard = (size_t)sysconf(_SC_PAGESIZE);
	char *base;

	if (stack)
		return stack;
	base = mmap(NULL, guard + STACK_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return NULL;
	if (mprotect(base, guard, PROT_NONE) == -1) {
		(void)munmap(base, guard + STACK_SIZE);
		return NULL;
	}
	stack = base + guard;
	return stack;
}

static pid_t start_with(
	struct spawn_child *child, char *stack, int flags, int *pidfd)
{
	return clone(spawn_child_run, stack + STACK_SIZE,
		flags | CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, child,
		pidfd);
}

/* All signals are blocked, so that no handler or default action of ours runs
 * in the child before it has reset them. */
static pid_t start(struct spawn_child *child, char *stack, int *pidfd)
{
	bool shared = child->table.first_other != 0;
	sigset_t all;
	sigset_t before;
	pid_t pid;
	int saved;

	(void)sigfillset(&all);
	if (sigprocmask(SIG_SETMASK, &all, &before) == -1)
		return -1;
	pid = start_with(child, stack, shared ? CLONE_FILES : 0, pidfd);
	if (pid == -1 && errno == EINVAL && shared) { /* an emulation */
		spawn_table_unshared(&child->table);
		pid = start_with(child, stack, 0, pidfd);
	}
	saved = errno;
	(void)sigprocmask(SIG_SETMASK, &before, NULL); /* as it was: valid */
	errno = saved;
	return pid;
}

static ssize_t read_report(int fd, struct spawn_failure *failure)
{
	ssize_t n;

	do {
		n = read(fd, failure, sizeof(*failure));
	} while (n == -1 && errno == EINTR);
	return n;
}

static void bury(int pidfd)
{
	siginfo_t info;

	while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) == -1)
		if (errno != EINTR)
			return;
}

static int cannot_clone(struct spawn_failure *failure)
{
	failure->step = SPAWN_CLONE;
	failure->error = errno;
	failure->what[0] = '\0';
	return -1;
}

/*
 * How the child tells of a failure: by the memory that it shares with us, or,
 * before that is known to be so, and where it is not (valgrind makes a fork of
 * it), by a pipe that exec closes.  The pipe costs a tenth of a spawn.
 */
static bool is_memory_shared(const struct spawn_child *child)
{
	static bool known;

	if (child != NULL && child->ran)
		known = true;
	return known;
}

static int open_report(int *reader, int *writer)
{
	int ends[2];

	if (is_memory_shared(NULL))
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

int spawn(const struct spawn_plan *plan, pid_t *pid, int *pidfd,
	struct spawn_failure *failure)
{
	struct spawn_child child = {.plan = plan, .parent = getpid()};
	char *stack = child_stack();
	scoped_fd reader = -1;
	scoped_fd writer = -1;
	int handle = -1;

	if (!stack || open_report(&reader, &writer) == -1 ||
		spawn_table_lend(&child.table, plan, writer) == -1)
		return cannot_clone(failure);
	*pid = start(&child, stack, &handle);
	if (*pid == -1)
		(void)cannot_clone(failure);
	spawn_table_return(&child.table);
	if (*pid == -1)
		return -1;
	spawn_table_note(handle);
	fd_close(&writer);
	if (has_failed(&child, reader)) {
		*failure = child.failure;
		bury(handle);
		fd_close(&handle);
		return -1;
	}
	(void)is_memory_shared(&child);
	*pidfd = handle;
	return 0;
}
