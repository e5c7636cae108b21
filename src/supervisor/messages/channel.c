/* SPDX-License-Identifier: MIT */
#include "supervisor/messages/channel.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "supervisor/common/async_close.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/messages/broker.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/socket.h>

/* The most bytes that are read from one channel in a turn of the loop. */
#define READ_SIZE (16U * 1024)
/* The least time between two reports that a worker loses messages. */
#define TELL_EACH (10 * SECOND)

static void on_io(struct ev_loop *loop, ev_io *watcher, int revents);

/* The kind of channel that workers of a recipe get. */
static enum channel_kind channel_kind_of(const struct recipe *r)
{
	enum ipc_mode ipc = r->settings->ipc;

	if (ipc == IPC_OFF)
		return CHANNEL_NONE;
	if (r->runtime != NODE_NONE)
		return CHANNEL_NODE;
	return ipc == IPC_ON ? CHANNEL_PLAIN : CHANNEL_NONE;
}

static struct supervisor *sup_of(const struct channel *c)
{
	return c->child->service->sup;
}

/* ---- watching ---- */

static allowance_rest rest_or_go_on;

/* Waits for what the worker sends, unless it has to rest, and until its socket takes more. */
static void watch_socket(struct channel *c, bool writes)
{
	struct ev_loop *loop = sup_of(c)->loop;
	int events =
		(allowance_rests(c->child, rest_or_go_on) ? 0 : EV_READ) | (writes ? EV_WRITE : 0);

	if (c->io.fd == -1 ||
		(ev_is_active(&c->io) && (c->io.events & (EV_READ | EV_WRITE)) == events))
		return;
	ev_io_stop(loop, &c->io);
	ev_io_set(&c->io, c->io.fd, events);
	if (events != 0)
		ev_io_start(loop, &c->io);
}

/* ---- its end ---- */

static void lose_queue(struct channel *c)
{
	size_t lines = queue_lines(&c->out);

	if (lines > 0)
		log_worker(c->child, LOG_INFO, "%zu message%s unread when it ended", lines,
			lines == 1 ? " was" : "s were");
	queue_clear(&c->out);
}

static void end_socket(struct channel *c)
{
	int fd = c->io.fd;

	allowance_stop(c->child, rest_or_go_on);
	ev_io_set(&c->io, -1, 0);
	async_close(sup_of(c), c->child, &fd);
}

static void end_channel(struct channel *c)
{
	if (c->io.fd == -1)
		return;
	ev_io_stop(sup_of(c)->loop, &c->io);
	(void)shutdown(c->io.fd, SHUT_RDWR); /* the keeper may hold the socket, too */
	end_socket(c);
	lose_queue(c);
	line_reader_fini(&c->in);
	log_worker(c->child, LOG_DEBUG, "its message channel is closed");
	moment_hung_up(c);
}

/* ---- reading ---- */

static void handle_lines(struct channel *c)
{
	const char *line;
	size_t n;

	while (c->io.fd != -1 && line_reader_next(&c->in, &line, &n)) {
		c->lines++;
		moment_line(c, line, n);
	}
	if (c->in.skipped != c->skipped) {
		c->skipped = c->in.skipped;
		log_worker(c->child, once_say(c->child->said, ONCE_OVERLONG) ? LOG_WARN : LOG_DEBUG,
			"skipped a message of more than 1 MiB");
	}
}

/* 1: something came; 0: nothing is there; -1: the channel is closed. */
static int read_some(struct channel *c)
{
	char data[READ_SIZE] uninitialized;
	struct fdpass_message m uninitialized;
	ssize_t got;

	child_flag(c->child, STATE_IN_LINE, true);
	got = async_close_read(
		sup_of(c), c->child, c->io.fd, data, sizeof(data), FDPASS_NOTHING, &m);
	if (got > 0) {
		/* descriptors that come along are of no use */
		fdpass_drop(&m);
		line_reader_begin(&c->in, data, (size_t)got);
		handle_lines(c);
	}
	child_flag(c->child, STATE_IN_LINE, !line_reader_at_start(&c->in));
	if (got > 0)
		return 1;
	return got == -1 && (errno == EAGAIN || errno == EBUSY) ? 0 : -1;
}

static void rest_or_go_on(struct child *child, bool over UNUSED)
{
	watch_socket(child->channel, queue_len(&child->channel->out) > 0);
}

/* Charges the worker for what it sends, but not for answers to what nclust has sent, which are as
 * many as its connections.  Returns what read_some() does. */
static int read_charged(struct channel *c)
{
	nsec_t begun = allowance_begin();
	int got;

	c->lines = c->answers = 0;
	got = read_some(c);
	if (c->lines == 0 || c->answers < c->lines)
		allowance_end(c->child, rest_or_go_on, begun, "sends messages");
	return got;
}

/* ---- writing ---- */

static void flush_channel(struct channel *c)
{
	int got;

	child_flag(c->child, STATE_OUT_LINE, true);
	got = queue_send(&c->out, c->io.fd);
	child_flag(c->child, STATE_OUT_LINE, c->out.in_line);
	/* for a lack of memory, or of descriptors in flight, the rest goes with the next message;
	 * else the next read reports the end */
	if (got == -1 && errno != ETOOMANYREFS && errno != ENOBUFS && errno != ENOMEM)
		lose_queue(c);
	watch_socket(c, got == 0);
	if (got == 1 && once_forget(c->child->said, ONCE_STUCK)) {
		news_say_worker(c->child, LOG_WARN, "messages-dropped",
			"reads its messages again; %" PRIu64 " were dropped",
			c->dropped - c->dropped_known);
		c->dropped_known = c->dropped;
	}
}

/* ---- queueing ---- */

static void count_refused(struct channel *c, bool must)
{
	int error = errno;

	if (must)
		return;
	c->dropped++;
	/* a worker that reads, but too slowly, is reported now and then */
	if (error == ENOBUFS && !once_said(c->child->said, ONCE_STUCK) &&
		once_each(&c->stuck_at, clock_now(), TELL_EACH)) {
		(void)once_say(c->child->said, ONCE_STUCK);
		news_say_worker(c->child, LOG_WARN, "messages-stuck",
			"does not read its messages: they are dropped");
	}
	errno = error;
}

int channel_send_parts(
	struct channel *c, const struct queue_part *pieces, size_t count, int fd, bool must)
{
	/* an empty queue has room for any line, with what relaying puts around it */
	size_t most = must || queue_len(&c->out) == 0 ? CHANNEL_QUEUE_MUST : CHANNEL_QUEUE_MAX;

	if (c->io.fd == -1) {
		errno = EPIPE;
		return -1;
	}
	if (queue_put(&c->out, pieces, count, fd, most) == -1) {
		count_refused(c, must);
		return -1;
	}
	c->sent += !must;
	watch_socket(c, true); /* with others of this turn it is sent in the next one */
	return 0;
}

int channel_send(struct channel *c, const char *line, size_t len, int fd, bool must)
{
	const struct queue_part whole = {line, len};

	return channel_send_parts(c, &whole, 1, fd, must);
}

/* ---- life ---- */

static void on_io(struct ev_loop *loop UNUSED, ev_io *watcher, int revents)
{
	struct channel *c = watcher->data;

	if (queue_len(&c->out) > 0)
		flush_channel(c);
	if (c->io.fd != -1 && (revents & (EV_READ | EV_ERROR)) != 0 && read_charged(c) == -1)
		end_channel(c);
}

static struct channel *channel_new(struct child *child, enum channel_kind kind)
{
	struct channel *c = malloc(sizeof(*c));

	if (c == NULL)
		return NULL;
	*c = (struct channel){.child = child, .kind = kind};
	line_reader_init(&c->in, CHANNEL_LINE_MAX);
	io_init(&c->io, on_io, -1, c);
	child->channel = c;
	return c;
}

int messages_on_prepare(struct child *child, struct birth *birth, struct error *err)
{
	enum channel_kind kind = channel_kind_of(birth->place.recipe);
	struct channel *c;
	int ours;

	if (kind == CHANNEL_NONE || child->service->accepting != NULL)
		return 0;
	c = channel_new(child, kind);
	if (c == NULL)
		return error_set(err, ENOMEM, "message channel");
	if (fdpass_pair(&ours, &birth->place.channel) == -1)
		return error_set(err, errno, "message channel");
	ev_io_set(&c->io, ours, EV_READ);
	birth->place.kind = kind;
	return 0;
}

void messages_on_born(struct child *child)
{
	struct channel *c = child->channel;

	if (c == NULL)
		return;
	child_flag(c->child, STATE_NODE, c->kind == CHANNEL_NODE);
	watch_socket(c, false);
}

/* Reads the worker's last messages, and closes the channel.  A socket holds less than the bound, but
 * a process that the worker has left may go on writing. */
void messages_on_dying(struct child *child)
{
	struct channel *c = child->channel;

	if (c == NULL)
		return;
	c->last = true;
	for (int i = 0; i < TURN_ITEMS && c->io.fd != -1; i++)
		if (read_some(c) != 1)
			break;
	end_channel(c);
}

void messages_on_gone(struct child *child)
{
	struct channel *c = child->channel;

	if (c == NULL)
		return;
	child->channel = NULL;
	ev_io_stop(sup_of(c)->loop, &c->io);
	end_socket(c);
	queue_clear(&c->out);
	line_reader_fini(&c->in);
	free(c);
}

/* ---- upgrade and adoption ---- */

void *channel_carried(struct carry_reader *r UNUSED, void *child)
{
	return channel_new(child, CHANNEL_PLAIN);
}

void messages_on_go_on(struct supervisor *sup)
{
	struct child *child;

	for_each_child (child, children_of_all(sup))
		if (child->channel != NULL)
			watch_socket(child->channel, queue_len(&child->channel->out) > 0);
	broker_on_go_on(sup);
}

void messages_on_adopt(struct child *child, struct worker_fds *fds)
{
	uint32_t flags = fds->entry->flags;
	struct channel *c;

	if (fds->channel == -1)
		return;
	c = channel_new(child, (flags & STATE_NODE) != 0 ? CHANNEL_NODE : CHANNEL_PLAIN);
	if (c == NULL)
		return;
	ev_io_set(&c->io, fd_release(&fds->channel), EV_READ);
	if ((flags & STATE_IN_LINE) != 0)
		c->in.skipping = true; /* the line's beginning is lost */
	if ((flags & STATE_OUT_LINE) != 0)
		(void)channel_send(c, "", 0, -1, true); /* end the cut line */
	else
		watch_socket(c, false);
}
