/* SPDX-License-Identifier: MIT */
#include "logger/logger.h"

#include "base/log.h"
#include "base/scope.h"
#include "logger/reading.h"
#include "os/descriptors.h"
#include "os/fdpass.h"
#include "os/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#define PACKETS_MAX 64 /* read in one turn of the loop */
#define DRAIN_TIME 2.0 /* seconds after the channel has closed */
#define FLUSH_TIME 1.0 /* seconds after that, for the sinks */
#define FAR_AWAY (10.0 * 365 * 86400)

/* --- The channel --- */

static void on_answerable(struct ev_loop *loop, ev_io *watcher, int revents UNUSED)
{
	ev_io_stop(loop, watcher);
	reading_send_answers(ev_userdata(loop));
}

static void open_streams(struct logger *logger)
{
	clusters_open(&logger->clusters, STDOUT_FILENO, STDERR_FILENO);
	log_to(logger->clusters.streams[1]->file.fd, "nclust: ", log_level());
}

static void take_packet(
	struct logger *logger, const struct logwire_packet *p, struct fdpass_message *m)
{
	bool sound = !m->cut && logwire_check(p, (size_t)m->len);

	if (sound && p->kind == LOGWIRE_ADD && m->fd_count >= 1) {
		reading_take_pipes(logger, p, m);
	} else if (sound && p->kind == LOGWIRE_ENDED) {
		reading_take_ended(logger, p);
	} else if (sound && p->kind == LOGWIRE_SINK) {
		logger->colour = p->flag == 1;
		logger->look_at_size = true;
	} else if (sound && p->kind == LOGWIRE_OUTPUT && m->fd_count == 2) {
		/* The supervisor that has taken over writes elsewhere, and so do the sinks from
		 * now on. */
		clusters_turn(&logger->clusters);
		clusters_close(&logger->clusters);
		(void)dup2(m->fds[0], STDOUT_FILENO);
		(void)dup2(m->fds[1], STDERR_FILENO);
		open_streams(logger);
	} else if (!sound ||
		(!clusters_take(&logger->clusters, p, m) && !keep_take(&logger->keep, p, m))) {
		log_error("logger: %s",
			m->cut ? "cannot take what nclust sends (RLIMIT_NOFILE?)"
			       : "refused a malformed packet");
	}
	fdpass_drop(m);
}

static void close_channel(struct logger *logger)
{
	ev_io_stop(logger->loop, &logger->channel);
	ev_io_stop(logger->loop, &logger->answers);
	logger->over = logger->channel.fd;
	ev_io_set(&logger->channel, -1, EV_READ);
	reading_send_answers(logger); /* no supervisor waits for them any more */
	if (keep_wait(&logger->keep))
		fd_close(&logger->over);
	else
		ev_break(logger->loop, EVBREAK_ALL);
}

static void on_channel(struct ev_loop *loop, ev_io *watcher, int revents UNUSED)
{
	struct logger *logger = ev_userdata(loop);
	struct logwire_packet packet;
	struct fdpass_message m;

	for (int i = 0; i < PACKETS_MAX; i++) {
		int got = fdpass_receive(watcher->fd, &packet, sizeof(packet), &m);

		if (got == 0)
			return;
		if (got == -1 || m.len == 0) {
			close_channel(logger);
			return;
		}
		take_packet(logger, &packet, &m);
	}
}

/* --- The supervisor's successor --- */

void logger_resumed(struct logger *logger, int channel)
{
	ev_io_set(&logger->channel, channel, EV_READ);
	ev_io_start(logger->loop, &logger->channel);
	ev_io_set(&logger->answers, channel, EV_WRITE);
}

/* --- The end --- */

static void read_pipes(struct logger *logger)
{
	do {
		clusters_turn(&logger->clusters);
	} while (reading_turn(logger));
}

/* Called each time before the loop waits. */
static void on_turn(struct ev_loop *loop, ev_prepare *watcher UNUSED, int revents UNUSED)
{
	struct logger *logger = ev_userdata(loop);

	read_pipes(logger);
	if (logger->look_at_size)
		reading_look_at_size(logger);
}

static bool has_pipes(struct logger *logger)
{
	read_pipes(logger); /* or the loop would wait although the last one is at its end */
	return logger->pipes > 0;
}

static bool has_output(struct logger *logger)
{
	clusters_turn(&logger->clusters);
	return !clusters_are_empty(&logger->clusters);
}

/* Run the loop as long as there is something to do, and so many seconds at most. */
static void run_for(struct logger *logger, ev_tstamp most, bool (*is_needed)(struct logger *))
{
	ev_tstamp until;

	ev_now_update(logger->loop);
	until = ev_now(logger->loop) + most;
	while (is_needed(logger) && ev_now(logger->loop) < until) {
		clusters_need(&logger->clusters); /* or the loop might wait for longer */
		(void)ev_run(logger->loop, EVRUN_ONCE);
	}
}

static void run_loop(struct logger *logger)
{
	(void)ev_run(logger->loop, 0); /* until no supervisor comes any more */
	run_for(logger, DRAIN_TIME, has_pipes);
	reading_end(logger);
	run_for(logger, FLUSH_TIME, has_output);
	keep_fini(&logger->keep);
	clusters_end(&logger->clusters);
	/* A process with a thread that hangs, or that hangs as it closes a pipe, keeps its descriptors
	 * when it exits: close those first whose end other processes wait for. */
	if (logger->offload.busy > 0 || logger->pipes > 0) {
		fd_close(&logger->over);
		clusters_close(&logger->clusters);
		(void)close(STDOUT_FILENO);
		(void)close(STDERR_FILENO);
	}
}

/* --- The beginning --- */

static void start_watching(struct logger *logger, int channel)
{
	ev_io_init(&logger->channel, on_channel, channel, EV_READ);
	ev_set_priority(&logger->channel, EV_MAXPRI);
	ev_io_start(logger->loop, &logger->channel);
	ev_io_init(&logger->answers, on_answerable, channel, EV_WRITE);
	ev_prepare_init(&logger->turn, on_turn);
	ev_prepare_start(logger->loop, &logger->turn);
	/* with a periodic, whose time never comes, libev waits by a timerfd, else it wakes up
	 * every 59.7 s to look for jumps of the clock */
	ev_periodic_init(&logger->far, NULL, ev_now(logger->loop) + FAR_AWAY, 0.0, NULL);
	ev_periodic_start(logger->loop, &logger->far);
}

int logger_main(int channel, uid_t user)
{
	const struct logwire_packet hello = {.kind = LOGWIRE_HELLO};
	static struct logger own; /* until the process ends */
	struct logger *logger = &own;
	uid_t owner = geteuid();
	struct error err;
	sigset_t set;

	/* The logger ends with its channel, and not by the signal of a terminal or of `pkill nclust`:
	 * it has to write the last lines then.  Blocked they do as much as ignored: SIGTTOU lets us
	 * write to a terminal with TOSTOP, SIGPIPE and SIGXFSZ let write(2) fail. */
	sigfillset(&set);
	(void)sigprocmask(SIG_SETMASK, &set, NULL);
	/* epoll(7) tells of pipes in the order in which data have come */
	logger->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	if (logger->loop == NULL) {
		log_syserr("logger: cannot start");
		return 1;
	}
	offload_init(&logger->offload, logger->loop);
	ev_set_userdata(logger->loop, logger);
	logger->over = -1;
	(void)fcntl(channel, F_SETFD, FD_CLOEXEC);
	clusters_init(&logger->clusters, logger->loop, &logger->offload, &logger->channel);
	open_streams(logger);
	descriptors_allow_many();
	/* The logger must run even so: workers block when no process reads their pipes. */
	if (privilege_shed(user, &err) == -1)
		log_warn("logger: keeps its privileges: %s", err.text);
	start_watching(logger, channel);
	keep_init(&logger->keep, owner, logger);
	/* a supervisor that has ended already has logged why */
	if (fdpass_send(channel, &hello, sizeof(hello), NULL, 0) == -1 && errno != EPIPE)
		log_syserr("logger: cannot greet the supervisor");
	run_loop(logger);
	return 0;
}
