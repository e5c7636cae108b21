/* SPDX-License-Identifier: MIT */
#include "supervisor/upgrade/carry.h"

#include "base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- saving ---- */

static void collect_set(struct carry_writer *c, const struct listener_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		(void)carry_add(&c->listeners, set->list[i]);
}

static void put_listener(struct carry_writer *c, const struct listener *l)
{
	scoped_str address = address_format(&l->address);

	handover_open(&c->w, CARRY_LISTENER);
	carry_put(c, PLAIN_LISTENER, l);
	if (address == NULL)
		c->out.failed = true;
	handover_put_text(&c->w, CARRY_TEXT, address);
	if (l->asked != NULL)
		handover_put_bytes(
			&c->w, CARRY_OPTIONS, l->asked, sizeof(*l->asked));
	for (const struct listener_socket *s = l->sockets; s != NULL;
		s = s->next) {
		handover_open(&c->w, CARRY_SOCKET);
		carry_put(c, PLAIN_SOCKET, s);
		handover_close(&c->w);
	}
	handover_close(&c->w);
}

/* Their names are no addresses: a kind, a number and a name. */
static void put_inherited(struct carry_writer *c, const struct listener *l)
{
	handover_open(&c->w, CARRY_INHERITED);
	carry_put(c, PLAIN_LISTENER, l);
	handover_put_text(&c->w, CARRY_TEXT, l->address.name);
	handover_close(&c->w);
}

void carry_put_listeners(struct carry_writer *c)
{
	const struct supervisor *sup = c->sup;

	for (size_t i = 0; i < sup->service_count; i++) {
		const struct service *s = sup->services[i];

		collect_set(c, &s->listeners);
		for (const struct recipe *r = s->recipes; r != NULL;
			r = r->next)
			collect_set(c, &r->listeners);
		collect_set(c, &s->learned);
	}
	for (size_t i = 0; i < c->listeners.count; i++)
		put_listener(c, c->listeners.list[i]);
	for (size_t i = 0; i < sup->inherited_count; i++)
		put_inherited(c, sup->inherited[i]);
}

void carry_put_set(
	struct carry_writer *c, unsigned tag, const struct listener_set *set)
{
	handover_open(&c->w, tag);
	for (size_t i = 0; i < set->count; i++)
		handover_put_u64(&c->w, CARRY_INDEX,
			carry_add(&c->listeners, set->list[i]));
	handover_close(&c->w);
}

/* ---- loading ---- */

static int take_options(struct listener *l, const struct handover_field *f)
{
	/* of a version that knows others: as if nobody had asked yet */
	if (f->type != HANDOVER_BYTES || f->len != sizeof(*l->asked) ||
		l->asked != NULL)
		return 0;
	l->asked = malloc(sizeof(*l->asked));
	if (l->asked == NULL)
		return -1;
	(void)memcpy(l->asked, f->data, f->len);
	return 0;
}

static int take_address(
	struct listener *l, const struct handover_field *f, struct error *err)
{
	scoped_str text = handover_text(f);
	int backlog = l->address.backlog;

	if (text == NULL)
		return carry_bad(err, "a listener");
	if (address_parse(&l->address, text, err) == -1)
		return -1;
	l->address.backlog = backlog;
	return 0;
}

static int take_name(struct listener *l, const struct handover_field *f)
{
	free(l->address.name);
	l->address.name = handover_text(f);
	return l->address.name != NULL ? 0 : -1;
}

static int take_socket(
	struct listener *l, const struct handover_field *f, struct error *err)
{
	struct listener_socket *s = calloc(1, sizeof(*s));
	struct handover_reader in;
	struct handover_field m;

	if (s == NULL)
		return error_set(err, ENOMEM, "listeners");
	carry_clear(PLAIN_SOCKET, s);
	s->next = l->sockets;
	l->sockets = s;
	handover_enter(&in, f);
	while (handover_next(&in, &m))
		if (carry_take(PLAIN_SOCKET, s, &m, err) == -1)
			return -1;
	return 0;
}

/* Each has a place of its own, and one of them is the listener's. */
static bool is_group(const struct listener *l)
{
	unsigned places = 0;
	unsigned count = 0;
	bool has_own = l->sockets == NULL;

	for (const struct listener_socket *s = l->sockets; s != NULL;
		s = s->next) {
		places |= 1U << s->place;
		has_own |= s->fd == l->fd;
		count++;
	}
	return has_own && places == (1U << count) - 1;
}

static int fill_listener(struct listener *l, const struct handover_field *f,
	bool inherited, struct error *err)
{
	struct handover_field address = {0};
	struct handover_reader in;
	struct handover_field m;
	int got = 0;

	handover_enter(&in, f);
	while (got != -1 && handover_next(&in, &m)) {
		if (m.tag == CARRY_TEXT)
			address = m;
		else if (m.tag == CARRY_OPTIONS)
			got = take_options(l, &m);
		else if (m.tag == CARRY_SOCKET)
			got = take_socket(l, &m, err);
		else
			got = carry_take(PLAIN_LISTENER, l, &m, err);
	}
	if (got == -1)
		return -1;
	if (inherited)
		return take_name(l, &address) == -1
			? carry_bad(err, "a descriptor")
			: 0;
	if (!is_group(l))
		return carry_bad(err, "a listener");
	return take_address(l, &address, err);
}

static struct listener *listener_new(void)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	carry_clear(PLAIN_LISTENER, l);
	l->heal = -1;
	l->users = 1;
	return l;
}

/* It is put into the list also if it is not whole: it is forgotten with it. */
static int get(struct supervisor *sup, struct listener ***list, size_t *count,
	const struct handover_field *f, bool inherited, struct error *err)
{
	struct listener **more = realloc(*list, (*count + 1) * sizeof(*more));
	struct listener *l = more != NULL ? listener_new() : NULL;

	if (more != NULL)
		*list = more;
	if (l == NULL)
		return error_set(err, ENOMEM, "listeners");
	more[(*count)++] = l;
	l->sup = sup;
	return fill_listener(l, f, inherited, err);
}

int carry_get_listener(struct carry_reader *r, const struct handover_field *f,
	struct error *err)
{
	return get(r->sup, &r->listeners, &r->listener_count, f, false, err);
}

int carry_get_inherited(struct carry_reader *r, const struct handover_field *f,
	struct error *err)
{
	struct supervisor *sup = r->sup;
	int got =
		get(sup, &sup->inherited, &sup->inherited_count, f, true, err);

	if (got == 0 &&
		sup->inherited[sup->inherited_count - 1]->address.kind ==
			ADDRESS_FD)
		sup->inherited[sup->inherited_count - 1]->address.fd =
			sup->inherited[sup->inherited_count - 1]->fd;
	return got;
}

int carry_get_set(struct carry_reader *r, const struct handover_field *f,
	struct listener_set *set, size_t room, struct error *err)
{
	struct handover_reader in;
	struct handover_field m;
	size_t count = 0;

	if (set->list != NULL)
		return carry_bad(err, "a cluster");
	handover_enter(&in, f);
	while (handover_next(&in, &m))
		count += m.tag == CARRY_INDEX;
	if (count == 0)
		return 0;
	if (room != 0 && count > room)
		return carry_bad(err, "a cluster");
	set->list = calloc(room != 0 ? room : count, sizeof(*set->list));
	if (set->list == NULL)
		return error_set(err, ENOMEM, "listeners");
	handover_enter(&in, f);
	while (handover_next(&in, &m)) {
		if (m.tag != CARRY_INDEX)
			continue;
		if (m.type != HANDOVER_U64 || m.u >= r->listener_count)
			return carry_bad(err, "a cluster");
		set->list[set->count++] = r->listeners[m.u];
		r->listeners[m.u]->users++;
	}
	return 0;
}
