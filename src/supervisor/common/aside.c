/* SPDX-License-Identifier: MIT */
#include "supervisor/common/aside.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/descriptors.h"
#include "supervisor/common/timer.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

/* ---- in the process of its own ---- */

static int arrange(const struct supervisor *sup, const struct aside_plan *p)
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

/* ---- in nclust ---- */

static pid_t run(const struct supervisor *sup, const struct aside_plan *p, int *pidfd)
{
	pid_t nclust = getpid();
	pid_t pid = pidfd_fork(pidfd);

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(getppid() == nclust && arrange(sup, p) == 0 ? p->work(p->owner) : EX_OSERR);
	}
	return pid;
}

static void forget(struct aside *a)
{
	struct aside **at = &a->sup->asides;

	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	ev_io_stop(a->sup->loop, &a->exit);
	ev_timer_stop(a->sup->loop, &a->patience);
	fd_close(&a->pidfd);
	a->pid = 0;
}

void aside_look(struct aside *a)
{
	struct pidfd_end end = {.signalled = true, .code = SIGKILL};

	if (pidfd_reap(a->pidfd, &end) == 0)
		return;
	forget(a);
	a->over(a->owner, &end);
}

static void on_exit_of(struct ev_loop *loop, ev_io *watcher, int revents)
{
	(void)loop;
	(void)revents;
	aside_look(watcher->data);
}

static void on_patience_over(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct aside *a = timer->data;

	(void)loop;
	(void)revents;
	(void)pidfd_signal(a->pidfd, SIGKILL);
	a->over(a->owner, NULL);
}

int aside_begin(struct aside *a, struct supervisor *sup, const struct aside_plan *plan)
{
	int pidfd = -1;
	pid_t pid = run(sup, plan, &pidfd);

	if (pid == -1)
		return -1;
	*a = (struct aside){
		.next = sup->asides,
		.sup = sup,
		.over = plan->over,
		.owner = plan->owner,
		.pid = pid,
		.pidfd = pidfd,
	};
	sup->asides = a;
	io_init(&a->exit, on_exit_of, pidfd, a);
	timer_init(&a->patience, on_patience_over, a);
	ev_io_start(sup->loop, &a->exit);
	if (plan->patience != NSEC_NEVER)
		timer_arm(sup->loop, &a->patience, plan->patience);
	return 0;
}

void aside_end(struct aside *a)
{
	struct pidfd_end end;

	if (a->pid == 0)
		return;
	(void)pidfd_signal(a->pidfd, SIGKILL);
	(void)pidfd_reap(a->pidfd, &end);
	forget(a);
}

int aside_await(const struct supervisor *sup, const struct aside_plan *plan, struct pidfd_end *end)
{
	struct pollfd wait = {.fd = -1, .events = POLLIN};
	scoped_fd pidfd = -1;

	if (run(sup, plan, &pidfd) == -1)
		return -1;
	wait.fd = pidfd;
	if (poll(&wait, 1, (int)(plan->patience / MSEC)) == 0) {
		(void)pidfd_signal(pidfd, SIGKILL);
		return 0;
	}
	return pidfd_reap(pidfd, end) == 1 ? 1 : -1;
}

struct aside *aside_by_pid(const struct supervisor *sup, pid_t pid)
{
	struct aside *a = sup->asides;

	while (a != NULL && a->pid != pid)
		a = a->next;
	return a;
}
