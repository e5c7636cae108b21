/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "base/text.h"
#include "os/process.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static char out[65536];

static struct spawn_plan plan; /* to say what it is, unless a test wants more */

static void set_up(void)
{
	plan = os_plan();
}

static const char *explain(const struct spawn_failure *f, const char *name)
{
	static struct error err;

	spawn_explain(f, name, &err);
	return err.text;
}

static struct spawn_failure fail_with(const char *path)
{
	static const char *candidates[2];

	candidates[0] = path;
	plan.candidates = candidates;
	return os_spawn_fails(&plan);
}

FIXTURE(os_make_dir, NULL)
FIXTURE(set_up, NULL)

static const struct {
	const char *path; /* without a slash: a file that the test makes */
	int error;
	int status;
	const char *text;
} refused[] = {
	{"/nonexistent/program", ENOENT, 127,
		"cannot execute '/nonexistent/program': No such file or "
		"directory"},
	{"/etc/passwd/x", ENOTDIR, 127, ""},
	{"/etc", EISDIR, 126, "cannot execute '/etc': Is a directory"},
	{"plain", EACCES, 126, ""},
	{"garbage", ENOEXEC, 126, "#!/bin/sh"}, /* no shell gets it */
	{"loop", ELOOP, 126, ""},
	{"busy", ETXTBSY, 126, ""},
};

NATIVE_TEST_LOOP(what_cannot_be_run_is_told, 0, COUNT_OF(refused))
{
	const char *path = refused[_i].path;
	struct spawn_failure f;

	os_write(os_path("plain"), "#!/bin/sh\n", 0644);
	os_write(os_path("garbage"), "touch /tmp/never\n", 0755);
	os_write(os_path("busy"), "#!/bin/sh\n", 0755);
	ck_assert_int_ne(open(os_path("busy"), O_WRONLY | O_CLOEXEC), -1);
	ck_assert_int_eq(symlink("loop", os_path("loop")), 0);
	f = fail_with(*path == '/' ? path : os_path(path));
	ck_assert_int_eq(f.step, SPAWN_EXEC);
	ck_assert_int_eq(f.error, refused[_i].error);
	ck_assert_int_eq(spawn_exit_status(&f), refused[_i].status);
	ck_assert_ptr_nonnull(strstr(explain(&f, "./x"), refused[_i].text));
}

NATIVE_TEST(what_no_candidate_is_is_told_by_its_name)
{
	const char *candidates[] = {"/bin/no-such", "/usr/bin/no-such", NULL};
	const char *none[] = {NULL};
	struct spawn_failure f;

	plan.candidates = candidates;
	f = os_spawn_fails(&plan);
	ck_assert_str_eq(explain(&f, "no-such"), "cannot find 'no-such' in PATH");
	plan.candidates = none;
	f = os_spawn_fails(&plan);
	ck_assert_int_eq(spawn_exit_status(&f), 127);
}

NATIVE_TEST(an_interpreter_that_cannot_run_is_named)
{
	const char *candidates[] = {"/none", "/nonexistent", NULL};
	struct spawn_failure f;
	char text[600];

	os_write(os_path("script"), "#! /nonexistent/python -u\n", 0755);
	f = fail_with(os_path("script"));
	ck_assert_int_eq(f.step, SPAWN_INTERPRETER);
	ck_assert_int_eq(f.error, ENOENT);
	ck_assert_str_eq(f.what, "/nonexistent/python");
	ck_assert_int_eq(spawn_exit_status(&f), 126);
	ck_assert_ptr_nonnull(strstr(explain(&f, "x"), "interpreter '/nonexistent/"));
	candidates[0] = os_path("script"); /* what comes later tells less */
	plan.candidates = candidates;
	f = os_spawn_fails(&plan);
	ck_assert_int_eq(f.step, SPAWN_INTERPRETER);
	ck_assert_str_eq(f.what, "/nonexistent/python");

	os_write(os_path("interpreter"), "x", 0644);
	snprintf(text, sizeof(text), "#!%s\n", os_path("interpreter"));
	os_write(os_path("other"), text, 0755);
	f = fail_with(os_path("other"));
	ck_assert_int_eq(f.step, SPAWN_INTERPRETER);
	ck_assert_int_eq(f.error, EACCES);
}

NATIVE_TEST(the_search_passes_over_what_cannot_run)
{
	const char *candidates[5] = {"/nonexistent", NULL};
	char plain[512];

	text_copy(plain, sizeof(plain), os_path("plain"));
	os_write(plain, "#!/bin/sh\n", 0644);
	candidates[1] = plain;
	candidates[2] = "/etc";
	candidates[3] = os_self;
	candidates[4] = NULL;
	plan.candidates = candidates;
	ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
	candidates[3] = "/nonexistent"; /* what was told before is worth more */
	candidates[2] = NULL;
	ck_assert_int_eq(os_spawn_fails(&plan).error, EACCES);
}

NATIVE_TEST(too_large_an_environment_is_explained)
{
	char *big = malloc(3 << 20);
	char *envp[] = {big, NULL};
	struct spawn_failure f;

	ck_assert_ptr_nonnull(big);
	memset(big, 'x', 3 << 20);
	big[1] = '=';
	big[(3 << 20) - 1] = '\0';
	plan.envp = envp;
	f = os_spawn_fails(&plan);
	ck_assert_int_eq(f.error, E2BIG);
	ck_assert_int_eq(spawn_exit_status(&f), 126);
	ck_assert_ptr_nonnull(strstr(explain(&f, "x"), "environment"));
	free(big);
}

NATIVE_TEST(what_fails_before_is_told_with_its_step)
{
	struct spawn_failure f;

	plan.directory = "/nonexistent/place";
	f = os_spawn_fails(&plan);
	ck_assert_int_eq(f.step, SPAWN_DIRECTORY);
	ck_assert_int_eq(spawn_exit_status(&f), 126);
	ck_assert_str_eq(explain(&f, "web"),
		"cannot enter directory '/nonexistent/place' for 'web': No "
		"such file or directory");
	plan.chroot = "/nonexistent/root";
	f = os_spawn_fails(&plan);
	ck_assert_int_eq(f.step, SPAWN_CHROOT);
	ck_assert_str_eq(f.what, "/nonexistent/root");
	plan.fds[plan.fd_count++] = (struct spawn_fd){777, 3}; /* not open */
	f = os_spawn_fails(&plan);
	ck_assert_int_eq(f.step, SPAWN_DESCRIPTORS);
	ck_assert_int_eq(f.error, EBADF);
	ck_assert_str_eq(f.what, "777");
}

NATIVE_TEST(no_processes_left_is_transient)
{
	struct spawn_failure f = {.step = SPAWN_CLONE, .error = EAGAIN};

	ck_assert_int_eq(spawn_exit_status(&f), 0);
	ck_assert_ptr_nonnull(strstr(explain(&f, "x"), "pids.max"));
}

NATIVE_TEST(no_descriptors_left_is_transient)
{
	struct spawn_failure f;
	pid_t pid;
	int pidfd;

	os_limit_descriptors((unsigned long)plan.null_fd + 1);
	ck_assert_int_eq(spawn(&plan, &pid, &pidfd, &f), -1);
	ck_assert_int_eq(f.step, SPAWN_CLONE);
	ck_assert_int_eq(f.error, EMFILE);
	ck_assert_int_eq(spawn_exit_status(&f), 0);
	os_limit_descriptors(1024);
}

TEST(the_child_has_exactly_the_standard_descriptors)
{
	ck_assert_int_ne(open("/etc/passwd", O_RDONLY), -1); /* a leak */
	ck_assert_int_ne(fcntl(0, F_DUPFD, 100), -1);
	ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
	ck_assert_str_eq(os_field(out, "fds"), "0 1 2");
	ck_assert_str_eq(os_field(out, "fd0"), "/dev/null");
	plan.fd_count = 1; /* stdout only */
	ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
	ck_assert_str_eq(os_field(out, "fds"), "0 1 2");
	ck_assert_str_eq(os_field(out, "fd2"), "/dev/null");
}

static int file_at(const char *name, int number)
{
	int fd;

	os_write(os_path(name), name, 0644);
	fd = open(os_path(name), O_RDONLY | O_CLOEXEC);
	ck_assert_int_ne(fd, -1);
	if (fd == number)
		return fd;
	ck_assert_int_eq(dup3(fd, number, O_CLOEXEC), number);
	ck_assert_int_eq(close(fd), 0);
	return number;
}

/* Does the child's descriptor lead to the file? */
static bool leads_to(int fd, const char *name)
{
	char key[16];

	snprintf(key, sizeof(key), "fd%d", fd);
	return strcmp(os_field(out, key), os_path(name)) == 0;
}

TEST(overlapping_maps_do_not_overwrite_each_other)
{
	(void)fcntl(plan.null_fd, F_DUPFD_CLOEXEC, 20);
	plan.null_fd = fcntl(plan.null_fd, F_DUPFD_CLOEXEC, 20);
	(void)file_at("a", 13);
	(void)file_at("b", 14);
	(void)file_at("c", 15);
	plan.fds[2] = (struct spawn_fd){14, 13}; /* a swap */
	plan.fds[3] = (struct spawn_fd){13, 14};
	plan.fds[4] = (struct spawn_fd){15, 15}; /* in place */
	plan.fds[5] = (struct spawn_fd){13, 12}; /* twice */
	plan.fd_count = 6;
	ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
	ck_assert_str_eq(os_field(out, "fds"), "0 1 2 12 13 14 15");
	ck_assert(leads_to(13, "b"));
	ck_assert(leads_to(14, "a"));
	ck_assert(leads_to(15, "c"));
	ck_assert(leads_to(12, "a"));
}

NATIVE_TEST(null_may_stand_where_targets_are)
{
	int file = file_at("a", 40);

	/* every number that the program or null could have */
	for (int to = 3; to < 20; to++)
		plan.fds[plan.fd_count++] = (struct spawn_fd){file, to};
	plan.exec_fd = open(os_self, O_PATH | O_CLOEXEC);
	ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
	for (int to = 3; to < 16; to++)
		ck_assert(leads_to(to, "a"));
	ck_assert_str_eq(os_field(out, "fds"), "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19");
}

TEST(holes_between_the_targets_stay_holes)
{
	int file = file_at("a", 40);

	(void)fcntl(file, F_DUPFD, 5); /* inheritable, in the hole */
	(void)fcntl(file, F_DUPFD, 8);
	ck_assert_int_eq(fcntl(file, F_SETFL, O_NONBLOCK), 0);
	plan.fds[plan.fd_count++] = (struct spawn_fd){file, 4};
	plan.fds[plan.fd_count++] = (struct spawn_fd){file, 9};
	ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
	ck_assert_str_eq(os_field(out, "fds"), "0 1 2 4 9");
	/* and ours is as it was */
	ck_assert_int_ne(fcntl(file, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(file, F_GETFD) & FD_CLOEXEC, 0);
}

static void make_channel(int channel[2])
{
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, channel), 0);
	plan.channel = channel;
}

NATIVE_TEST(among_many_descriptors_a_child_gets_its_own)
{
	int file = file_at("a", 40);
	unsigned before;
	int channel[2];
	int ends[2];

	os_limit_descriptors(4000);
	make_channel(channel);
	ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
	for (int i = 0; i < 900; i++)
		ck_assert_int_ne(fcntl(file, F_DUPFD_CLOEXEC, 3), -1);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	plan.fds[plan.fd_count++] = (struct spawn_fd){file, 3};
	plan.fds[plan.fd_count++] = (struct spawn_fd){ends[1], 5};
	plan.fds[1].from = fcntl(2, F_DUPFD_CLOEXEC, 600);
	before = os_open_count();
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
		ck_assert_str_eq(os_field(out, "fds"), "0 1 2 3 5");
		ck_assert(leads_to(3, "a"));
		ck_assert_uint_eq(os_open_count(), before);
	}
	ck_assert_int_eq(close(ends[1]), 0);
	ck_assert_int_eq(read(ends[0], out, 1), 0);
	/* and failures come back all the same */
	plan.directory = "/nonexistent";
	plan.fds[3].from = file;
	ck_assert_int_eq(os_spawn_fails(&plan).step, SPAWN_DIRECTORY);
}

/* Kill the child that waits in a write, as soon as it has written who it is. */
static void kill_waiting(const struct state_birth *birth)
{
	while (__atomic_load_n(&birth->pid, __ATOMIC_ACQUIRE) == 0)
		(void)usleep(1000);
	_exit(kill(birth->pid, SIGKILL) == 0 ? 0 : 1);
}

NATIVE_TEST(what_a_child_that_is_killed_was_to_get_is_not_for_the_next_one)
{
	struct state_birth *birth = mmap(
		NULL, sizeof(*birth), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct spawn_failure failure;
	char room[4096] = "";
	int channel[2];
	int full[2];
	pid_t killer;
	int pidfd;
	pid_t pid;

	make_channel(channel);
	ck_assert_int_eq(pipe2(full, O_CLOEXEC | O_NONBLOCK), 0);
	while (write(full[1], room, sizeof(room)) > 0)
		;
	ck_assert_int_eq(fcntl(full[1], F_SETFL, 0), 0);
	plan.birth = birth;
	plan.enters_cgroup = true;
	plan.cgroup = full[1];
	killer = fork();
	if (killer == 0)
		kill_waiting(birth);
	ck_assert_int_eq(spawn(&plan, &pid, &pidfd, &failure), 0);
	ck_assert_int_eq(waitpid(killer, NULL, 0), killer);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);

	plan.enters_cgroup = false;
	plan.fds[plan.fd_count++] = (struct spawn_fd){file_at("a", 40), 3};
	ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
	ck_assert_str_eq(os_field(out, "fds"), "0 1 2 3");
	ck_assert(leads_to(3, "a"));
}

TEST(the_signal_state_is_clean_whatever_ours_is)
{
	sigset_t now;

	os_ignore_signals();
	(void)os_run(&plan, out, sizeof(out)); /* SIGCHLD is ignored too */
	ck_assert_str_eq(os_field(out, "SigBlk"), "0000000000000000");
	ck_assert_str_eq(os_field(out, "SigIgn"), "0000000000000000");
	/* and ours is as it was */
	(void)sigprocmask(SIG_SETMASK, NULL, &now);
	ck_assert_int_eq(sigismember(&now, SIGTERM), 1);
	ck_assert(signal(SIGTERM, SIG_DFL) == SIG_IGN);
}

TEST(a_session_of_its_own)
{
	plan.new_session = true;
	plan.death_signal = SIGTERM;
	ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
	ck_assert_int_eq(atoi(os_field(out, "death")), SIGTERM);
	ck_assert_int_eq(atoi(os_field(out, "ppid")), getpid());
	ck_assert_str_eq(os_field(out, "sid"), os_field(out, "pid"));
	ck_assert_str_eq(os_field(out, "pgid"), os_field(out, "pid"));
	plan.new_session = false;
	ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
	ck_assert_int_eq(atoi(os_field(out, "sid")), getsid(0));
}

/* The program may run before it, because until exec the score would be ours, too. */
NATIVE_TEST(its_oom_score_is_set_when_spawn_returns)
{
	const char *candidates[] = {"/bin/sleep", NULL};
	char *argv[] = {"sleep", "1000", NULL};
	struct spawn_failure failure;
	char before[16];
	char score[16];
	int pidfd;
	pid_t pid;

	plan.candidates = candidates;
	plan.argv = argv;
	plan.oom_score_adj = "123";
	ck_assert_int_gt(process_read(getpid(), "oom_score_adj", before, sizeof(before)), 0);
	ck_assert_int_eq(spawn(&plan, &pid, &pidfd, &failure), 0);
	ck_assert_int_ne(fcntl(pidfd, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_gt(process_read(pid, "oom_score_adj", score, sizeof(score)), 0);
	ck_assert_str_eq(score, "123\n");
	ck_assert_int_gt(process_read(getpid(), "oom_score_adj", score, sizeof(score)), 0);
	ck_assert_str_eq(score, before);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	(void)os_wait(pidfd);
}

NATIVE_TEST(limits_nice_umask_and_directory)
{
	const struct rlimit limits[] = {{.rlim_cur = 20, .rlim_max = 24}};
	const int resources[] = {RLIMIT_NOFILE};
	int file = file_at("a", 40);
	/* the whole check may run these tests at another one */
	int own = getpriority(PRIO_PROCESS, 0);

	plan.limits = limits;
	plan.limit_resources = resources;
	plan.limit_count = 1;
	plan.nice = 7;
	plan.umask = 027;
	plan.directory = os_dir;
	plan.no_new_privs = true;
	/* above the limit that the child is to have */
	plan.fds[plan.fd_count++] = (struct spawn_fd){fcntl(file, F_DUPFD_CLOEXEC, 50), 3};
	ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
	ck_assert_str_eq(os_field(out, "nofile"), "20");
	ck_assert_str_eq(os_field(out, "nice"), "7");
	ck_assert_str_eq(os_field(out, "umask"), "0027");
	ck_assert_str_eq(os_field(out, "cwd"), os_dir);
	ck_assert_str_eq(os_field(out, "NoNewPrivs"), "1");
	ck_assert_int_eq(getpriority(PRIO_PROCESS, 0), own);
}

TEST(the_pid_is_written_into_the_environment)
{
	char listen[] = "LISTEN_PID=0000000000";
	char watchdog[] = "WATCHDOG_PID=0000000000";
	char *envp[] = {listen, watchdog, NULL};

	plan.envp = envp;
	plan.pid_slots[0] = strchr(listen, '=') + 1;
	plan.pid_slots[1] = strchr(watchdog, '=') + 1;
	plan.pid_width = 11;
	for (int i = 0; i < 2; i++) { /* also where one is written already */
		char wanted[64];

		ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
		snprintf(wanted, sizeof(wanted), "\nenv-LISTEN_PID=%s\nenv-WATCHDOG_PID=%s\n",
			os_field(out, "pid"), os_field(out, "pid"));
		ck_assert_ptr_nonnull(strstr(out, wanted));
	}
}

NATIVE_TEST(pinned_to_a_cpu)
{
	cpu_set_t set;
	size_t cpu;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(set), &set), 0);
	for (cpu = 0; !CPU_ISSET(cpu, &set); cpu++)
		continue;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	plan.affinity = &set;
	plan.affinity_size = sizeof(set);
	ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
	ck_assert_int_eq(atoi(os_field(out, "Cpus_allowed_list")), (int)cpu);
	ck_assert_ptr_null(strchr(os_field(out, "Cpus_allowed_list"), ','));
	CPU_ZERO(&set); /* no CPU at all */
	ck_assert_int_eq(os_spawn_fails(&plan).step, SPAWN_AFFINITY);
}

static const struct waiting {
	unsigned call;
	enum spawn_step step;
	const char *what;
} waits[] = {
	/* after a step that it has not */
	{SYS_prctl, SPAWN_DIRECTORY, ""},
	{SYS_execve, SPAWN_EXEC, "/bin/true"},
};
static const struct waiting *waiting;

/* From now on prctl(PR_SET_PDEATHSIG), or that call, waits for ever, in our
 * children, too. */
static bool make_it_wait(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, waiting->call,
			waiting->call == SYS_prctl ? 0 : 2, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_SET_PDEATHSIG, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {COUNT_OF(code), code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
		syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			&program) != -1;
}

static int spawn_one_that_waits(void)
{
	const char *candidates[] = {"/bin/true", NULL};
	struct spawn_failure failure;
	pid_t pid;
	int pidfd;

	plan.candidates = candidates;
	plan.death_signal = SIGKILL;
	plan.patience = 50 * MSEC;
	if (!make_it_wait())
		return 1;
	if (spawn(&plan, &pid, &pidfd, &failure) != -1 || failure.error != ETIMEDOUT ||
		failure.step != waiting->step || strcmp(failure.what, waiting->what) != 0 ||
		spawn_exit_status(&failure) != 0) /* try again */
		return 2;
	/* its end may still be on its way */
	return waitpid(-1, NULL, (int)__WALL) == -1 ? 0 : 3;
}

NATIVE_TEST_LOOP(what_a_child_waits_in_is_told, 0, COUNT_OF(waits))
{
	/* not here: a sanitizer's end calls prctl, too */
	waiting = &waits[_i];
	ck_assert_int_eq(os_in_child(spawn_one_that_waits), 0);
}
