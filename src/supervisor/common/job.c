/* SPDX-License-Identifier: MIT */
#include "supervisor/common/job.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/clock.h"
#include "os/descriptors.h"
#include "supervisor/common/state.h"
#include "supervisor/common/timer.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

/* In a job's time nclust wakes each MOMENT.  If it wakes LATE or more too late, the machine had no CPU
 * for the job either, which gets as much more time, and at the end of its time MOMENT, once. */
#define LATE (10 * MSEC)
#define MOMENT (500 * MSEC)

struct job *job_by_pid(const struct supervisor *sup, pid_t pid)
{
	return list_find(j, sup->jobs, j->pid == pid);
}

/* The process is not reaped, so its pid and its group are still its own. */
void job_kill(const struct job *j)
{
	if (j->pid == 0)
		return;
	if (j->leads && pidfd_signal_group(j->pidfd, j->pid, SIGKILL) == -1 && errno != ESRCH)
		log_debug("cannot kill the group of process %d: %s", (int)j->pid, strerror(errno));
	(void)pidfd_signal(j->pidfd, SIGKILL);
}

void job_forget(struct job *j)
{
	if (j->pid == 0)
		return;
	list_remove(j->sup->jobs, j);
	ev_io_stop(j->sup->loop, &j->exit);
	ev_timer_stop(j->sup->loop, &j->timer);
	fd_close(&j->pidfd);
	j->pid = 0;
}

bool job_reap(struct job *j, struct pidfd_end *end)
{
	int got = pidfd_peek(j->pidfd, end);

	if (got == 0)
		return false;
	if (got == -1) { /* the process is no child of nclust */
		*end = (struct pidfd_end){.code = -1};
		if (pidfd_look(j->pidfd, 0, 0, end) == 0)
			return false;
	} else {
		if (j->leads)
			job_kill(j); /* the rest of its group */
		(void)pidfd_reap(j->pidfd, end);
	}
	job_forget(j);
	return true;
}

bool job_look(struct job *j)
{
	struct pidfd_end end;

	if (!job_reap(j, &end))
		return false;
	j->over(j->owner, &end);
	return true;
}

void job_end(struct job *j)
{
	struct pidfd_end end;

	if (j->pid == 0)
		return;
	job_kill(j);
	(void)pidfd_reap(j->pidfd, &end);
	job_forget(j);
}

static void on_process_exit(struct ev_loop *loop UNUSED, ev_io *watcher, int revents UNUSED)
{
	job_look(watcher->data);
}

/* ---- the time of a job ---- */

static void arm_timer(struct job *j)
{
	nsec_t now = clock_now();

	ev_timer_stop(j->sup->loop, &j->timer);
	if (j->due == NSEC_NEVER)
		return;
	j->wakes_at = j->due < now ? now : nsec_min(j->due, now + MOMENT);
	timer_arm(j->sup->loop, &j->timer, j->wakes_at - now);
}

/* A process that has ended was in time, even if nclust looks late. */
static void on_timer(struct ev_loop *loop UNUSED, ev_timer *timer, int revents UNUSED)
{
	struct job *j = timer->data;
	nsec_t now;

	if (j->pid == 0) {
		j->start(j->owner);
		return;
	}
	if (job_look(j))
		return;
	now = clock_now();
	if (now - j->wakes_at >= LATE) {
		j->due += now - j->wakes_at;
		if (j->due == now && !j->granted) { /* it was to end now */
			j->granted = true;
			j->due += MOMENT;
		}
	}
	if (now < j->due) {
		arm_timer(j);
		return;
	}
	j->late = true;
	job_kill(j);
	j->over(j->owner, NULL);
}

/* ---- the life of a job ---- */

void job_init(struct job *j, struct supervisor *sup, job_over *over, void *owner)
{
	j->sup = sup;
	j->over = over;
	j->owner = owner;
	if (j->pid == 0)
		j->pidfd = -1;
	io_init(&j->exit, on_process_exit, j->pidfd, j);
	timer_init(&j->timer, on_timer, j);
}

void job_resume(struct job *j)
{
	j->next = j->sup->jobs;
	j->sup->jobs = j;
	ev_io_set(&j->exit, j->pidfd, EV_READ);
	ev_io_start(j->sup->loop, &j->exit);
	arm_timer(j);
}

void job_begin(struct job *j, nsec_t patience)
{
	j->late = j->granted = false;
	j->due = nsec_add(clock_now(), patience);
	job_resume(j);
}

/* ---- a function in a fork ---- */

/* Set up descriptors and log in the fork. */
static int set_up_forkjob(const struct supervisor *sup, const struct forkjob_plan *p)
{
	int log = p->silent ? sup->null_fd : sup->daemon.log_fd;

	for (int fd = 0; p->silent && fd < STDERR_FILENO; fd++)
		if (dup2(sup->null_fd, fd) == -1)
			return -1;
	if ((log != -1 && dup2(log, STDERR_FILENO) == -1) ||
		(p->keep != -1 && dup2(p->keep, ASIDE_FD) == -1))
		return -1;
	log_to(STDERR_FILENO, "nclust: ", log_level());
	(void)descriptors_close(ASIDE_FD + (p->keep != -1), ~0U);
	return 0;
}

static pid_t fork_forkjob(const struct supervisor *sup, const struct forkjob_plan *p, int *pidfd)
{
	pid_t nclust = getpid();
	pid_t pid = pidfd_fork(pidfd);

	if (pid == 0) {
		if (!p->outlives)
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit((p->outlives || getppid() == nclust) && set_up_forkjob(sup, p) == 0
				? p->work(p->owner)
				: EX_OSERR);
	}
	return pid;
}

int forkjob_begin(struct job *j, struct supervisor *sup, const struct forkjob_plan *plan)
{
	int pidfd = -1;
	pid_t pid = fork_forkjob(sup, plan, &pidfd);

	if (pid == -1)
		return -1;
	*j = (struct job){.pid = pid, .pidfd = pidfd};
	job_init(j, sup, plan->over, plan->owner);
	job_begin(j, plan->patience);
	return 0;
}

int forkjob_await(
	const struct supervisor *sup, const struct forkjob_plan *plan, struct pidfd_end *end)
{
	struct pollfd wait = {.fd = -1, .events = POLLIN};
	scoped_fd pidfd = -1;

	if (fork_forkjob(sup, plan, &pidfd) == -1)
		return -1;
	wait.fd = pidfd;
	if (poll(&wait, 1, (int)(plan->patience / MSEC)) == 0) {
		(void)pidfd_signal(pidfd, SIGKILL);
		return 0;
	}
	return pidfd_reap(pidfd, end) == 1 ? 1 : -1;
}
