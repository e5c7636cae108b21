/* SPDX-License-Identifier: MIT */
#include "logger/reading.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/terminal.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* What a worker may write in a second and still count as writing little. */
#define QUIET_SAYS ((size_t)16 * 1024)
#define READ_LEAST ((size_t)4 * 1024)
#define ENDED_TURNS 32 /* times READ_LEAST is more than a terminal or a pipe has */
#define ENDED_ANYWAY 4
#define REDRAWN_EACH 1.0
#define HUNG_MOST 8 /* calls of one cluster */

/* ---- lines ---- */

static struct sink *stream_of(const struct logger *logger, const struct source_pipe *pipe)
{
	return logger->clusters.streams[pipe - pipe->source->pipes];
}

static bool is_copied(const struct logger *logger, const struct source_pipe *pipe)
{
	return pipe->source->copied && !stream_of(logger, pipe)->stream.is_terminal;
}

/* Has a carriage return begun the line anew?  At the end it belongs to the newline. */
static bool is_redrawn(const struct line *line)
{
	return line->len > 1 && memchr(line->text, '\r', line->len - 1) != NULL;
}

static void put_prefixed(struct logger *logger, struct sink *o, const struct line *line)
{
	bool is_terminal = o->stream.is_terminal;
	bool talks = is_terminal && line->of->talks;
	bool edits = is_terminal && line->of->edits;
	bool redrawn = is_terminal && !edits && is_redrawn(line);
	struct source_prefix *prefix = &logger->prefix;
	struct sink_text put = {
		.of = line->of->cluster,
		.text = line->text,
		.len = line->len,
		.newline = !talks || line->ends,
		.escapes = is_terminal && !edits,
	};

	if (redrawn && !line->ends)
		return;
	if (is_terminal && !edits)
		put.len = terminal_redrawn(&put.text, put.len);
	if (prefix->len == 0)
		source_prefix(prefix, line->of, logger->width, logger->colour && is_terminal);
	prefix->text[prefix->mark] = line->goes_on && !redrawn ? '+' : '|';
	put.before = prefix->text;
	put.before_len = talks && line->goes_on ? 0 : prefix->len;
	sink_put(o, &put);
}

static void put_line(struct logger *logger, struct route *route, const struct line *line)
{
	struct sink *o = cluster_sink(
		&logger->clusters, line->of->cluster, route, line->of->slot, line->is_stderr);
	bool is_mere_end = line->goes_on && line->len == 0 && !line->of->talks; /* it was cut */

	if (o == NULL || (is_mere_end && o->kind != SINK_FILE))
		return;
	if (route->to == LOGWIRE_TO_PREFIX)
		put_prefixed(logger, o, line);
	else
		cluster_line(o, route, line);
}

static void take_line(void *context, const struct line *line)
{
	struct logger *logger = context;
	struct source_pipe *pipe = logger->remember.pipe;
	struct source *source = pipe->source;
	struct cluster *c = source->cluster;
	struct route *routes;
	size_t count = cluster_routes(c, &routes);

	c->read += !line->goes_on;
	remember_note(&logger->remember, line);
	if (source->quiet || is_copied(logger, pipe))
		return;
	for (size_t i = 0; i < count; i++)
		if (!routes[i].lacks[line->is_stderr])
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
	size_t count = cluster_routes(pipe->source->cluster, &routes);

	if (pipe->source->quiet || !stream_of(logger, pipe)->stream.is_terminal ||
		!is_redrawn(&line) || now < pipe->redrawn_at + REDRAWN_EACH)
		return;
	pipe->redrawn_at = now;
	for (size_t i = 0; i < count; i++)
		if (routes[i].to == LOGWIRE_TO_PREFIX && !routes[i].lacks[line.is_stderr])
			put_line(logger, &routes[i], &line);
}

/* Cut what was read of a pipe into lines, or end its last one (NULL). */
static void split_lines(
	struct logger *logger, struct source_pipe *pipe, const char *data, size_t len)
{
	logger->prefix.len = 0;
	remember_begin(&logger->remember, pipe, len + pipe->part.len);
	source_split(pipe, data, len, take_line, logger);
	show_progress(logger, pipe);
	remember_flush(&logger->remember);
}

static void forget_if_over(struct logger *logger, struct source *source)
{
	if (source->ended && !source->due && source->pipes[0].readable.fd == -1 &&
		source->pipes[1].readable.fd == -1)
		source_free(&logger->sources, source);
}

static void unqueue(struct logger *logger, const struct source_pipe *pipe)
{
	struct sink *o = stream_of(logger, pipe);

	if (o->stream.mid == pipe)
		o->stream.mid = NULL;
	list_remove(logger->come, pipe);
	list_remove(logger->queue, pipe);
}

/* ---- calls that may hang ---- */

static void on_returned(struct ev_loop *loop, const struct offload_call *call);

static bool is_hung(const struct source_pipe *pipe)
{
	const struct source *source = pipe->source;

	return pipe->hangs || (!source->is_own && source->cluster->hung >= HUNG_MOST);
}

static void note_hang(struct logger *logger, struct source_pipe *pipe)
{
	struct cluster *c = pipe->source->cluster;

	pipe->hangs = true;
	ev_io_stop(logger->loop, &pipe->readable);
	unqueue(logger, pipe);
	if (++c->hung <= c->hung_most)
		return;
	c->hung_most = c->hung;
	if (c->hung == 1)
		log_warn("%s.%" PRIu32 ": a process keeps its output from being read (does its "
			 "file server answer?)",
			c->name, pipe->source->slot);
	if (c->hung == HUNG_MOST)
		log_warn("%s: its output is not read until that ends", c->name);
}

/* false: the call hangs, and on_returned() gets its result; or it is not made, as others hang. */
static bool call_for(struct logger *logger, struct source_pipe *pipe, struct offload_call *call)
{
	if (is_hung(pipe))
		return false;
	call->returned = on_returned;
	call->about = pipe;
	call->fd = pipe->readable.fd;
	call->data = logger->data;
	if (pipe->source->is_own)
		offload_make(call);
	else if (!offload_run(&logger->offload, call))
		note_hang(logger, pipe);
	return !pipe->hangs;
}

static ssize_t read_it(const struct offload_call *call)
{
	unsigned ends = 0;
	ssize_t n;

	/* data from before the end of a terminal may come after the end, once
	 * (n_tty_read() of the kernel looks for the end first) */
	do {
		n = read(call->fd, call->data, call->len);
	} while (n == -1 && (errno == EINTR || (errno == EIO && ends++ == 0)));
	return n;
}

static ssize_t close_it(const struct offload_call *call)
{
	return close(call->fd);
}

static ssize_t size_it(const struct offload_call *call)
{
	return ioctl(call->fd, TIOCSWINSZ, &call->size);
}

/* ---- pipes ---- */

static void note_closed(struct logger *logger, struct source_pipe *pipe)
{
	pipe->readable.fd = -1;
	logger->pipes--;
}

static void end_pipe(struct logger *logger, struct source_pipe *pipe)
{
	struct offload_call call = {.make = close_it};

	split_lines(logger, pipe, NULL, 0);
	ev_io_stop(logger->loop, &pipe->readable);
	unqueue(logger, pipe);
	if (call_for(logger, pipe, &call))
		note_closed(logger, pipe);
	else if (!pipe->hangs) /* others hang: later */
		ev_io_start(logger->loop, &pipe->readable);
}

static bool is_full(struct logger *logger, const struct source_pipe *pipe)
{
	struct source *source = pipe->source;
	bool is_stderr = pipe != source->pipes;
	struct route *routes;
	size_t count = cluster_routes(source->cluster, &routes);
	bool full = false;

	for (size_t i = 0; i < count && !source->quiet; i++) {
		struct sink *o = cluster_sink(
			&logger->clusters, source->cluster, &routes[i], source->slot, is_stderr);

		full |= o != NULL && !routes[i].lacks[is_stderr] && sink_is_full(o);
	}
	return full;
}

/* How much may be read at once; 0: the worker waits.  With all that stands before its lines it is
 * about READ_MOST that is put before those of others.  What a worker that writes little writes is
 * read whatever its sinks take. */
static size_t room_of(struct logger *logger, struct source_pipe *pipe)
{
	ev_tstamp now = ev_now(logger->loop);

	if (is_hung(pipe))
		return 0;
	if (now >= pipe->second + 1.) {
		pipe->second = now;
		pipe->said = 0;
	}
	if (is_copied(logger, pipe))
		return stream_room(stream_of(logger, pipe), pipe->source->ended);
	if (!is_full(logger, pipe))
		return pipe->share > READ_LEAST ? pipe->share : READ_LEAST;
	return pipe->said < QUIET_SAYS ? QUIET_SAYS - pipe->said : 0;
}

/* Neither a progress bar, nor one that moves the cursor, is shown before the line's end; whoever edits
 * a line, as readline(3) does, has the cursor. */
static void look_at_talk(struct source *source, const struct sink *o, const char *data, size_t len)
{
	struct termios t;

	source->edits =
		source->talks && tcgetattr(o->file.fd, &t) == 0 && (t.c_lflag & ICANON) == 0;
	source->shows = source->edits ||
		(source->talks && memchr(data, '\r', len) == NULL &&
			memchr(data, '\x1b', len) == NULL);
}

static void take_data(struct logger *logger, struct source_pipe *pipe, const char *data, size_t len)
{
	struct sink *o = stream_of(logger, pipe);
	size_t put = logger->clusters.put;

	look_at_talk(pipe->source, o, data, len);
	pipe->said += len;
	logger->clusters.is_quiet = pipe->said <= QUIET_SAYS;
	if (is_copied(logger, pipe)) {
		o->stream.mid = data[len - 1] != '\n' ? pipe : NULL;
		sink_put(o,
			&(struct sink_text){.of = pipe->source->cluster, .text = data, .len = len});
		sink_flush(o);
	}
	split_lines(logger, pipe, data, len);
	put = logger->clusters.put - put;
	pipe->share = put > len ? READ_MOST * len / put : READ_MOST;
}

static void take_read(
	struct logger *logger, struct source_pipe *pipe, const struct offload_call *call)
{
	if (call->got > 0)
		take_data(logger, pipe, call->data, (size_t)call->got);
	else if (call->got == 0 || call->error != EAGAIN)
		end_pipe(logger, pipe);
}

/* false: no more data now, or ever. */
static bool read_pipe(struct logger *logger, struct source_pipe *pipe, size_t most)
{
	struct offload_call call = {.make = read_it, .len = most};

	if (!call_for(logger, pipe, &call))
		return false;
	take_read(logger, pipe, &call);
	return call.got > 0;
}

/* A call that hung. */
static void on_returned(struct ev_loop *loop, const struct offload_call *call)
{
	struct logger *logger = ev_userdata(loop);
	struct source_pipe *pipe = call->about;
	struct source *source = pipe->source;

	pipe->hangs = false;
	source->cluster->hung--;
	logger->look_at_size = true;
	if (call->make == read_it)
		take_read(logger, pipe, call);
	else if (call->make == close_it)
		note_closed(logger, pipe);
	if (pipe->readable.fd != -1 && !pipe->hangs)
		ev_io_start(logger->loop, &pipe->readable);
	forget_if_over(logger, source);
}

/* libev calls the watchers of one turn in the reverse order of their events. */
static void on_readable(struct ev_loop *loop, ev_io *watcher, int revents UNUSED)
{
	struct logger *logger = ev_userdata(loop);
	struct source_pipe *pipe = watcher->data;

	ev_io_stop(loop, watcher);
	pipe->next = logger->come;
	logger->come = pipe;
}

/* Before the pipe is copied, read the rest of another worker's line: it is in that pipe, unless it is
 * still to be written.  Returns whether that was read. */
static bool finish_line(struct logger *logger, const struct source_pipe *pipe)
{
	struct sink *o = stream_of(logger, pipe);
	struct source_pipe *mid = o->stream.mid;
	struct source *source;

	if (mid == NULL || mid->source == pipe->source || !is_copied(logger, pipe) ||
		stream_room(o, false) == 0)
		return false;
	source = mid->source;
	(void)read_pipe(logger, mid, READ_MOST);
	o->stream.mid = NULL;
	forget_if_over(logger, source);
	return true;
}

bool reading_turn(struct logger *logger)
{
	struct source_pipe **at;
	struct source_pipe *pipe;
	bool any = false;

	list_append(logger->queue, logger->come);
	logger->come = NULL;
	for (at = &logger->queue; (pipe = *at) != NULL;) {
		struct source *source = pipe->source;
		size_t most;

		if (finish_line(logger, pipe)) {
			at = &logger->queue;
			continue;
		}
		most = room_of(logger, pipe);
		if (most == 0) {
			at = &pipe->next;
			continue;
		}
		*at = pipe->next;
		ev_io_start(logger->loop, &pipe->readable);
		(void)read_pipe(logger, pipe, most);
		forget_if_over(logger, source);
		any = true;
	}
	return any;
}

/* ---- a new worker ---- */

static int watch_pipe(struct logger *logger, struct source *source, uint32_t stream, int fd)
{
	struct source_pipe *pipe = &source->pipes[stream - 1];
	int flags = fcntl(fd, F_GETFL);

	/* O_NONBLOCK is shared with the supervisor, but not with the worker, which
	 * writes to the other end */
	if (pipe->readable.fd != -1 || flags == -1 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1)
		return -1;
	ev_io_init(&pipe->readable, on_readable, fd, EV_READ);
	pipe->readable.data = pipe;
	ev_io_start(logger->loop, &pipe->readable);
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

	source = source_get(&logger->sources, &logger->clusters, p->worker, p->slot, p->cluster);
	if (source == NULL || watch_pipes(logger, source, p->stream, m, &at) == -1) {
		log_error("%s.%" PRIu32 ": cannot take its output", p->cluster, p->slot);
		return;
	}
	source->copied = p->sink == LOGWIRE_COPY;
	source->is_own = (p->flag & LOGWIRE_OWN) != 0;
	source->talks = (p->flag & LOGWIRE_TALKS) != 0;
	source->quiet = p->quiet != 0;
	if (p->what != 0)
		source->pid = p->what;
	source->generation = p->which;
	if (source_width(source) > logger->width)
		logger->width = source_width(source);
	logger->look_at_size = true; /* a new terminal's does not leave room for the prefix */
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
	struct source *next;

	for (struct source *source = logger->sources; source != NULL; source = next) {
		next = source->next;
		if (!source->due)
			continue;
		if (send_last(logger, source) == -1 && errno == EAGAIN) {
			ev_io_start(logger->loop, &logger->answers);
			return;
		}
		/* any other failure: the supervisor is gone, and waits for no answer */
		source->due = false;
		forget_if_over(logger, source);
	}
}

/* Read what a dead worker has left.  Its last words may be at the end of a pipe, so that some of it
 * is read even while a sink is full. */
static void drain_pipe(struct logger *logger, struct source_pipe *pipe)
{
	for (int i = 0; i < ENDED_TURNS && pipe->readable.fd != -1; i++) {
		size_t most = room_of(logger, pipe);

		if (most == 0 && !is_copied(logger, pipe) && i < ENDED_ANYWAY)
			most = READ_MOST;
		if (most == 0 || !read_pipe(logger, pipe, most))
			break;
	}
}

void reading_take_ended(struct logger *logger, const struct logwire_packet *p)
{
	/* a worker that wrote nothing, or never was added, is answered, too */
	struct source *source =
		source_get(&logger->sources, &logger->clusters, p->worker, p->slot, p->cluster);

	if (source == NULL) {
		log_error("%s.%" PRIu32 ": no memory for its last output", p->cluster, p->slot);
		return;
	}
	if (source->ended)
		return;
	source->started = p->quiet != 0;
	source->ended = true;
	for (size_t i = 0; i < COUNT_OF(source->pipes); i++)
		drain_pipe(logger, &source->pipes[i]);
	for (size_t i = 0; i < COUNT_OF(source->pipes); i++)
		split_lines(logger, &source->pipes[i], NULL, 0);
	source->due = true;
	/* the worker's lines come before what the supervisor logs of its death */
	cluster_flush(&logger->clusters, source->cluster);
	reading_send_answers(logger);
}

void reading_end(struct logger *logger)
{
	logger->come = logger->queue = NULL;
	for (struct source *source = logger->sources; source != NULL; source = source->next)
		for (size_t i = 0; i < COUNT_OF(source->pipes); i++) {
			split_lines(logger, &source->pipes[i], NULL, 0);
			ev_io_stop(logger->loop, &source->pipes[i].readable);
		}
}

/* ---- terminals ---- */

/* Look up how much of our terminal's width is left for a line. */
void reading_look_at_size(struct logger *logger)
{
	struct sink *const *streams = logger->clusters.streams;
	const struct sink *terminal = streams[!streams[0]->stream.is_terminal];
	unsigned width = logger->width + (unsigned)strlen(" | ");
	struct offload_call call = {.make = size_it};
	unsigned short *columns = &call.size.ws_col;

	logger->look_at_size = false;
	if (!terminal->stream.is_terminal || ioctl(terminal->file.fd, TIOCGWINSZ, &call.size) == -1)
		return;
	if (*columns > width)
		*columns -= (unsigned short)width;
	else if (*columns > 0)
		*columns = 1;
	for (struct source *source = logger->sources; source != NULL; source = source->next)
		for (size_t i = 0; i < COUNT_OF(source->pipes); i++) {
			struct source_pipe *pipe = &source->pipes[i];

			/* what is no terminal refuses it */
			if (pipe->readable.fd != -1 && stream_of(logger, pipe)->stream.is_terminal)
				(void)call_for(logger, pipe, &call);
		}
}
