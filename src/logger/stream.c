/* SPDX-License-Identifier: MIT */
#include "logger/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void on_writable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct stream *s = watcher->data;

	(void)revents;
	ev_io_stop(loop, watcher);
	s->is_full = false;
	sinks_flush(s);
}

/* Open a description of our own: O_NONBLOCK on the given one would be seen by all
 * processes that share it, the user's shell among them. */
static int open_again(int original)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", original);
	return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_APPEND | O_CLOEXEC);
}

void stream_open(struct stream *s, struct ev_loop *loop, int original)
{
	struct stat st = {0};
	bool blocks;

	/* a closed descriptor takes nothing: every write fails, and is counted */
	(void)fstat(original, &st);
	blocks = S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode);
	s->loop = loop;
	s->fd = blocks ? open_again(original) : -1;
	s->is_ours = s->fd != -1;
	if (!s->is_ours)
		s->fd = original;
	s->is_socket = S_ISSOCK(st.st_mode);
	s->is_pipe = S_ISFIFO(st.st_mode);
	s->is_terminal = isatty(s->fd) == 1;
	s->can_block = !s->is_ours && blocks;
	s->is_full = s->is_dead = false;
	ev_io_init(&s->writable, on_writable, s->fd, EV_WRITE);
	s->writable.data = s;
	if (s->turns != NULL)
		ev_io_start(loop, &s->writable);
}

void stream_close(struct stream *s)
{
	ev_io_stop(s->loop, &s->writable);
	if (s->is_ours)
		(void)close(s->fd);
}

/* A pipe takes up to PIPE_BUF whole or not at all: a message of the supervisor tears no line.  An
 * empty one takes STREAM_ENOUGH so, half of what a pipe usually holds, whatever other processes
 * write meanwhile, and its reader is woken up less often. */
static size_t whole_of(const struct stream *s)
{
	int waiting;

	if (!s->is_pipe)
		return STREAM_ENOUGH;
	return ioctl(s->fd, FIONREAD, &waiting) == 0 && waiting == 0 ? STREAM_ENOUGH : PIPE_BUF;
}

/* Whole lines up to what is taken whole; a longer line alone. */
static size_t next_batch(const struct stream *s, const char *start, size_t len)
{
	size_t most = len > PIPE_BUF ? whole_of(s) : len;
	const char *end;

	if (len <= most)
		return len;
	end = memrchr(start, '\n', most);
	if (end == NULL)
		end = memchr(start, '\n', len);
	return end != NULL ? (size_t)(end - start) + 1 : len;
}

static void wait_for_room(struct stream *s)
{
	s->is_full = true;
	ev_io_start(s->loop, &s->writable);
}

static bool is_writable(const struct stream *s)
{
	struct pollfd at = {.fd = s->fd, .events = POLLOUT};

	return poll(&at, 1, 0) != 0;
}

static ssize_t write_some(const struct stream *s, const char *data, size_t len)
{
	if (s->is_socket)
		return send(s->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (!s->can_block)
		return write(s->fd, data, len);
	/* a terminal that is writable takes a little, a pipe PIPE_BUF */
	if (is_writable(s))
		return write(s->fd, data, len < 256 ? len : 256);
	errno = EAGAIN;
	return -1;
}

ssize_t stream_write(struct stream *s, const char *data, size_t len, bool as_is)
{
	ssize_t n = write_some(s, data, as_is ? len : next_batch(s, data, len));

	if (n > 0)
		return n;
	if (n == 0) {
		errno = EIO;
		return -1;
	}
	if (errno == EAGAIN)
		wait_for_room(s);
	return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

size_t stream_room(struct stream *s)
{
	if (s->is_full || !is_writable(s)) {
		wait_for_room(s);
		return 0;
	}
	return s->is_pipe || s->is_socket ? whole_of(s) : STREAM_MOST;
}
