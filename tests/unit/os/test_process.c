/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "base/text.h"
#include "os/clock.h"
#include "os/environ.h"
#include "os/process.h"

#include <time.h>

static void end(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	os_reap(pid, SIGKILL);
}

static void sleep_on(int said)
{
	/* a name full of traps */
	(void)prctl(PR_SET_NAME, ") R 1 (x\n) Z", 0, 0, 0);
	(void)!write(said, "x", 1);
	for (;;)
		(void)pause();
}

NATIVE_TEST(a_process_is_looked_at)
{
	struct process_facts facts;
	struct process_facts then;
	size_t size = 16 << 20;
	clock_t start = clock();
	char *memory;

	ck_assert_int_eq(process_look(getpid(), &facts), 0);
	ck_assert_int_eq(facts.state, 'R');
	ck_assert_int_eq(facts.parent, getppid());
	ck_assert_int_eq(facts.session, getsid(0));
	ck_assert_uint_gt(facts.rss, 100000);
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert(memory != MAP_FAILED);
	memset(memory, 1, size);
	while (clock() - start < CLOCKS_PER_SEC / 10)
		continue;
	ck_assert_int_eq(process_look(getpid(), &then), 0);
	ck_assert_uint_ge(then.rss, facts.rss + size / 2);
	ck_assert_int_eq(munmap(memory, size), 0);
	ck_assert_int_ge(then.cpu - facts.cpu, 50 * MSEC);
	ck_assert_int_le(then.cpu - facts.cpu, 10 * SECOND);
	ck_assert_int_gt(clock_now(), 0);
	ck_assert(clock_wall() > 1.7e9);
}

TEST(there_is_no_process_0)
{
	struct process_facts facts;
	char text[64];

	os_fails(process_look(0, &facts), ENOENT);
	errno = 0;
	/* nor is it this file, wherever we are */
	os_fails(process_read(0, "/proc/self/comm", text, 64), ENOENT);
	ck_assert_int_gt(process_read_path("/proc/self/comm", text, 64), 0);
}

TEST(states_and_the_time_that_it_ran_are_told)
{
	struct process_facts facts;
	pid_t pid = os_start(sleep_on);
	siginfo_t info;
	nsec_t ran;

	ck_assert_int_gt(process_ran(getpid()), 0);
	ck_assert(process_is_runnable(getpid()));
	ck_assert_int_eq(kill(pid, SIGSTOP), 0);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WSTOPPED), 0);
	ck_assert_int_eq(process_look(pid, &facts), 0);
	ck_assert_int_eq(facts.state, 'T');
	ck_assert_int_eq(facts.parent, getpid());
	ck_assert(!process_is_runnable(pid));
	do { /* it may still be on its way to its rest */
		ran = process_ran(pid);
		ck_assert_int_gt(ran, 0);
		(void)usleep(20000);
	} while (process_ran(pid) != ran);
	ck_assert_int_eq(kill(pid, SIGCONT), 0);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WCONTINUED), 0);
	for (int i = 0; i < 500 && process_ran(pid) == ran; i++)
		(void)usleep(10000);
	ck_assert_int_gt(process_ran(pid), ran);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	ck_assert_int_eq(process_look(pid, &facts), 0);
	ck_assert_int_eq(facts.state, 'Z');
	ck_assert_uint_eq(facts.rss, 0);
	os_reap(pid, SIGKILL);
	ck_assert_int_eq(process_ran(pid), 0);
	os_fails(process_look(pid, &facts), ENOENT);
}

static int variable(pid_t pid, const char *key, char *to, size_t size)
{
	struct environ_look look = {.pid = pid};
	int got;

	snprintf(look.key, sizeof(look.key), "%s", key);
	got = environ_find(&look);
	if (got == 0)
		text_copy(to, size, look.value);
	return got;
}

static void execute_for_ever(int said)
{
	char *again[] = {"sh", "-c", "exec sh -c \"$0\" \"$0\"", "exec sh -c \"$0\" \"$0\"", NULL};

	(void)!write(said, "x", 1);
	(void)execv("/bin/sh", again);
	_exit(127);
}

static void hold_much_memory(int said)
{
	const size_t size = 128 << 20;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	sleep_on(memory != MAP_FAILED ? said : -1);
}

/* While the kernel frees its memory.  We may get no CPU just then. */
NATIVE_TEST(one_that_is_ending_is_told_from_one_that_lives_and_one_that_has_ended)
{
	struct pidfd_end how;
	bool seen = false;

	ck_assert(!process_is_ending(getpid()));
	for (int i = 0; i < 20 && !seen; i++) {
		pid_t pid = os_start(hold_much_memory);

		ck_assert(!process_is_ending(pid));
		ck_assert_int_eq(kill(pid, SIGKILL), 0);
		while (child_peek(pid, &how) == 0)
			seen |= process_is_ending(pid);
		ck_assert(!process_is_ending(pid));
		os_reap(pid, SIGKILL);
		ck_assert(!process_is_ending(pid));
	}
	ck_assert(seen);
}

TEST(a_process_that_is_being_executed_has_its_variables)
{
	char value[64];
	pid_t pid = os_start(execute_for_ever);

	for (int i = 0; i < 2000; i++)
		if (variable(pid, "PATH", value, sizeof(value)) == -1)
			ck_assert_int_eq(errno, EAGAIN);
	end(pid);
}

TEST(a_variable_that_is_not_there_is_not_one_that_cannot_be_read)
{
	char value[64];
	pid_t pid = os_start(sleep_on);

	ck_assert_int_eq(variable(pid, "PATH", value, sizeof(value)), 0);
	ck_assert_int_ne(value[0], '\0');
	os_fails(variable(pid, "NONE_SUCH", value, sizeof(value)), ENOENT);
	end(pid);
	os_fails(variable(pid, "PATH", value, sizeof(value)), ENOENT);

	if (geteuid() != 0)
		return;
	pid = fork(); /* whom we may know nothing of */
	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		if (setuid(65534) == -1 || variable(getppid(), "PATH", value, sizeof(value)) != -1)
			_exit(1);
		_exit(errno == EACCES ? 0 : 2);
	}
	os_reap(pid, 0);
}

NATIVE_TEST(our_children_are_listed)
{
	enum { COUNT = 1500 }; /* more than one block of the file */
	static pid_t pids[COUNT];
	static pid_t list[COUNT];
	int found = 0;

	if (process_children(list, 0) == -1) {
		fprintf(stderr, "left out: no children file here\n");
		return;
	}
	ck_assert_int_eq(process_children(list, 0), 0);
	for (int i = 0; i < COUNT; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			for (;;)
				(void)pause();
		ck_assert_int_ne(pids[i], -1);
	}
	ck_assert_int_eq(process_children(list, 2), COUNT);
	ck_assert_int_eq(process_children(list, COUNT), COUNT);
	for (int i = 0; i < COUNT; i++)
		for (int k = 0; k < COUNT; k++)
			found += list[i] == pids[k];
	ck_assert_int_eq(found, COUNT);
	for (int i = 0; i < COUNT; i++) /* all at once: each may have to wait for a CPU */
		ck_assert_int_eq(kill(pids[i], SIGKILL), 0);
	for (int i = 0; i < COUNT; i++)
		os_reap(pids[i], SIGKILL);
	ck_assert_int_eq(process_children(list, COUNT), 0);
}

NATIVE_TEST(what_is_shared_is_no_share_of_one)
{
	const size_t size = 32U << 20;
	char *memory = malloc(size);
	char *volatile seen = memory; /* no compiler leaves the memory out */
	uint64_t alone;
	int ends[2];
	pid_t pid;
	char byte;

	ck_assert_ptr_nonnull(memory);
	memset(memory, 1, size);
	alone = process_memory(getpid());
	ck_assert_uint_ge(alone, size);
	ck_assert_int_eq(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		(void)close(ends[1]);
		(void)!read(ends[0], &byte, 1);
		_exit(seen[size - 1] != 1);
	}
	ck_assert_uint_ge(process_memory(pid), size);
	ck_assert_uint_lt(process_memory_share(pid), size * 3 / 4);
	ck_assert_uint_ge(process_memory_share(pid), size / 4);
	(void)close(ends[1]);
	(void)waitpid(pid, NULL, 0);
	ck_assert_uint_eq(process_memory(pid), 0);
	free(memory);
}
