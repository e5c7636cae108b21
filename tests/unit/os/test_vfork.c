/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/clock.h"
#include "os/privilege.h"
#include "os/process.h"
#include "os/vfork.h"

#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <time.h>

/* Functions that are ended in the midst have no arrays: AddressSanitizer would take
 * what it has marked around them for that of the next call on the stack. */
#define PATIENCE (60 * MSEC)
#define LONG (60 * SECOND)

struct notes {
	int fd;
	int to;
	volatile int got;
	pid_t pid;
	sigset_t mask;
};

static struct notes notes;

/* With a table of its own. */
static int run_apart(int (*function)(void *argument), void *argument, nsec_t patience)
{
	const struct vfork_call call = {function, argument, NULL, -1, -1, false};

	return vfork_make_call(&call, VFORK_SOMEBODY, patience);
}

/* One that gets no CPU is ended a little later. */
static void expect_no_child(void)
{
	while (vfork_stuck() > 0)
		(void)usleep(1000);
	os_fails(waitpid(-1, NULL, WNOHANG | (int)__WALL), ECHILD);
}

/* ---- what is done ---- */

static int note_all(void *argument)
{
	struct notes *it = argument;

	it->got++;
	it->pid = getpid();
	(void)sigprocmask(SIG_SETMASK, NULL, &it->mask);
	return 0;
}

NATIVE_TEST(a_deed_is_done_by_another_on_our_memory)
{
	notes = (struct notes){.got = 6};
	ck_assert_int_eq(vfork_run(note_all, &notes, LONG), 0);
	ck_assert_int_eq(notes.got, 7);
	ck_assert_int_ne(notes.pid, getpid());
	ck_assert_int_eq(vfork_run(note_all, &notes, 0), 0);
	ck_assert_int_eq(notes.got, 8);
	expect_no_child();
}

NATIVE_TEST(no_signal_of_ours_is_handled_meanwhile)
{
	sigset_t before;
	sigset_t after;

	sigemptyset(&before);
	sigaddset(&before, SIGUSR2);
	ck_assert_int_eq(sigprocmask(SIG_SETMASK, &before, NULL), 0);
	ck_assert_int_eq(vfork_run(note_all, &notes, LONG), 0);
	ck_assert_int_eq(sigismember(&notes.mask, SIGTERM), 1);
	ck_assert_int_eq(sigismember(&notes.mask, SIGCHLD), 1);
	ck_assert_int_eq(sigprocmask(SIG_SETMASK, NULL, &after), 0);
	for (int n = 1; n < NSIG; n++)
		ck_assert_int_eq(sigismember(&after, n), n == SIGUSR2);
}

static int close_and_copy(void *argument)
{
	struct notes *it = argument;

	it->got = dup2(it->fd, it->to);
	(void)close(it->fd);
	return 0;
}

NATIVE_TEST(descriptors_are_shared)
{
	notes = (struct notes){.fd = os_null(), .to = 70};
	ck_assert_int_eq(vfork_run(close_and_copy, &notes, LONG), 0);
	ck_assert_int_eq(notes.got, 70);
	os_fails(fcntl(notes.fd, F_GETFD), EBADF);
	ck_assert_int_ne(fcntl(70, F_GETFD), -1);
}

/* ---- as somebody else ---- */

#define USER 54321
#define GROUP 54322
#define MORE 54323

static const gid_t more[] = {MORE};
static const struct vfork_user somebody = {
	.uid = USER,
	.gid = GROUP,
	.groups = more,
	.group_count = 1,
};

static int run_as(int (*function)(void *argument), void *argument, nsec_t patience,
	const struct vfork_user *user)
{
	const struct vfork_call call = {
		.function = function, .argument = argument, .user = user, .keep = VFORK_LEAVES};

	return vfork_make_call(&call, user->uid, patience);
}

struct ids {
	uid_t user[3];
	gid_t group[3];
	gid_t more[8];
	int more_count;
	int fd;
	volatile int done;
};

static struct ids ids = {.fd = -1};

static int note_ids(void *argument)
{
	struct ids *it = argument;

	(void)getresuid(&it->user[0], &it->user[1], &it->user[2]);
	(void)getresgid(&it->group[0], &it->group[1], &it->group[2]);
	it->more_count = getgroups(8, it->more);
	(void)close(it->fd);
	it->done++;
	return 0;
}

NATIVE_ROOT_TEST(a_deed_can_be_done_as_somebody_else)
{
	ids = (struct ids){.fd = os_null()};
	ck_assert_int_eq(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1);
	ck_assert_int_eq(run_as(note_ids, &ids, LONG, &somebody), 0);
	ck_assert_int_eq(ids.done, 1);
	/* its user cannot look into our memory by it */
	ck_assert_int_ne(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(ids.user[i], USER);
	for (int i = 0; i < 2; i++) /* the saved one keeps the user out */
		ck_assert_uint_eq(ids.group[i], GROUP);
	/* the table was its own: it can leave nothing in ours */
	ck_assert_int_ne(fcntl(ids.fd, F_GETFD), -1);
	ck_assert_int_eq(vfork_run(note_ids, &ids, LONG), 0);
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(ids.user[i], 0);
		ck_assert_uint_eq(ids.group[i], 0);
	}
	expect_no_child();
}

NATIVE_ROOT_TEST(what_our_groups_may_do_the_user_may_not)
{
	const struct vfork_user alone = {.uid = USER, .gid = GROUP};

	ck_assert_int_eq(setgroups(2, (gid_t[]){0, 4}), 0);
	ck_assert_int_eq(run_as(note_ids, &ids, LONG, &somebody), 0);
	ck_assert_int_eq(ids.more_count, 1);
	ck_assert_uint_eq(ids.more[0], MORE);
	ck_assert_int_eq(run_as(note_ids, &ids, LONG, &alone), 0);
	ck_assert_int_eq(ids.more_count, 0);
	ck_assert_int_eq(getgroups(0, NULL), 2); /* ours are ours */
}

/* Only where fs.suid_dumpable is 1, which this test cannot set. */
NATIVE_TEST(its_saved_group_is_ours_where_memory_stays_dumpable)
{
	char text[8] = "";
	int fd = open("/proc/sys/fs/suid_dumpable", O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(read(fd, text, sizeof(text) - 1), 0);
	ck_assert_uint_eq(vfork_saved_group(GROUP), *text == '1' ? (gid_t)-1 : (gid_t)GROUP);
}

NATIVE_TEST(who_may_not_be_somebody_else_does_nothing)
{
	struct capset rights;

	ck_assert_int_eq(capset_get(&rights), 0);
	rights.effective &= ~(UINT64_C(1) << CAP_SETUID);
	ck_assert_int_eq(capset_put(&rights), 0);
	os_fails(run_as(note_ids, &ids, LONG, &somebody), EPERM);
	ck_assert_int_eq(ids.done, 0);
	expect_no_child();
}

/* ---- what takes too long ---- */

static int hang(void *argument)
{
	struct notes *it = argument;

	it->got++;
	it->got = (int)read(it->fd, &it->to, 1);
	return 0;
}

static volatile unsigned turns;

static int spin(void *argument)
{
	struct notes *it = argument;

	it->got++;
	while (it->got > 0)
		turns++;
	return 0;
}

NATIVE_ROOT_TEST(as_somebody_else_it_takes_no_longer)
{
	os_fails(run_as(spin, &notes, PATIENCE, &somebody), ETIMEDOUT);
	ck_assert_int_eq(notes.got, 1);
	expect_no_child();
}

static int kill_itself(void *argument)
{
	struct notes *it = argument;

	it->got++;
	(void)kill(getpid(), SIGKILL);
	return 0;
}

/* Neither sleeping nor running is a way out. */
static int (*const endless[])(void *) = {hang, spin};

NATIVE_TEST(what_takes_too_long_is_ended)
{
	unsigned before;
	nsec_t begin;
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	notes.fd = ends[0];
	before = os_open_count();
	for (unsigned n = 0; n < COUNT_OF(endless); n++) {
		begin = clock_now();
		os_fails(vfork_run(endless[n], &notes, PATIENCE), ETIMEDOUT);
		ck_assert_int_ge(clock_now() - begin, PATIENCE);
		ck_assert_int_lt(clock_now() - begin, LONG);
		ck_assert_int_eq(notes.got, (int)n + 1);
		expect_no_child();
		ck_assert_uint_eq(os_open_count(), before);
	}
	/* and the stack is as good as new */
	ck_assert_int_eq(vfork_run(note_all, &notes, LONG), 0);
	ck_assert_int_eq(notes.got, 3);
}

static volatile sig_atomic_t deaths;

static void on_death(int signal)
{
	(void)signal;
	deaths++;
}

/* Else a supervisor would look for a child that is none of its own. */
NATIVE_TEST(its_end_is_nobodys_news)
{
	ck_assert(signal(SIGCHLD, on_death) != SIG_ERR);
	ck_assert_int_eq(vfork_run(note_all, &notes, LONG), 0);
	ck_assert_int_eq(vfork_run(kill_itself, &notes, LONG), -1);
	ck_assert_int_eq(deaths, 0);
	ck_assert(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
	ck_assert_int_eq(vfork_run(note_all, &notes, LONG), 0);
	ck_assert_int_eq(notes.got, 3);
}

NATIVE_TEST(children_of_ours_are_left_alone)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(9);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
	ck_assert_int_eq(vfork_run(note_all, &notes, LONG), 0);
	os_reap(pid, 9 << 8);
}

/* In a child, as who has no more processes to have cannot go on as a test. */
static int run_without_processes(void)
{
	const struct rlimit none = {0, 0};
	sigset_t mask;

	if (setrlimit(RLIMIT_NPROC, &none) == -1 || setresuid(54321, 54321, 54321) == -1)
		return 1;
	if (vfork_run(note_all, &notes, LONG) != -1 || errno != EAGAIN)
		return 2;
	if (sigprocmask(SIG_SETMASK, NULL, &mask) == -1 || sigismember(&mask, SIGTERM) != 0 ||
		notes.got != 0)
		return 3;
	return 0;
}

NATIVE_TEST(where_no_process_can_be_had_it_is_told)
{
	if (!os_is_root("a user who has a limit"))
		return;
	ck_assert_int_eq(os_in_child(run_without_processes), 0);
}

static int sleep_a_moment(void *argument)
{
	const struct timespec moment = {.tv_nsec = 20 * MSEC};

	(void)argument;
	(void)nanosleep(&moment, NULL);
	return 0;
}

static int work_a_moment(void *argument)
{
	volatile unsigned *n = argument;

	while (*n < 10000000)
		++*n;
	return 0;
}

NATIVE_TEST(a_child_that_has_left_is_not_taken_for_the_next_one_on_its_stack)
{
	struct vfork first = {.needed = true};
	struct vfork next = {.needed = true};
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	notes.fd = ends[0];
	ck_assert(vfork_is_shared());
	ck_assert_int_eq(vfork_begin(&first, note_all, &notes, SIGCHLD, NULL), 0);
	ck_assert_int_eq(waitid(P_PID, (id_t)first.pid, NULL, WEXITED | WNOWAIT), 0);
	ck_assert_int_eq(vfork_begin(&next, hang, &notes, SIGCHLD, NULL), 0);
	ck_assert(vfork_wait(&first, MSEC));
	ck_assert(vfork_is_shared());
	ck_assert(vfork_reap(&first));
	ck_assert(vfork_kill(&next));
	ck_assert_uint_eq(vfork_stuck(), 0);
}

NATIVE_TEST(only_sleep_is_counted)
{
	unsigned n = 0;
	nsec_t slept;

	do { /* its end may sleep for a moment where others want the CPU */
		slept = vfork_slept();
		ck_assert_int_eq(vfork_run(work_a_moment, &n, LONG), 0);
	} while (vfork_slept() != slept);
	ck_assert_int_eq(vfork_run(sleep_a_moment, NULL, LONG), 0);
	/* by another clock than that of the sleep */
	ck_assert_int_gt(vfork_slept() - slept, 10 * MSEC);
}

static int sleep_and_work(void *argument)
{
	const struct timespec moment = {.tv_nsec = MSEC};

	(void)argument;
	(void)nanosleep(&moment, NULL);
	while (process_ran(getpid()) < 40 * MSEC)
		;
	return 0;
}

/* In a table of its own these take a while to close. */
static int open_many(void *argument)
{
	(void)argument;
	for (int i = 0; i < 900; i++)
		(void)open("/dev/null", O_RDONLY);
	return 0;
}

static void stay_on_cpu(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
}

NATIVE_TEST(who_waits_for_a_cpu_does_not_sleep)
{
	nsec_t slept = vfork_slept();
	nsec_t begun = clock_now();
	nsec_t took;
	pid_t others[4];

	stay_on_cpu();
	for (size_t i = 0; i < COUNT_OF(others); i++) {
		others[i] = fork();
		while (others[i] == 0)
			;
	}
	ck_assert_int_eq(run_apart(sleep_and_work, NULL, LONG), 0);
	for (int i = 0; i < 40; i++)
		ck_assert_int_eq(run_apart(open_many, NULL, LONG), 0);
	took = clock_now() - begun;
	for (size_t i = 0; i < COUNT_OF(others); i++) {
		(void)kill(others[i], SIGKILL);
		os_reap(others[i], SIGKILL);
	}
	/* five have had the CPU by turns, and a pause of nclust's own ends late */
	ck_assert_int_lt(vfork_slept() - slept, took / 8);
}

TEST(at_first_none_is_stuck)
{
	ck_assert_uint_eq(vfork_stuck(), 0);
	ck_assert(!vfork_has(getpid()));
}
