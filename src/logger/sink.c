/* SPDX-License-Identifier: MIT */
#include "logger/sink.h"

#include "base/log.h"
#include "base/text.h"
#include "base/terminal.h"
#include "logger/drops.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENOUGH ((size_t)32 * 1024)      /* is written at once */
#define QUEUE_FULL (SINK_QUEUE_MAX / 4) /* the rest is for the lanes */
#define IDLE_MEMORY ((size_t)64 * 1024) /* kept by an empty queue */
#define TURN PIPE_BUF                   /* as much as who copies gets of a pipe that is full */
#define NOTICE_MAX 200
#define PATIENCE 1.0
#define HURRY 10.0

static void write_queue(struct sink *sink);

static size_t size_min(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct sink *sink = watcher->data;

	(void)revents;
	ev_io_stop(loop, watcher);
	sink->full = false;
	write_queue(sink); /* before the loop waits sink_turn() goes on */
}

static bool is_full(const struct sink *sink)
{
	return sink->queue.len - sink->head + sink->lanes.waiting >= QUEUE_FULL;
}

static void on_patience(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct sink *sink = timer->data;

	(void)revents;
	if (!is_full(sink)) { /* nobody waits for it */
		ev_timer_stop(loop, timer);
	} else if (sink->taken < SINK_TAKES) {
		ev_timer_stop(loop, timer);
		sink->drops_rest = true;
	}
	sink->taken = 0;
}

/* A description of our own: O_NONBLOCK on the given one would be seen by all
 * who share it, the user's shell among them. */
static int reopen(int original)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", original);
	return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_APPEND | O_CLOEXEC);
}

void sink_open(struct sink *sink, struct ev_loop *loop, int original)
{
	struct stat st = {0};
	int fd = -1;
	int holds;

	*sink = (struct sink){.loop = loop, .fd = original};
	/* a closed one takes nothing: every write fails, and that is counted */
	(void)fstat(original, &st);
	if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))
		fd = reopen(original);
	sink->is_ours = fd != -1;
	if (fd != -1)
		sink->fd = fd;
	sink->is_socket = S_ISSOCK(st.st_mode);
	sink->is_pipe = S_ISFIFO(st.st_mode);
	sink->is_terminal = isatty(sink->fd) == 1;
	sink->can_block = !sink->is_ours && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode));
	/* A pipe takes up to PIPE_BUF whole or not at all: no line of ours is
	 * torn by a message of the supervisor's. */
	sink->batch = S_ISFIFO(st.st_mode) ? PIPE_BUF : ENOUGH;
	holds = fcntl(sink->fd, F_GETPIPE_SZ); /* -1: it is no pipe */
	sink->holds = holds > 0 ? (size_t)holds : 0;
	sink->batch_if_empty =
		sink->holds / 2 > PIPE_BUF ? size_min(ENOUGH, sink->holds / 2) : sink->batch;
	buffer_init(&sink->queue, SINK_QUEUE_MAX);
	lanes_init(&sink->lanes, SINK_LANES_MAX);
	ev_io_init(&sink->writable, on_writable, sink->fd, EV_WRITE);
	sink->writable.data = sink;
	ev_timer_init(&sink->patience, on_patience, 0., PATIENCE);
	sink->patience.data = sink;
}

void sink_count(struct sink *sink, struct drops *drops)
{
	sink->drops = sink->lanes.drops = drops;
}

void sink_close(struct sink *sink)
{
	ev_io_stop(sink->loop, &sink->writable);
	ev_timer_stop(sink->loop, &sink->patience);
	if (sink->is_ours)
		(void)close(sink->fd);
	buffer_fini(&sink->queue);
	lanes_fini(&sink->lanes);
}

static bool queue_is_empty(const struct sink *sink)
{
	return sink->head == sink->queue.len;
}

bool sink_is_empty(const struct sink *sink)
{
	return queue_is_empty(sink) && lanes_are_empty(&sink->lanes);
}

/* Room for so many bytes more, or not. */
static bool make_room(struct sink *sink, size_t more)
{
	if (sink->queue.len + more > SINK_QUEUE_MAX && sink->head > 0) {
		buffer_consume(&sink->queue, sink->head);
		sink->notice -= size_min(sink->notice, sink->head);
		sink->notice_end -= size_min(sink->notice_end, sink->head);
		sink->head = 0;
	}
	return buffer_reserve(&sink->queue, more) == 0;
}

/* Say once how much was lost, in the place where it was. */
static void tell(struct sink *sink)
{
	char text[NOTICE_MAX];

	if (!drops_say(text, sizeof(text), sink->dropped,
		    sink->sys == 0 ? "the reader was too slow" : strerror(sink->sys)) ||
		!make_room(sink, strlen(text) + 2))
		return; /* later, with what is lost until then */
	sink->notice = sink->queue.len;
	if (sink->torn)
		(void)buffer_append(&sink->queue, "\n", 1);
	(void)buffer_string(&sink->queue, text);
	(void)buffer_append(&sink->queue, "\n", 1);
	sink->notice_end = sink->queue.len;
	sink->telling = sink->dropped;
	sink->dropped = 0;
	sink->torn = false;
	sink->sys = 0;
}

void sink_put(struct sink *sink, const struct sink_mark *mark, const char *text, size_t len)
{
	/* text_escape_line() makes up to four bytes of one, and a NUL; a colour
	 * costs an end */
	size_t room = mark->before_len + (sink->is_terminal ? 4 * len + 4 : len) + 2;
	struct buffer *queue = &sink->queue;
	size_t start;

	if (sink->dropped > 0)
		tell(sink);
	if (!make_room(sink, room)) {
		sink->dropped++;
		if (sink->drops != NULL)
			drops_add(sink->drops, mark->cluster, 1);
		queue->failed = false;
		return;
	}
	start = queue->len;
	(void)buffer_append(queue, mark->before, mark->before_len);
	if (sink->is_terminal)
		(void)terminal_put(queue, text, len);
	else
		(void)buffer_append(queue, text, len);
	(void)buffer_append(queue, "\n", 1);
	if (!lanes_are_empty(&sink->lanes) || queue->len - sink->head > QUEUE_FULL) {
		lanes_put(&sink->lanes, mark->cluster, mark->worker, queue->data + start,
			queue->len - start);
		queue->len = start;
	} else if (queue->len - sink->head >= ENOUGH) {
		write_queue(sink);
	}
}

/* An empty pipe takes half of what it holds, whatever others write meanwhile: its
 * reader is woken up less often then. */
static size_t batch_of(const struct sink *sink)
{
	int waiting;

	return sink->is_pipe && ioctl(sink->fd, FIONREAD, &waiting) == 0 && waiting == 0
		? sink->batch_if_empty
		: sink->batch;
}

/* Whole lines up to the batch's size; a longer one alone. */
static size_t next_batch(const struct sink *sink, const char *start, size_t len)
{
	const char *end;
	size_t most;

	if (len <= sink->batch)
		return len;
	most = batch_of(sink);
	if (len <= most)
		return len;
	end = memrchr(start, '\n', most);
	if (end == NULL)
		end = memchr(start, '\n', len);
	return end != NULL ? (size_t)(end - start) + 1 : len;
}

static ssize_t write_some(const struct sink *sink, const char *data, size_t len)
{
	struct pollfd at = {.fd = sink->fd, .events = POLLOUT};

	if (sink->is_socket)
		return send(sink->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (!sink->can_block)
		return write(sink->fd, data, len);
	/* a terminal that is writable takes a little, a pipe PIPE_BUF */
	if (poll(&at, 1, 0) == 0) {
		errno = EAGAIN;
		return -1;
	}
	return write(sink->fd, data, len < 256 ? len : 256);
}

static void empty(struct sink *sink)
{
	sink->head = 0;
	sink->notice = 0;
	sink->notice_end = 0;
	buffer_clear(&sink->queue);
	if (sink->queue.cap > IDLE_MEMORY)
		buffer_fini(&sink->queue);
}

/* It has taken all. */
static void calm(struct sink *sink)
{
	ev_timer_stop(sink->loop, &sink->patience);
	if (sink->drops_rest)
		sink->hurry = ev_now(sink->loop) + HURRY;
	sink->drops_rest = false;
}

bool sink_is_behind(struct sink *sink)
{
	if (sink->drops_rest || !is_full(sink))
		return false;
	if (!ev_is_active(&sink->patience)) {
		sink->drops_rest = ev_now(sink->loop) < sink->hurry;
		sink->taken = 0;
		ev_timer_again(sink->loop, &sink->patience);
	}
	return !sink->drops_rest;
}

static void note_loss(struct sink *sink, int why)
{
	sink->sys = why;
	sink->torn = sink->mid_line;
	sink->mid_line = false;
	if (why == EPIPE && !sink->is_dead)
		log_warn("nobody reads the workers' output: it is dropped");
	sink->is_dead |= why == EPIPE;
}

/* The sink does not take this, now or later: what waits is lost. */
static void lose_queue(struct sink *sink, int why)
{
	const char *data = sink->queue.data;

	if (sink->head < sink->notice_end) {
		sink->dropped += sink->telling;
		if (sink->head < sink->notice)
			sink->dropped += text_lines(data + sink->head, sink->notice - sink->head);
		sink->head = sink->notice_end;
	}
	sink->dropped += text_lines(data + sink->head, sink->queue.len - sink->head);
	if (sink->drops != NULL)
		drops_add_named(sink->drops, data + sink->head, sink->queue.len - sink->head);
	note_loss(sink, why);
	empty(sink);
}

static void wait_for_room(struct sink *sink)
{
	sink->full = true;
	ev_io_start(sink->loop, &sink->writable);
}

/* How much of it was written, perhaps nothing now; -1 and errno. */
static ssize_t write_batch(struct sink *sink, const char *data, size_t len)
{
	ssize_t n = write_some(sink, data, next_batch(sink, data, len));

	if (n > 0) {
		sink->taken += (size_t)n;
		sink->mid_line = data[n - 1] != '\n';
		return n;
	}
	if (n == 0)
		errno = EIO;
	else if (errno == EAGAIN)
		wait_for_room(sink);
	return n == 0 || (errno != EAGAIN && errno != EINTR) ? -1 : 0;
}

static void write_queue(struct sink *sink)
{
	while (!queue_is_empty(sink) && !sink->full) {
		ssize_t n = write_batch(
			sink, sink->queue.data + sink->head, sink->queue.len - sink->head);

		if (n == -1)
			lose_queue(sink, errno);
		else
			sink->head += (size_t)n;
	}
	if (!queue_is_empty(sink))
		return;
	empty(sink);
	if (lanes_are_empty(&sink->lanes))
		calm(sink);
}

/* The queue is empty and more is to follow: write some of it. */
static void refill(struct sink *sink, size_t len)
{
	lanes_take(&sink->lanes, &sink->queue, len);
	if (sink->lanes.over) {
		sink->dropped += sink->lanes.dropped;
		sink->lanes.dropped = 0;
		sink->lanes.over = false;
		tell(sink);
	}
	write_queue(sink);
}

static bool wants_more(const struct sink *sink)
{
	return queue_is_empty(sink) && !sink->full && !lanes_are_empty(&sink->lanes);
}

void sink_flush(struct sink *sink)
{
	write_queue(sink);
	while (wants_more(sink))
		refill(sink, ENOUGH);
}

void sink_turn(struct sink *sink)
{
	write_queue(sink);
	if (wants_more(sink) && !sink->copy_is_next) {
		refill(sink, sink->is_copied_to ? TURN : ENOUGH);
		sink->copy_is_next = true;
	}
	if (!wants_more(sink))
		return;
	/* at once, but for what is copied */
	sink->copy_is_next = false;
	ev_io_start(sink->loop, &sink->writable);
}

static bool is_writable(struct sink *sink)
{
	struct pollfd at = {.fd = sink->fd, .events = POLLOUT};

	if (poll(&at, 1, 0) != 0)
		return true;
	wait_for_room(sink);
	return false;
}

/* A pipe takes so many pages, and each write that is none leaves one that is not full. */
static size_t room_of(struct sink *sink)
{
	int waiting;
	size_t used;

	if (!sink->is_pipe || ioctl(sink->fd, FIONREAD, &waiting) == -1)
		return sink->batch;
	if (waiting == 0)
		sink->pieces = 1;
	used = (size_t)waiting + sink->pieces * PIPE_BUF;
	return sink->holds > used + PIPE_BUF ? (sink->holds - used) / PIPE_BUF * PIPE_BUF
					     : PIPE_BUF;
}

size_t sink_room(struct sink *sink)
{
	if (sink->dropped > 0)
		tell(sink);
	write_queue(sink);
	if (queue_is_empty(sink) && !sink->full && is_writable(sink))
		return room_of(sink);
	sink->copy_is_next = true; /* the next room is the caller's */
	return 0;
}

void sink_copy(struct sink *sink, const char *data, size_t len)
{
	sink->is_copied_to = true;
	sink->pieces += len % PIPE_BUF != 0;
	(void)buffer_append(&sink->queue, data, len); /* it is empty, so there is room */
	write_queue(sink);
}
