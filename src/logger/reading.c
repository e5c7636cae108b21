/* SPDX-License-Identifier: MIT */
#include "logger/reading.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define TURN_READS 16         /* of one cluster in one turn of the loop */
#define ENDED_TURNS 32 /* times 4 KiB is more than a terminal has, times READ_MOST a pipe */
#define ENDED_ANYWAY 4
#define REDRAWN_EACH 1.0

/* ---- lines ---- */

static struct stream *stream_of(const struct logger *logger, const struct source_pipe *pipe)
{
	return logger->clusters.streams[pipe - pipe->source->pipes];
}

static bool is_copied(const struct logger *logger, const struct source_pipe *pipe)
{
	return pipe->source->copied && !stream_of(logger, pipe)->is_terminal;
}

/* Has a carriage return begun the line anew?  At the end it belongs to the newline. */
static bool is_redrawn(const struct line *line)
{
	return line->len > 1 && memchr(line->text, '\r', line->len - 1) != NULL;
}

static void put_prefixed(struct logger *logger, struct sink *o, const struct line *line)
{
	bool is_terminal = o->stream->is_terminal;
	bool redrawn = is_terminal && is_redrawn(line);
	struct source_prefix *prefix = &logger->prefix;
	struct sink_text put = {.text = line->text, .len = line->len, .newline = true};

	if (redrawn && !line->ends)
		return;
	if (is_terminal)
		put.len = terminal_redrawn(&put.text, put.len);
	if (prefix->len == 0)
		source_prefix(prefix, line->of, logger->width, logger->colour && is_terminal);
	prefix->text[prefix->mark] = line->goes_on && !redrawn ? '+' : '|';
	put.before = prefix->text;
	put.before_len = prefix->len;
	sink_put(o, &put);
}

static void put_line(struct logger *logger, struct route *route, const struct line *line)
{
	struct sink *o = cluster_sink(
		&logger->clusters, line->of->cluster, route, line->of->slot, line->is_stderr);
	bool is_mere_end = line->goes_on && line->len == 0; /* of a line that was cut */

	if (o == NULL || (is_mere_end && o->kind != SINK_FILE))
		return;
	if (o->kind == SINK_PREFIX)
		put_prefixed(logger, o, line);
	else
		cluster_line(o, line);
}

/* The routes of a cluster's lines. */
static size_t routes_of(struct cluster *c, struct route **routes)
{
	*routes = c->count > 0 ? c->list : &c->list[ROUTE_STANDARD];
	return c->count > 0 ? c->count : 1;
}

static void take_line(void *context, const struct line *line)
{
	struct logger *logger = context;
	struct source_pipe *pipe = logger->remember.pipe;
	struct source *source = pipe->source;
	struct cluster *c = source->cluster;
	struct route *routes;
	size_t count = routes_of(c, &routes);

	if (!line->goes_on) {
		c->read++;
		clusters_need(&logger->clusters);
	}
	remember_note(&logger->remember, line);
	if (source->quiet || is_copied(logger, pipe))
		return;
	for (size_t i = 0; i < count; i++)
		put_line(logger, &routes[i], line);
}

/* A progress bar has no newline for long: show its progress by a line each second,
 * which is not kept. */
static void show_progress(struct logger *logger, struct source_pipe *pipe)
{
	const struct line line = {
		.of = pipe->source,
		.is_stderr = pipe != pipe->source->pipes,
		.text = pipe->part.data,
		.len = pipe->part.len,
		.ends = true,
	};
	ev_tstamp now = ev_now(logger->loop);
	struct route *routes;
	size_t count = routes_of(pipe->source->cluster, &routes);

	if (pipe->source->quiet || !stream_of(logger, pipe)->is_terminal || !is_redrawn(&line) ||
		now < pipe->redrawn_at + REDRAWN_EACH)
		return;
	pipe->redrawn_at = now;
	for (size_t i = 0; i < count; i++)
		if (routes[i].kind == SINK_PREFIX)
			put_line(logger, &routes[i], &line);
}

/* `len` bytes of the pipe are cut into lines now. */
static void begin_lines(struct logger *logger, struct source_pipe *pipe, size_t len)
{
	logger->prefix.len = 0;
	remember_begin(&logger->remember, pipe, len + pipe->part.len);
}

/* Cut what was read of a pipe into lines. */
static void split_lines(
	struct logger *logger, struct source_pipe *pipe, const char *data, size_t len)
{
	begin_lines(logger, pipe, len);
	cluster_begin_lines(&logger->clusters, pipe, len);
	source_split(pipe, data, len, take_line, logger);
	show_progress(logger, pipe);
	remember_end(&logger->remember);
}

static void end_lines(struct logger *logger, struct source_pipe *pipe)
{
	begin_lines(logger, pipe, 0);
	source_end_lines(pipe, take_line, logger);
	remember_end(&logger->remember);
}

static void forget_if_over(struct logger *logger, struct source *source)
{
	if (source->ended && !source->due && !source_is_open(source))
		source_free(&logger->sources, source);
}

/* ---- pipes ---- */

/* The next pipe with data: the kernel puts each that it shows behind the others. */
static struct source_pipe *next_readable(struct cluster *c)
{
	struct source_pipe *pipe = c->put_off;
	struct epoll_event event;

	c->put_off = NULL;
	if (pipe == NULL && epoll_wait(c->set, &event, 1, 0) == 1)
		pipe = event.data.ptr;
	return pipe;
}

static void unwatch_pipe(const struct source_pipe *pipe)
{
	struct cluster *c = pipe->source->cluster;

	if (c->put_off == pipe)
		c->put_off = NULL;
	(void)epoll_ctl(c->set, EPOLL_CTL_DEL, pipe->fd, NULL);
}

static void end_pipe(struct logger *logger, struct source_pipe *pipe)
{
	end_lines(logger, pipe);
	unwatch_pipe(pipe);
	fd_close(&pipe->fd);
	logger->pipes--;
}

static struct sink *copy_sink(struct logger *logger, const struct source_pipe *pipe)
{
	struct source *source = pipe->source;
	struct cluster *c = source->cluster;

	return cluster_sink(
		&logger->clusters, c, &c->list[ROUTE_COPY], source->slot, pipe != source->pipes);
}

/* How much may be read at once. */
static size_t room_of(struct logger *logger, const struct source_pipe *pipe, bool has_ended)
{
	struct sink *sink;

	if (!is_copied(logger, pipe))
		return READ_MOST;
	sink = copy_sink(logger, pipe);
	return sink != NULL ? sink_room(sink, READ_MOST, has_ended) : 0;
}

static void copy_data(struct logger *logger, struct source_pipe *pipe, const char *data, size_t len)
{
	struct sink *sink = copy_sink(logger, pipe);

	if (sink != NULL)
		sink_put(sink, &(struct sink_text){.text = data, .len = len});
}

static bool read_pipe(struct logger *logger, struct source_pipe *pipe, bool has_ended)
{
	size_t most = room_of(logger, pipe, has_ended);
	unsigned ends = 0;
	ssize_t n;

	if (most == 0) { /* the worker waits */
		pipe->source->cluster->paused = true;
		pipe->source->cluster->put_off = pipe;
		return false;
	}
	/* data from before the end of a terminal may come after the end, once
	 * (n_tty_read() of the kernel looks for the end first) */
	do {
		n = read(pipe->fd, logger->data, most);
	} while (n == -1 && (errno == EINTR || (errno == EIO && ends++ == 0)));
	if (n > 0) {
		if (is_copied(logger, pipe))
			copy_data(logger, pipe, logger->data, (size_t)n);
		split_lines(logger, pipe, logger->data, (size_t)n);
	} else if (n == 0 || errno != EAGAIN) {
		end_pipe(logger, pipe);
	}
	return n > 0;
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct logger *logger = ev_userdata(loop);
	struct cluster *c = watcher->data;
	struct source_pipe *pipe;

	(void)revents;
	for (int i = 0; i < TURN_READS && !c->paused && (pipe = next_readable(c)) != NULL; i++) {
		struct source *source = pipe->source;

		(void)read_pipe(logger, pipe, false);
		/* cluster_settle() decides before the loop waits, and perhaps reads no more */
		c->paused |= !cluster_flush(c, STREAM_ENOUGH);
		forget_if_over(logger, source);
	}
}

static int watch_fd(struct source_pipe *pipe, int fd)
{
	struct cluster *c = pipe->source->cluster;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = pipe};

	if (c->set == -1) {
		c->set = epoll_create1(EPOLL_CLOEXEC);
		if (c->set == -1)
			return -1;
		ev_io_init(&c->readable, on_readable, c->set, EV_READ);
		c->readable.data = c;
	}
	return epoll_ctl(c->set, EPOLL_CTL_ADD, fd, &event);
}

/* ---- a new worker ---- */

static int watch_pipe(struct logger *logger, struct source *source, uint32_t stream, int fd)
{
	struct source_pipe *pipe = &source->pipes[stream - 1];
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	/* O_NONBLOCK is shared with the supervisor, but not with the worker, which
	 * writes to the other end */
	if (pipe->fd != -1 || flags == -1 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1 ||
		watch_fd(pipe, fd) == -1)
		return -1;
	pipe->fd = fd;
	pipe->is_pty = fstat(fd, &st) == 0 && S_ISCHR(st.st_mode);
	logger->pipes++;
	return 0;
}

/* *at: incremented by the number of descriptors that were taken. */
static int watch_pipes(struct logger *logger, struct source *source, uint32_t streams,
	struct fdpass_message *m, size_t *at)
{
	for (uint32_t stream = 1; stream <= 2; stream++) {
		if ((streams & stream) == 0)
			continue;
		if (*at == m->fd_count || watch_pipe(logger, source, stream, m->fds[*at]) == -1)
			return -1;
		m->fds[(*at)++] = -1;
	}
	return 0;
}

/* Keep the worker's latest lines in this file, too. */
static void take_ring(struct source *source, int *fd)
{
	if (source->ring.fd != -1)
		return;
	if (linering_take(&source->ring, &linering_output, *fd))
		(void)fd_release(fd);
	else
		log_error("%s.%" PRIu32 ": its output cannot be kept for "
			  "'nclust logs'",
			source->cluster->name, source->slot);
}

void reading_take_pipes(
	struct logger *logger, const struct logwire_packet *p, struct fdpass_message *m)
{
	struct source *source;
	size_t at = 0;

	source = source_get(&logger->sources, p->worker, p->slot, p->cluster);
	if (source != NULL && !source_is_open(source))
		source->copied = p->sink == LOGWIRE_COPY;
	if (source == NULL || watch_pipes(logger, source, p->stream, m, &at) == -1) {
		log_error("%s.%" PRIu32 ": cannot take its output", p->cluster, p->slot);
		return;
	}
	source->quiet = p->quiet != 0;
	if (p->what != 0)
		source->pid = p->what;
	source->generation = p->which;
	if (source_width(source) > logger->width) {
		logger->width = source_width(source);
		logger->look_at_size = true; /* terminals that have a size have got a wrong one */
	}
	if (!source->quiet)
		cluster_begin(&logger->clusters, source->cluster, source->slot);
	if (at < m->fd_count)
		take_ring(source, &m->fds[at]);
}

/* ---- the end of a worker ---- */

static int send_last(struct logger *logger, struct source *source)
{
	struct logwire_packet packet = {
		.kind = LOGWIRE_LAST,
		.slot = source->slot,
		.worker = source->worker,
	};
	struct linering_text text;

	text_copy(packet.cluster, sizeof(packet.cluster), source->cluster->name);
	if (source->ring.fd != -1 && linering_look(&source->ring) == 0 &&
		linering_read(&source->ring, 0, &text) == 0) {
		packet.address_in_use = tail_tell(
			text.text, text.len, (int)source->pid, source->started, packet.text);
		linering_drop(&text);
	}
	return fdpass_send(logger->channel.fd, &packet, sizeof(packet), NULL, 0);
}

void reading_send_answers(struct logger *logger)
{
	while (logger->due != NULL) {
		struct source *source = logger->due;

		if (send_last(logger, source) == -1 && errno == EAGAIN) {
			ev_io_start(logger->loop, &logger->answers);
			return;
		}
		/* any other failure: the supervisor is gone, and waits for no answer */
		logger->due = source->next_due;
		if (logger->due == NULL)
			logger->due_end = &logger->due;
		source->due = false;
		forget_if_over(logger, source);
	}
}

/* Read what a dead worker has left.  Its last words may be at the end of a pipe, so that some of it
 * is read even while a sink is full. */
static void drain_pipe(struct logger *logger, struct source_pipe *pipe)
{
	struct cluster *c = pipe->source->cluster;

	for (int i = 0; i < ENDED_TURNS && pipe->fd != -1; i++) {
		bool takes = cluster_flush(c, STREAM_ENOUGH) && !c->paused;

		if ((!takes && i >= ENDED_ANYWAY) || !read_pipe(logger, pipe, true))
			break;
	}
}

static void finish_ending(struct logger *logger, struct source *source)
{
	for (size_t i = 0; i < COUNT_OF(source->pipes); i++)
		end_lines(logger, &source->pipes[i]);
	source->ended = true;
	source->due = true;
	*logger->due_end = source;
	logger->due_end = &source->next_due;
	/* the worker's lines come before what the supervisor logs of its death */
	cluster_settle(source->cluster);
	for (int i = 0; i < 2; i++)
		sinks_flush(&logger->streams[i]);
	reading_send_answers(logger);
}

void reading_take_ended(struct logger *logger, const struct logwire_packet *p)
{
	/* a worker that wrote nothing, or never was added, is answered, too */
	struct source *source = source_get(&logger->sources, p->worker, p->slot, p->cluster);

	if (source == NULL) {
		log_error("%s.%" PRIu32 ": no memory for its last output", p->cluster, p->slot);
		return;
	}
	if (source->ended)
		return;
	source->started = p->quiet != 0;
	for (size_t i = 0; i < COUNT_OF(source->pipes); i++)
		drain_pipe(logger, &source->pipes[i]);
	finish_ending(logger, source);
}

void reading_close_all(struct logger *logger)
{
	struct source *next = source_after(&logger->sources, NULL);
	struct source *source;

	while ((source = next) != NULL) {
		next = source_after(&logger->sources, source);
		for (size_t i = 0; i < COUNT_OF(source->pipes); i++)
			if (source->pipes[i].fd != -1)
				end_pipe(logger, &source->pipes[i]);
		source_free(&logger->sources, source);
	}
}

/* ---- terminals ---- */

static bool is_sized(const struct logger *logger, const struct source_pipe *pipe)
{
	return pipe->is_pty && pipe->fd != -1 && stream_of(logger, pipe)->is_terminal;
}

/* Look up how much of our terminal's width is left for a line. */
void reading_look_at_size(struct logger *logger)
{
	const struct stream *stream = &logger->streams[!logger->streams[0].is_terminal];
	unsigned width = logger->width + (unsigned)strlen(" | ");
	struct source *source = NULL;
	struct winsize size;

	logger->look_at_size = false;
	if (!stream->is_terminal || ioctl(stream->fd, TIOCGWINSZ, &size) == -1)
		return;
	if (size.ws_col > width)
		size.ws_col -= (unsigned short)width;
	else if (size.ws_col > 0)
		size.ws_col = 1;
	while ((source = source_after(&logger->sources, source)) != NULL)
		for (size_t i = 0; i < COUNT_OF(source->pipes); i++)
			if (is_sized(logger, &source->pipes[i]))
				(void)ioctl(source->pipes[i].fd, TIOCSWINSZ, &size);
}
