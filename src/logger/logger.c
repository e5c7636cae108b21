/* SPDX-License-Identifier: MIT */
#include "logger/logger.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/terminal.h"
#include "base/text.h"
#include "logger/drops.h"
#include "logger/keep.h"
#include "logger/offload.h"
#include "logger/remember.h"
#include "logger/route.h"
#include "logger/sink.h"
#include "logger/source.h"
#include "os/descriptors.h"
#include "os/fdpass.h"
#include "os/privilege.h"
#include "protocol/logwire.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIPES_MAX 40000U
#define TURN_MAX OFFLOAD_DATA    /* read of one pipe in one loop turn */
#define TIGHT_MAX ((size_t)4096) /* … while the sinks' memory is used up */
#define ENDED_TURNS 16           /* times TURN_MAX is a pipe's largest usual buffer */
#define EVENTS_MAX 64            /* pipes read in one loop turn */
#define PACKETS_MAX 64           /* taken in one loop turn */
#define DRAIN_TIME 2.0           /* seconds after the channel has closed */
#define FLUSH_TIME 1.0           /* and then for the sinks */
/* So many pipes of a cluster may hang if too many do in all. */
#define HUNG_THEN 1
#define REDRAWN_EACH 1.0
#define FAR_AWAY (10.0 * 365 * 86400)

enum stage { RUNNING, DRAINING, FLUSHING };

/* By what their pipes wait for: nothing, or until the sink of the stream that
 * they are copied to takes more. */
enum set { SET_ALWAYS, SET_STDOUT, SET_STDERR, SETS };

struct logger {
	struct ev_loop *loop;
	struct ev_io channel;
	struct ev_io answers; /* the channel again, while it takes no more */
	/*
	 * Pipes that have something, by epoll sets of our own.  The supervisor
	 * has them open too, so that closing ours does not take them out of a
	 * set, and libev relies on that: a closed one would go on being
	 * reported, and libev would build its set anew each time.
	 */
	struct ev_io readable[SETS];
	struct ev_prepare turn;
	struct ev_periodic far;
	struct ev_timer deadline;
	enum stage stage;
	enum logwire_sink sink;
	bool colour;
	struct sink sinks[2];
	struct sink *by_stream[2]; /* the same one twice for `2>&1` */
	struct source_table sources;
	unsigned pipes; /* open */
	unsigned held;  /* of these, by something a dead worker left behind */
	struct source *due;
	struct source **due_end;
	struct keep keep;
	struct source_pipe *reading;
	uint64_t reads; /* made so far */
	struct memories memories;
	struct drops drops;
	struct offload offload;
	struct routes routes;
	unsigned width;    /* of the longest name before a line */
	bool has_others;   /* workers may be other users' */
	bool look_at_size; /* that of our terminal */
	bool is_sized;     /* the workers' terminals have got one */
	int over;          /* the channel, when the supervisor has closed it */
};

/* --- Lines --- */

static struct sink *sink_of(const struct logger *logger, const struct source_pipe *pipe)
{
	return logger->by_stream[pipe - pipe->source->pipes];
}

static int set_of(const struct logger *logger, const struct source_pipe *pipe)
{
	const struct source *source = pipe->source;
	long set = source->copied ? SET_STDOUT + (pipe - source->pipes) : SET_ALWAYS;

	return logger->readable[set].fd;
}

/* A terminal gets lines, whose control bytes are escaped, and no copy. */
static bool is_copied(const struct logger *logger, const struct source_pipe *pipe)
{
	return pipe->source->copied && !sink_of(logger, pipe)->is_terminal;
}

/* Has a carriage return begun it anew?  At the end it belongs to the newline. */
static bool is_redrawn(const struct line *line)
{
	return line->len > 1 && memchr(line->text, '\r', line->len - 1) != NULL;
}

static void put_prefixed(struct logger *logger, struct source_pipe *pipe, const struct line *line)
{
	struct source *source = pipe->source;
	struct sink *sink = sink_of(logger, pipe);
	struct sink_mark mark = {
		.cluster = source->cluster,
		.worker = source->worker,
	};
	const char *text = line->text;
	size_t len = line->len;
	bool goes_on = line->goes_on;

	if (sink->is_terminal && is_redrawn(line)) {
		if (!line->ends)
			return;
		goes_on = false;
	}
	if (sink->is_terminal)
		len = terminal_redrawn(&text, len);
	mark.before_len = source_prefix(
		source, &mark.before, logger->width, goes_on, logger->colour && sink->is_terminal);
	sink_put(sink, &mark, text, len);
}

static void put_json(struct logger *logger, const struct format_line *line)
{
	const struct sink_mark mark = {
		.cluster = line->cluster,
		.worker = line->worker,
		.before = "",
	};
	struct buffer *scratch = &logger->routes.scratch;

	buffer_clear(scratch);
	format_json(scratch, line);
	sink_put(logger->by_stream[0], &mark, scratch->data, scratch->len);
}

/* To all sinks of its cluster that take lines. */
static void route_line(struct logger *logger, struct source_pipe *pipe, const struct line *line)
{
	struct source *source = pipe->source;
	struct routing *routing = source->group->routing;
	const struct format_line whole = {
		.cluster = source->cluster,
		.slot = source->slot,
		.pid = source->pid,
		.generation = source->generation,
		.worker = source->worker,
		.is_stderr = pipe != source->pipes,
		.goes_on = line->goes_on,
		.text = line->text,
		.len = line->len,
	};

	if (!routing->by_line)
		return;
	for (size_t i = 0; i < routing->count; i++)
		if (routing->list[i].kind == LOGWIRE_TO_PREFIX)
			put_prefixed(logger, pipe, line);
		else if (routing->list[i].kind == LOGWIRE_TO_JSON)
			put_json(logger, &whole);
	routes_line(&logger->routes, routing, &whole);
}

static void note_line(void *context, const struct line *line)
{
	struct logger *logger = context;
	struct source *source = logger->reading->source;

	if (!source->ended || source->due)
		tail_note(&source->tail, line->text, line->len, line->goes_on, line->behind);
	remember_note(&logger->memories, line);
}

static void take_line(void *context, const struct line *line)
{
	struct logger *logger = context;
	struct source_pipe *pipe = logger->reading;
	struct source *source = pipe->source;
	struct routing *routing = source->group->routing;

	if (!line->goes_on && source->group->counts != NULL)
		drops_line(&logger->drops, source->group->counts);
	note_line(context, line);
	if (source->quiet || is_copied(logger, pipe))
		return;
	if (routing != NULL && routing->count > 0)
		route_line(logger, pipe, line);
	else if (logger->sink == LOGWIRE_PREFIX)
		put_prefixed(logger, pipe, line);
}

static bool routing_has(const struct routing *routing, enum logwire_to kind)
{
	for (size_t i = 0; i < routing->count; i++)
		if (routing->list[i].kind == kind)
			return true;
	return false;
}

static bool is_prefixed(const struct logger *logger, const struct source_pipe *pipe)
{
	const struct routing *routing = pipe->source->group->routing;

	if (pipe->source->quiet || is_copied(logger, pipe))
		return false;
	if (routing == NULL || routing->count == 0)
		return logger->sink == LOGWIRE_PREFIX;
	return routing_has(routing, LOGWIRE_TO_PREFIX);
}

/* A progress bar has no end of a line for long: show how far it is by a line each
 * second, which is no part of what is kept. */
static void show_progress(struct logger *logger, struct source_pipe *pipe)
{
	const struct line line = {
		.text = pipe->lines.part.data,
		.len = pipe->lines.part.len,
		.ends = true,
	};
	ev_tstamp now = ev_now(logger->loop);

	if (!sink_of(logger, pipe)->is_terminal || !is_redrawn(&line) ||
		now < pipe->redrawn_at + REDRAWN_EACH || !is_prefixed(logger, pipe))
		return;
	pipe->redrawn_at = now;
	put_prefixed(logger, pipe, &line);
}

static const char *data_of(const struct logger *logger)
{
	return logger->offload.last->data;
}

/* `len` bytes of it are made lines now. */
static void begin_lines(struct logger *logger, struct source_pipe *pipe, size_t len)
{
	const struct source *source = pipe->source;

	logger->reading = pipe;
	remember_begin(&logger->memories, source->memory, 1 + (unsigned)(pipe - source->pipes),
		(int)source->pid, len);
}

/* What was read of a pipe, as lines. */
static void split(struct logger *logger, struct source_pipe *pipe, const char *data, size_t len)
{
	const struct source *source = pipe->source;

	begin_lines(logger, pipe, len);
	lines_split(&pipe->lines, data, len, take_line, logger);
	if (source->group->routing != NULL && !source->quiet && !is_copied(logger, pipe))
		routes_put(&logger->routes, pipe, data, len);
	show_progress(logger, pipe);
	remember_end(&logger->memories);
}

static void free_source(struct logger *logger, struct source *source)
{
	remember_release(&logger->memories, source->memory);
	source_free(&logger->sources, source);
}

static void forget_if_over(struct logger *logger, struct source *source)
{
	if (source->ended && !source->due && !source_is_open(source))
		free_source(logger, source);
}

/* A pipe is at its end: close it. */
static void end_pipe(struct logger *logger, struct source_pipe *pipe)
{
	begin_lines(logger, pipe, 0);
	lines_end(&pipe->lines, take_line, logger);
	remember_end(&logger->memories);
	routes_end(&logger->routes, pipe);
	(void)epoll_ctl(set_of(logger, pipe), EPOLL_CTL_DEL, pipe->fd, NULL);
	offload_close(&logger->offload, &pipe->fd, pipe->source->is_safe);
	logger->pipes--;
	if (pipe->source->ended)
		logger->held--;
}

static void note_hang(struct logger *logger, struct source_pipe *pipe);

static ssize_t read_some(struct logger *logger, struct source_pipe *pipe, size_t len)
{
	const struct offload_call call = {
		.kind = OFFLOAD_READ,
		.is_safe = pipe->source->is_safe,
		.about = pipe,
		.fd = pipe->fd,
		.len = len,
		.by_pieces = pipe->is_pty,
	};

	return offload_run(&logger->offload, &call);
}

/* As read(), but no more than the sink takes now. */
static ssize_t copy(struct logger *logger, struct source_pipe *pipe)
{
	struct sink *sink = sink_of(logger, pipe);
	size_t room = sink_room(sink);
	unsigned long dropped = sink->dropped;
	ssize_t n;

	errno = EAGAIN;
	if (room == 0)
		return -1;
	n = read_some(logger, pipe, room);
	if (n <= 0)
		return n;
	sink_copy(sink, data_of(logger), (size_t)n);
	drops_add(&logger->drops, pipe->source->cluster, sink->dropped - dropped);
	return n;
}

/* What has come of a call that reads.  false: nothing more is there now, or
 * ever. */
static bool take_data(struct logger *logger, struct source_pipe *pipe, const char *data, ssize_t n)
{
	if (n > 0) {
		pipe->source->read_at = pipe->source->group->read_at = ++logger->reads;
		split(logger, pipe, data, (size_t)n);
		return true;
	}
	if (n == -1 && errno == EINPROGRESS)
		note_hang(logger, pipe);
	else if (n == 0 || errno != EAGAIN)
		end_pipe(logger, pipe);
	return false;
}

/* One turn's share.  false: nothing more is there now, or ever. */
static bool read_pipe(struct logger *logger, struct source_pipe *pipe)
{
	const struct routing *routing = pipe->source->group->routing;
	size_t most = routing != NULL && routes_are_tight(&logger->routes, routing) ? TIGHT_MAX
										    : TURN_MAX;
	unsigned ends = 0;
	ssize_t n;

	/* what was written before the end of a terminal may come after it, once
	 * (n_tty_read() of the kernel looks for it first) */
	do {
		n = is_copied(logger, pipe) ? copy(logger, pipe) : read_some(logger, pipe, most);
	} while (n == -1 && (errno == EINTR || (errno == EIO && ends++ == 0)));
	return take_data(logger, pipe, n > 0 ? data_of(logger) : NULL, n);
}

static bool goes_to_files_alone(const struct source_group *group)
{
	const struct routing *routing = group->routing;

	if (routing == NULL || routing->count == 0)
		return false;
	return !routing_has(routing, LOGWIRE_TO_PREFIX) && !routing_has(routing, LOGWIRE_TO_JSON);
}

/* Is more written than what they go to has taken?  A cluster of which nothing goes
 * there does not wait for it: then too much is dropped instead. */
static bool is_behind(struct logger *logger)
{
	for (const struct source_group *group = logger->sources.groups; group != NULL;
		group = group->next)
		if (goes_to_files_alone(group))
			return false;
	return sink_is_behind(logger->by_stream[0]) || sink_is_behind(logger->by_stream[1]);
}

/* Who has waited longest comes first: the cluster, and of one the worker. */
static int by_waiting(const void *a, const void *b)
{
	const struct epoll_event *events[] = {a, b};
	const struct source *s[2];

	for (int i = 0; i < 2; i++)
		s[i] = ((struct source_pipe *)events[i]->data.ptr)->source;
	if (s[0]->group->read_at != s[1]->group->read_at)
		return s[0]->group->read_at < s[1]->group->read_at ? -1 : 1;
	return s[0]->read_at < s[1]->read_at ? -1 : s[0]->read_at > s[1]->read_at;
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct epoll_event events[EVENTS_MAX];
	struct logger *logger = ev_userdata(loop);
	bool copied = watcher != &logger->readable[SET_ALWAYS];
	int count = epoll_wait(watcher->fd, events, EVENTS_MAX, 0);

	(void)revents;
	/* a sink that has room for little has it for the first */
	if (count > 1)
		qsort(events, (size_t)count, sizeof(*events), by_waiting);
	for (int i = 0; i < count; i++) {
		struct source_pipe *pipe = events[i].data.ptr;
		struct source *source = pipe->source;
		struct routing *routing;

		(void)read_pipe(logger, pipe);
		routing = source->group->routing;
		/* both pipes of one worker may be among the events */
		if (!source_is_open(source))
			forget_if_over(logger, source);
		if ((routing != NULL && !routes_flush_enough(&logger->routes, routing)) ||
			(!copied && is_behind(logger)))
			break; /* before the loop waits it is paused */
	}
}

/* --- Last words --- */

/* Note what the sink does not take yet: it may be the last words. */
static void note_what_waits(struct logger *logger, struct source_pipe *pipe)
{
	const struct offload_call call = {
		.kind = OFFLOAD_PEEK,
		.is_safe = pipe->source->is_safe,
		.about = pipe,
		.fd = pipe->fd,
	};
	ssize_t n = offload_run(&logger->offload, &call);
	struct lines lines = {.cut = pipe->lines.cut};

	if (n == -1 && errno == EINPROGRESS)
		note_hang(logger, pipe);
	if (n <= 0)
		return;
	if (is_copied(logger, pipe)) {
		/* … and is remembered then */
		logger->reading = pipe;
		lines_split(&pipe->lines, data_of(logger), (size_t)n, take_line, logger);
		return;
	}
	/* it is read again, for the sinks */
	lines_init(&lines);
	logger->reading = pipe;
	lines_split(&lines, data_of(logger), (size_t)n, note_line, logger);
	lines_end(&lines, note_line, logger);
}

/* Note lines without a newline: they may be the worker's last words. */
static void note_partial_lines(struct source *source)
{
	for (size_t i = 0; i < COUNT_OF(source->pipes); i++) {
		const struct lines *lines = &source->pipes[i].lines;

		if (lines->part.len > 0)
			tail_note(&source->tail, lines->part.data, lines->part.len, lines->cut, 0);
	}
}

static int send_last(struct logger *logger, struct source *source)
{
	struct logwire_packet packet = {
		.kind = LOGWIRE_LAST,
		.slot = source->slot,
		.worker = source->worker,
		.address_in_use = tail_says_in_use(&source->tail),
	};

	(void)text_copy(packet.cluster, sizeof(packet.cluster), source->cluster);
	tail_text(&source->tail, packet.text);
	return fdpass_send(logger->channel.fd, &packet, sizeof(packet), NULL, 0);
}

/* Send the answers that are due; what the channel does not take goes later. */
static void send_answers(struct logger *logger)
{
	while (logger->due != NULL) {
		struct source *source = logger->due;

		if (logger->stage == RUNNING && send_last(logger, source) == -1 &&
			errno == EAGAIN) {
			ev_io_start(logger->loop, &logger->answers);
			return;
		}
		/* any other failure: the supervisor is gone, nobody asks */
		logger->due = source->next_due;
		if (logger->due == NULL)
			logger->due_end = &logger->due;
		source->due = false;
		tail_fini(&source->tail);
		forget_if_over(logger, source);
	}
}

static void on_answerable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	(void)revents;
	ev_io_stop(loop, watcher);
	send_answers(ev_userdata(loop));
}

static void for_sinks(struct logger *logger, void (*what)(struct sink *sink))
{
	what(logger->by_stream[0]);
	if (logger->by_stream[1] != logger->by_stream[0])
		what(logger->by_stream[1]);
}

static bool group_is_read(const struct source_group *group)
{
	return !group->unread && !group->paused;
}

static bool is_readable(const struct source_pipe *pipe)
{
	return pipe->fd != -1 && !pipe->hangs && group_is_read(pipe->source->group);
}

/* Do all its sinks take more? */
static bool has_room(struct logger *logger, const struct source *source)
{
	const struct routing *routing = source->group->routing;

	return (source->copied || !is_behind(logger)) &&
		(routing == NULL || routes_have_room(source->group->routing));
}

static void drain(struct logger *logger, struct source *source)
{
	for (size_t i = 0; i < COUNT_OF(source->pipes); i++) {
		struct source_pipe *pipe = &source->pipes[i];
		int turns = ENDED_TURNS;

		while (is_readable(pipe) && turns-- > 0 && has_room(logger, source))
			if (!read_pipe(logger, pipe))
				break;
		if (pipe->fd != -1 && !pipe->hangs &&
			(is_copied(logger, pipe) || !group_is_read(source->group) ||
				!has_room(logger, source)))
			note_what_waits(logger, pipe);
	}
}

static void finish_ending(struct logger *logger, struct source *source)
{
	note_partial_lines(source);
	for (size_t i = 0; i < COUNT_OF(source->pipes); i++)
		routes_end(&logger->routes, &source->pipes[i]);
	source->ended = true;
	for (size_t i = 0; i < COUNT_OF(source->pipes); i++)
		logger->held += source->pipes[i].fd != -1;
	source->due = true;
	*logger->due_end = source;
	logger->due_end = &source->next_due;
	/* its lines stand before what the supervisor says of its death */
	for_sinks(logger, sink_flush);
	send_answers(logger);
}

static void take_ended(struct logger *logger, const struct logwire_packet *p)
{
	/* a worker that said nothing, or never was added, is answered, too */
	struct source *source = source_get(&logger->sources, p->worker, p->slot, p->cluster);

	if (source == NULL) {
		log_error("%s.%" PRIu32 ": no memory for its last output", p->cluster, p->slot);
		return;
	}
	if (source->ended)
		return;
	source->tail.started = p->quiet != 0;
	drain(logger, source);
	finish_ending(logger, source);
}

/* --- Pipes that hang --- */

static int add_to_set(const struct logger *logger, struct source_pipe *pipe, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = pipe};

	return epoll_ctl(set_of(logger, pipe), EPOLL_CTL_ADD, fd, &event);
}

static bool too_many_hang(const struct logger *logger, const struct source_group *group)
{
	return group->hanging >=
		(logger->offload.stuck < OFFLOAD_MOST ? OFFLOAD_OF_ONE : HUNG_THEN);
}

/* `why`: one of the group's two reasons not to be read. */
static void set_unread(struct logger *logger, struct source_group *group, bool *why, bool unread)
{
	bool was = !group_is_read(group);

	*why = unread;
	unread = !group_is_read(group);
	if (unread == was)
		return;
	for (size_t i = 0; i < 2 * logger->sources.count; i++) {
		struct source *source = logger->sources.list[i / 2];
		struct source_pipe *pipe = &source->pipes[i % 2];

		if (source->group != group || pipe->fd == -1 || pipe->hangs)
			continue;
		if (unread)
			(void)epoll_ctl(set_of(logger, pipe), EPOLL_CTL_DEL, pipe->fd, NULL);
		else
			(void)add_to_set(logger, pipe, pipe->fd);
	}
}

/* A sink takes no more, or does again. */
static void on_pause(void *owner, const char *cluster, bool paused)
{
	struct logger *logger = owner;
	struct source_group *group = logger->sources.groups;

	while (group != NULL && strcmp(group->cluster, cluster) != 0)
		group = group->next;
	if (group != NULL)
		set_unread(logger, group, &group->paused, paused);
}

static void note_hang(struct logger *logger, struct source_pipe *pipe)
{
	struct source_group *group = pipe->source->group;

	pipe->hangs = true;
	(void)epoll_ctl(set_of(logger, pipe), EPOLL_CTL_DEL, pipe->fd, NULL);
	group->hanging++;
	if (!group->told)
		log_warn("%s.%" PRIu32 ": a process keeps its output from "
			 "being read (does its file server answer?)",
			group->cluster, pipe->source->slot);
	group->told = true;
	if (!group->unread && too_many_hang(logger, group)) {
		log_warn("%s: its output is not read until that ends, because "
			 "so much of it is kept",
			group->cluster);
		set_unread(logger, group, &group->unread, true);
	}
}

static void on_goes_on(void *owner, const struct offload_call *call)
{
	struct logger *logger = owner;
	struct source_pipe *pipe = call->about;
	struct source *source;
	struct source_group *group;

	if (call->kind == OFFLOAD_WRITE) {
		outlet_goes_on(call->about, call);
		return;
	}
	source = pipe->source;
	group = source->group;
	pipe->hangs = false;
	group->hanging--;
	if (call->kind == OFFLOAD_READ && call->got > 0 && is_copied(logger, pipe))
		sink_copy(sink_of(logger, pipe), call->data, (size_t)call->got);
	errno = call->error;
	if (call->kind == OFFLOAD_READ)
		(void)take_data(logger, pipe, call->data, call->got);
	if (pipe->fd != -1 && group_is_read(group))
		(void)add_to_set(logger, pipe, pipe->fd);
	if (group->unread && !too_many_hang(logger, group))
		set_unread(logger, group, &group->unread, false);
	if (!source_is_open(source))
		forget_if_over(logger, source);
}

/* --- Terminals --- */

static bool is_sized(const struct logger *logger, const struct source_pipe *pipe)
{
	return pipe->is_pty && is_readable(pipe) && sink_of(logger, pipe)->is_terminal;
}

/* All of them get that size. */
static void size_terminals(struct logger *logger, const struct winsize *size)
{
	for (size_t i = 0; i < 2 * logger->sources.count; i++) {
		struct source_pipe *pipe = &logger->sources.list[i / 2]->pipes[i % 2];
		const struct offload_call call = {
			.kind = OFFLOAD_WINSIZE,
			.is_safe = pipe->source->is_safe,
			.about = pipe,
			.fd = pipe->fd,
			.request = TIOCSWINSZ,
			.size = *size,
		};

		if (is_sized(logger, pipe) && logger->offload.stuck < OFFLOAD_MOST &&
			offload_run(&logger->offload, &call) == -1 && errno == EINPROGRESS)
			note_hang(logger, pipe);
	}
}

/* How much of our terminal is left for a line. */
static void look_at_size(struct logger *logger)
{
	const struct sink *sink =
		logger->by_stream[0]->is_terminal ? logger->by_stream[0] : logger->by_stream[1];
	unsigned width = logger->width + (unsigned)strlen(" | ");
	const struct offload_call call = {
		.kind = OFFLOAD_WINSIZE,
		.fd = sink->fd,
		.request = TIOCGWINSZ,
	};
	struct winsize size;

	logger->look_at_size = false;
	if (!sink->is_terminal || offload_run(&logger->offload, &call) == -1)
		return;
	size = logger->offload.last->size;
	if (size.ws_col > width)
		size.ws_col -= (unsigned short)width;
	else if (size.ws_col > 0)
		size.ws_col = 1;
	logger->is_sized = true;
	size_terminals(logger, &size);
}

/* --- The channel --- */

static int watch_pipe(struct logger *logger, struct source *source, uint32_t stream, int fd)
{
	struct source_pipe *pipe = &source->pipes[stream - 1];
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	/* O_NONBLOCK is the supervisor's too, but not the worker's: that
	 * writes to the other end */
	if (pipe->fd != -1 || flags == -1 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1 ||
		(group_is_read(source->group) && add_to_set(logger, pipe, fd) == -1))
		return -1;
	pipe->fd = fd;
	pipe->is_pty = fstat(fd, &st) == 0 && S_ISCHR(st.st_mode);
	logger->pipes++;
	if (source->ended)
		logger->held++;
	return 0;
}

/* *at: how many of the descriptors they were. */
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

/* Where does its output go?  What it needs is opened. */
static void route_source(struct logger *logger, struct source *source)
{
	struct source_group *group = source->group;

	group->counts = drops_of(&logger->drops, source->cluster);
	group->routing = routes_of(&logger->routes, source->cluster);
	if (group->routing == NULL)
		return;
	if (!source->quiet)
		routes_begin(&logger->routes, group->routing, source->slot);
	set_unread(logger, group, &group->paused, group->routing->paused);
}

/* Where its latest lines are kept, too. */
static void take_memory(struct logger *logger, struct source *source, int *fd)
{
	if (source->memory == NULL)
		source->memory = remember_get(&logger->memories, fd);
	if (source->memory == NULL)
		log_error("%s.%" PRIu32 ": its output cannot be kept for "
			  "'nclust logs'",
			source->cluster, source->slot);
}

/* A worker's pipes; the descriptors are ours now. */
static void take_pipes(
	struct logger *logger, const struct logwire_packet *p, struct fdpass_message *m)
{
	struct source *source;
	size_t at = 0;

	if (logger->pipes >= PIPES_MAX || logger->sources.count >= PIPES_MAX) {
		log_error("%s.%" PRIu32 ": too many pipes for its output; %u of %u are held "
			  "open by processes that dead workers left",
			p->cluster, p->slot, logger->held, logger->pipes);
		return;
	}
	source = source_get(&logger->sources, p->worker, p->slot, p->cluster);
	if (source != NULL && !source_is_open(source))
		source->copied = p->sink == LOGWIRE_COPY;
	if (source != NULL)
		source->is_safe = p->flag || !logger->has_others;
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
		/* those who have got a size have got too much */
		logger->look_at_size |= logger->is_sized;
	}
	route_source(logger, source);
	if (at < m->fd_count)
		take_memory(logger, source, &m->fds[at]);
}

static void take_sink(struct logger *logger, const struct logwire_packet *p)
{
	logger->sink = (enum logwire_sink)p->sink;
	logger->colour = p->flag == 1;
	logger->look_at_size = true;
}

static void open_sinks(struct logger *logger);

/* The supervisor that has taken over writes elsewhere.  What is still queued
 * for the old sinks, and cannot be written now, is lost. */
static void take_output(struct logger *logger, struct fdpass_message *m)
{
	for_sinks(logger, sink_flush);
	sink_close(&logger->sinks[0]);
	sink_close(&logger->sinks[1]);
	(void)dup2(m->fds[0], STDOUT_FILENO);
	(void)dup2(m->fds[1], STDERR_FILENO);
	open_sinks(logger);
}

/* A cluster may have got its first sinks while its workers run. */
static void route_group(struct logger *logger, const char *cluster)
{
	struct source_group *group = logger->sources.groups;

	while (group != NULL && strcmp(group->cluster, cluster) != 0)
		group = group->next;
	if (group != NULL)
		group->routing = routes_of(&logger->routes, cluster);
}

/* A cluster is removed: forget it, and those before it whose workers have ended. */
static void forget_removed(struct logger *logger)
{
	for (struct source_group *group = logger->sources.groups; group != NULL;
		group = group->next) {
		if (group->routing != NULL)
			group->routing->used = true;
		if (group->counts != NULL)
			group->counts->used = true;
	}
	routes_sweep(&logger->routes);
	drops_sweep(&logger->drops);
}

/* Its files may have other names, too. */
static void rename_cluster(
	struct logger *logger, const struct logwire_packet *p, struct fdpass_message *m)
{
	routes_rename(&logger->routes, p->text, p->cluster);
	sources_rename(&logger->sources, p->text, p->cluster);
	(void)routes_take(&logger->routes, p, m);
}

static void routed(struct logger *logger, const struct logwire_packet *p)
{
	route_group(logger, p->cluster);
	if (p->kind == LOGWIRE_ROUTE && p->slot == 0)
		forget_removed(logger);
}

static void take_packet(
	struct logger *logger, const struct logwire_packet *p, struct fdpass_message *m)
{
	bool sound = !m->cut && logwire_check(p, (size_t)m->len);

	if (sound && p->kind == LOGWIRE_ADD && m->fd_count >= 1)
		take_pipes(logger, p, m);
	else if (sound && p->kind == LOGWIRE_ENDED)
		take_ended(logger, p);
	else if (sound && p->kind == LOGWIRE_SINK)
		take_sink(logger, p);
	else if (sound && p->kind == LOGWIRE_OUTPUT && m->fd_count == 2)
		take_output(logger, m);
	else if (sound && p->kind == LOGWIRE_REOPEN && *p->text != '\0')
		rename_cluster(logger, p, m);
	else if (sound && routes_take(&logger->routes, p, m))
		routed(logger, p);
	else if (!sound || !keep_take(&logger->keep, p, m))
		log_error("logger: refused a malformed packet");
	for (size_t i = 0; i < m->fd_count; i++)
		offload_close(&logger->offload, &m->fds[i], false);
}

/* The supervisor is gone for good: read what is in the pipes, and end. */
static void begin_draining(struct logger *logger)
{
	logger->stage = DRAINING;
	send_answers(logger);
	ev_timer_set(&logger->deadline, DRAIN_TIME, 0.0);
	ev_timer_start(logger->loop, &logger->deadline);
}

static void close_channel(struct logger *logger)
{
	ev_io_stop(logger->loop, &logger->channel);
	ev_io_stop(logger->loop, &logger->answers);
	logger->over = logger->channel.fd;
	logger->drops.channel = -1;
	ev_io_set(&logger->channel, -1, EV_READ);
	if (!keep_wait(&logger->keep)) {
		begin_draining(logger);
		return;
	}
	fd_close(&logger->over);
	send_answers(logger); /* nobody asks any more */
}

static void on_channel(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct logger *logger = ev_userdata(loop);
	struct logwire_packet packet;
	struct fdpass_message m;

	(void)revents;
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

/* --- The next one above us --- */

static void pipes_of(void *context, const struct logwire_packet *worker, int fds[2])
{
	struct logger *logger = context;
	const struct source *source = source_find(&logger->sources, worker->worker);

	for (int i = 0; i < 2; i++)
		fds[i] = source != NULL ? source->pipes[i].fd : -1;
}

static void resume(void *context, int channel)
{
	struct logger *logger = context;

	ev_io_set(&logger->channel, channel, EV_READ);
	ev_io_start(logger->loop, &logger->channel);
	ev_io_set(&logger->answers, channel, EV_WRITE);
	logger->drops.channel = channel;
	routes_forget_asked(&logger->routes);
}

static void give_up(void *context)
{
	begin_draining(context);
}

/* --- The end --- */

static void close_all_pipes(struct logger *logger)
{
	for (size_t at = logger->sources.count; at-- > 0;) {
		struct source *source = logger->sources.list[at];
		bool hangs = false;

		for (size_t i = 0; i < COUNT_OF(source->pipes); i++)
			if (source->pipes[i].hangs)
				hangs = true;
			else if (source->pipes[i].fd != -1)
				end_pipe(logger, &source->pipes[i]);
		if (!hangs)
			free_source(logger, source);
	}
}

static void begin_flushing(struct logger *logger)
{
	close_all_pipes(logger);
	logger->stage = FLUSHING;
	ev_timer_stop(logger->loop, &logger->deadline);
	ev_timer_set(&logger->deadline, FLUSH_TIME, 0.0);
	ev_timer_start(logger->loop, &logger->deadline);
}

static void on_deadline(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	struct logger *logger = ev_userdata(loop);

	(void)watcher;
	(void)revents;
	if (logger->stage == DRAINING)
		begin_flushing(logger);
	else
		ev_break(loop, EVBREAK_ALL);
}

/* Do not read pipes that are copied to a sink that is full. */
static void read_or_wait(struct logger *logger, int stream)
{
	const struct sink *sink = logger->by_stream[stream];

	if (sink->full && !sink->is_terminal)
		ev_io_stop(logger->loop, &logger->readable[SET_STDOUT + stream]);
	else
		ev_io_start(logger->loop, &logger->readable[SET_STDOUT + stream]);
}

/* Each time before the loop waits. */
static void on_turn(struct ev_loop *loop, ev_prepare *watcher, int revents)
{
	struct logger *logger = ev_userdata(loop);

	(void)watcher;
	(void)revents;
	if (logger->stage == DRAINING && logger->pipes == 0)
		begin_flushing(logger);
	for_sinks(logger, sink_turn);
	routes_turn(&logger->routes);
	if (logger->look_at_size)
		look_at_size(logger);
	for (int i = 0; i < 2; i++)
		read_or_wait(logger, i);
	if (is_behind(logger))
		ev_io_stop(loop, &logger->readable[SET_ALWAYS]);
	else
		ev_io_start(loop, &logger->readable[SET_ALWAYS]);
	if (logger->stage == FLUSHING && sink_is_empty(logger->by_stream[0]) &&
		sink_is_empty(logger->by_stream[1]) && routes_are_empty(&logger->routes))
		ev_break(loop, EVBREAK_ALL);
}

static void on_far(struct ev_loop *loop, ev_periodic *watcher, int revents)
{
	(void)loop;
	(void)watcher;
	(void)revents;
}

/* A process with a thread that hangs keeps its descriptors when it exits: those
 * whose end others wait for go first. */
static void close_ends(struct logger *logger)
{
	fd_close(&logger->over);
	(void)close(STDOUT_FILENO);
	(void)close(STDERR_FILENO);
}

static void serve(struct logger *logger)
{
	(void)ev_run(logger->loop, 0);
	keep_fini(&logger->keep);
	close_all_pipes(logger);
	routes_fini(&logger->routes);
	sink_close(&logger->sinks[0]);
	sink_close(&logger->sinks[1]);
	if (logger->offload.stuck > 0)
		close_ends(logger);
}

static void close_later(void *owner, int *fd)
{
	struct logger *logger = owner;

	offload_close(&logger->offload, fd, false);
}

/* --- The beginning --- */

/* It ends with its channel, not by what a terminal or a `pkill nclust` sends:
 * the last lines are still to be written then. */
static void ignore_signals(void)
{
	static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM,
		SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGXFSZ};
	sigset_t set;

	for (size_t i = 0; i < COUNT_OF(signals); i++)
		(void)signal(signals[i], SIG_IGN);
	for (int i = SIGRTMIN; i <= SIGRTMAX; i++)
		(void)signal(i, SIG_IGN);
	/* blocked, so that a terminal with TOSTOP lets us write */
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTTOU);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

static void open_sinks(struct logger *logger)
{
	sink_open(&logger->sinks[0], logger->loop, STDOUT_FILENO);
	sink_open(&logger->sinks[1], logger->loop, STDERR_FILENO);
	for (int i = 0; i < 2; i++)
		sink_count(&logger->sinks[i], &logger->drops);
	logger->by_stream[0] = &logger->sinks[0];
	logger->by_stream[1] = &logger->sinks[1];
	/* two queues before one pipe would tear each other's lines */
	if (descriptors_same(STDOUT_FILENO, STDERR_FILENO))
		logger->by_stream[1] = &logger->sinks[0];
	log_to(logger->by_stream[1]->fd, "nclust: ", log_level());
}

static void watch(struct logger *logger, int channel)
{
	ev_io_init(&logger->channel, on_channel, channel, EV_READ);
	ev_set_priority(&logger->channel, EV_MAXPRI);
	ev_io_start(logger->loop, &logger->channel);
	ev_io_init(&logger->answers, on_answerable, channel, EV_WRITE);
	for (int i = 0; i < SETS; i++)
		ev_io_start(logger->loop, &logger->readable[i]);
	ev_init(&logger->deadline, on_deadline);
	ev_prepare_init(&logger->turn, on_turn);
	ev_prepare_start(logger->loop, &logger->turn);
	/* with a periodic libev waits by a timerfd, else it wakes up every
	 * 59.7 s to look for jumps of the clock */
	ev_periodic_init(&logger->far, on_far, ev_now(logger->loop) + FAR_AWAY, 0.0, NULL);
	ev_periodic_start(logger->loop, &logger->far);
}

static void run(struct logger *logger, int channel, uid_t owner)
{
	struct logwire_packet hello = logwire_hello();

	watch(logger, channel);
	routes_init(&logger->routes, logger->loop, &logger->offload, &logger->channel);
	logger->routes.drops = &logger->drops;
	logger->routes.owner = logger;
	logger->routes.pause = on_pause;
	keep_init(&logger->keep, logger->loop, owner, logger);
	logger->keep.close = close_later;
	logger->keep.pipes = pipes_of;
	logger->keep.resume = resume;
	logger->keep.give_up = give_up;
	/* one that has ended already has told why */
	if (fdpass_send(channel, &hello, sizeof(hello), NULL, 0) == -1 && errno != EPIPE)
		log_syserr("logger: cannot greet the supervisor");
	serve(logger);
}

/* What it fails with it leaves to its end. */
static int open_loop(struct logger *logger)
{
	for (int i = 0; i < SETS; i++) {
		int set = epoll_create1(EPOLL_CLOEXEC);

		if (set == -1)
			return -1;
		ev_io_init(&logger->readable[i], on_readable, set, EV_READ);
		/* what is copied has its turn before the lanes of the sink */
		ev_set_priority(&logger->readable[i], 1);
	}
	/* poll(2): our sets are in no other one (os/eventset.h) */
	logger->loop = ev_loop_new(EVBACKEND_POLL | EVFLAG_NOENV);
	return logger->loop != NULL ? offload_init(&logger->offload, logger->loop) : -1;
}

int logger_main(int channel, uid_t user)
{
	uid_t owner = geteuid();
	struct logger *logger = calloc(1, sizeof(*logger));
	struct error err;

	ignore_signals();
	if (logger == NULL || open_loop(logger) == -1) {
		log_syserr("logger: cannot start");
		free(logger);
		return 1;
	}
	ev_set_userdata(logger->loop, logger);
	logger->offload.owner = logger;
	logger->offload.goes_on = on_goes_on;
	logger->has_others = privilege_has(CAP_SETUID);
	logger->over = -1;
	logger->due_end = &logger->due;
	(void)fcntl(channel, F_SETFD, FD_CLOEXEC);
	drops_init(&logger->drops, logger->loop, channel);
	open_sinks(logger);
	descriptors_allow_many();
	/* It must run all the same: workers block when nobody reads. */
	if (privilege_shed(user, &err) == -1)
		log_warn("logger: keeps its privileges: %s", err.text);
	run(logger, channel, owner);
	if (logger->offload.has_threads)
		return 0; /* they have it, too */
	offload_fini(&logger->offload);
	drops_fini(&logger->drops);
	free(logger->sources.list);
	ev_loop_destroy(logger->loop);
	for (int i = 0; i < SETS; i++)
		(void)close(logger->readable[i].fd);
	fd_close(&logger->over);
	free(logger);
	return 0;
}
