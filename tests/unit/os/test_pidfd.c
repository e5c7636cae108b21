/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/process.h"

#include <pthread.h>
#include <sched.h>
#include <sys/ptrace.h>

static struct pidfd_end end;

/* A child that waits to be ended, in a group of its own, or ends itself. */
static pid_t child(int status)
{
	pid_t pid = fork();

	ck_assert_int_ne(pid, -1);
	if (pid != 0) {
		(void)setpgid(pid, pid); /* whoever is first */
		return pid;
	}
	(void)setpgid(0, 0);
	if (status >= 0)
		_exit(status);
	for (;;)
		(void)pause();
}

NATIVE_TEST(an_exit_is_told_twice_and_reaped_once)
{
	pid_t pid;
	int fd;

	os_fails(child_peek_any(), ECHILD);
	for (int any = 0; any < 2; any++) {
		pid = child(7);
		fd = pidfd_of(pid);
		ck_assert(os_is_readable(fd, 10000));
		for (int i = 0; i < 2; i++) {
			ck_assert_int_eq(child_peek_any(), pid);
			ck_assert_int_eq(pidfd_peek(fd, &end), 1);
			ck_assert(!end.signalled);
			ck_assert_int_eq(end.code, 7);
		}
		if (any)
			ck_assert_int_eq(child_reap(pid), 0);
		else
			ck_assert_int_eq(pidfd_reap(fd, &end), 1);
		ck_assert_int_eq(end.code, 7);
		os_fails(pidfd_reap(fd, &end), ECHILD);
		os_fails(child_peek_any(), ECHILD);
	}
}

NATIVE_TEST(one_that_lives_has_not_ended)
{
	siginfo_t info;
	pid_t pid = child(-1);
	int fd = pidfd_of(pid);

	for (int stopped = 0; stopped < 2; stopped++) {
		ck_assert_int_eq(pidfd_peek(fd, &end), 0);
		ck_assert_int_eq(pidfd_reap(fd, &end), 0);
		ck_assert_int_eq(child_peek_any(), 0);
		os_fails(child_reap(pid), EAGAIN);
		if (stopped)
			break;
		ck_assert_int_eq(pidfd_signal(fd, SIGSTOP), 0);
		ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WSTOPPED), 0);
	}
	ck_assert_int_eq(pidfd_signal(fd, SIGUSR1), 0);
	ck_assert_int_eq(pidfd_signal(fd, SIGCONT), 0);
	ck_assert(os_is_readable(fd, 10000));
	ck_assert_int_eq(pidfd_reap(fd, &end), 1);
	ck_assert(end.signalled);
	ck_assert_int_eq(end.code, SIGUSR1);
	/* the number may be another's by now, the pidfd never is */
	os_fails(pidfd_signal(fd, SIGUSR1), ESRCH);
}

static void on_usr1(int signal)
{
	_exit(signal == SIGUSR1 ? 7 : 1);
}

static void *be_traced(void *how)
{
	(void)signal(SIGUSR1, on_usr1);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1)
		_exit(2);
	if (strcmp(how, "exec") == 0)
		(void)execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
	else if (strcmp(how, "trap") == 0)
		(void)raise(SIGTRAP);
	else
		(void)raise(SIGUSR1);
	_exit(3);
}

static const struct {
	char how[8];
	int code;
	bool signalled;
} traced[] = {
	{"main", 7, false},
	{"thread", 7, false},
	{"exec", 7, false},
	{"trap", SIGTRAP, true},
};

/* Its stop is not its end, and it does not stay stopped. */
NATIVE_TEST_LOOP(one_that_wants_to_be_traced_goes_on, 0, (int)(sizeof(traced) / sizeof(*traced)))
{
	char how[8];
	pthread_t thread;
	pid_t pid = fork();
	int fd;

	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		strcpy(how, traced[_i].how);
		if (strcmp(how, "thread") != 0)
			(void)be_traced(how);
		(void)pthread_create(&thread, NULL, be_traced, how);
		for (;;)
			(void)pause();
	}
	fd = pidfd_of(pid);
	while (!pidfd_has_ended(fd)) { /* the test has a time limit */
		pid_t any = child_peek_any();

		if (any > 0)
			ck_assert_int_eq(any, pid);
		(void)sched_yield();
	}
	ck_assert_int_eq(pidfd_reap(fd, &end), 1);
	ck_assert_int_eq(end.signalled, traced[_i].signalled);
	ck_assert_int_eq(end.code, traced[_i].code);
}

NATIVE_TEST(the_group_is_reached_when_its_leader_has_ended)
{
	int ends[2];
	pid_t leader;
	int fd;
	char byte;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	leader = fork();
	if (leader == 0) {
		(void)setpgid(0, 0);
		if (fork() == 0) {
			(void)!write(ends[1], "x", 1);
			for (;;) /* it holds the pipe while it lives */
				(void)pause();
		}
		_exit(0);
	}
	fd = pidfd_of(leader);
	ck_assert_int_eq(close(ends[1]), 0);
	ck_assert(os_is_readable(fd, 10000));
	ck_assert_int_eq(pidfd_peek(fd, &end), 1); /* not reaped */
	ck_assert_int_eq(read(ends[0], &byte, 1), 1);
	ck_assert_int_eq(pidfd_signal_group(fd, leader, SIGKILL), 0);
	ck_assert_int_eq(read(ends[0], &byte, 1), 0); /* it is gone */
	ck_assert_int_eq(pidfd_reap(fd, &end), 1);
}

NATIVE_TEST(nobody_else_is_reached)
{
	pid_t pid = child(0);
	int fd = pidfd_of(pid);

	ck_assert(os_is_readable(fd, 10000));
	ck_assert_int_eq(pidfd_reap(fd, &end), 1);
	os_fails(pidfd_signal_group(fd, pid, SIGKILL), ESRCH);
	ck_assert_int_eq(pidfd_of(0x3fffffff), -1);
	os_fails(pidfd_signal(-1, SIGUSR1), EBADF);
	pid = child(-1);
	fd = pidfd_of(pid);
	os_fails(pidfd_signal_group(fd, 1, 9999), EINVAL); /* and no kill(-1) */
	os_fails(pidfd_signal_group(fd, 0, 9999), EINVAL);
	ck_assert_int_eq(pidfd_signal_group(fd, pid, SIGKILL), 0);
	ck_assert(os_is_readable(fd, 10000));
	ck_assert_int_eq(pidfd_reap(fd, &end), 1);
}

NATIVE_TEST(the_end_of_one_that_is_not_our_child_is_known_or_not)
{
	struct process_facts facts;
	pid_t pid = child(-1);
	int fd = pidfd_of(pid);
	int got;

	ck_assert_int_eq(process_look(pid, &facts), 0);
	ck_assert_int_eq(pidfd_pid(fd), pid);
	ck_assert_int_eq(pidfd_look(fd, pid, facts.start, &end), 0);
	ck_assert_int_eq(pidfd_signal(fd, SIGUSR2), 0);
	ck_assert(os_is_readable(fd, 10000));
	/* a zombie, as which it is seen by its pid and start time alone */
	ck_assert_int_eq(pidfd_look(fd, pid, facts.start, &end), 1);
	ck_assert(end.signalled);
	ck_assert_int_eq(end.code, SIGUSR2);
	ck_assert_int_eq(pidfd_look(fd, pid, facts.start + 1, &end), -1);
	ck_assert_int_eq(pidfd_reap(fd, &end), 1);
	end = (struct pidfd_end){0};
	got = pidfd_look(fd, pid, facts.start, &end); /* since Linux 6.15 */
	ck_assert(got == -1 || (got == 1 && end.code == SIGUSR2));
	ck_assert_int_ne(pidfd_pid(fd), pid);
}
