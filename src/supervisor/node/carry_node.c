/* SPDX-License-Identifier: MIT */
#include "supervisor/node/node_inside.h"

/* How Node's servers and its half of a worker's channel go through an upgrade. */

/* clang-format off */
static const struct plain_row node_wait_rows[] = {
	PLAIN_MUST(1, node_wait, fd, FD),
};

static const struct plain_row node_use_rows[] = {
	PLAIN(1, node_use, listening, BOOL),
	PLAIN(2, node_use, refused_until, SIGNED),
};

static const struct plain_row node_flight_rows[] = {
	PLAIN_ENUM(1, node_flight, kind, NODE_FLIGHT_CONNECTION),
	PLAIN(2, node_flight, server, UNSIGNED),
	PLAIN(3, node_flight, seq, SIGNED),
	PLAIN(4, node_flight, ack, SIGNED),
	PLAIN(5, node_flight, fd, FD),
	PLAIN(6, node_flight, arrived, BOOL),
	PLAIN(7, node_flight, lost, UNSIGNED),
	PLAIN(8, node_flight, again, SIGNED),
};

/* clang-format on */

/* ---- a server ---- */

const struct carried carried_node_wait = {
	.called = "Node's servers",
	CARRIED_ROWS(node_wait_rows, node_wait),
};

/* clang-format off */
static const struct plain_row node_server_rows[] = {
	PLAIN_MUST(1, node_server, number, UNSIGNED),
	PLAIN_ENUM(2, node_server, family, NODEIPC_FD),
	PLAIN(3, node_server, v6, BOOL),
	PLAIN(4, node_server, rr, BOOL),
	PLAIN(5, node_server, port, UNSIGNED),
	PLAIN(6, node_server, fd, SIGNED), /* the worker's number */
	PLAIN(7, node_server, flags, UNSIGNED),
	PLAIN(8, node_server, index, UNSIGNED),
	CARRY_REFERENCE(CARRY_INDEX, node_server, listener, CARRY_OF_LISTENERS,
		true),
	PLAIN(CARRY_TEXT, node_server, address, HEAP),
	PLAIN(CARRY_DATA, node_server, data, HEAP),
	CARRY_LIST(CARRY_NODE_WAIT, node_server, waiting, &carried_node_wait,
		node_wait, next),
};
/* clang-format on */

/* Link the server with its listener; it is not counted as a user of that. */
static int server_done(struct carry_reader *r, void *to)
{
	struct node_server *s = to;

	(void)r;
	s->listener->users--;
	node_server_link(s, s->listener);
	if (s->rr)
		node_rr_watch(s);
	return 0;
}

static void *make_server(struct carry_reader *r, void *owner)
{
	(void)r;
	return node_server_new(owner);
}

const struct carried carried_node_server = {
	.called = "Node's servers",
	CARRIED_ROWS(node_server_rows, node_server),
	.done = server_done,
	.make = make_server,
};

/* ---- a cluster's servers ---- */

/* clang-format off */
static const struct plain_row node_cluster_rows[] = {
	PLAIN(1, node_cluster, last_number, UNSIGNED),
	PLAIN(2, node_cluster, last_seq, SIGNED),
	CARRY_LIST(CARRY_NODE_SERVER, node_cluster, servers,
		&carried_node_server, node_server, next),
};
/* clang-format on */

static void *make_cluster(struct carry_reader *r, void *owner)
{
	(void)r;
	return node_cluster_of(owner);
}

const struct carried carried_node_cluster = {
	.called = "Node's servers",
	CARRIED_ROWS(node_cluster_rows, node_cluster),
	.make = make_cluster,
};

/* ---- a worker ---- */

/* A use, with the cluster in which its server's number is looked up. */
struct use {
	struct node_use use;
	const struct node_cluster *cluster;
};

static void put_use(struct carry_writer *c, const void *of)
{
	handover_put_u64(&c->w, CARRY_INDEX, ((const struct node_use *)of)->server->number);
}

static int take_number(struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct use *u = to;

	(void)r;
	if (f->tag != CARRY_INDEX)
		return 0;
	u->use.server = node_server_numbered(u->cluster, f->u);
	return 1;
}

const struct carried carried_node_use = {
	.called = "a worker of Node",
	CARRIED_ROWS(node_use_rows, node_use),
	.put = put_use,
	.take = take_number,
};

static int flight_done(struct carry_reader *r, void *to)
{
	const struct node_flight *flight = to;

	(void)r;
	return (flight->kind == NODE_FLIGHT_CONNECTION) == (flight->fd != -1) ? 0 : -1;
}

const struct carried carried_node_flight = {
	.called = "a worker of Node",
	CARRIED_ROWS(node_flight_rows, node_flight),
	.done = flight_done,
};

static int get_use(struct carry_reader *r, struct node_worker *w, const struct handover_field *f)
{
	struct use u = {.cluster = w->child->service->node};

	if (carry_get_one(r, &carried_node_use, &u, f) == -1)
		return -1;
	if (u.use.server == NULL || node_use_of(w, u.use.server) != NULL ||
		node_use_add(w, u.use.server) == -1)
		return -1;
	w->uses[w->use_count - 1] = u.use;
	return 1;
}

static int get_flight(struct carry_reader *r, struct node_worker *w, const struct handover_field *f)
{
	struct node_flight flight;

	if (carry_get_one(r, &carried_node_flight, &flight, f) == -1)
		return -1;
	return node_flight_add(w, &flight) == 0 ? 1 : -1;
}

static int take_of_worker(struct carry_reader *r, void *to, const struct handover_field *f)
{
	if (f->tag == CARRY_NODE_USE)
		return get_use(r, to, f);
	return f->tag == CARRY_NODE_FLIGHT ? get_flight(r, to, f) : 0;
}

/* clang-format off */
static const struct plain_row node_worker_rows[] = {
	PLAIN(1, node_worker, online, BOOL),
	PLAIN(2, node_worker, bun, BOOL),
	PLAIN(3, node_worker, leaving, BOOL),
	PLAIN(4, node_worker, told_full, BOOL),
	PLAIN_ENUM(5, node_worker, stopping, NODE_LEAVES),
	PLAIN(6, node_worker, signal, SIGNED),
	PLAIN(7, node_worker, signal_at, SIGNED),
	PLAIN(8, node_worker, hold_until, SIGNED),
	PLAIN(9, node_worker, taken, UNSIGNED),
	/* 10 was the time until which it drained */
	PLAIN(CARRY_TEXT, node_worker, queries, HEAP),
	CARRY_ARRAY(CARRY_NODE_USE, node_worker, uses, &carried_node_use,
		use_count),
	CARRY_ARRAY(CARRY_NODE_FLIGHT, node_worker, flights,
		&carried_node_flight, flight_count),
};
/* clang-format on */

static void *make_worker(struct carry_reader *r, void *owner)
{
	(void)r;
	return node_worker_of(owner);
}

const struct carried carried_node_worker = {
	.called = "a worker of Node",
	CARRIED_ROWS(node_worker_rows, node_worker),
	.make = make_worker,
	.take = take_of_worker,
};
