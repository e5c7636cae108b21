/* SPDX-License-Identifier: MIT */
#include "supervisor/upgrade/carry.h"

#include "supervisor/node/node_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- saving ---- */

static void put_server(struct carry_writer *c, const struct node_server *s)
{
	handover_open(&c->w, CARRY_NODE_SERVER);
	carry_put(c, PLAIN_NODE_SERVER, s);
	handover_put_u64(
		&c->w, CARRY_INDEX, carry_add(&c->listeners, s->listener));
	handover_put_text(&c->w, CARRY_TEXT, s->address);
	handover_put_text(&c->w, CARRY_DATA, s->data);
	for (const struct node_wait *wait = s->waiting; wait != NULL;
		wait = wait->next) {
		handover_open(&c->w, CARRY_NODE_WAIT);
		carry_put(c, PLAIN_NODE_WAIT, wait);
		handover_close(&c->w);
	}
	handover_close(&c->w);
}

void carry_put_node(struct carry_writer *c, const struct node_cluster *n)
{
	handover_open(&c->w, CARRY_NODE);
	carry_put(c, PLAIN_NODE_CLUSTER, n);
	for (const struct node_server *s = n->servers; s != NULL; s = s->next)
		put_server(c, s);
	handover_close(&c->w);
}

void carry_put_node_worker(struct carry_writer *c, const struct node_worker *w)
{
	handover_open(&c->w, CARRY_NODE);
	carry_put(c, PLAIN_NODE_WORKER, w);
	for (size_t i = 0; i < w->use_count; i++) {
		handover_open(&c->w, CARRY_NODE_USE);
		carry_put(c, PLAIN_NODE_USE, &w->uses[i]);
		handover_put_u64(&c->w, CARRY_INDEX, w->uses[i].server->number);
		handover_close(&c->w);
	}
	for (size_t i = 0; i < w->flight_count; i++) {
		handover_open(&c->w, CARRY_NODE_FLIGHT);
		carry_put(c, PLAIN_NODE_FLIGHT, &w->flights[i]);
		handover_close(&c->w);
	}
	handover_close(&c->w);
}

/* ---- loading ---- */

static int take_wait(struct node_server *s, const struct handover_field *f,
	struct error *err)
{
	struct node_wait *wait = calloc(1, sizeof(*wait));
	struct node_wait **at = &s->waiting;
	struct handover_reader in;
	struct handover_field m;

	if (wait == NULL)
		return error_set(err, ENOMEM, "a connection");
	carry_clear(PLAIN_NODE_WAIT, wait);
	while (*at != NULL)
		at = &(*at)->next;
	*at = wait;
	handover_enter(&in, f);
	while (handover_next(&in, &m))
		if (carry_take(PLAIN_NODE_WAIT, wait, &m, err) == -1)
			return -1;
	return wait->fd != -1 ? 0 : carry_bad(err, "Node's servers");
}

static int take_server(struct carry_reader *r, struct node_server *s,
	const struct handover_field *m, struct error *err)
{
	switch (m->tag) {
	case CARRY_INDEX:
		if (m->u >= r->listener_count || s->listener != NULL)
			return carry_bad(err, "Node's servers");
		node_server_link(s, r->listeners[m->u]);
		return 0;
	case CARRY_TEXT:
		if (s->address == NULL)
			s->address = handover_text(m);
		return 0;
	case CARRY_DATA:
		if (s->data == NULL)
			s->data = handover_text(m);
		return 0;
	case CARRY_NODE_WAIT:
		return take_wait(s, m, err);
	default:
		return carry_take(PLAIN_NODE_SERVER, s, m, err);
	}
}

static int get_server(struct carry_reader *r, struct node_cluster *n,
	const struct handover_field *f, struct error *err)
{
	struct node_server *s = node_server_new(n);
	struct handover_reader in;
	struct handover_field m;

	if (s == NULL)
		return error_set(err, ENOMEM, "Node's servers");
	carry_clear(PLAIN_NODE_SERVER, s);
	handover_enter(&in, f);
	while (handover_next(&in, &m))
		if (take_server(r, s, &m, err) == -1)
			return -1;
	if (s->listener == NULL || s->number == 0)
		return carry_bad(err, "Node's servers");
	if (s->rr)
		node_rr_watch(s);
	return 0;
}

int carry_get_node(struct carry_reader *r, struct service *s,
	const struct handover_field *f, struct error *err)
{
	struct node_cluster *n = node_cluster_of(s);
	struct handover_reader in;
	struct handover_field m;

	if (n == NULL)
		return error_set(err, ENOMEM, "Node's servers");
	carry_clear(PLAIN_NODE_CLUSTER, n);
	handover_enter(&in, f);
	while (handover_next(&in, &m)) {
		int got = m.tag == CARRY_NODE_SERVER
			? get_server(r, n, &m, err)
			: carry_take(PLAIN_NODE_CLUSTER, n, &m, err);

		if (got == -1)
			return -1;
	}
	return 0;
}

static int get_use(struct service *s, struct node_worker *w,
	const struct handover_field *f, struct error *err)
{
	struct node_use use = {0};
	struct handover_reader in;
	struct handover_field m;

	carry_clear(PLAIN_NODE_USE, &use);
	handover_enter(&in, f);
	while (handover_next(&in, &m)) {
		if (m.tag == CARRY_INDEX)
			use.server = node_server_numbered(s->node, m.u);
		else if (carry_take(PLAIN_NODE_USE, &use, &m, err) == -1)
			return -1;
	}
	if (use.server == NULL || node_use_of(w, use.server) != NULL ||
		node_use_add(w, use.server) == -1)
		return carry_bad(err, "a worker of Node");
	w->uses[w->use_count - 1] = use;
	return 0;
}

static int get_flight(struct node_worker *w, const struct handover_field *f,
	struct error *err)
{
	struct node_flight flight;
	struct handover_reader in;
	struct handover_field m;

	carry_clear(PLAIN_NODE_FLIGHT, &flight);
	handover_enter(&in, f);
	while (handover_next(&in, &m))
		if (carry_take(PLAIN_NODE_FLIGHT, &flight, &m, err) == -1)
			return -1;
	if ((flight.kind == NODE_FLIGHT_CONNECTION) != (flight.fd != -1) ||
		node_flight_add(w, &flight) == -1)
		return carry_bad(err, "a worker of Node");
	return 0;
}

int carry_get_node_worker(struct service *s, struct child *child,
	const struct handover_field *f, struct error *err)
{
	struct node_worker *w = calloc(1, sizeof(*w));
	struct handover_reader in;
	struct handover_field m;

	if (w == NULL)
		return error_set(err, ENOMEM, "a worker of Node");
	carry_clear(PLAIN_NODE_WORKER, w);
	w->child = child;
	child->node = w;
	if (s->node == NULL)
		return carry_bad(err, "a worker of Node");
	handover_enter(&in, f);
	while (handover_next(&in, &m)) {
		int got;

		if (m.tag == CARRY_NODE_USE)
			got = get_use(s, w, &m, err);
		else if (m.tag == CARRY_NODE_FLIGHT)
			got = get_flight(w, &m, err);
		else
			got = carry_take(PLAIN_NODE_WORKER, w, &m, err);
		if (got == -1)
			return -1;
	}
	return 0;
}
