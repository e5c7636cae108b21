/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/capture.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "base/nsec.h"
#include "os/clock.h"
#include "os/descriptors.h"
#include "os/fdpass.h"
#include "os/process.h"
#include "os/look/remote.h"
#include "os/vfork.h"
#include "protocol/logwire.h"
#include "supervisor/common/counters.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/daemon.h"
#include "supervisor/common/foreign.h"
#include "supervisor/common/news.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/service.h"
#include "supervisor/common/job.h"

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

/* A logger that takes no packet within this time hangs, and is replaced. */
#define LOGGER_PATIENCE_MS 100
/* LOGGER_LOOK after a pipe was readable nclust asks the logger whether it lives, looks for the
 * answer each second, and kills the logger at the first look after LOGGER_ANSWERS_IN seconds. */
#define LOGGER_LOOK (2 * SECOND)
#define LOGGER_ANSWERS_IN 4
/* A killed logger ends within this time, unless it hangs in the kernel. */
#define LOGGER_ENDS_IN (1 * SECOND)
#define LOGGER_KILLED UINT_MAX /* logger.asked */
/* How long nclust waits at its end until the logger has emptied the pipes. */
#define LOGGER_DRAINS (5 * SECOND)
#define MOMENT_MS 100
#define DROPS_EACH (1 * MINUTE)

static int start_logger(struct supervisor *sup);
static int start_soon(struct service *service);
static void start_if_put_off(struct supervisor *sup);
static void replace_logger(struct supervisor *sup);
static void watch_pipe(struct supervisor *sup, int pipe);

/* ---- which output goes where ---- */

/* Is the output written nowhere?  It is captured all the same, for the slotlog and the report of an
 * exit, unless each connection has a process, which would cost a pipe each. */
static bool is_written_nowhere(const struct service *service)
{
	enum log_mode mode = cluster_settings(service->core)->log;

	return mode == LOG_OFF || (mode == LOG_AUTO && service->sup->settings->daemon);
}

/*
 * Is the output copied unchanged to nclust's own, so that a worker's last output is known?  Not by
 * the logger of an earlier release, which cannot copy; nor if each connection has a process,
 * because that would cost a pipe each.
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

/* Take nothing but a pipe from a worker: close(2) of a socket with SO_LINGER or of a file of FUSE
 * may block. */
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

/* Runs in a child (os/vfork.h), because open(2) and the last close(2) of a pipe wait for its lock
 * (fs/pipe.c of the kernel), which the worker may hold. */
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

/* Open the worker's pipe for reading alone, so that its end is seen when the worker is gone. */
static int reopen_pipe(const struct child *child, struct remote *r, int number)
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
			child->output[i] = reopen_pipe(child, &r, i + 1);
	if (descriptors_same(child->output[0], child->output[1]))
		foreign_close(child->service->sup, child, &child->output[1]);
}

/* nclust does not close a worker's pipe itself: the last close(2) waits for the pipe's lock
 * (fs/pipe.c of the kernel), and a worker can make any close the last. */
void capture_drop(struct child *child)
{
	struct supervisor *sup = child->service->sup;

	for (int i = 0; i < 2; i++) {
		/* the logger has the pipe, too, so close(2) would leave it in the epoll set */
		if (child->output[i] != -1)
			(void)epoll_ctl(
				sup->logger.pipes.set, EPOLL_CTL_DEL, child->output[i], NULL);
		foreign_close(sup, child, &child->output[i]);
	}
}

/* Returns the read end, which the caller owns; -1 and errno. */
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

/* Open a pseudo-terminal if the worker is to have one, else a pipe. */
static int open_output(const struct child *child, int stream, int *write_end)
{
	int end = ptys_are_wanted(child, stream) ? ptys_open(child, stream, write_end) : -1;

	return end != -1 ? end : open_pipe(child->service, write_end);
}

/* Descriptors for a worker: its pidfd, its notify socket and its seccomp notify fd; the same and
 * its captured output; and what nclust needs for itself. */
#define DESCRIPTORS_BARE 3
#define DESCRIPTORS_CAPTURED 5
#define DESCRIPTORS_LEFT 64

/* May nclust open two more descriptors, and still start all other workers?  `fd` is new, so all
 * lower numbers are in use. */
static bool has_descriptors_left(struct service *service, int fd)
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
	if (once_say(service->said, ONCE_CROWD))
		log_note("%s: the output of some workers is not captured, but "
			 "goes where nclust's own goes: %u workers need "
			 "RLIMIT_NOFILE %u, it is %llu",
			service->name, all, all * DESCRIPTORS_CAPTURED + 2 * DESCRIPTORS_LEFT,
			(unsigned long long)sup->launch.descriptors);
	return false;
}

void capture_open(struct service *service, struct child *child, int output[2])
{
	struct supervisor *sup = service->sup;
	bool copied = is_copied(service);

	output[0] = output[1] = -1;
	if (!capture_wanted(service) || start_soon(service) == -1) {
		if (is_written_nowhere(service))
			output[0] = output[1] = sup->null_fd;
		return;
	}
	if (!service->kind->by_connection && !has_descriptors_left(service, child->life.notify))
		return;
	/* `accept = yes`: stdout goes to the client */
	for (int i = service->kind->by_connection; i < 2; i++) {
		/* If both go to the same place, one pipe keeps their order; a terminal as stderr
		 * stays the worker's own. */
		if (i == 1 && copied && descriptors_same(STDOUT_FILENO, STDERR_FILENO))
			output[1] = output[0];
		if (i == 1 && copied && (output[1] != -1 || isatty(2) == 1))
			return;
		child->output[i] = open_output(child, i, &output[i]);
		/* without a pipe the worker writes where nclust writes */
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

static void kill_hung_logger(struct supervisor *sup)
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
		kill_hung_logger(sup);
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
		.quiet = is_written_nowhere(service),
		.sink = is_copied(service) ? LOGWIRE_COPY : 0,
		.what = child->pid > 0 ? (uint32_t)child->pid : 0,
		.which = child->generation,
		.flag = has_own_user(child),
	};
	int fds[3];
	size_t count = 0;

	if (child->output[0] == -1 && child->output[1] == -1)
		return;
	PARTS(logger, sup, LOGGER_GETS, service, NULL);
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
		/* the logger of an earlier release takes one descriptor at a time */
		(void)logger_send(sup, &p, fds, count);
		p.stream = 0;
		count = 0;
	}
	if (sup->logger.remembers && (fds[count] = slotlog_of(child)) != -1)
		count++;
	if (count > 0) /* else a next logger gets the output */
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

	start_if_put_off(child->service->sup);
	text_copy(p.cluster, sizeof(p.cluster), child->service->name);
	return send_packet(child->service->sup, &p, -1);
}

/* ---- does the logger live? ---- */

/* A pipe whose writers have all closed it is readable for ever (EPOLLHUP). */
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

/* Wait until a worker writes something.  A while later nclust asks the logger whether it lives, and
 * waits again when the logger has answered.  This costs nothing while no worker writes. */
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

/* To see whether the logger lives, ask for the last output of worker 0, which does not exist: any
 * logger answers that, also that of an earlier release. */
static void on_logger_look(struct ev_loop *loop, ev_timer *timer, int revents)
{
	const struct logwire_packet p = {.kind = LOGWIRE_ENDED};
	struct supervisor *sup = timer->data;

	(void)revents;
	if (sup->logger.asked == LOGGER_KILLED) {
		log_warn("the logger does not end: it waits in the kernel");
		replace_logger(sup);
		return;
	}
	if (sup->logger.asked > LOGGER_ANSWERS_IN) {
		kill_hung_logger(sup);
		return;
	}
	/* in steps of a second, because nclust itself may have been stopped meanwhile */
	if (sup->logger.asked++ == 0 && !send_packet(sup, &p, -1))
		return;
	timer_arm(loop, timer, SECOND);
}

/* Lost lines are published at most once in DROPS_EACH, or they would push all other events out of
 * the history. */
static void count_lines(struct supervisor *sup, const struct logwire_packet *p)
{
	struct service *s = service_named(sup, p->cluster);
	uint64_t lines;

	if (s == NULL)
		return;
	counters_note_lines(s, p->worker, p->kind == LOGWIRE_DROPPED);
	if (p->kind == LOGWIRE_LINES || !once_each(&s->life.drop_at, clock_now(), DROPS_EACH))
		return;
	lines = s->counters.log_lines_dropped - s->life.drop_known;
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
	for (int i = 0; i < TURN_ITEMS && watcher->fd != -1; i++) {
		if (fdpass_receive(watcher->fd, &p, sizeof(p), &m) != 1)
			return;
		for (size_t k = 0; k < m.fd_count; k++)
			(void)close(m.fds[k]); /* the logger sends no descriptors */
		if (m.len == 0) { /* the logger has closed it: its pidfd reports the rest */
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
			strays_last_output(sup, p.worker, p.text, p.address_in_use != 0);
		else if (p.kind == LOGWIRE_ASK)
			PARTS(logger, sup, LOGGER_ASKS, NULL, &p);
	}
}

/* ---- the logger's life ---- */

static void on_logger_ended(void *owner, const struct pidfd_end *end);

/* Try until the logger runs, because workers block when their pipes are full. */
static void start_later(struct supervisor *sup)
{
	timer_arm(sup->loop, &sup->logger.life.again, ROLE_RESTART);
}

static void on_restart(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	if (start_logger(timer->data) == -1)
		start_later(timer->data);
}

static void init_watchers(struct supervisor *sup)
{
	io_init(&sup->logger.watcher, on_channel, sup->logger.watcher.fd, sup);
	role_init(&sup->logger.life, sup, on_logger_ended, on_restart, sup);
	sup->logger.pipes.set = sup->logger.pipes.wake = -1;
	io_init(&sup->logger.work, on_work, -1, sup);
	timer_init(&sup->logger.look, on_logger_look, sup);
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
	set_sink(sup); /* with this packet the logger looks at the size */
}

static void begin_logger(struct supervisor *sup, int channel)
{
	ev_io_set(&sup->logger.watcher, channel, EV_READ);
	ev_io_start(sup->loop, &sup->logger.watcher);
	watch_work(sup);
}

static int start_logger(struct supervisor *sup)
{
	struct child *child;
	int channel;

	if (sup->logger.life.job.pid != 0)
		return 0;
	if (ev_is_active(&sup->logger.life.again) || sup->instance.over)
		return sup->instance.over
			? -1
			: 0; /* the timer is about to start it, and nclust keeps the pipes */
	if (role_start_channel(ROLE_LOGGER, &sup->logger.life, &channel) == -1)
		return -1;
	sup->logger.copies = sup->logger.remembers = !carry_variant.less;
	sup->logger.routes = !carry_variant.less;
	begin_logger(sup, channel);
	set_sink(sup);
	for_each_child (child, children_of_all(sup))
		capture_hand_over(child->service, child);
	PARTS(logger, sup, LOGGER_UP, NULL, NULL);
	return 0;
}

/* The first logger is started after the workers of this turn, because its start takes as long as
 * that of a worker; nclust keeps the pipes.  A logger that is the keeper is started before the
 * workers, and so is one of processes of connections, or one that cannot copy. */
static int start_soon(struct service *service)
{
	struct supervisor *sup = service->sup;

	if (sup->logger.life.started != 0 || service->kind->by_connection || carry_variant.less ||
		cluster_settings(service->core)->orphans == ORPHANS_KEEP) {
		if (sup->logger.life.started == 0)
			ev_timer_stop(sup->loop, &sup->logger.life.again);
		return start_logger(sup);
	}
	timer_arm_within(sup->loop, &sup->logger.life.again, 0);
	return 0;
}

/* Start the first logger, if start_soon() has put that off.  Its timer may have expired in this
 * turn, and is pending then, not active. */
static void start_if_put_off(struct supervisor *sup)
{
	if (sup->logger.life.started != 0)
		return;
	ev_timer_stop(sup->loop, &sup->logger.life.again);
	logger_begin(sup);
}

void logger_begin(struct supervisor *sup)
{
	if (start_logger(sup) == -1)
		start_later(sup);
}

int logger_take_over(struct supervisor *sup, int channel, pid_t pid)
{
	int pidfd = pidfd_to_watch(pid);

	/* The logger has just answered, so the pid is its own; if it has ended since, the channel
	 * is closed. */
	if (pidfd == -1)
		return -1;
	sup->logger.life.job.pid = pid;
	sup->logger.life.job.pidfd = pidfd;
	sup->logger.taken = true;
	role_begun(&sup->logger.life);
	begin_logger(sup, channel);
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

static void forget_logger(struct supervisor *sup)
{
	job_forget(&sup->logger.life.job);
	on_channel(sup->loop, &sup->logger.watcher, EV_READ);
	close_channel(sup);
	stop_watching(sup);
	news_stop_waiting(sup);
}

/* Start another logger.  The old one has ended, or is reaped as a stray when it does. */
static void replace_logger(struct supervisor *sup)
{
	nsec_t age = clock_now() - sup->logger.life.started;

	forget_logger(sup);
	if (!sup->instance.over && (age < ROLE_RESTART || start_logger(sup) == -1))
		start_later(sup);
}

static void on_logger_ended(void *owner, const struct pidfd_end *end)
{
	struct supervisor *sup = owner;

	if (end->code == -1 &&
		!sup->instance.over) /* the logger of an earlier nclust is no child */
		log_warn("the logger ended, starting it again");
	else if (!sup->instance.over)
		log_warn("the logger ended (%s %d), starting it again",
			end->signalled ? "signal" : "exit", end->code);
	replace_logger(sup);
}

static bool waits_in_the_kernel(pid_t pid)
{
	struct process_facts facts;

	return process_look(pid, &facts) == 0 && (facts.state == 'D' || facts.state == 'Z');
}

/* Wait until the logger has written all and closes the channel, and then for its exit, unless it
 * hangs in the kernel. */
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
	} /* else the logger waits for a next nclust */
	close_channel(sup);
	/* also of workers that do not end */
	for_each_child (child, children_of_all(sup))
		capture_drop(child);
	eventset_close(&sup->logger.pipes);
}
