/* SPDX-License-Identifier: MIT */
#include "logger/sink.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/terminal.h"
#include "base/text.h"
#include "logger/cluster.h"
#include "os/descriptors.h"
#include "os/fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAITING_MOST ((size_t)1024 * 1024) /* what one read of short lines becomes */
#define IDLE_MOST ((size_t)256 * 1024)     /* memory that a sink keeps while nothing waits */
#define TRY_AGAIN 1.0
#define HANGS_THEN 0.5 /* seconds after which one write counts as hanging */
#define HURRY 10.0
#define TELL_AGAIN 60.0
#define ASK_AGAIN 1.0
#define ASK_DOUBLED 4       /* failures until the pause, which doubles, is 8 s */
#define ROTATE_LEAST 0.02   /* seconds from one rotation to the next */
#define ASK_UNANSWERED 10.0 /* the supervisor may have been killed */
#define ROTATE_AGAIN 60.0
#define NEXT_PATIENCE 0.5               /* a full file waits so long for the next one */
#define CREATE_PATIENCE 0.1             /* logrotate makes the new file soon after it renames */
#define ENDED_MOST ((size_t)512 * 1024) /* copied of dead workers before it is taken */
#define OPEN_AGAIN (O_WRONLY | O_NONBLOCK | O_NOCTTY | O_APPEND)

size_t sink_waiting(const struct sink *o)
{
	return o->out.len - o->head + o->in.len;
}

static ev_tstamp time_of(const struct sink *o)
{
	return ev_now(o->all->loop);
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int revents UNUSED)
{
	ev_io_stop(loop, watcher);
	sink_flush(watcher->data);
}

void sink_init(struct sink *o, struct clusters *all, enum sink_kind kind)
{
	o->all = all;
	o->kind = kind;
	o->file.fd = o->later.fd = -1;
	buffer_init(&o->in, WAITING_MOST);
	buffer_init(&o->out, WAITING_MOST);
	ev_io_init(&o->writable, on_writable, -1, EV_WRITE);
	o->writable.data = o;
}

struct sink *sink_new(struct clusters *all, struct cluster *of, struct route *route, uint32_t slot)
{
	struct sink *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	sink_init(o, all, route->to == LOGWIRE_TO_FILE ? SINK_FILE : SINK_DAEMON);
	o->of = of;
	o->route = route;
	o->slot = slot;
	o->next = of->sinks;
	of->sinks = o;
	return o;
}

/* ---- what is lost ---- */

static const char *reason_of(const struct sink *o)
{
	if (o->writes && time_of(o) >= o->writes_since + HANGS_THEN)
		return "its disk does not answer";
	if (o->sys != 0)
		return strerror(o->sys);
	return o->kind == SINK_STREAM ? "the reader was too slow" : "it was too slow";
}

static void begin_dropping(struct sink *o)
{
	o->dropping = true;
	o->spared = 0;
	o->full_since = 0.;
	o->why = reason_of(o);
	if (o->route == NULL || (o->drop_at != 0. && time_of(o) < o->drop_at + TELL_AGAIN))
		return;
	log_warn("%s: lines for '%s' are dropped until it takes them again: %s", o->of->name,
		o->route->name, o->why);
	o->drop_at = time_of(o);
}

static void count_lost(struct sink *o, struct cluster *of, unsigned long lines)
{
	o->dropped += lines;
	if (of != NULL) /* else the notice itself, which is said again */
		of->lost += lines;
}

/* "nclust: 3 lines of output were dropped, WHY" */
static size_t say_loss(char *to, size_t size, unsigned long lines, const char *why)
{
	int n = snprintf(to, size, "nclust: %lu line%s of output %s dropped, %s", lines,
		lines == 1 ? "" : "s", lines == 1 ? "was" : "were", why);

	return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

/* Write how many lines were lost in their place; a daemon gets a message of its own. */
static void tell_loss(struct sink *o)
{
	char text[200];
	size_t len = o->dropped > 0 ? say_loss(text, sizeof(text), o->dropped, o->why) : 0;

	if (len == 0)
		return;
	o->dropped = 0;
	if (o->kind == SINK_DAEMON) {
		cluster_tell(o, text, len);
		return;
	}
	sink_put(o, &(struct sink_text){.of = o->of, .text = text, .len = len, .newline = true});
}

/* All that waited is written: the sink takes lines again. */
static void end_dropping(struct sink *o)
{
	o->head = 0;
	buffer_clear(&o->out);
	if (o->in.cap + o->out.cap > IDLE_MOST) {
		buffer_fini(&o->in);
		buffer_fini(&o->out);
	}
	o->full_since = 0.;
	if (!o->dropping)
		return;
	o->dropping = false;
	o->hurry = time_of(o) + HURRY;
	tell_loss(o);
}

/* ---- what waits ---- */

bool sink_is_full(struct sink *o)
{
	ev_tstamp now = time_of(o);
	bool behind = !o->dropping && (o->kind == SINK_STREAM || o->route != NULL) &&
		sink_waiting(o) >= SINK_HIGH;

	if (behind && o->full_since == 0.) {
		o->full_since = now;
		o->taken = 0;
	}
	if (behind &&
		(now < o->hurry ||
			(now >= o->full_since + SINK_PATIENCE && o->taken < SINK_TAKES))) {
		begin_dropping(o);
		return false;
	}
	if (now >= o->full_since + SINK_PATIENCE)
		o->full_since = 0.;
	return behind;
}

static bool make_room(struct sink *o, size_t len)
{
	/* bytes of a worker that writes little are taken even so, but not while the sink fails */
	if (o->dropping && !(o->all->is_quiet && o->sys == 0 && o->spared + len <= SINK_HIGH))
		return false;
	if (buffer_reserve(&o->in, len) == 0) {
		o->spared += o->dropping ? len : 0;
		return true;
	}
	o->in.failed = false;
	if (!o->dropping)
		begin_dropping(o);
	return false;
}

static unsigned long lines_of(const struct sink *o, const struct sink_text *t)
{
	if (o->kind == SINK_STREAM && !t->newline) /* it is copied */
		return text_lines(t->text, t->len - 1) + 1;
	return o->kind == SINK_DAEMON || t->newline;
}

void sink_put(struct sink *o, const struct sink_text *t)
{
	uint32_t size = (uint32_t)t->len;

	o->all->put += t->before_len + t->len;
	/* text_escape_line() makes up to four bytes of one, and a NUL; a colour costs an end */
	if (!make_room(
		    o, t->before_len + (t->escapes ? 4 * t->len + 4 : t->len) + sizeof(size) + 2)) {
		count_lost(o, t->of, lines_of(o, t));
		o->author = UINT64_MAX; /* the next line does not go on with this one */
		return;
	}
	if (o->mid_line && o->author != t->author)
		buffer_append(&o->in, "\n", 1);
	if (o->kind == SINK_DAEMON)
		buffer_append(&o->in, &size, sizeof(size));
	buffer_append(&o->in, t->before, t->before_len);
	if (t->escapes)
		(void)terminal_put(&o->in, t->text, t->len);
	else
		buffer_append(&o->in, t->text, t->len);
	if (t->newline)
		buffer_append(&o->in, "\n", 1);
	o->author = t->author;
	o->mid_line = o->kind == SINK_FILE && o->in.data[o->in.len - 1] != '\n';
	if (o->kind != SINK_FILE && o->in.len >= SINK_ENOUGH)
		sink_flush(o);
}

/* ---- asking ---- */

static int send_ask(const struct sink *o, enum logwire_ask what, const char *text)
{
	struct logwire_packet p = {
		.kind = LOGWIRE_ASK,
		.which = (uint32_t)(o->route - o->of->list),
		.slot = o->slot,
		.what = what,
		.worker = o->file.inode,
		.sink = o->of->version,
	};

	text_copy(p.cluster, sizeof(p.cluster), o->of->name);
	text_copy(p.text, sizeof(p.text), text);
	return fdpass_send(o->all->channel->fd, &p, sizeof(p), NULL, 0);
}

void sink_ask(struct sink *o, enum logwire_ask what)
{
	if (o->route == NULL)
		return;
	if (send_ask(o, what, "") == -1) {
		o->ask_again = time_of(o) + ASK_AGAIN;
		return;
	}
	o->asked_at = time_of(o);
	o->ask_again = o->asked_at + ASK_UNANSWERED;
}

void sink_close(struct sink *o)
{
	ev_io_stop(o->all->loop, &o->writable);
	fd_close(&o->file.fd);
	fd_close(&o->later.fd);
}

/* Write to the next file from now on. */
static void use_next_file(struct sink *o)
{
	ev_io_stop(o->all->loop, &o->writable);
	fd_close(&o->file.fd);
	/* nothing writes to that file any more; if this packet is lost, it stays uncompressed */
	if (o->rotates && o->route != NULL)
		(void)send_ask(o, LOGWIRE_ASK_ROTATED, o->route->name);
	o->rotates = false;
	o->file = o->later;
	o->later.fd = -1;
	ev_io_set(&o->writable, o->file.fd, EV_WRITE);
	if (o->file.born == 0.)
		o->file.born = time_of(o);
	o->mid_written = false;
	o->try_again = 0.;
	o->sys = 0;
}

void sink_opened(struct sink *o, const struct logwire_packet *p, int *fd)
{
	bool rotates = p->what == LOGWIRE_ASK_ROTATE;
	struct sink_file *next = &o->later;

	o->asked_at = o->ask_again = 0.;
	if (*fd == -1) {
		/* the pause before the next try grows, because each failed try is logged */
		o->failures += o->failures < ASK_DOUBLED;
		o->ask_again = time_of(o) + ASK_AGAIN * (1U << (o->failures - 1));
		if (rotates)
			o->ask_again = time_of(o) + ROTATE_AGAIN;
		if (o->file.fd == -1 && o->sys == 0)
			o->sys = p->stream != 0 ? (int)p->stream : ENXIO;
		return;
	}
	o->failures = 0;
	if (rotates)
		o->ask_again = time_of(o) + ROTATE_LEAST;
	o->moved_at = 0.;
	fd_close(&next->fd);
	*next = (struct sink_file){.fd = fd_release(fd)};
	/* even fstat(2) of a file may hang: the supervisor's child has called it */
	(void)sscanf(p->text, "%" SCNu64 " %" SCNu64 " %lf %" SCNu64 " %" SCNu64, &next->inode,
		&next->size, &next->born, &next->dev, &next->place);
	o->rotates |= rotates;
	if (!o->writes && (o->file.fd == -1 || !o->mid_written))
		use_next_file(o);
	sink_flush(o);
}

/* ---- rotation ---- */

static bool is_due(const struct sink *o)
{
	const struct route *r = o->route;

	return r != NULL && o->file.inode != 0 && o->later.fd == -1 && o->file.size > 0 &&
		((r->size != 0 && o->file.size >= r->size) ||
			(r->age > 0. && time_of(o) >= o->file.born + r->age));
}

/* Is what is written no more what its path names (mv, rm, logrotate)?  Then that is opened. */
static bool is_moved(struct sink *o)
{
	bool moved = o->route != NULL && o->file.place != 0 && o->later.fd == -1 &&
		sink_waiting(o) > 0 && descriptors_place(o->file.fd) != o->file.place;

	if (moved && o->moved_at == 0. && o->asked_at == 0.) {
		o->moved_at = time_of(o);
		o->ask_again = o->moved_at + CREATE_PATIENCE;
	}
	return moved;
}

/* Has the next file been asked for?  Then no more is written before it comes. */
static bool awaits_next(const struct sink *o)
{
	ev_tstamp since = o->asked_at > o->moved_at ? o->asked_at : o->moved_at;

	return time_of(o) >= o->hurry && time_of(o) < since + NEXT_PATIENCE;
}

static bool shares_file(const struct sink *one)
{
	for (struct cluster *c = one->all->list; c != NULL; c = c->next)
		for (struct sink *o = c->sinks; o != NULL; o = o->next)
			if (o != one && o->route != NULL && o->file.inode != 0 &&
				o->file.dev == one->file.dev && o->file.inode == one->file.inode)
				return true;
	return false;
}

/* Ask for a new file, unless another sink writes to the same file: its lines would be lost. */
static void ask_rotation(struct sink *o)
{
	if (!shares_file(o)) {
		sink_ask(o, LOGWIRE_ASK_ROTATE);
		return;
	}
	log_warn("%s: no new file is begun for '%s', because another place of "
		 "'log' is the same file",
		o->of->name, o->route->name);
	o->ask_again = time_of(o) + ROTATE_AGAIN;
}

/* ---- writing ---- */

static bool has_more(struct sink *o)
{
	struct buffer written = o->out;

	if (o->head < o->out.len)
		return true;
	buffer_clear(&written);
	o->out = o->in;
	o->in = written;
	o->head = 0;
	return o->out.len > 0;
}

static void note_taken(struct sink *o, size_t len)
{
	o->sys = 0;
	o->head += len;
	o->taken += len;
	o->file.size += len;
	o->mid_written = o->out.data[o->head - 1] != '\n';
	if (sink_waiting(o) == 0)
		end_dropping(o);
	if (o->later.fd != -1 && !o->mid_written)
		use_next_file(o);
}

static void note_failure(struct sink *o, int error)
{
	o->sys = error;
	o->try_again = time_of(o) + TRY_AGAIN;
	if (o->kind == SINK_DAEMON)
		sink_close(o); /* the daemon is gone: ask for a new connection */
	if (o->kind != SINK_STREAM)
		return;
	/* the workers do not wait for a stream that fails: its reader may never come back */
	begin_dropping(o);
	if (error == EPIPE && !o->stream.is_dead)
		log_warn("nobody reads the workers' output: it is dropped");
	o->stream.is_dead |= error == EPIPE;
}

/* Note what a write has returned.  Returns whether more can be written now. */
static bool note_written(struct sink *o, ssize_t n, int error)
{
	if (n > 0)
		note_taken(o, (size_t)n);
	else if (n == -1 && (error == EAGAIN || error == ENOBUFS))
		ev_io_start(o->all->loop, &o->writable);
	else if (n == 0 || error != EINTR)
		note_failure(o, n == 0 ? ENOSPC : error);
	return n > 0;
}

/* ---- streams ---- */

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

static ssize_t write_stream(const struct sink *o)
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

/* ---- streams and daemons ---- */

static ssize_t send_next(struct sink *o)
{
	const char *at = o->out.data + o->head;
	uint32_t size;
	ssize_t n;

	memcpy(&size, at, sizeof(size));
	n = send(o->file.fd, at + sizeof(size), size, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n == -1 && errno != EMSGSIZE)
		return -1;
	count_lost(o, o->of, n == -1);
	return (ssize_t)(sizeof(size) + size);
}

static void write_here(struct sink *o)
{
	while (has_more(o)) {
		ssize_t n = o->kind == SINK_DAEMON ? send_next(o) : write_stream(o);

		if (!note_written(o, n, errno))
			return;
	}
}

/* ---- the writer of files ---- */

static bool may_write(struct sink *o)
{
	bool moved = is_moved(o);

	if ((moved || (o->file.fd == -1 && sink_waiting(o) > 0)) && time_of(o) >= o->ask_again)
		sink_ask(o, LOGWIRE_ASK_OPEN);
	else if (!moved && is_due(o) && time_of(o) >= o->ask_again)
		ask_rotation(o);
	return o->file.fd != -1 && !((moved || is_due(o)) && awaits_next(o));
}

/* How much to write at once: all, or up to the line with which this file is full or is left. */
static size_t next_write(const struct sink *o)
{
	const char *data = o->out.data + o->head;
	size_t len = o->out.len - o->head;
	uint64_t from = 0; /* the write ends with the line that has this byte */
	const char *end;

	if (o->later.fd == -1)
		from = o->route != NULL && o->file.inode != 0 && o->file.size < o->route->size
			? o->route->size - o->file.size - 1
			: len;
	if (from >= len)
		return len;
	end = memchr(data + from, '\n', len - (size_t)from);
	return end != NULL ? (size_t)(end - data) + 1 : len;
}

static ssize_t write_it(const struct offload_call *call)
{
	return write(call->fd, call->from, call->len);
}

static void on_written(struct ev_loop *loop UNUSED, const struct offload_call *call)
{
	struct sink *o = call->about;

	o->writes = false;
	(void)note_written(o, call->got, call->error);
	sink_flush(o);
}

static void write_file(struct sink *o)
{
	const struct offload_call call = {
		.make = write_it,
		.returned = on_written,
		.about = o,
		.fd = o->file.fd,
		.from = o->out.data + o->head,
		.len = next_write(o),
	};

	o->writes = offload_begin(o->all->offload, &call);
	o->writes_since = time_of(o);
}

/* ---- all of them ---- */

void sink_flush(struct sink *o)
{
	if (o->writes || ev_is_active(&o->writable) || (o->sys != 0 && time_of(o) < o->try_again))
		return;
	/* nothing waits: the sink dropped one line that was too long for its memory */
	if (o->dropping && sink_waiting(o) == 0)
		end_dropping(o);
	if (o->kind != SINK_STREAM && !may_write(o))
		return;
	if (o->kind != SINK_FILE)
		write_here(o);
	else if (has_more(o))
		write_file(o);
}

static unsigned long lines_in(const struct sink *o, const struct buffer *b, size_t at)
{
	unsigned long lines = 0;
	uint32_t size;

	if (at >= b->len)
		return 0;
	if (o->kind != SINK_DAEMON)
		return text_lines(b->data + at, b->len - at);
	for (; at < b->len; at += sizeof(size) + size) {
		memcpy(&size, b->data + at, sizeof(size));
		lines++;
	}
	return lines;
}

void sink_tell_end(struct sink *o)
{
	unsigned long lines = lines_in(o, &o->out, o->head) + lines_in(o, &o->in, 0) +
		(sink_waiting(o) > 0 && o->mid_line);
	char text[200];

	count_lost(o, o->of, lines);
	/* with those that are not told in their place yet */
	if (o->dropped > 0 && say_loss(text, sizeof(text), o->dropped, reason_of(o)) > 0)
		log_warn("%s: %s", o->of->name, text + strlen("nclust: "));
}

void sink_free(struct sink *o)
{
	sink_tell_end(o);
	sink_close(o);
	buffer_fini(&o->in);
	buffer_fini(&o->out);
	free(o);
}

bool sink_needs_look(const struct sink *o)
{
	return sink_waiting(o) > 0 || o->dropping ||
		(o->kind != SINK_STREAM && (o->route == NULL || (is_due(o) && o->failures == 0)));
}
