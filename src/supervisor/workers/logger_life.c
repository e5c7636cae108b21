/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/logger_life.h"

#include "base/log.h"
#include "base/nsec.h"
#include "base/scope.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "os/process.h"
#include "supervisor/common/daemon.h"
#include "supervisor/common/job.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/workers/capture.h"
#include "supervisor/workers/child.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* A logger that takes no packet within this time hangs, and is replaced; but one that waits for a
 * CPU may do so for LOGGER_BUSY_WAITS times as long. */
#define LOGGER_PATIENCE_MS 100
#define LOGGER_BUSY_WAITS 50
/* A killed logger ends within this time, unless it hangs in the kernel. */
#define LOGGER_ENDS_IN (1 * SECOND)
/* How long nclust waits at its end until the logger has emptied the pipes. */
#define LOGGER_DRAINS (5 * SECOND)
#define MOMENT_MS 100
#define DROPS_EACH (1 * MINUTE)

static void replace_logger(struct supervisor *sup);

/* ---- the channel ---- */

static bool await_room(const struct supervisor *sup)
{
	struct pollfd wait = {.fd = sup->logger.watcher.fd, .events = POLLOUT};

	for (int i = 0; i < LOGGER_BUSY_WAITS; i++) {
		if (poll(&wait, 1, LOGGER_PATIENCE_MS) == 1)
			return true;
		if (!process_is_runnable(sup->logger.life.job.pid))
			break;
	}
	errno = EAGAIN;
	return false;
}

bool logger_send(
	struct supervisor *sup, const struct logwire_packet *p, const int *fds, size_t count)
{
	int channel = sup->logger.watcher.fd;

	if (channel == -1)
		return false;
	if (fdpass_send(channel, p, sizeof(*p), fds, count) == 0)
		return true;
	if ((errno == EAGAIN || errno == ENOBUFS) && await_room(sup) &&
		fdpass_send(channel, p, sizeof(*p), fds, count) == 0)
		return true;
	if (errno == EPIPE || errno == ECONNRESET || ev_is_active(&sup->logger.ends))
		return false; /* it has ended, or was killed already */
	log_warn("the logger does not answer: replacing it");
	job_kill(&sup->logger.life.job);
	timer_arm(sup->loop, &sup->logger.ends, LOGGER_ENDS_IN);
	return false;
}

/* A killed logger has not ended in time: it waits in the kernel. */
static void on_end_due(struct ev_loop *loop UNUSED, ev_timer *timer, int revents UNUSED)
{
	log_warn("the logger does not end: it waits in the kernel");
	replace_logger(timer->data);
}

#define LINES_MOST UINT64_C(1000000000)

/* Lost lines are published at most once in DROPS_EACH, or they would push all other events out of
 * the history. */
static void count_lines(struct supervisor *sup, const struct logwire_packet *p)
{
	struct service *s = service_named(sup, p->cluster);
	/* a broken logger may say any number */
	uint64_t lines = p->worker < LINES_MOST ? p->worker : LINES_MOST;

	if (s == NULL)
		return;
	if (p->kind == LOGWIRE_LINES) {
		s->counters.log_lines += lines;
		return;
	}
	s->counters.log_lines_dropped += lines;
	if (!once_each(&s->life.drop_at, clock_now(), DROPS_EACH))
		return;
	lines = s->counters.log_lines_dropped - s->life.drop_known;
	s->life.drop_known += lines;
	news_say_of(s, LOG_WARN, "drop",
		"%" PRIu64 " line%s of output dropped: its reader is too slow, "
		"or it cannot be written",
		lines, lines == 1 ? "" : "s");
}

static void on_channel(struct ev_loop *loop, ev_io *watcher, int revents UNUSED)
{
	struct supervisor *sup = watcher->data;
	struct logwire_packet p;
	struct fdpass_message m;

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
		if (p.kind == LOGWIRE_DROPPED || p.kind == LOGWIRE_LINES)
			count_lines(sup, &p);
		else if (p.kind == LOGWIRE_LAST)
			news_last_output(sup, p.worker, p.text, p.address_in_use != 0,
				children_read_null(sup));
		else if (p.kind == LOGWIRE_ASK)
			moment_logger(sup, LOGGER_ASKS, NULL, &p);
	}
}

/* ---- the logger's life ---- */

static void on_logger_ended(void *owner, const struct pidfd_end *end);

/* Try until the logger runs, because workers block when their pipes are full. */
static void start_later(struct supervisor *sup)
{
	role_start_later(&sup->logger.life, ROLE_RESTART);
}

static void start_again(void *owner)
{
	logger_begin(owner);
}

static void init_watchers(struct supervisor *sup)
{
	io_init(&sup->logger.watcher, on_channel, sup->logger.watcher.fd, sup);
	role_init(&sup->logger.life, sup, on_logger_ended, start_again, sup);
	timer_init(&sup->logger.ends, on_end_due, sup);
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
	job_begin(&sup->logger.life.job, NSEC_NEVER);
}

void logger_tell_terminal(struct supervisor *sup)
{
	const struct logwire_packet p = {
		.kind = LOGWIRE_SINK,
		.sink = LOGWIRE_PREFIX,
		.flag = sup->logger.stdout_is_terminal && getenv("NO_COLOR") == NULL,
	};

	(void)logger_send(sup, &p, NULL, 0);
}

static void begin_logger(struct supervisor *sup, int channel)
{
	ev_io_set(&sup->logger.watcher, channel, EV_READ);
	ev_io_start(sup->loop, &sup->logger.watcher);
}

static int start_logger(struct supervisor *sup)
{
	struct child *child;
	int channel;

	if (sup->logger.life.job.pid != 0)
		return 0;
	if (sup->instance.over)
		return -1;
	if (role_waits(&sup->logger.life))
		return 0; /* it is about to be started, and nclust keeps the pipes */
	if (role_start_channel(ROLE_LOGGER, &sup->logger.life, &channel) == -1)
		return -1;
	begin_logger(sup, channel);
	logger_tell_terminal(sup);
	for_each_child (child, children_of_all(sup))
		capture_hand_over(child->service, child);
	moment_logger(sup, LOGGER_UP, NULL, NULL);
	return 0;
}

/* The first logger is started after the workers of this turn, because its start takes as long as
 * that of a worker; nclust keeps the pipes.  A logger that is the keeper is started before the
 * workers, and so is one of processes of connections. */
int logger_start_soon(struct service *service)
{
	struct supervisor *sup = service->sup;

	if (sup->logger.life.started != 0 || service->accepting != NULL ||
		cluster_settings(service->core)->orphans == ORPHANS_KEEP) {
		if (sup->logger.life.started == 0)
			role_wait_no_more(&sup->logger.life);
		return start_logger(sup);
	}
	role_start_later(&sup->logger.life, 0);
	return 0;
}

/* Its timer may have expired in this turn, and is pending then, not active. */
void logger_start_put_off(struct supervisor *sup)
{
	if (sup->logger.life.started != 0)
		return;
	role_wait_no_more(&sup->logger.life);
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
	logger_tell_terminal(sup);
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

/* Start another logger.  The old one has ended, or is reaped as a stray when it does. */
static void replace_logger(struct supervisor *sup)
{
	nsec_t age = clock_now() - sup->logger.life.started;

	job_forget(&sup->logger.life.job);
	on_channel(sup->loop, &sup->logger.watcher, EV_READ);
	close_channel(sup);
	ev_timer_stop(sup->loop, &sup->logger.ends);
	news_stop_waiting(sup);
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

	role_wait_no_more(&sup->logger.life);
	ev_timer_stop(sup->loop, &sup->logger.ends);
	if (sup->logger.life.job.pid != 0 && !sup->orphans.has_past) {
		await_end(sup);
		job_end(&sup->logger.life.job);
	} /* else the logger waits for a next nclust */
	close_channel(sup);
	/* also of workers that do not end */
	for_each_child (child, children_of_all(sup))
		capture_drop(child);
}
