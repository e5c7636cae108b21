/* SPDX-License-Identifier: MIT */
#include "os/vfork.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STACK_SIZE = 64 * 1024 };

/*
 * Above a guard page; made at the first spawn and kept, as one mmap and its page
 * faults at each spawn would be a good part of its cost.  One is enough: vfork
 * semantics let one child run at a time.
 */
char *vfork_stack_top(void)
{
	static char *stack;
	size_t guard = (size_t)sysconf(_SC_PAGESIZE);
	char *base;

	if (stack != NULL)
		return stack + STACK_SIZE;
	base = mmap(NULL, guard + STACK_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return NULL;
	if (mprotect(base, guard, PROT_NONE) == -1) {
		(void)munmap(base, guard + STACK_SIZE);
		return NULL;
	}
	stack = base + guard;
	return stack + STACK_SIZE;
}

/* A timer of timer_create(2), which exec deletes; glibc's wrapper allocates, and
 * the kernel's timer_t is an int. */
void vfork_bound_time(nsec_t patience)
{
	struct sigevent event = {
		.sigev_notify = SIGEV_SIGNAL,
		.sigev_signo = SIGKILL,
	};
	const struct itimerspec once = {.it_value = {
						.tv_sec = patience / SECOND,
						.tv_nsec = patience % SECOND,
					}};
	int timer;

	if (patience > 0 &&
		syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer) == 0)
		(void)syscall(SYS_timer_settime, timer, 0, &once, NULL);
}

struct run {
	void (*deed)(void *argument);
	void *argument;
	nsec_t patience;
	const struct vfork_user *user; /* NULL: as ourselves */
	volatile bool done;
	volatile int error; /* why not */
};

/* Our own groups would open to the user what is closed to it. */
static int become(const struct vfork_user *user)
{
	if (syscall(VFORK_SETGROUPS, user->group_count, user->groups) == -1 ||
		syscall(VFORK_SETRESGID, user->gid, user->gid, user->gid) ==
			-1 ||
		syscall(VFORK_SETRESUID, user->uid, user->uid, user->uid) == -1)
		return -1;
	return 0;
}

static int run_deed(void *argument)
{
	struct run *run = argument;

	vfork_bound_time(run->patience);
	if (run->user != NULL && become(run->user) == -1) {
		run->error = errno;
		return 0;
	}
	run->deed(run->argument);
	run->done = true;
	return 0;
}

pid_t vfork_clone(
	int (*start)(void *argument), void *argument, int flags, int *pidfd)
{
	char *stack = vfork_stack_top();
	sigset_t all;
	sigset_t before;
	pid_t pid;
	int saved;

	(void)sigfillset(&all);
	if (stack == NULL || sigprocmask(SIG_SETMASK, &all, &before) == -1)
		return -1;
	pid = clone(
		start, stack, CLONE_VM | CLONE_VFORK | flags, argument, pidfd);
	saved = errno;
	(void)sigprocmask(SIG_SETMASK, &before, NULL); /* as it was: valid */
	errno = saved;
	return pid;
}

static int run(struct run *it, int flags)
{
	pid_t pid;

	it->error = ETIMEDOUT;
	/* no signal at its end: nobody else shall take notice of it */
	pid = vfork_clone(run_deed, it, flags, NULL);
	if (pid == -1)
		return -1;
	while (waitpid(pid, NULL, (int)__WCLONE) == -1 && errno == EINTR)
		;
	errno = it->error;
	return it->done ? 0 : -1;
}

int vfork_run(void (*deed)(void *argument), void *argument, nsec_t patience)
{
	struct run it = {
		.deed = deed, .argument = argument, .patience = patience};

	return run(&it, CLONE_FILES);
}

int vfork_run_apart(
	void (*deed)(void *argument), void *argument, nsec_t patience)
{
	struct run it = {
		.deed = deed, .argument = argument, .patience = patience};

	return run(&it, 0);
}

int vfork_run_as(void (*deed)(void *argument), void *argument, nsec_t patience,
	const struct vfork_user *user)
{
	struct run it = {
		.deed = deed,
		.argument = argument,
		.patience = patience,
		.user = user,
	};

	return run(&it, 0);
}
