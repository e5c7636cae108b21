/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "supervisor/common/job.h"
#include "supervisor/common/state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is done in a process of its own while nclust goes on. */

static struct supervisor sup;
static struct job aside;
static int pipe_of[2];
static unsigned told;
static bool late;
static bool forget_late;
static struct pidfd_end last;

static void on_over(void *owner, const struct pidfd_end *end)
{
	ck_assert_ptr_eq(owner, &aside);
	told++;
	if (end != NULL) {
		last = *end;
		return;
	}
	late = true;
	if (forget_late)
		job_end(&aside);
}

static int answer(void *owner)
{
	(void)owner;
	return write(ASIDE_FD, "ok", 2) == 2 ? 42 : 1;
}

/* It waits for longer than the moment that a late nclust gives in any case. */
static int answer_slowly(void *owner)
{
	(void)owner;
	for (int i = 0; i < 20; i++)
		(void)poll(NULL, 0, 50);
	return 42;
}

static int hang(void *owner)
{
	for (;;)
		(void)pause();
	return owner != NULL;
}

/* So many of the others are open. */
static int count_others(void *owner)
{
	int count = 0;

	(void)owner;
	for (int fd = ASIDE_FD; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) != -1;
	return count;
}

static int is_silent(void *owner)
{
	struct stat null;
	struct stat st;

	(void)owner;
	if (stat("/dev/null", &null) == -1)
		return 2;
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fstat(fd, &st) == -1 || st.st_rdev != null.st_rdev)
			return 1;
	return 0;
}

static struct forkjob_plan plan(forkjob_work *work, int keep)
{
	return (struct forkjob_plan){
		.work = work,
		.over = on_over,
		.owner = &aside,
		.patience = 30 * SECOND,
		.keep = keep,
	};
}

static void begin(const struct forkjob_plan *p)
{
	ck_assert_int_eq(forkjob_begin(&aside, &sup, p), 0);
	ck_assert_ptr_eq(job_by_pid(&sup, aside.pid), &aside);
}

static void setup(void)
{
	sup = (struct supervisor){
		.loop = ev_loop_new(EVFLAG_NOENV),
		.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC),
		.daemon.log_fd = -1,
	};
	aside = (struct job){.pid = 0};
	told = 0;
	late = forget_late = false;
	ck_assert_int_eq(pipe(pipe_of), 0);
}

static void teardown(void)
{
	job_end(&aside);
	ck_assert_ptr_null(sup.jobs);
	ev_loop_destroy(sup.loop);
	(void)close(sup.null_fd);
	(void)close(pipe_of[0]);
	(void)close(pipe_of[1]);
}

FIXTURE(setup, teardown)

TEST(it_answers_by_its_descriptor_and_its_status)
{
	struct forkjob_plan p = plan(answer, pipe_of[1]);
	char text[3] = "";

	begin(&p);
	(void)ev_run(sup.loop, 0); /* until nothing is waited for */
	ck_assert_uint_eq(told, 1);
	ck_assert(!last.signalled);
	ck_assert_int_eq(last.code, 42);
	ck_assert_int_eq(read(pipe_of[0], text, 2), 2);
	ck_assert_str_eq(text, "ok");
	ck_assert_int_eq(aside.pid, 0);
}

TEST(it_keeps_no_other_descriptor)
{
	struct forkjob_plan p = plan(count_others, pipe_of[1]);

	begin(&p);
	(void)ev_run(sup.loop, 0);
	ck_assert_int_eq(last.code, 1);
	p.keep = -1;
	begin(&p);
	(void)ev_run(sup.loop, 0);
	ck_assert_int_eq(last.code, 0);
}

TEST(one_that_is_late_is_killed_and_reported_when_it_has_ended)
{
	struct forkjob_plan p = plan(hang, -1);

	p.patience = MSEC;
	begin(&p);
	(void)ev_run(sup.loop, 0);
	ck_assert(late);
	ck_assert_uint_eq(told, 2);
	ck_assert(last.signalled);
	ck_assert_int_eq(last.code, SIGKILL);
}

/* The whole machine stands still for longer than the job's time, right after its start. */
TEST(time_in_which_nobody_had_a_cpu_does_not_count)
{
	struct forkjob_plan p = plan(answer_slowly, -1);

	p.patience = 3 * SECOND;
	begin(&p);
	ck_assert_int_eq(kill(aside.pid, SIGSTOP), 0);
	ck_assert_int_eq(usleep(4 * 1000 * 1000), 0);
	ck_assert_int_eq(kill(aside.pid, SIGCONT), 0);
	(void)ev_run(sup.loop, 0);
	ck_assert(!late);
	ck_assert_int_eq(last.code, 42);
}

TEST(one_that_is_late_may_be_forgotten)
{
	struct forkjob_plan p = plan(hang, -1);

	forget_late = true;
	p.patience = MSEC;
	begin(&p);
	(void)ev_run(sup.loop, 0);
	ck_assert_uint_eq(told, 1);
	ck_assert_int_eq(aside.pid, 0);
}

TEST(without_the_loop_its_end_is_awaited)
{
	struct forkjob_plan p = plan(is_silent, -1);
	struct pidfd_end end;

	p.silent = true;
	ck_assert_int_eq(forkjob_await(&sup, &p, &end), 1);
	ck_assert_int_eq(end.code, 0);
	p = plan(hang, -1);
	p.patience = MSEC;
	ck_assert_int_eq(forkjob_await(&sup, &p, &end), 0);
	ck_assert_uint_eq(told, 0);
}
