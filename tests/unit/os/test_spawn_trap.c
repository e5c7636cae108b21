/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/privilege.h"
#include "os/spawn/seccomp.h"

#include <linux/capability.h>

static char out[65536];
static struct spawn_trap trap;
static int channel[2];
static struct spawn_plan plan; /* with that */

static void set_up(void)
{
	const int type = SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK;

	trap = (struct spawn_trap){.fd = 71, .error = 72}; /* to be set */
	ck_assert_int_eq(socketpair(AF_UNIX, type, 0, channel), 0);
	plan = os_plan();
	plan.channel = channel;
	plan.trap = &trap;
}

static bool hangs_up(int fd, int milliseconds)
{
	struct pollfd one = {.fd = fd, .events = POLLIN};

	return poll(&one, 1, milliseconds) == 1 && one.revents == POLLHUP;
}

static void run_and_expect_trap(void)
{
	trap.fd = -1;
	ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
	ck_assert_int_eq(trap.error, 0);
	ck_assert_int_ne(trap.fd, -1);
	ck_assert_int_eq(fcntl(trap.fd, F_GETFD), FD_CLOEXEC);
	ck_assert_str_eq(os_field(out, "Seccomp"), "2");
	ck_assert(hangs_up(trap.fd, 20000)); /* nobody but the program has it */
	ck_assert_int_eq(close(trap.fd), 0);
}

/* ---- where it can be ---- */

FIXTURE(set_up, NULL)

NATIVE_TEST(only_without_privilege_it_takes_no_new_privs)
{
	run_and_expect_trap();
	ck_assert_str_eq(os_field(out, "NoNewPrivs"), "1");
	ck_assert_str_eq(os_field(out, "fds"), "0 1 2");
	if (!privilege_has(CAP_SYS_ADMIN) || !os_is_root("another user"))
		return;
	trap.privileged = true;
	run_and_expect_trap();
	ck_assert_str_eq(os_field(out, "NoNewPrivs"), "0");
	ck_assert_str_eq(os_field(out, "fds"), "0 1 2");
	plan.uid = plan.gid = 65534; /* it comes before that */
	plan.exec_fd = open(os_self, O_PATH | O_CLOEXEC);
	run_and_expect_trap();
	ck_assert_str_eq(os_field(out, "NoNewPrivs"), "0");
	ck_assert_str_eq(os_field(out, "Uid"), "65534\t65534\t65534\t65534");
}

NATIVE_TEST(without_a_descriptor_for_it_nothing_is_started)
{
	struct spawn_failure failure;
	int last = -1;
	int pidfd;
	pid_t pid;

	for (int fd; (fd = dup(channel[0])) != -1;)
		last = fd;
	ck_assert_int_eq(errno, EMFILE);
	ck_assert_int_eq(close(last), 0); /* room for the pidfd alone */
	ck_assert_int_eq(spawn(&plan, &pid, &pidfd, &failure), -1);
	ck_assert_int_eq(failure.step, SPAWN_CLONE);
	ck_assert_int_eq(failure.error, EMFILE);
	ck_assert_int_eq(trap.fd, -1);
	/* it was killed, but may still be ending */
	while (waitpid(-1, NULL, (int)__WALL) > 0)
		continue;
	ck_assert_int_eq(errno, ECHILD);
}

NATIVE_TEST(the_programs_limit_of_descriptors_is_not_in_the_way)
{
	const struct rlimit few = {3, 3};
	const int resource = RLIMIT_NOFILE;

	plan.candidates = (const char *const[]){"/bin/true", NULL};
	plan.fds[1].from = plan.null_fd; /* what it says then */
	plan.limits = &few;
	plan.limit_resources = &resource;
	plan.limit_count = 1;
	ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 127); /* no library */
	ck_assert_int_ne(trap.fd, -1);
	ck_assert_int_eq(trap.error, 0);
}

NATIVE_TEST(the_channel_may_stand_where_targets_are)
{
	for (int to = 3; to < 20; to++)
		plan.fds[plan.fd_count++] = (struct spawn_fd){2, to};
	run_and_expect_trap();
	ck_assert_str_eq(os_field(out, "fds"), "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19");
}

NATIVE_TEST(the_program_gets_its_own_of_hundreds_of_descriptors)
{
	int last = -1;

	for (int i = 0; i < 600; i++) {
		last = dup(plan.null_fd);
		ck_assert_int_ne(last, -1);
	}
	plan.fds[plan.fd_count++] = (struct spawn_fd){last, 5};
	run_and_expect_trap();
	ck_assert_str_eq(os_field(out, "fds"), "0 1 2 5");
	plan.null_fd = -1;
	plan.exec_fd = open(os_self, O_PATH | O_CLOEXEC);
	plan.fds[plan.fd_count++] = (struct spawn_fd){last, 0};
	run_and_expect_trap();
	ck_assert_str_eq(os_field(out, "fds"), "0 1 2 5");
}

/* What is one's and what another's, of those that are started at once.  `kinds`: a digit
 * to the base 3 for each, 0: it runs. */
static void start_at_once(unsigned kinds)
{
	static const char *const argv[] = {"sleep", "1000", NULL};
	static const char *const candidates[3][4] = {
		{"/no/sleep", "/nor/sleep", "/bin/sleep"}, {"/no/sleep"}, {"/etc/passwd"}};
	static const int errors[3] = {0, ENOENT, EACCES};
	const int type = SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
	unsigned kind[SPAWN_MANY];
	char pids[SPAWN_MANY][24];
	char *envp[SPAWN_MANY][2];
	int channels[SPAWN_MANY][2];
	struct spawn_trap traps[SPAWN_MANY];
	struct spawn_plan plans[SPAWN_MANY];
	struct spawning list[SPAWN_MANY];

	for (unsigned i = 0; i < SPAWN_MANY; i++) {
		strcpy(pids[i], "LISTEN_PID=0000000000");
		envp[i][0] = pids[i];
		envp[i][1] = NULL;
		traps[i] = trap;
		ck_assert_int_eq(socketpair(AF_UNIX, type, 0, channels[i]), 0);
		plans[i] = plan;
		plans[i].channel = channels[i];
		plans[i].argv = (char *const *)(uintptr_t)argv;
		plans[i].envp = envp[i];
		plans[i].pid_slots[0] = strchr(pids[i], '=') + 1;
		plans[i].pid_width = 11;
		kind[i] = kinds % 3;
		kinds /= 3;
		plans[i].candidates = candidates[kind[i]];
		plans[i].trap = &traps[i];
		list[i] = (struct spawning){.plan = &plans[i]};
	}
	spawn_many(list, SPAWN_MANY);
	for (unsigned i = 0; i < SPAWN_MANY; i++) {
		ck_assert_int_eq(close(channels[i][0]), 0);
		ck_assert_int_eq(close(channels[i][1]), 0);
		if (kind[i] != 0) {
			ck_assert_int_eq(list[i].pidfd, -1);
			ck_assert_int_eq(list[i].failure.step, SPAWN_EXEC);
			ck_assert_int_eq(list[i].failure.error, errors[kind[i]]);
			ck_assert_int_eq(traps[i].fd, -1);
			continue;
		}
		ck_assert_int_ne(list[i].pidfd, -1);
		ck_assert_int_eq(atoi(plans[i].pid_slots[0]), list[i].pid);
		ck_assert_int_eq(traps[i].error, 0);
		ck_assert_int_ne(traps[i].fd, -1);
		ck_assert(!hangs_up(traps[i].fd, 0));
	}
	for (unsigned i = 0; i < SPAWN_MANY; i++) {
		if (list[i].pidfd == -1)
			continue;
		ck_assert_int_eq(kill(list[i].pid, SIGKILL), 0);
		(void)os_wait(list[i].pidfd);
		ck_assert(hangs_up(traps[i].fd, 20000));
		ck_assert_int_eq(close(traps[i].fd), 0);
		for (unsigned k = i + 1; k < SPAWN_MANY; k++)
			ck_assert(list[k].pidfd == -1 || !hangs_up(traps[k].fd, 0));
	}
	os_fails(waitpid(-1, NULL, WNOHANG), ECHILD);
}

NATIVE_TEST(of_four_at_once_each_has_its_own)
{
	unsigned before;

	run_and_expect_trap();
	before = os_open_count();
	for (unsigned kinds = 0; kinds < 3 * 3 * 3 * 3; kinds++)
		start_at_once(kinds);
	ck_assert_uint_eq(os_open_count(), before);
}

/* ---- where it cannot ---- */

static struct spawn_failure must_fail(void)
{
	struct spawn_failure failure = os_spawn_fails(&plan);

	ck_assert_int_eq(trap.fd, -1);
	return failure;
}

NATIVE_TEST(a_child_that_fails_leaves_nothing_to_hear)
{
	const char *const *good = plan.candidates;

	plan.candidates = (const char *const[]){"/nonexistent", NULL};
	ck_assert_int_eq(must_fail().step, SPAWN_EXEC);
	plan.candidates = good;
	plan.fds[plan.fd_count++] = (struct spawn_fd){1000, 3};
	ck_assert_int_eq(must_fail().step, SPAWN_DESCRIPTORS);
	ck_assert_int_ne(trap.error, 0);
	plan.fd_count--;
	plan.enters_cgroup = true; /* the child fails before it takes its descriptors */
	plan.cgroup = -1;
	ck_assert_int_eq(must_fail().step, SPAWN_CGROUP);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(recv(channel[i], out, sizeof(out), 0), -1);
	plan.enters_cgroup = false; /* and the next one is understood */
	run_and_expect_trap();
}

/* As somebody who may not: the exit status tells what went wrong. */
static int spawn_unallowed(void)
{
	struct spawn_failure failure;
	struct error err;
	int pidfd;
	pid_t pid;
	int got;

	if (geteuid() == 0 && setresuid(65534, 65534, 65534) == -1)
		return 1;
	trap.privileged = true; /* which is not so */
	plan.candidates = (const char *const[]){"/bin/true", NULL};
	got = spawn(&plan, &pid, &pidfd, &failure);
	if (trap.fd != -1 || trap.error != EACCES)
		return 2;
	if (!trap.must)
		return got == 0 ? 0 : 3;
	if (got != -1 || failure.step != SPAWN_TRAP || failure.error != EACCES)
		return 4;
	if (spawn_exit_status(&failure) == 127)
		return 5;
	spawn_explain(&failure, "true", &err);
	return strcmp(err.text,
		       "cannot trap bind and listen for 'true': "
		       "Permission denied") == 0
		? 0
		: 6;
}

NATIVE_TEST_LOOP(where_it_is_not_allowed_only_who_must_have_it_fails, 0, 2)
{
	trap.must = _i == 1;
	ck_assert_int_eq(os_in_child(spawn_unallowed), 0);
}

NATIVE_TEST(under_another_listener_the_program_runs_without)
{
	struct spawn_failure f;

	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ck_assert_int_ge(seccomp_install(SECCOMP_BINDS), 0);
	ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
	ck_assert_int_eq(trap.fd, -1);
	ck_assert_int_eq(trap.error, EBUSY);
	trap.must = true;
	f = must_fail();
	ck_assert_int_eq(f.step, SPAWN_TRAP);
	ck_assert_int_eq(f.error, EBUSY);
}
