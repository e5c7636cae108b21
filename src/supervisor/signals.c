/* SPDX-License-Identifier: MIT */
#include "supervisor/signals.h"

#include "base/log.h"
#include "base/nsec.h"
#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "supervisor/common/timer.h"
#include "supervisor/drain/drain.h"
#include "supervisor/instance/lifecycle.h"
#include "supervisor/instance/reload.h"
#include "supervisor/logs/logs.h"
#include "supervisor/upgrade/reexec.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/logger_life.h"
#include "supervisor/workers/service.h"
#include "supervisor/workers/strays.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* A stop signal so soon after the first is the same stop: timeout(1) signals its command, and then
 * their process group. */
#define STOP_TWIN (200 * MSEC)

/* ---- one cluster ---- */

static bool is_passed_on(int signal)
{
	return signal == SIGUSR1 || signal == SIGUSR2 || (signal >= SIGRTMIN && signal <= SIGRTMAX);
}

/* Do what the cluster's rule for the signal says.  True: this replaces the built-in action. */
static bool apply_rule(struct service *service, int signal, bool *reload)
{
	const struct signal_rule *rule = &cluster_settings(service->core)->signals[signal];
	int passed = rule->translated != 0 ? rule->translated : signal;
	struct error err;

	switch (rule->action) {
	case SIGNAL_DEFAULT:
		if (rule->translated == 0)
			return false;
		/* the cluster stops as usual, but with this signal first */
		if (signal == SIGTERM || signal == SIGINT) {
			service->life.stop_signal = passed;
			return false;
		}
		if (is_passed_on(signal))
			(void)service_signal_next(service, passed, false);
		else
			(void)service_signal_all(service, passed);
		break;
	case SIGNAL_NEXT:
		(void)service_signal_next(service, passed, false);
		break;
	case SIGNAL_FIRST:
		(void)service_signal_next(service, passed, true);
		break;
	case SIGNAL_ALL:
		(void)service_signal_all(service, passed);
		break;
	case SIGNAL_RESTART:
		if (service_roll(service, &(struct event){.slot = SLOT_ALL}, &err) == -1)
			log_warn("%s: restart refused: %s", service->name, err.text);
		break;
	case SIGNAL_RELOAD:
		*reload = true;
		break;
	case SIGNAL_STOP:
		service_stop(service, false);
		break;
	case SIGNAL_UPGRADE:
		/* if the rule of another cluster has not begun it already */
		if (service->sup->upgrade.reexec == NULL && reexec_begin(service->sup, &err) == -1)
			log_warn("upgrade refused: %s", err.text);
		break;
	case SIGNAL_REOPEN_LOGS:
		logs_reopen(service);
		break;
	case SIGNAL_IGNORE:
		break;
	}
	return true;
}

/* ---- the instance ---- */

bool signals_has_terminal(void)
{
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd == -1)
		return false;
	(void)close(fd);
	return true;
}

static void on_hup(struct supervisor *sup)
{
	if (sup->signals.hup_ignored)
		return;
	if (sup->launch.had_terminal && !signals_has_terminal()) {
		log_note("the terminal is gone: stopping");
		lifecycle_stop(sup, false);
		return;
	}
	reload_from_signal(sup, true);
}

static void scale_by(struct supervisor *sup, int by)
{
	struct service *s;
	struct error err;
	unsigned wanted;

	if (sup->service_count != 1)
		return;
	s = sup->services[0];
	wanted = service_counts(s).workers;
	if (by < 0 && wanted == 0)
		return;
	if (service_scale(s, (unsigned)((int)wanted + by), &err) == -1)
		log_warn("%s: %s", s->name, err.text);
}

static void resume_all(struct supervisor *sup)
{
	struct child *child;

	for_each_child (child, children_of_all(sup))
		if (child->life.paused) {
			child->life.paused = false;
			child_kill_group(child, SIGCONT);
		}
}

/* Job control: pass SIGTSTP on, because workers have sessions of their own, which a shell's ^Z does
 * not reach. */
static void on_tstp(struct supervisor *sup)
{
	struct child *child;

	drain_settle(sup); /* a drain must not continue a paused worker */
	for_each_child (child, children_of_all(sup)) {
		child_kill_group(child, SIGSTOP);
		child->life.paused = true;
	}
	(void)raise(SIGSTOP);
	/* SIGCONT has come, or nclust is PID 1, which cannot be stopped */
	resume_all(sup);
}

/* Tell of it once: who rotates log files means all workers. */
static void pass_on(struct service *s, int signal)
{
	uint32_t slot = service_signal_next(s, signal, false);
	unsigned ready = service_counts(s).ready;
	char name[16];

	(void)text_signal_name(name, signal);
	if (slot != SLOT_ALL && ready > 1 && once_say(s->said, ONCE_ONE_WORKER))
		log_note("%s: %s passed on to %s.%" PRIu32 ", 1 of %u workers; 'signal-%s = all' "
			 "passes it on to all",
			s->name, name, s->name, slot, ready, name + 3);
}

static void do_built_in(struct supervisor *sup, struct service *service, int signal)
{
	if (is_passed_on(signal) && service != NULL)
		pass_on(service, signal);
	if (service != NULL)
		return;
	switch (signal) {
	case SIGTERM:
	case SIGINT:
		lifecycle_stop(sup,
			sup->instance.stopping &&
				clock_now() - sup->instance.stop_since >= STOP_TWIN);
		break;
	case SIGQUIT:
		lifecycle_stop(sup, true);
		break;
	case SIGHUP:
		on_hup(sup);
		break;
	case SIGTTIN:
		scale_by(sup, 1);
		break;
	case SIGTTOU:
		scale_by(sup, -1);
		break;
	case SIGTSTP:
		on_tstp(sup);
		break;
	case SIGCONT:
		resume_all(sup);
		break;
	default:
		break;
	}
}

static void on_signal(struct supervisor *sup, int signal)
{
	bool ruled = false;
	bool reload = false;

	if (is_passed_on(signal) && sup->instance.stopping)
		return;
	for (size_t i = 0; i < sup->service_count; i++) {
		struct service *s = sup->services[i];

		if (signal == SIGHUP) /* as log files of others are */
			logs_reopen(s);
		if (apply_rule(s, signal, &reload))
			ruled = true;
		else
			do_built_in(sup, s, signal);
	}
	/* the action for the whole instance, unless a cluster's rule has replaced it */
	if (!ruled)
		do_built_in(sup, NULL, signal);
	if (reload)
		reload_from_signal(sup, false);
}

/* Can the signalfd be watched?  Then memory was short for a moment. */
static bool can_be_watched(int fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	scoped_fd poller = epoll_create1(EPOLL_CLOEXEC);

	return poller != -1 && epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct supervisor *sup = watcher->data;
	struct signalfd_siginfo infos[TURN_ITEMS] uninitialized;
	ssize_t got = read(watcher->fd, infos, sizeof(infos));
	char name[16];
	bool hup = false;

	/* libev begins to watch it in the first turn: this fails then, or never */
	if (io_failed(loop, &sup->signals.again, watcher, revents) && !can_be_watched(watcher->fd))
		lifecycle_fail(sup, 1, "cannot watch for signals");
	for (ssize_t i = 0; i < got / (ssize_t)sizeof(infos[0]); i++) {
		int signal = (int)infos[i].ssi_signo;

		if (signal == SIGCHLD && infos[i].ssi_code == CLD_TRAPPED)
			child_let_go((pid_t)infos[i].ssi_pid);
		if (signal == SIGCHLD) {
			strays_on_sigchld(sup, (pid_t)infos[i].ssi_pid);
			continue;
		}
		/* after SIGCONT, too, the terminal may have another size */
		if (signal == SIGWINCH || signal == SIGCONT)
			logger_tell_terminal(sup);
		log_debug("received %s from process %" PRIu32, text_signal_name(name, signal),
			infos[i].ssi_pid);
		if (signal == SIGHUP) { /* several SIGHUPs count once */
			hup = true;
			continue;
		}
		on_signal(sup, signal);
	}
	if (hup)
		on_signal(sup, SIGHUP);
}

bool signals_hup_was_ignored(void)
{
	struct sigaction action;

	return sigaction(SIGHUP, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

int signals_init(struct supervisor *sup, struct error *err)
{
	sigset_t all;
	int fd;

	sigfillset(&all);
	/* faults must kill nclust, and SIGTRAP is for debuggers */
	static const int ours[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
	for (size_t i = 0; i < COUNT_OF(ours); i++)
		sigdelset(&all, ours[i]);
	if (sigprocmask(SIG_SETMASK, &all, NULL) == -1)
		return error_set(err, errno, "cannot block signals");
	fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd == -1)
		return error_set(err, errno, "cannot open a signalfd");
	io_init(&sup->signals.watcher, on_readable, fd, sup);
	ev_io_start(sup->loop, &sup->signals.watcher);
	return 0;
}

void signals_fini(struct supervisor *sup)
{
	if (!ev_is_active(&sup->signals.watcher) && sup->signals.again.pause == 0)
		return;
	ev_timer_stop(sup->loop, &sup->signals.again.timer);
	ev_io_stop(sup->loop, &sup->signals.watcher);
	(void)close(sup->signals.watcher.fd);
}
