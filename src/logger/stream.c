/* SPDX-License-Identifier: MIT */
#include "logger/cluster.h"
#include "logger/sink.h"
#include "os/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_AGAIN (O_WRONLY | O_NONBLOCK | O_NOCTTY | O_APPEND)
#define ENDED_MOST ((size_t)512 * 1024) /* copied of dead workers before it is taken */

void stream_open(struct sink *o, int original)
{
	struct stream *s = &o->stream;
	struct stat st = {0};
	bool blocks;

	/* a closed descriptor takes nothing: every write fails, and is counted */
	(void)fstat(original, &st);
	blocks = S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode);
	/* O_NONBLOCK on the given description would be seen by all processes that share it, the
	 * user's shell among them */
	o->file.fd = blocks ? descriptors_again(original, OPEN_AGAIN) : -1;
	s->can_block = blocks && o->file.fd == -1;
	if (o->file.fd == -1)
		o->file.fd = original;
	s->is_socket = S_ISSOCK(st.st_mode);
	s->is_pipe = S_ISFIFO(st.st_mode);
	s->is_terminal = isatty(o->file.fd) == 1;
	s->is_dead = false;
	ev_io_set(&o->writable, o->file.fd, EV_WRITE);
}

/* A pipe takes up to PIPE_BUF whole or not at all: a message of the supervisor tears no line.  An
 * empty one takes SINK_ENOUGH so, half of what a pipe usually holds, whatever other processes
 * write meanwhile, and its reader is woken up less often. */
static size_t whole_of(const struct sink *o)
{
	int waiting;

	if (!o->stream.is_pipe)
		return SINK_ENOUGH;
	return ioctl(o->file.fd, FIONREAD, &waiting) == 0 && waiting == 0 ? SINK_ENOUGH : PIPE_BUF;
}

/* Whole lines up to what is taken whole; a longer line alone. */
static size_t next_batch(const struct sink *o, const char *start, size_t len)
{
	size_t most = len > PIPE_BUF ? whole_of(o) : len;
	const char *end;

	if (len <= most)
		return len;
	end = memrchr(start, '\n', most);
	if (end == NULL)
		end = memchr(start, '\n', len);
	return end != NULL ? (size_t)(end - start) + 1 : len;
}

static bool is_writable(const struct sink *o)
{
	struct pollfd at = {.fd = o->file.fd, .events = POLLOUT};

	return poll(&at, 1, 0) != 0;
}

ssize_t stream_write(const struct sink *o)
{
	const char *data = o->out.data + o->head;
	size_t len = next_batch(o, data, o->out.len - o->head);

	if (o->stream.is_socket)
		return send(o->file.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (!o->stream.can_block)
		return write(o->file.fd, data, len);
	/* a terminal that is writable takes a little, a pipe PIPE_BUF */
	if (is_writable(o))
		return write(o->file.fd, data, len < 256 ? len : 256);
	errno = EAGAIN;
	return -1;
}

size_t stream_room(struct sink *o, bool has_ended)
{
	if (o->sys != 0 || (has_ended && sink_waiting(o) < ENDED_MOST))
		return OFFLOAD_DATA;
	if (sink_waiting(o) > 0)
		return 0;
	if (ev_is_active(&o->writable) || !is_writable(o)) {
		ev_io_start(o->all->loop, &o->writable);
		return 0;
	}
	return o->stream.is_pipe || o->stream.is_socket ? whole_of(o) : OFFLOAD_DATA;
}
