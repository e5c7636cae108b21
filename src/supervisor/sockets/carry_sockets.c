/* SPDX-License-Identifier: MIT */
#include "supervisor/sockets/carry_sockets.h"

#include "base/scope.h"
#include "supervisor/sockets/group.h"

#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const struct plain_row socket_rows[] = {
	PLAIN(1, listener_socket, fd, FD),
	PLAIN(2, listener_socket, inode, UNSIGNED),
	PLAIN(3, listener_socket, lane, UNSIGNED),
	PLAIN_ENUM(4, listener_socket, place, LANES_MAX - 1),
};

static const struct plain_row segment_rows[] = {
	PLAIN_MUST(1, segment, fd, FD),
	PLAIN(2, segment, wanted, UNSIGNED),
	PLAIN_ENUM(3, segment, huge, HUGE_YES),
	PLAIN(4, segment, facts.size, UNSIGNED),
	PLAIN(5, segment, facts.page, UNSIGNED),
	PLAIN(6, segment, facts.dev, UNSIGNED),
	PLAIN(7, segment, facts.ino, UNSIGNED),
};
/* clang-format on */

/* ---- listeners ---- */

static void *make_socket(struct carry_reader *r, void *owner)
{
	struct listener *l = owner;
	struct listener_socket *s = calloc(1, sizeof(*s));

	(void)r;
	if (s == NULL)
		return NULL;
	s->next = l->sockets;
	l->sockets = s;
	return s;
}

const struct carried carried_socket = {
	.tag = CARRY_SOCKET,
	.called = "a listener",
	CARRIED_ROWS(socket_rows, listener_socket),
	.make = make_socket,
};

/* clang-format off */
static const struct plain_row listener_rows[] = {
	PLAIN(1, listener, fd, FD),
	PLAIN(2, listener, made, BOOL),
	PLAIN(3, listener, file.dev, UNSIGNED),
	PLAIN(4, listener, file.ino, UNSIGNED),
	PLAIN(5, listener, facts.family, SIGNED),
	PLAIN(6, listener, facts.type, SIGNED),
	PLAIN(7, listener, facts.listening, BOOL),
	PLAIN(8, listener, facts.port, UNSIGNED),
	PLAIN(9, listener, facts.text, TEXT),
	PLAIN(10, listener, healed_at, SIGNED),
	PLAIN(11, listener, has_key, BOOL),
	PLAIN(12, listener, key.family, SIGNED),
	PLAIN(13, listener, key.type, SIGNED),
	PLAIN(14, listener, key.protocol, SIGNED),
	PLAIN(15, listener, key.ip, WORDS),
	PLAIN(16, listener, key.scope, UNSIGNED),
	PLAIN(17, listener, key.device, UNSIGNED),
	PLAIN(18, listener, key.port, UNSIGNED),
	PLAIN(19, listener, key.v6only, BOOL),
	PLAIN(20, listener, inode, UNSIGNED),
	PLAIN(21, listener, learned, BOOL),
	PLAIN_ENUM(22, listener, bit, LEARNED_MAX - 1),
	PLAIN(23, listener, workers, UNSIGNED),
	PLAIN(24, listener, unused_since, SIGNED),
	PLAIN(25, listener, limit_told, BOOL),
	PLAIN(26, listener, binder, SIGNED),
	PLAIN(29, listener, own_group, BOOL),
	PLAIN(27, listener, address.backlog, SIGNED),
	PLAIN_ENUM(28, listener, address.kind, ADDRESS_INHERIT),
	CARRY_EACH(CARRY_SOCKET, &carried_socket),
};
/* clang-format on */

static void put_listener(struct carry_writer *c, const void *of)
{
	const struct listener *l = of;
	scoped_str address = address_format(&l->address);

	if (address == NULL)
		c->out.failed = true;
	handover_put_text(&c->w, CARRY_TEXT, address);
	if (l->asked != NULL)
		handover_put_bytes(
			&c->w, CARRY_OPTIONS, l->asked, sizeof(*l->asked));
	for (const struct listener_socket *s = l->sockets; s != NULL;
		s = s->next)
		carry_put_one(c, &carried_socket, s);
}

static int take_address(struct carry_reader *r, struct listener *l,
	const struct handover_field *f)
{
	scoped_str text = handover_text(f);
	int backlog = l->address.backlog;

	if (text == NULL || l->address.name != NULL ||
		address_parse(&l->address, text, r->err) == -1)
		return -1;
	l->address.backlog = backlog;
	return 1;
}

static int take_options(struct listener *l, const struct handover_field *f)
{
	/* of a version that knows others: as if nobody had asked yet */
	if (f->type != HANDOVER_BYTES || f->len != sizeof(*l->asked) ||
		l->asked != NULL)
		return 1;
	l->asked = malloc(sizeof(*l->asked));
	if (l->asked == NULL)
		return -1;
	(void)memcpy(l->asked, f->data, f->len);
	return 1;
}

static int take_listener(
	struct carry_reader *r, void *to, const struct handover_field *f)
{
	switch (f->tag) {
	case CARRY_TEXT:
		return take_address(r, to, f);
	case CARRY_OPTIONS:
		return take_options(to, f);
	default:
		return 0;
	}
}

/* Each socket has a place of its own, and one of them is the listener's. */
static int listener_done(struct carry_reader *r, void *to)
{
	const struct listener *l = to;
	unsigned places = 0;
	unsigned count = 0;
	bool has_own = l->sockets == NULL;

	(void)r;
	for (const struct listener_socket *s = l->sockets; s != NULL;
		s = s->next) {
		places |= 1U << s->place;
		has_own |= s->fd == l->fd;
		count++;
	}
	return has_own && places == (1U << count) - 1 && l->address.name != NULL
		? 0
		: -1;
}

static struct listener *listener_new(struct supervisor *sup)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->fd = -1;
	l->heal = -1;
	l->users = 1;
	l->sup = sup;
	return l;
}

/* In its list also if it turns out not to be whole: it is forgotten with it. */
static void *make_listener(struct carry_reader *r, void *owner)
{
	struct listener *l = listener_new(owner);

	if (l != NULL &&
		carry_add(&r->lists[CARRY_OF_LISTENERS], l) != SIZE_MAX)
		return l;
	free(l);
	return NULL;
}

const struct carried carried_listener = {
	.tag = CARRY_LISTENER,
	.called = "a listener",
	CARRIED_ROWS(listener_rows, listener),
	.put = put_listener,
	.take = take_listener,
	.done = listener_done,
	.make = make_listener,
};

/* ---- those that nclust was started with ---- */

/* Their names are no addresses: a kind, a number and a name. */
static void put_name(struct carry_writer *c, const void *of)
{
	handover_put_text(
		&c->w, CARRY_TEXT, ((const struct listener *)of)->address.name);
}

static int take_name(
	struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct listener *l = to;

	(void)r;
	if (f->tag != CARRY_TEXT || l->address.name != NULL)
		return 0;
	l->address.name = handover_text(f);
	return 1;
}

static int inherited_done(struct carry_reader *r, void *to)
{
	struct listener *l = to;

	(void)r;
	if (l->address.kind == ADDRESS_FD)
		l->address.fd = l->fd;
	return l->address.name != NULL ? 0 : -1;
}

static void *make_inherited(struct carry_reader *r, void *owner)
{
	struct supervisor *sup = owner;
	struct listener **more = realloc(sup->sockets.inherited.list,
		(sup->sockets.inherited.count + 1) * sizeof(*more));

	(void)r;
	if (more == NULL)
		return NULL;
	sup->sockets.inherited.list = more;
	more[sup->sockets.inherited.count] = listener_new(sup);
	return more[sup->sockets.inherited.count] != NULL
		? more[sup->sockets.inherited.count++]
		: NULL;
}

static const struct carried carried_inherited = {
	.tag = CARRY_INHERITED,
	.called = "a descriptor",
	CARRIED_ROWS(listener_rows, listener),
	.put = put_name,
	.take = take_name,
	.done = inherited_done,
	.make = make_inherited,
};

/* ---- shared memory ---- */

static void *make_segment(struct carry_reader *r, void *owner)
{
	struct segment *s = calloc(1, sizeof(*s));

	if (s == NULL ||
		carry_add(&r->lists[CARRY_OF_SEGMENTS], s) == SIZE_MAX) {
		free(s);
		return NULL;
	}
	s->users = 1;
	s->sup = owner;
	return s;
}

const struct carried carried_segment = {
	.tag = CARRY_SEGMENT,
	.called = "shared memory",
	CARRIED_ROWS(segment_rows, segment),
	.make = make_segment,
};

/* ---- all of them ---- */

static void put_sockets(struct carry_writer *c, const void *of)
{
	const struct supervisor *sup = of;
	const struct carry_list *listeners = &c->lists[CARRY_OF_LISTENERS];
	const struct carry_list *segments = &c->lists[CARRY_OF_SEGMENTS];

	for (size_t i = 0; i < listeners->count; i++)
		carry_put_one(c, &carried_listener, listeners->list[i]);
	for (size_t i = 0; i < sup->sockets.inherited.count; i++)
		carry_put_one(
			c, &carried_inherited, sup->sockets.inherited.list[i]);
	for (size_t i = 0; i < segments->count; i++)
		carry_put_one(c, &carried_segment, segments->list[i]);
}

static const struct plain_row all_rows[] = {
	CARRY_EACH(CARRY_LISTENER, &carried_listener),
	CARRY_EACH(CARRY_INHERITED, &carried_inherited),
	CARRY_EACH(CARRY_SEGMENT, &carried_segment),
};

const struct carried carried_sockets = {
	CARRIED_ROWS(all_rows, supervisor),
	.put = put_sockets,
};

/* ---- references to them ---- */

static void put_set(struct carry_writer *c, const void *of)
{
	const struct listener_set *set = of;

	for (size_t i = 0; i < set->count; i++)
		carry_put_index(
			c, CARRY_INDEX, CARRY_OF_LISTENERS, set->list[i]);
}

/* Room for `room` of them in all. */
static int take_index(struct carry_reader *r, struct listener_set *set,
	size_t room, const struct handover_field *f)
{
	struct listener *l = carry_at(r, CARRY_OF_LISTENERS, f);
	struct listener **more;

	if (f->tag != CARRY_INDEX)
		return 0;
	if (l == NULL || set->count == room)
		return -1;
	more = realloc(set->list, room * sizeof(struct listener *));
	if (more == NULL)
		return carry_no_memory(r, "listeners");
	set->list = more;
	more[set->count++] = l;
	l->users++;
	return 1;
}

static int take_named(
	struct carry_reader *r, void *to, const struct handover_field *f)
{
	return take_index(r, to, ((struct listener_set *)to)->count + 1, f);
}

static int take_learned(
	struct carry_reader *r, void *to, const struct handover_field *f)
{
	return take_index(r, to, LEARNED_MAX, f);
}

const struct carried carried_set = {
	.tag = CARRY_SET,
	.called = "a cluster",
	.put = put_set,
	.take = take_named,
};

const struct carried carried_learned = {
	.tag = CARRY_LEARNED,
	.called = "a cluster",
	.put = put_set,
	.take = take_learned,
};
