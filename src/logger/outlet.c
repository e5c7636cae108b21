/* SPDX-License-Identifier: MIT */
#include "logger/outlet.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "logger/drops.h"
#include "logger/route.h"
#include "os/fdpass.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define IDLE_MEMORY ((size_t)64 * 1024) /* kept by an empty buffer */
#define WAITING_MOST ((size_t)512 * 1024)
#define LATE_MOST ((size_t)1024 * 1024) /* an endless line is cut then */
#define ASK_AGAIN 1.0
#define ASK_DOUBLED 4     /* it gets twice as long so often: 8 s */
#define ROTATE_LEAST 0.02 /* seconds from one rotation to the next */
#define WRITE_AGAIN 1.0
#define ASK_UNANSWERED 10.0 /* the supervisor may have been killed */
#define ROTATE_AGAIN 60.0
#define NEXT_PATIENCE 0.5 /* a full file waits so long for the next one */
#define HANGS_THEN 0.5    /* seconds of one write */
#define HURRY 10.0
#define TELL_AGAIN 60.0

size_t outlet_waiting(const struct outlet *o)
{
	return o->out.len - o->head + o->in.len;
}

static ev_tstamp now_of(const struct outlet *o)
{
	return ev_now(o->routes->loop);
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	(void)revents;
	ev_io_stop(loop, watcher);
	outlet_flush(watcher->data);
}

struct outlet *outlet_new(struct routes *routes, struct routing *of, uint32_t index, uint32_t slot,
	enum logwire_to kind, const char *name)
{
	struct outlet *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	*o = (struct outlet){
		.routes = routes,
		.of = of,
		.name = name,
		.index = index,
		.slot = slot,
		.kind = kind,
		.fd = -1,
		.next_fd = -1,
	};
	buffer_init(&o->in, WAITING_MOST);
	buffer_init(&o->out, WAITING_MOST);
	ev_io_init(&o->writable, on_writable, -1, EV_WRITE);
	o->writable.data = o;
	return o;
}

static void close_fd(struct outlet *o, int *fd)
{
	offload_close(o->routes->offload, fd, false);
}

static void count_memory(struct outlet *o)
{
	size_t memory = o->in.cap + o->out.cap;

	o->routes->memory += memory - o->memory;
	o->of->memory += memory - o->memory;
	o->memory = memory;
}

/* ---- asking ---- */

void outlet_ask(struct outlet *o, enum logwire_ask what)
{
	struct logwire_packet p = {
		.kind = LOGWIRE_ASK,
		.which = o->index,
		.slot = o->slot,
		.what = what,
		.worker = o->inode,
		.sink = o->of->version,
	};

	if ((o->asked && now_of(o) < o->ask_again) || o->leaving)
		return;
	(void)text_copy(p.cluster, sizeof(p.cluster), o->of->cluster);
	if (fdpass_send(o->routes->channel->fd, &p, sizeof(p), NULL, 0) == -1) {
		o->ask_again = now_of(o) + ASK_AGAIN;
		routes_need(o->routes);
		return;
	}
	o->asked = true;
	o->ask_again = now_of(o) + ASK_UNANSWERED;
}

/* Nothing writes to its file any more. */
static void tell_rotated(const struct outlet *o)
{
	struct logwire_packet p = {
		.kind = LOGWIRE_ASK,
		.which = o->index,
		.slot = o->slot,
		.what = LOGWIRE_ASK_ROTATED,
	};

	(void)text_copy(p.cluster, sizeof(p.cluster), o->of->cluster);
	(void)text_copy(p.text, sizeof(p.text), o->name);
	/* if it is lost, that file stays uncompressed */
	(void)fdpass_send(o->routes->channel->fd, &p, sizeof(p), NULL, 0);
}

/* From now on it is the next one. */
static void change(struct outlet *o)
{
	ev_io_stop(o->routes->loop, &o->writable);
	close_fd(o, &o->fd);
	if (o->rotates && !o->leaving)
		tell_rotated(o);
	o->rotates = false;
	o->fd = fd_release(&o->next_fd);
	ev_io_set(&o->writable, o->fd, EV_WRITE);
	o->is_file = o->next_inode != 0;
	o->dev = o->next_dev;
	o->inode = o->next_inode;
	o->size = o->next_size;
	o->born = o->next_born != 0 ? (ev_tstamp)o->next_born : now_of(o);
	o->mid_written = false;
	o->write_again = 0.;
	if (!o->dropping)
		o->sys = 0;
	o->late = 0;
}

/* Even fstat(2) of a file may hang: the supervisor's child has made it. */
static void take_facts(struct outlet *o, const char *text)
{
	uint64_t *const facts[] = {&o->next_inode, &o->next_size, &o->next_born, &o->next_dev};

	for (size_t i = 0; i < COUNT_OF(facts); i++) {
		*facts[i] = 0;
		text += strspn(text, " ");
		text += text_number(facts[i], text, strlen(text), UINT64_MAX);
	}
}

/* Each try logs why it failed: it may not be often. */
static ev_tstamp again_in(struct outlet *o)
{
	o->failures += o->failures < ASK_DOUBLED;
	return ASK_AGAIN * (1U << (o->failures - 1));
}

void outlet_opened(struct outlet *o, const struct logwire_packet *p, int *fd)
{
	bool rotates = p->what == LOGWIRE_ASK_ROTATE;

	o->asked = false;
	o->ask_again = 0;
	if (*fd == -1) {
		o->ask_again = now_of(o) + again_in(o);
		if (rotates)
			o->ask_again = now_of(o) + ROTATE_AGAIN;
		if (o->fd == -1 && o->sys == 0)
			o->sys = p->stream != 0 ? (int)p->stream : ENXIO;
		routes_need(o->routes);
		return;
	}
	o->failures = 0;
	if (rotates)
		o->ask_again = now_of(o) + ROTATE_LEAST;
	close_fd(o, &o->next_fd);
	o->next_fd = fd_release(fd);
	take_facts(o, p->text);
	o->rotates |= rotates;
	if (!o->writes && (o->fd == -1 || !o->mid_written))
		change(o);
	outlet_flush(o);
}

static bool is_due(const struct outlet *o)
{
	return o->is_file && o->next_fd == -1 && o->size > 0 &&
		((o->size_max != 0 && o->size >= o->size_max) ||
			(o->age_max > 0. && now_of(o) >= o->born + o->age_max));
}

/* The next one has been asked for: no more is written before it comes. */
static bool awaits_next(const struct outlet *o)
{
	return is_due(o) && o->asked && !o->leaving && now_of(o) >= o->hurry &&
		now_of(o) < o->ask_again - ASK_UNANSWERED + NEXT_PATIENCE;
}

/* Or it is due again so soon that it has to wait. */
static bool is_put_off(const struct outlet *o)
{
	return awaits_next(o) || (is_due(o) && !o->asked && o->failures == 0);
}

/* ---- dropping ---- */

static const char *reason_of(const struct outlet *o)
{
	if (o->writes && now_of(o) >= o->written_at + HANGS_THEN)
		return "its disk does not answer";
	return o->sys != 0 ? strerror(o->sys) : "it was too slow";
}

static void begin_dropping(struct outlet *o)
{
	o->dropping = true;
	o->why = reason_of(o);
	if (o->told == 0. || now_of(o) >= o->told + TELL_AGAIN) {
		log_warn("%s: lines for '%s' are dropped until it takes them "
			 "again: %s",
			o->of->cluster, o->name, o->why);
		o->told = now_of(o);
	}
}

static void lose(struct outlet *o, unsigned long lines)
{
	o->dropped += lines;
	if (lines > 0)
		drops_add(o->routes->drops, o->of->cluster, lines);
}

/* Write into the file how much was lost there; a daemon gets a message of its own. */
static void tell_loss(struct outlet *o)
{
	char text[200];
	size_t len;

	if (o->dropped == 0 || !drops_say(text, sizeof(text) - 1, o->dropped, o->why))
		return;
	o->dropped = 0;
	len = strlen(text);
	if (o->kind == LOGWIRE_TO_FILE) {
		text[len++] = '\n';
		outlet_put(o, 0, text, len);
	} else {
		route_tell(o, text, len);
	}
}

/* It has taken all of what waited. */
static void recover(struct outlet *o)
{
	o->head = 0;
	buffer_clear(&o->out);
	if (o->out.cap + o->in.cap > IDLE_MEMORY || routes_are_tight(o->routes, o->of)) {
		buffer_fini(&o->in);
		buffer_fini(&o->out);
	}
	count_memory(o);
	o->full_since = 0.;
	if (!o->dropping)
		return;
	o->dropping = false;
	o->hurry = now_of(o) + HURRY;
	tell_loss(o);
	o->sys = 0;
}

static bool may_grow(const struct outlet *o, size_t len)
{
	size_t most = OUTLET_LEAST;

	while (most < o->in.len + len)
		most *= 2; /* as base/buffer.c does */
	return o->in.len + len <= o->in.cap || most == OUTLET_LEAST ||
		o->of->memory - o->in.cap + most <= routes_share_of(o->routes, o->of);
}

/* Is there more than is taken soon?  Who puts it waits then, as long as enough is
 * taken in each second. */
static bool is_behind(const struct outlet *o)
{
	return outlet_waiting(o) >= OUTLET_HIGH ||
		(outlet_waiting(o) > 0 && !may_grow(o, OUTLET_LEAST));
}

bool outlet_is_full(struct outlet *o)
{
	ev_tstamp now = now_of(o);
	bool behind = !o->dropping && !o->leaving && is_behind(o);

	if (behind && o->full_since == 0.) {
		o->full_since = now;
		o->taken = 0;
		routes_need(o->routes);
	}
	if (behind && now >= o->hurry && now < o->full_since + OUTLET_PATIENCE)
		return true;
	if (behind && (now < o->hurry || o->taken < OUTLET_TAKES))
		begin_dropping(o);
	if (o->dropping || now >= o->full_since + OUTLET_PATIENCE)
		o->full_since = 0.;
	return behind && !o->dropping;
}

/* ---- putting ---- */

static bool make_room(struct outlet *o, size_t len)
{
	if (o->dropping)
		return false;
	if (may_grow(o, len) && buffer_reserve(&o->in, len) == 0) {
		count_memory(o);
		return true;
	}
	o->in.failed = false;
	begin_dropping(o);
	return false;
}

void outlet_put(struct outlet *o, uint64_t author, const char *data, size_t len)
{
	bool torn = o->mid_line && o->author != author;

	if (len == 0)
		return;
	if (!make_room(o, len + torn)) {
		lose(o, text_lines(data, len - 1) + 1);
		return;
	}
	if (torn)
		(void)buffer_append(&o->in, "\n", 1);
	(void)buffer_append(&o->in, data, len);
	o->author = author;
	o->mid_line = data[len - 1] != '\n';
}

void outlet_send(struct outlet *o, const char *data, size_t len)
{
	uint32_t size = (uint32_t)len;

	if (!make_room(o, len + sizeof(size))) {
		lose(o, 1);
		return;
	}
	(void)buffer_append(&o->in, &size, sizeof(size));
	(void)buffer_append(&o->in, data, len);
	if (outlet_waiting(o) >= OUTLET_HIGH)
		outlet_flush(o);
}

/* ---- writing ---- */

static void wait_for_room(struct outlet *o)
{
	ev_io_start(o->routes->loop, &o->writable);
}

/* A daemon is gone: it is connected anew. */
static void lose_daemon(struct outlet *o)
{
	ev_io_stop(o->routes->loop, &o->writable);
	close_fd(o, &o->fd);
	o->ask_again = now_of(o) + ASK_AGAIN;
	o->asked = false;
	routes_need(o->routes);
}

/* Is there something in `out`? */
static bool has_more(struct outlet *o)
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

static void send_some(struct outlet *o)
{
	while (has_more(o)) {
		const char *at = o->out.data + o->head;
		uint32_t size;
		ssize_t n;

		(void)memcpy(&size, at, sizeof(size));
		n = send(o->fd, at + sizeof(size), size, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n == -1 && (errno == EAGAIN || errno == ENOBUFS)) {
			wait_for_room(o);
			return;
		}
		if (n == -1 && errno != EMSGSIZE && errno != EINTR) {
			o->sys = errno;
			lose_daemon(o);
			return;
		}
		if (n == -1 && errno == EINTR)
			continue;
		lose(o, n == -1);
		o->head += sizeof(size) + size;
		o->taken += size;
	}
	recover(o);
}

/* How much is to be written before the file changes, or is full, or of all. */
static size_t next_write(const struct outlet *o)
{
	const char *data = o->out.data + o->head;
	size_t len = o->out.len - o->head;
	size_t from = 0; /* the first newline after that */
	const char *end;

	if (o->next_fd == -1)
		from = o->is_file && o->size < o->size_max ? o->size_max - o->size - 1 : len;
	if (from >= len || o->late >= LATE_MOST)
		return len;
	end = memchr(data + from, '\n', len - from);
	return end != NULL ? (size_t)(end - data) + 1 : len;
}

static void fail(struct outlet *o, int error)
{
	o->sys = error;
	o->write_again = now_of(o) + WRITE_AGAIN;
	routes_need(o->routes);
}

static void note_written(struct outlet *o, size_t len)
{
	if (!o->dropping)
		o->sys = 0;
	o->head += len;
	o->taken += len;
	o->size += len;
	o->mid_written = o->out.data[o->head - 1] != '\n';
	if (o->next_fd != -1) {
		o->late += len;
		if (!o->mid_written || o->late > LATE_MOST)
			change(o);
	}
	if (outlet_waiting(o) == 0)
		recover(o);
}

/* Not if somebody else writes to the same file, whose lines would be lost. */
static void rotate(struct outlet *o)
{
	if (!routes_share(o)) {
		outlet_ask(o, LOGWIRE_ASK_ROTATE);
		return;
	}
	log_warn("%s: no new file is begun for '%s', because another place of "
		 "'log' is the same file",
		o->of->cluster, o->name);
	o->ask_again = now_of(o) + ROTATE_AGAIN;
}

static void begin_write(struct outlet *o)
{
	const struct offload_call call = {
		.kind = OFFLOAD_WRITE,
		.about = o,
		.fd = o->fd,
		.from = o->out.data + o->head,
		.len = next_write(o),
	};

	o->writes = routes_may_write(o) && offload_begin(o->routes->offload, &call);
	if (!o->writes) { /* until another one has returned */
		routes_need(o->routes);
		return;
	}
	o->written_at = now_of(o);
	o->of->writes++;
}

void outlet_flush(struct outlet *o)
{
	if (o->writes || ev_is_active(&o->writable) ||
		(o->fd != -1 && o->sys != 0 && now_of(o) < o->write_again))
		return;
	if (o->fd == -1 && outlet_waiting(o) > 0 && now_of(o) >= o->ask_again)
		outlet_ask(o, LOGWIRE_ASK_OPEN);
	if (is_due(o) && now_of(o) >= o->ask_again)
		rotate(o);
	if (o->fd != -1 && !awaits_next(o) && has_more(o)) {
		if (o->kind == LOGWIRE_TO_FILE)
			begin_write(o);
		else
			send_some(o);
	}
	if (is_put_off(o))
		routes_need(o->routes);
}

void outlet_goes_on(struct outlet *o, const struct offload_call *call)
{
	o->writes = false;
	o->of->writes--;
	o->of->dirty = true; /* others may wait for their turn */
	if (call->got > 0)
		note_written(o, (size_t)call->got);
	else if (call->got == 0 || (call->error != EAGAIN && call->error != EINTR))
		fail(o, call->got == 0 ? ENOSPC : call->error);
	else if (call->error == EAGAIN)
		wait_for_room(o);
	outlet_flush(o);
}

static unsigned long lines_in(const struct outlet *o, const struct buffer *b, size_t at)
{
	unsigned long lines = 0;
	uint32_t size;

	if (o->kind == LOGWIRE_TO_FILE)
		return text_lines(b->data + at, b->len - at);
	for (; at < b->len; at += sizeof(size) + size) {
		(void)memcpy(&size, b->data + at, sizeof(size));
		lines++;
	}
	return lines;
}

void outlet_free(struct outlet *o)
{
	unsigned long lines = lines_in(o, &o->out, o->head) + lines_in(o, &o->in, 0) +
		(outlet_waiting(o) > 0 && o->mid_line);
	char text[200];

	lose(o, lines);
	if (lines > 0 && drops_say(text, sizeof(text), lines, reason_of(o)))
		log_warn("%s: %s", o->of->cluster, text + strlen("nclust: "));
	ev_io_stop(o->routes->loop, &o->writable);
	close_fd(o, &o->fd);
	close_fd(o, &o->next_fd);
	buffer_fini(&o->in);
	buffer_fini(&o->out);
	count_memory(o);
	free(o);
}

bool outlet_look(struct outlet *o)
{
	outlet_flush(o);
	(void)outlet_is_full(o);
	return o->dropping || o->full_since != 0. || o->sys != 0 || is_put_off(o) ||
		(outlet_waiting(o) > 0 && !o->writes && !ev_is_active(&o->writable));
}
