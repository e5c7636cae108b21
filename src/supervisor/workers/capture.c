/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/capture.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/descriptors.h"
#include "os/fdpass.h"
#include "os/pidfd.h"
#include "os/look/remote.h"
#include "os/process.h"
#include "os/vfork.h"
#include "protocol/logwire.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/daemon.h"
#include "supervisor/common/foreign.h"
#include "supervisor/common/news.h"
#include "supervisor/common/tally.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/ptys.h"
#include "supervisor/workers/reap.h"
#include "supervisor/workers/service.h"
#include "supervisor/workers/slotlog.h"
#include "supervisor/common/role.h"
#include "supervisor/common/kind.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* A logger that takes no packet for so long hangs, and is replaced. */
#define LOGGER_PATIENCE_MS 100
/* So long after there was something to read the logger is asked whether it
 * lives, and it has so many seconds to answer. */
#define LOGGER_LOOK (2 * SECOND)
#define LOGGER_ANSWERS_IN 4
/* One that is killed ends within this time, unless it waits in the kernel. */
#define LOGGER_ENDS_IN (1 * SECOND)
#define LOGGER_KILLED UINT_MAX /* logger.asked */
/* At the end it drains what is in the pipes, and bounds that itself. */
#define LOGGER_DRAINS (5 * SECOND)
#define MOMENT_MS 100
#define PACKETS_A_TURN 64
#define DROPS_EACH (1 * MINUTE)

static int start(struct supervisor *sup);
static int start_soon(struct service *service);
static void begin_now(struct supervisor *sup);
static void replace(struct supervisor *sup);
static void watch_pipe(struct supervisor *sup, int pipe);

/* ---- which output goes where ---- */

/* It is written nowhere, but its latest lines are kept (slotlog.h), and the last
 * ones are reported.  But each connection's process would cost a pipe. */
static bool is_quiet(const struct service *service)
{
	enum log_mode mode = cluster_settings(service->core)->log;

	return mode == LOG_OFF || (mode == LOG_AUTO && service->sup->settings->daemon);
}

/*
 * Is the output copied unchanged to ours, so that a worker's last output is
 * known?  Not while an earlier nclust's logger lives, because it cannot copy;
 * nor if each connection has a process, because that would cost a pipe each,
 * and nobody waits for such a process to be ready.
 */
static bool is_copied(const struct service *service)
{
	const struct supervisor *sup = service->sup;

	return cluster_settings(service->core)->log == LOG_AUTO && !sup->settings->daemon &&
		!sup->logger.stdout_is_terminal && !service->kind->by_connection &&
		(sup->logger.life.job.pid == 0 || sup->logger.copies);
}

bool capture_wanted(const struct service *service)
{
	const struct supervisor *sup = service->sup;

	switch (cluster_settings(service->core)->log) {
	case LOG_SINKS:
		return true;
	case LOG_AUTO:
		if (sup->settings->daemon)
			return !service->kind->by_connection || !sup->instance.ready_once;
		return sup->logger.stdout_is_terminal || is_copied(service);
	case LOG_OFF:
		return !service->kind->by_connection;
	case LOG_INHERIT:
		break;
	}
	return false;
}

/* Open the write end for reading, too: if all other readers are killed, the
 * worker gets no SIGPIPE but waits for the next reader. */
static void open_both_ways(int *end)
{
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", *end);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd == -1)
		return;
	(void)close(*end);
	*end = fd;
}

struct output_look {
	int number;
	bool is_pipe;
};

static bool look_at_output(void *context, int fd, const char *target)
{
	struct output_look *l = context;

	if (fd == l->number)
		l->is_pipe = strncmp(target, "pipe:[", 6) == 0;
	return fd >= l->number;
}

/* Only a pipe is taken: closing anything else of a worker's may keep us waiting
 * (a socket with SO_LINGER, a file of FUSE). */
static int take_pipe(struct remote *r, int number)
{
	struct output_look l = {.number = number};

	return remote_each_fd(r, (unsigned)number + 1, look_at_output, &l) == 0 && l.is_pipe
		? remote_fd(r, number)
		: -1;
}

struct opening {
	struct remote *r;
	int number;
	int fd;
};

/* Who opens a pipe, or is the last to close it, waits for its lock (fs/pipe.c of the
 * kernel), which the worker may hold. */
static int open_pipe_again(void *argument)
{
	struct opening *o = argument;
	scoped_fd both = take_pipe(o->r, o->number);
	struct stat st;
	char path[40];

	if (both == -1 || fstat(both, &st) == -1 || !S_ISFIFO(st.st_mode) ||
		(fcntl(both, F_GETFL) & O_ACCMODE) != O_RDWR)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", both);
	o->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return o->fd != -1 ? 0 : -1;
}

/* Open the worker's pipe for reading only, to see when the worker is gone. */
static int reopen(const struct child *child, struct remote *r, int number)
{
	struct opening o = {.r = r, .number = number, .fd = -1};

	if (remote_have(r, -1, open_pipe_again, &o, &o.fd) == -1)
		log_worker(child, LOG_ERROR, "cannot open its output: %s", strerror(errno));
	return o.fd;
}

void capture_reopen(struct child *child)
{
	struct remote r;

	remote_of(&r, child->pid);
	for (int i = 0; i < 2; i++)
		if (child->output[i] == -1)
			child->output[i] = reopen(child, &r, i + 1);
	if (descriptors_same(child->output[0], child->output[1]))
		foreign_close(child->service->sup, child, &child->output[1]);
}

/* Nor does nclust itself close a pipe of a worker's: the last close waits for that
 * lock (fs/pipe.c of the kernel), and a worker can make any one the last. */
void capture_drop(struct child *child)
{
	struct supervisor *sup = child->service->sup;

	for (int i = 0; i < 2; i++) {
		/* the logger has it, too, so that it would stay in the set */
		if (child->output[i] != -1)
			(void)epoll_ctl(
				sup->logger.pipes.set, EPOLL_CTL_DEL, child->output[i], NULL);
		foreign_close(sup, child, &child->output[i]);
	}
}

/* Returns the read end, which is the caller's; -1 and errno. */
static int open_pipe(const struct service *service, int *write_end)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) == -1)
		return -1;
	if (cluster_settings(service->core)->orphans == ORPHANS_KEEP)
		open_both_ways(&ends[1]);
	/* a worker of another user may open /dev/stderr */
	(void)fchmod(ends[1], 0622);
	*write_end = ends[1];
	return ends[0];
}

/* The same for a terminal, or where there is none for a pipe. */
static int open_output(const struct child *child, int stream, int *write_end)
{
	int end = ptys_are_wanted(child, stream) ? ptys_open(child, stream, write_end) : -1;

	return end != -1 ? end : open_pipe(child->service, write_end);
}

/* Of each worker: its pidfd, its notify socket, and what its calls come by; and what
 * is captured; and what nclust needs for itself. */
#define DESCRIPTORS_BARE 3
#define DESCRIPTORS_CAPTURED 5
#define DESCRIPTORS_LEFT 64

/* May two more be opened, so that those which are still to be started can be?  `fd` is
 * new: all below it are in use. */
static bool is_room(struct service *service, int fd)
{
	const struct supervisor *sup = service->sup;
	unsigned all = 0;
	unsigned to_come = 0;

	for (size_t i = 0; i < sup->service_count; i++) {
		struct service_counts counts = service_counts(sup->services[i]);

		all += counts.workers;
		to_come += counts.workers > counts.alive ? counts.workers - counts.alive : 0;
	}
	if ((rlim_t)fd + to_come * DESCRIPTORS_BARE + DESCRIPTORS_LEFT < sup->launch.descriptors)
		return true;
	if (!service->life.crowd_told)
		log_note("%s: the output of some workers is not captured, but "
			 "goes where nclust's own goes: %u workers need "
			 "RLIMIT_NOFILE %u, it is %llu",
			service->name, all, all * DESCRIPTORS_CAPTURED + 2 * DESCRIPTORS_LEFT,
			(unsigned long long)sup->launch.descriptors);
	service->life.crowd_told = true;
	return false;
}

void capture_open(struct service *service, struct child *child, int output[2])
{
	struct supervisor *sup = service->sup;
	bool copied = is_copied(service);

	output[0] = output[1] = -1;
	if (!capture_wanted(service) || start_soon(service) == -1) {
		if (is_quiet(service))
			output[0] = output[1] = sup->null_fd;
		return;
	}
	if (!service->kind->by_connection && !is_room(service, child->life.notify))
		return;
	/* the stdout of a connection's process is its answer */
	for (int i = service->kind->by_connection; i < 2; i++) {
		/* one pipe keeps the order of what goes to one place; a
		 * terminal stays what the worker sees */
		if (i == 1 && copied && descriptors_same(STDOUT_FILENO, STDERR_FILENO))
			output[1] = output[0];
		if (i == 1 && copied && (output[1] != -1 || isatty(2) == 1))
			return;
		child->output[i] = open_output(child, i, &output[i]);
		/* without a pipe the worker writes where we write */
		if (child->output[i] == -1) {
			log_syserr("cannot capture the output of '%s'", service->name);
			return;
		}
	}
}

void capture_close(struct supervisor *sup, int output[2])
{
	if (output[1] == output[0])
		output[1] = -1;
	for (int i = 0; i < 2; i++)
		if (output[i] != sup->null_fd)
			foreign_close_later(sup, NULL, &output[i]);
}

/* ---- the channel ---- */

static void give_up_on_it(struct supervisor *sup)
{
	log_warn("the logger does not answer: replacing it");
	job_kill(&sup->logger.life.job);
	sup->logger.asked = LOGGER_KILLED;
	timer_arm(sup->loop, &sup->logger.look, LOGGER_ENDS_IN);
}

bool logger_send(
	struct supervisor *sup, const struct logwire_packet *p, const int *fds, size_t count)
{
	int channel = sup->logger.watcher.fd;
	struct pollfd wait = {.fd = channel, .events = POLLOUT};

	if (channel == -1)
		return false;
	if (fdpass_send(channel, p, sizeof(*p), fds, count) == 0)
		return true;
	if ((errno == EAGAIN || errno == ENOBUFS) && poll(&wait, 1, LOGGER_PATIENCE_MS) == 1 &&
		fdpass_send(channel, p, sizeof(*p), fds, count) == 0)
		return true;
	if (errno != EPIPE && errno != ECONNRESET)
		give_up_on_it(sup);
	return false;
}

static bool send_packet(struct supervisor *sup, const struct logwire_packet *p, int fd)
{
	return logger_send(sup, p, &fd, fd != -1);
}

static bool has_own_user(const struct child *child)
{
	const struct cluster_settings *s = child_settings(child);

	return s != NULL && (s->uid < 0 || (uid_t)s->uid == geteuid());
}

void capture_hand_over(struct service *service, const struct child *child)
{
	struct supervisor *sup = service->sup;
	struct logwire_packet p = {
		.kind = LOGWIRE_ADD,
		.slot = child->slot,
		.worker = child->serial,
		.quiet = is_quiet(service),
		.sink = is_copied(service) ? LOGWIRE_COPY : 0,
		.what = child->pid > 0 ? (uint32_t)child->pid : 0,
		.which = child->generation,
		.flag = has_own_user(child),
	};
	int fds[3];
	size_t count = 0;

	if (child->output[0] == -1 && child->output[1] == -1)
		return;
	PARTS(handing, service);
	text_copy(p.cluster, sizeof(p.cluster), service->name);
	for (int i = 0; i < 2; i++) {
		if (child->output[i] == -1)
			continue;
		if (ev_is_active(&sup->logger.work))
			watch_pipe(sup, child->output[i]);
		p.stream |= (uint32_t)i + 1;
		fds[count++] = child->output[i];
		if (sup->logger.remembers)
			continue;
		/* an earlier one takes one at a time */
		(void)logger_send(sup, &p, fds, count);
		p.stream = 0;
		count = 0;
	}
	if (sup->logger.remembers && (fds[count] = slotlog_of(child)) != -1)
		count++;
	if (count > 0) /* else the next logger gets it */
		(void)logger_send(sup, &p, fds, count);
}

bool capture_ask_last(const struct child *child)
{
	const struct worker_view view = child_view(child);
	struct logwire_packet p = {
		.kind = LOGWIRE_ENDED,
		.slot = child->slot,
		.worker = child->serial,
		.quiet = view.id != 0 && view.ready_at != NSEC_NEVER,
	};

	begin_now(child->service->sup);
	text_copy(p.cluster, sizeof(p.cluster), child->service->name);
	return send_packet(child->service->sup, &p, -1);
}

/* ---- does the logger live? ---- */

/* A worker that has closed its output leaves the pipe readable for ever. */
static bool is_at_its_end(int pipe)
{
	struct pollfd at = {.fd = pipe, .events = POLLIN};

	return poll(&at, 1, 0) == 1 && (at.revents & POLLIN) == 0;
}

static void watch_pipe(struct supervisor *sup, int pipe)
{
	struct epoll_event event = {.events = EPOLLIN};

	if (pipe != -1)
		(void)epoll_ctl(sup->logger.pipes.set,
			is_at_its_end(pipe) ? EPOLL_CTL_DEL : EPOLL_CTL_ADD, pipe, &event);
}

static void stop_watching(struct supervisor *sup)
{
	ev_io_stop(sup->loop, &sup->logger.work);
	ev_timer_stop(sup->loop, &sup->logger.look);
	sup->logger.asked = 0;
}

/*
 * Wait until a worker writes something.  Then the logger has work, and is asked
 * in a while whether it lives; when it has answered, we wait again.  This costs
 * nothing while no worker writes, and little while all do.
 */
static void watch_work(struct supervisor *sup)
{
	const struct child *child;

	stop_watching(sup);
	if (sup->logger.pipes.set == -1 && eventset_open(&sup->logger.pipes) == -1) {
		log_syserr("cannot watch over the logger");
		return;
	}
	ev_io_set(&sup->logger.work, sup->logger.pipes.wake, EV_READ);
	for_each_child (child, children_of_all(sup))
		for (int i = 0; i < 2; i++)
			watch_pipe(sup, child->output[i]);
	ev_io_start(sup->loop, &sup->logger.work);
	eventset_arm(&sup->logger.pipes);
}

static void on_work(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct supervisor *sup = watcher->data;

	(void)revents;
	eventset_take(&sup->logger.pipes);
	ev_io_stop(loop, watcher);
	timer_arm(loop, &sup->logger.look, LOGGER_LOOK);
}

/* Ask for the last output of worker 0.  It does not exist, but every logger
 * answers, also one of an earlier release. */
static void on_look(struct ev_loop *loop, ev_timer *timer, int revents)
{
	const struct logwire_packet p = {.kind = LOGWIRE_ENDED};
	struct supervisor *sup = timer->data;

	(void)revents;
	if (sup->logger.asked == LOGGER_KILLED) {
		log_warn("the logger does not end: it waits in the kernel");
		replace(sup);
		return;
	}
	if (sup->logger.asked > LOGGER_ANSWERS_IN) {
		give_up_on_it(sup);
		return;
	}
	/* in steps, because nclust itself may have been stopped */
	if (sup->logger.asked++ == 0 && !send_packet(sup, &p, -1))
		return;
	timer_arm(loop, timer, SECOND);
}

/* Lost lines are an event, but not each time: that would push all others out of the
 * history. */
static void count_lines(struct supervisor *sup, const struct logwire_packet *p)
{
	struct service *s = service_named(sup, p->cluster);
	nsec_t now = clock_now();
	uint64_t lines;

	if (s == NULL)
		return;
	tally_lines(s, p->worker, p->kind == LOGWIRE_DROPPED);
	if (p->kind == LOGWIRE_LINES)
		return;
	if (s->life.drop_told != 0 && now - s->life.drop_told < DROPS_EACH)
		return;
	s->life.drop_told = now;
	lines = s->tally.lines_lost - s->life.drop_known;
	s->life.drop_known += lines;
	news_say_of(s, LOG_WARN, "drop",
		"%" PRIu64 " line%s of output dropped: its reader is too slow, "
		"or it cannot be written",
		lines, lines == 1 ? "" : "s");
}

static void on_channel(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct supervisor *sup = watcher->data;
	struct logwire_packet p;
	struct fdpass_message m;

	(void)revents;
	for (int i = 0; i < PACKETS_A_TURN && watcher->fd != -1; i++) {
		if (fdpass_receive(watcher->fd, &p, sizeof(p), &m) != 1)
			return;
		for (size_t k = 0; k < m.fd_count; k++)
			(void)close(m.fds[k]); /* none is expected */
		if (m.len == 0) {              /* closed: its pidfd tells the rest */
			ev_io_stop(loop, watcher);
			return;
		}
		if (m.cut || !logwire_check(&p, (size_t)m.len))
			continue;
		if (p.kind == LOGWIRE_LAST && p.worker == 0) {
			if (sup->logger.asked != LOGGER_KILLED)
				watch_work(sup);
		} else if (p.kind == LOGWIRE_DROPPED || p.kind == LOGWIRE_LINES)
			count_lines(sup, &p);
		else if (p.kind == LOGWIRE_LAST)
			reap_last_output(sup, p.worker, p.text, p.address_in_use != 0);
		else if (p.kind == LOGWIRE_ASK)
			PARTS(logger_asks, sup, &p);
	}
}

/* ---- the logger's life ---- */

static void ended(void *owner, const struct pidfd_end *end);

/* Workers block once their pipes are full, so try until the logger runs. */
static void start_later(struct supervisor *sup)
{
	timer_arm(sup->loop, &sup->logger.life.again, ROLE_RESTART);
}

static void on_restart(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	if (start(timer->data) == -1)
		start_later(timer->data);
}

static void init_watchers(struct supervisor *sup)
{
	io_init(&sup->logger.watcher, on_channel, sup->logger.watcher.fd, sup);
	role_init(&sup->logger.life, sup, ended, on_restart, sup);
	sup->logger.pipes.set = sup->logger.pipes.wake = -1;
	io_init(&sup->logger.work, on_work, -1, sup);
	timer_init(&sup->logger.look, on_look, sup);
	sup->logger.asked = 0;
}

void logger_init(struct supervisor *sup)
{
	sup->logger.watcher.fd = -1;
	init_watchers(sup);
}

void logger_resume(struct supervisor *sup)
{
	const struct child *child;

	init_watchers(sup);
	if (sup->logger.life.job.pid == 0) {
		for_each_child (child, children_of_all(sup))
			if (child->output[0] != -1 || child->output[1] != -1)
				start_later(sup);
		return;
	}
	if (sup->logger.watcher.fd != -1)
		ev_io_start(sup->loop, &sup->logger.watcher);
	role_watch(&sup->logger.life);
	watch_work(sup);
}

static void set_sink(struct supervisor *sup)
{
	const struct logwire_packet p = {
		.kind = LOGWIRE_SINK,
		.sink = LOGWIRE_PREFIX,
		.flag = sup->logger.stdout_is_terminal && getenv("NO_COLOR") == NULL,
	};

	(void)send_packet(sup, &p, -1);
}

void logger_resize(struct supervisor *sup)
{
	set_sink(sup); /* it looks then */
}

static void begin(struct supervisor *sup, int channel)
{
	role_begun(&sup->logger.life);
	ev_io_set(&sup->logger.watcher, channel, EV_READ);
	ev_io_start(sup->loop, &sup->logger.watcher);
	watch_work(sup);
}

static int start(struct supervisor *sup)
{
	struct job *job = &sup->logger.life.job;
	struct child *child;
	int channel;

	if (job->pid != 0)
		return 0;
	if (ev_is_active(&sup->logger.life.again) || sup->instance.over)
		return sup->instance.over ? -1 : 0; /* its pipes are kept for it */
	if (role_start(sup, ROLE_LOGGER, &channel, &job->pid, &job->pidfd) == -1) {
		job->pid = 0;
		return -1;
	}
	sup->logger.copies = sup->logger.remembers = !carry_variant.less;
	sup->logger.routes = !carry_variant.less;
	begin(sup, channel);
	set_sink(sup);
	for_each_child (child, children_of_all(sup))
		capture_hand_over(child->service, child);
	PARTS(logger_up, sup);
	return 0;
}

/* The first one waits until the workers of this turn are on their way, as its start
 * takes as long as one of theirs; their pipes are kept for it.  Not so a keeper, nor
 * where nobody asks for the last output of a process, nor one that may not copy. */
static int start_soon(struct service *service)
{
	struct supervisor *sup = service->sup;

	if (sup->logger.life.started != 0 || service->kind->by_connection || carry_variant.less ||
		cluster_settings(service->core)->orphans == ORPHANS_KEEP) {
		if (sup->logger.life.started == 0)
			ev_timer_stop(sup->loop, &sup->logger.life.again);
		return start(sup);
	}
	timer_arm_within(sup->loop, &sup->logger.life.again, 0);
	return 0;
}

/* If it only waits for that.  Its timer may have expired in this turn: then it is
 * pending, and not active. */
static void begin_now(struct supervisor *sup)
{
	if (sup->logger.life.started != 0)
		return;
	ev_timer_stop(sup->loop, &sup->logger.life.again);
	logger_begin(sup);
}

void logger_begin(struct supervisor *sup)
{
	if (start(sup) == -1)
		start_later(sup);
}

int logger_take_over(struct supervisor *sup, int channel, pid_t pid)
{
	int pidfd = pidfd_to_watch(pid);

	/* it has just answered, so the pid is its own; if it has ended since,
	 * the channel is closed */
	if (pidfd == -1)
		return -1;
	sup->logger.life.job.pid = pid;
	sup->logger.life.job.pidfd = pidfd;
	sup->logger.taken = true;
	begin(sup, channel);
	return 0;
}

void logger_redirect(struct supervisor *sup)
{
	const struct logwire_packet p = {.kind = LOGWIRE_OUTPUT};
	const int fds[] = {daemon_output(sup, STDOUT_FILENO), daemon_output(sup, STDERR_FILENO)};

	if (!sup->logger.taken)
		return;
	sup->logger.taken = false;
	set_sink(sup);
	(void)logger_send(sup, &p, fds, COUNT_OF(fds));
}

static void close_channel(struct supervisor *sup)
{
	int channel = sup->logger.watcher.fd;

	if (channel == -1)
		return;
	ev_io_stop(sup->loop, &sup->logger.watcher);
	ev_io_set(&sup->logger.watcher, -1, 0);
	(void)close(channel);
}

static void forget(struct supervisor *sup)
{
	job_forget(&sup->logger.life.job);
	on_channel(sup->loop, &sup->logger.watcher, EV_READ);
	close_channel(sup);
	stop_watching(sup);
	news_stop_waiting(sup);
}

/* It has ended, or will end some time, and is reaped then. */
static void replace(struct supervisor *sup)
{
	nsec_t age = clock_now() - sup->logger.life.started;

	forget(sup);
	if (!sup->instance.over && (age < ROLE_RESTART || start(sup) == -1))
		start_later(sup);
}

static void ended(void *owner, const struct pidfd_end *end)
{
	struct supervisor *sup = owner;

	if (end->code == -1 && !sup->instance.over) /* it was not our child */
		log_warn("the logger ended, starting it again");
	else if (!sup->instance.over)
		log_warn("the logger ended (%s %d), starting it again",
			end->signalled ? "signal" : "exit", end->code);
	replace(sup);
}

static bool waits_in_the_kernel(pid_t pid)
{
	struct process_facts facts;

	return process_look(pid, &facts) == 0 && (facts.state == 'D' || facts.state == 'Z');
}

/* Wait until it has written all, and closes the channel; and then for its exit,
 * unless a thread of it can never exit. */
static void await_end(const struct supervisor *sup)
{
	struct pollfd channel = {.fd = sup->logger.watcher.fd, .events = POLLIN};
	struct pollfd wait = {.fd = sup->logger.life.job.pidfd, .events = POLLIN};
	nsec_t until = clock_now() + LOGGER_DRAINS;
	char packet[64];

	(void)shutdown(channel.fd, SHUT_WR);
	while (channel.fd != -1 && clock_now() < until && poll(&channel, 1, MOMENT_MS) != -1)
		if (channel.revents != 0 &&
			recv(channel.fd, packet, sizeof(packet), MSG_DONTWAIT) <= 0)
			break;
	while (poll(&wait, 1, MOMENT_MS) == 0)
		if (clock_now() >= until || waits_in_the_kernel(sup->logger.life.job.pid))
			return;
}

void logger_fini(struct supervisor *sup)
{
	struct child *child;

	ev_timer_stop(sup->loop, &sup->logger.life.again);
	stop_watching(sup);
	if (sup->logger.life.job.pid != 0 && !sup->orphans.has_past) {
		await_end(sup);
		job_end(&sup->logger.life.job);
	} /* else it waits for the next nclust */
	close_channel(sup);
	/* of those that do not end, either */
	for_each_child (child, children_of_all(sup))
		capture_drop(child);
	eventset_close(&sup->logger.pipes);
}
