/* SPDX-License-Identifier: MIT */
#include "supervisor/sockets/carry_sockets.h"

#include "base/scope.h"
#include "os/socket/reuseport.h"
#include "supervisor/common/carried.h"

#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const struct plain_row socket_rows[] = {
	PLAIN(1, listener_socket, fd, FD),
	PLAIN(2, listener_socket, inode, UNSIGNED),
	PLAIN(3, listener_socket, lane, UNSIGNED),
	PLAIN_ENUM(4, listener_socket, place, REUSEPORT_MAX - 1),
	PLAIN(5, listener_socket, bound, BOOL),
};

static const struct plain_row segment_rows[] = {
	PLAIN_MUST(1, segment, fd, FD),
	PLAIN(2, segment, wanted, UNSIGNED),
	/* 3 was whether its pages were huge, and 5 their size */
	PLAIN(4, segment, facts.size, UNSIGNED),
	PLAIN(6, segment, facts.dev, UNSIGNED),
	PLAIN(7, segment, facts.ino, UNSIGNED),
};
/* clang-format on */

/* ---- listeners ---- */

static void *make_socket(struct carry_reader *r UNUSED, void *owner)
{
	struct listener *l = owner;
	struct listener_socket *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->slot = SLOT_ALL;
	s->next = l->sockets;
	l->sockets = s;
	return s;
}

const struct carried carried_socket = {
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
	PLAIN(26, listener, binder, SIGNED),
	PLAIN(29, listener, own_group, BOOL),
	PLAIN(30, listener, file.uid, UNSIGNED),
	PLAIN(31, listener, file.gid, UNSIGNED),
	PLAIN(33, listener, ours_alone, BOOL), /* 32 was a member of earlier releases */
	PLAIN(27, listener, address.backlog, SIGNED),
	PLAIN_ENUM(28, listener, address.kind, ADDRESS_INHERIT),
	PLAIN(34, listener, address.each, HEAP),
	PLAIN(35, listener, renewed, UNSIGNED),
	/* 36 was a member of earlier releases */
	PLAIN(38, listener, said[0], UNSIGNED), /* 25 and 37 were facts of it */
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
		handover_put_bytes(&c->w, CARRY_OPTIONS, l->asked, sizeof(*l->asked));
	for (const struct listener_socket *s = l->sockets; s != NULL; s = s->next)
		carry_put_one(c, CARRY_SOCKET, &carried_socket, s);
}

static int take_address(struct carry_reader *r, struct listener *l, const struct handover_field *f)
{
	scoped_str text = handover_text(f);
	int backlog = l->address.backlog;
	char *each = l->address.each;

	if (text == NULL || l->address.name != NULL ||
		address_parse(&l->address, text, r->err) == -1)
		return -1;
	l->address.backlog = backlog;
	l->address.each = each;
	return 1;
}

static int take_options(struct listener *l, const struct handover_field *f)
{
	/* another version has other options: go on as if none were set */
	if (f->type != HANDOVER_BYTES || f->len != sizeof(*l->asked) || l->asked != NULL)
		return 1;
	l->asked = malloc(sizeof(*l->asked));
	if (l->asked == NULL)
		return -1;
	memcpy(l->asked, f->data, f->len);
	return 1;
}

static int take_listener(struct carry_reader *r, void *to, const struct handover_field *f)
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

static void init_listener(struct carry_reader *r, struct listener *l)
{
	l->users = 1;
	l->sup = r->sup;
}

/* Each socket must have its own place, and one of the sockets must be the listener's `fd`. */
static int listener_done(struct carry_reader *r, void *to)
{
	struct listener *l = to;
	bool taken[REUSEPORT_MAX] = {false};
	unsigned count = 0;
	unsigned most = 0;
	bool has_own = l->sockets == NULL;
	bool twice = false;

	init_listener(r, l);
	for (const struct listener_socket *s = l->sockets; s != NULL; s = s->next) {
		twice |= taken[s->place];
		taken[s->place] = true;
		most = s->place > most ? s->place : most;
		has_own |= s->fd == l->fd;
		count++;
	}
	return has_own && !twice && (count == 0 || most == count - 1) && l->address.name != NULL
		? 0
		: -1;
}

const struct carried carried_listener = {
	.called = "a listener",
	CARRIED_ROWS(listener_rows, listener),
	.put = put_listener,
	.take = take_listener,
	.done = listener_done,
};

/* ---- descriptors that nclust was started with ---- */

/* An inherited descriptor has no address to parse, but a kind, a number and a name. */
static const struct carried without_name = {
	CARRIED_ROWS(listener_rows, listener),
};
static const struct plain_row inherited_rows[] = {
	CARRY_BESIDE(&without_name),
	PLAIN_MUST(CARRY_TEXT, listener, address.name, HEAP),
};

static int inherited_done(struct carry_reader *r, void *to)
{
	struct listener *l = to;

	init_listener(r, l);
	if (l->address.kind == ADDRESS_FD)
		l->address.fd = l->fd;
	return 0;
}

const struct carried carried_inherited = {
	.called = "a descriptor",
	CARRIED_ROWS(inherited_rows, listener),
	.done = inherited_done,
};

/* ---- shared memory ---- */

static int segment_done(struct carry_reader *r, void *to)
{
	struct segment *s = to;

	s->users = 1;
	s->sup = r->sup;
	return 0;
}

const struct carried carried_segment = {
	.called = "shared memory",
	CARRIED_ROWS(segment_rows, segment),
	.done = segment_done,
};

/* ---- references to listeners ---- */

static const struct plain_row set_rows[] = {
	CARRY_REFERENCES(CARRY_INDEX, listener_set, list, CARRY_OF_LISTENERS, count),
	PLAIN(1, listener_set, row, UNSIGNED),
	PLAIN(2, listener_set, own, UNSIGNED),
};

static int set_done(struct carry_reader *r UNUSED, void *to)
{
	const struct listener_set *set = to;

	return set->row > 0 &&
			(set->count < set->row || set->own == 0 || set->row > 64 ||
				(set->row < 64 && set->own >> set->row != 0))
		? -1
		: 0;
}

const struct carried carried_set = {
	.called = "a cluster",
	CARRIED_ROWS(set_rows, listener_set),
	.done = set_done,
};

static int learned_done(struct carry_reader *r, void *to)
{
	struct listener_set *set = to;
	void *room;

	if (set->count == 0)
		return 0;
	if (set->count > LEARNED_MAX)
		return -1;
	room = realloc(set->list, LEARNED_MAX * sizeof(*set->list));
	if (room == NULL)
		return carry_no_memory(r, "listeners");
	set->list = room;
	return 0;
}

const struct carried carried_learned = {
	.called = "a cluster",
	CARRIED_ROWS(set_rows, listener_set),
	.done = learned_done,
};
