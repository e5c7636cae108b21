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
#define HURRY 10.0
#define TELL_AGAIN 60.0

size_t outlet_waiting(const struct outlet *o)
{
	return o->out.len - o->head;
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
	buffer_init(&o->out, WAITING_MOST);
	ev_io_init(&o->writable, on_writable, -1, EV_WRITE);
	o->writable.data = o;
	return o;
}

static void close_fd(struct outlet *o, int *fd)
{
	relay_close(o->routes->relay, fd);
}

static void count_memory(struct outlet *o)
{
	o->routes->memory += o->out.cap - o->memory;
	o->of->memory += o->out.cap - o->memory;
	o->memory = o->out.cap;
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
	if (!o->hung && (o->fd == -1 || !o->mid_written))
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
	if (o->hung)
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
	if (o->out.cap > IDLE_MEMORY || routes_are_tight(o->routes, o->of))
		buffer_fini(&o->out);
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

	while (most < o->out.len + len)
		most *= 2; /* as base/buffer.c does */
	return o->out.len + len <= o->out.cap || most == OUTLET_LEAST ||
		o->of->memory - o->memory + most <= routes_share_of(o->routes, o->of);
}

bool outlet_is_full(struct outlet *o)
{
	ev_tstamp now = now_of(o);

	if (o->dropping || o->leaving ||
		(!o->hung && outlet_waiting(o) < OUTLET_HIGH &&
			(outlet_waiting(o) == 0 || may_grow(o, OUTLET_LEAST))))
		return false;
	if (o->full_since == 0.) {
		o->full_since = now;
		routes_need(o->routes);
	}
	if (now >= o->hurry && now < o->full_since + OUTLET_PATIENCE)
		return true;
	begin_dropping(o);
	return false;
}

/* ---- putting ---- */

static bool make_room(struct outlet *o, size_t len)
{
	if (o->hung || o->dropping)
		return false;
	if (o->head > 0 && o->out.len + len > o->out.cap) {
		buffer_consume(&o->out, o->head);
		o->head = 0;
	}
	if (may_grow(o, len) && buffer_reserve(&o->out, len) == 0) {
		count_memory(o);
		return true;
	}
	o->out.failed = false;
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
		(void)buffer_append(&o->out, "\n", 1);
	(void)buffer_append(&o->out, data, len);
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
	(void)buffer_append(&o->out, &size, sizeof(size));
	(void)buffer_append(&o->out, data, len);
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

static void send_some(struct outlet *o)
{
	while (outlet_waiting(o) > 0) {
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
	}
	recover(o);
}

/* How much is to be written before the file changes, or is full, or of all. */
static size_t next_write(const struct outlet *o)
{
	const char *data = o->out.data + o->head;
	size_t len = outlet_waiting(o);
	size_t from = 0; /* the first newline after that */
	const char *end;

	if (o->next_fd == -1)
		from = o->is_file && o->size < o->size_max ? o->size_max - o->size - 1 : len;
	if (from >= len || o->late >= LATE_MOST)
		return len;
	end = memchr(data + from, '\n', len - from);
	return end != NULL ? (size_t)(end - data) + 1 : len;
}

/* false: it takes no more now. */
static bool written(struct outlet *o, ssize_t n, int error)
{
	if (n == -1 && error == EINTR)
		return true;
	if (n == -1 && error == EAGAIN) {
		wait_for_room(o);
		return false;
	}
	if (n <= 0) {
		o->sys = n == -1 ? error : ENOSPC;
		o->write_again = now_of(o) + WRITE_AGAIN;
		routes_need(o->routes);
		return false;
	}
	if (!o->dropping)
		o->sys = 0;
	o->head += (size_t)n;
	o->size += (uint64_t)n;
	o->mid_written = o->out.data[o->head - 1] != '\n';
	if (o->next_fd != -1) {
		o->late += (size_t)n;
		if (!o->mid_written || o->late > LATE_MOST)
			change(o);
	}
	if (outlet_waiting(o) == 0)
		recover(o);
	return true;
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

void outlet_flush(struct outlet *o)
{
	if (o->hung || ev_is_active(&o->writable) ||
		(o->fd != -1 && o->sys != 0 && now_of(o) < o->write_again))
		return;
	if (o->fd == -1 && outlet_waiting(o) > 0 && now_of(o) >= o->ask_again)
		outlet_ask(o, LOGWIRE_ASK_OPEN);
	for (;;) {
		ssize_t n;

		if (is_due(o) && now_of(o) >= o->ask_again)
			rotate(o);
		if (o->fd == -1 || outlet_waiting(o) == 0 || awaits_next(o))
			break;
		if (o->kind == LOGWIRE_TO_FILE && !routes_may_write(o))
			return;

		if (o->kind != LOGWIRE_TO_FILE) {
			send_some(o);
			return;
		}
		o->hung = true; /* if it does not return */
		n = relay_write(o->routes->relay, o, o->fd, o->out.data + o->head, next_write(o));
		o->hung = false;
		if (!written(o, n, errno))
			return;
	}
	if (is_put_off(o))
		routes_need(o->routes);
}

void outlet_goes_on(struct outlet *o, const struct relay_call *call)
{
	o->hung = false;
	routes_hang(o, false);
	(void)written(o, call->got, call->error);
}

static unsigned long waiting_lines(const struct outlet *o)
{
	unsigned long lines = o->mid_line;
	uint32_t size;

	if (o->kind == LOGWIRE_TO_FILE)
		return lines + text_lines(o->out.data + o->head, outlet_waiting(o));
	for (size_t at = o->head; at < o->out.len; at += sizeof(size) + size) {
		(void)memcpy(&size, o->out.data + at, sizeof(size));
		lines++;
	}
	return lines;
}

void outlet_free(struct outlet *o)
{
	unsigned long lines = outlet_waiting(o) > 0 ? waiting_lines(o) : 0;
	char text[200];

	lose(o, lines);
	if (lines > 0 && drops_say(text, sizeof(text), lines, reason_of(o)))
		log_warn("%s: %s", o->of->cluster, text + strlen("nclust: "));
	ev_io_stop(o->routes->loop, &o->writable);
	close_fd(o, &o->fd);
	close_fd(o, &o->next_fd);
	buffer_fini(&o->out);
	count_memory(o);
	free(o);
}

bool outlet_look(struct outlet *o)
{
	outlet_flush(o);
	(void)outlet_is_full(o);
	return o->dropping || o->full_since != 0. || o->sys != 0 ||
		(o->fd == -1 && outlet_waiting(o) > 0) || is_put_off(o);
}
