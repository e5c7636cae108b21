/* SPDX-License-Identifier: MIT */
#include "logger/sink.h"

#include "base/log.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENOUGH ((size_t)32 * 1024)      /* is written at once */
#define QUEUE_FULL (SINK_QUEUE_MAX / 4) /* the rest is for the lanes */
#define IDLE_MEMORY ((size_t)64 * 1024) /* kept by an empty queue */
#define TURN PIPE_BUF /* as much as who copies gets of a pipe that is full */
#define NOTICE_MAX 200

static void write_queue(struct sink *sink);

static void on_writable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct sink *sink = watcher->data;

	(void)revents;
	ev_io_stop(loop, watcher);
	sink->full = false;
	write_queue(sink); /* before the loop waits sink_turn() goes on */
}

/* A description of our own: O_NONBLOCK on the given one would be seen by all
 * who share it, the user's shell among them. */
static int reopen(int original)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", original);
	return open(
		path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_APPEND | O_CLOEXEC);
}

void sink_open(struct sink *sink, struct ev_loop *loop, int original)
{
	struct stat st = {0};
	int fd = -1;

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
	sink->can_block =
		!sink->is_ours && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode));
	/* A pipe takes up to PIPE_BUF whole or not at all: no line of ours is
	 * torn by a message of the supervisor's. */
	sink->batch = S_ISFIFO(st.st_mode) ? PIPE_BUF : ENOUGH;
	buffer_init(&sink->queue, SINK_QUEUE_MAX);
	lanes_init(&sink->lanes, SINK_QUEUE_MAX - QUEUE_FULL);
	ev_io_init(&sink->writable, on_writable, sink->fd, EV_WRITE);
	sink->writable.data = sink;
}

void sink_close(struct sink *sink)
{
	ev_io_stop(sink->loop, &sink->writable);
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

static size_t size_min(size_t a, size_t b)
{
	return a < b ? a : b;
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
	int n;

	n = snprintf(text, sizeof(text),
		"%snclust: %lu line%s of output %s dropped, %s\n",
		sink->torn ? "\n" : "", sink->dropped,
		sink->dropped == 1 ? "" : "s",
		sink->dropped == 1 ? "was" : "were",
		sink->sys == 0 ? "the reader was too slow"
			       : strerror(sink->sys));
	if (n < 0 || (size_t)n >= sizeof(text) || !make_room(sink, (size_t)n))
		return; /* later, with what is lost until then */
	sink->notice = sink->queue.len;
	(void)buffer_append(&sink->queue, text, (size_t)n);
	sink->notice_end = sink->queue.len;
	sink->telling = sink->dropped;
	sink->dropped = 0;
	sink->torn = false;
	sink->sys = 0;
}

/* The length of a colour at the start of `s` (ESC [ digits m), or 0. */
static size_t colour_length(const char *s, size_t len)
{
	size_t i = 2;

	if (len < 3 || s[0] != '\x1b' || s[1] != '[')
		return 0;
	while (i < len && strchr("0123456789;:", s[i]) != NULL && s[i] != '\0')
		i++;
	return i < len && s[i] == 'm' ? i + 1 : 0;
}

/*
 * A worker may colour its lines, but nothing else that a terminal obeys: all
 * other control bytes are shown.  What it left coloured ends with the line.
 */
static void put_for_terminal(struct buffer *queue, const char *text, size_t len)
{
	static const char plain[] = "\x1b[0m";
	bool coloured = false;

	while (len > 0) {
		size_t n = colour_length(text, len);
		size_t from = n > 0 ? n : 1;
		const char *next = memchr(text + from, '\x1b', len - from);

		if (n > 0) {
			(void)buffer_append(queue, text, n);
			coloured = true;
			text += n;
			len -= n;
			continue;
		}
		n = next != NULL ? (size_t)(next - text) : len;
		queue->len += text_escape(
			queue->data + queue->len, 4 * n + 1, text, n);
		text += n;
		len -= n;
	}
	if (coloured)
		(void)buffer_append(queue, plain, sizeof(plain) - 1);
}

void sink_put(struct sink *sink, const struct sink_mark *mark, const char *text,
	size_t len)
{
	/* text_escape() makes up to four bytes of one, and a NUL; a colour
	 * costs an end */
	size_t room =
		mark->before_len + (sink->is_terminal ? 4 * len + 4 : len) + 2;
	struct buffer *queue = &sink->queue;
	size_t start;

	if (sink->dropped > 0)
		tell(sink);
	if (!make_room(sink, room)) {
		sink->dropped++;
		queue->failed = false;
		return;
	}
	start = queue->len;
	if (sink->is_terminal && len > 0 && text[len - 1] == '\r')
		len--;
	(void)buffer_append(queue, mark->before, mark->before_len);
	if (sink->is_terminal)
		put_for_terminal(queue, text, len);
	else
		(void)buffer_append(queue, text, len);
	(void)buffer_append(queue, "\n", 1);
	if (!lanes_are_empty(&sink->lanes) ||
		queue->len - sink->head > QUEUE_FULL) {
		lanes_put(&sink->lanes, mark->cluster, mark->worker,
			queue->data + start, queue->len - start);
		queue->len = start;
	} else if (queue->len - sink->head >= ENOUGH) {
		write_queue(sink);
	}
}

/* Whole lines up to the batch's size; a longer one alone. */
static size_t next_batch(const struct sink *sink, const char *start, size_t len)
{
	const char *end;

	if (len <= sink->batch)
		return len;
	end = memrchr(start, '\n', sink->batch);
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

static unsigned long count_lines(const char *data, size_t len)
{
	unsigned long count = 0;

	for (size_t i = 0; i < len; i++)
		count += data[i] == '\n';
	return count;
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
			sink->dropped += count_lines(
				data + sink->head, sink->notice - sink->head);
		sink->head = sink->notice_end;
	}
	sink->dropped +=
		count_lines(data + sink->head, sink->queue.len - sink->head);
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
		ssize_t n = write_batch(sink, sink->queue.data + sink->head,
			sink->queue.len - sink->head);

		if (n == -1)
			lose_queue(sink, errno);
		else
			sink->head += (size_t)n;
	}
	if (queue_is_empty(sink))
		empty(sink);
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
	return queue_is_empty(sink) && !sink->full &&
		!lanes_are_empty(&sink->lanes);
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
		refill(sink, TURN);
		sink->copy_is_next = true;
	}
	if (!wants_more(sink))
		return;
	/* at once, but for what is copied */
	sink->copy_is_next = false;
	ev_io_start(sink->loop, &sink->writable);
}

bool sink_is_ready(struct sink *sink)
{
	if (sink->dropped > 0)
		tell(sink);
	write_queue(sink);
	return queue_is_empty(sink) && !sink->full;
}

size_t sink_write(struct sink *sink, const char *data, size_t len)
{
	size_t done = 0;

	while (done < len && !sink->full) {
		ssize_t n = write_batch(sink, data + done, len - done);

		if (n == -1) {
			note_loss(sink, errno);
			/* at least what was begun is one */
			sink->dropped +=
				count_lines(data + done, len - done - 1) + 1;
			return len;
		}
		done += (size_t)n;
	}
	sink->copy_is_next |= done == 0; /* the next room is the caller's */
	return done;
}

void sink_queue(struct sink *sink, const char *data, size_t len)
{
	size_t done = sink_write(sink, data, len);

	/* it is empty, so there is room */
	(void)buffer_append(&sink->queue, data + done, len - done);
}

ssize_t sink_copy(struct sink *sink, int pipe, size_t len)
{
	struct pollfd at = {.fd = sink->fd, .events = POLLOUT};
	/* unlike a write it waits for nobody, whatever the flags are */
	ssize_t n = tee(pipe, sink->fd, len, SPLICE_F_NONBLOCK);

	if (n != -1 || errno != EAGAIN)
		return n;
	if (poll(&at, 1, 0) == 0) {
		wait_for_room(sink);
		sink->copy_is_next = true; /* the next room is the caller's */
	}
	errno = EAGAIN;
	return -1;
}
