/* SPDX-License-Identifier: MIT */
#include "supervisor/node/carry_node.h"

#include "supervisor/common/carried.h"
#include "supervisor/node/internal.h"

/* How Node's servers, and what is known of workers on their channels, go through an upgrade. */

/* clang-format off */
static const struct plain_row node_wait_rows[] = {
	PLAIN_MUST(1, node_wait, fd, FD),
};

static const struct plain_row node_use_rows[] = {
	/* 1 and 2 were whether it listens, and what it had refused */
	PLAIN_MUST(CARRY_INDEX, node_use, server, UNSIGNED),
	PLAIN(3, node_use, query, SIGNED),
	PLAIN(4, node_use, sent, SIGNED),
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
	PLAIN_ENUM(2, node_server, place.family, NODEIPC_FD),
	PLAIN(3, node_server, place.v6, BOOL),
	PLAIN(4, node_server, rr, BOOL),
	PLAIN(5, node_server, place.port, UNSIGNED),
	PLAIN(6, node_server, place.fd, SIGNED), /* the worker's number */
	PLAIN(7, node_server, place.flags, UNSIGNED),
	PLAIN(8, node_server, place.index, UNSIGNED),
	CARRY_REFERENCE(CARRY_INDEX, node_server, listener, CARRY_OF_LISTENERS,
		true),
	PLAIN(CARRY_TEXT, node_server, place.address, TEXT),
	PLAIN(CARRY_DATA, node_server, data, HEAP),
	CARRY_LIST(CARRY_NODE_WAIT, node_server, waiting, &carried_node_wait,
		node_wait, next),
};
/* clang-format on */

/* Links the server with its listener, which does not count the server as a user. */
static int server_done(struct carry_reader *r UNUSED, void *to)
{
	struct node_server *s = to;

	s->listener->users--;
	s->listener->of_node = true;
	if (s->rr)
		node_rr_watch(s);
	return 0;
}

static void *make_server(struct carry_reader *r UNUSED, void *owner)
{
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

static void *make_cluster(struct carry_reader *r UNUSED, void *owner)
{
	return node_cluster_of(owner);
}

const struct carried carried_node_cluster = {
	.called = "Node's servers",
	CARRIED_ROWS(node_cluster_rows, node_cluster),
	.make = make_cluster,
};

/* ---- a worker ---- */

const struct carried carried_node_use = {
	.called = "a worker of Node",
	CARRIED_ROWS(node_use_rows, node_use),
};

/* clang-format off */
static const struct plain_row node_worker_rows[] = {
	PLAIN(1, node_worker, online, BOOL),
	PLAIN(2, node_worker, bun, BOOL),
	PLAIN(3, node_worker, leaving, BOOL),
	/* 4 is a fact of child.said now */
	/* 5 was how far its stop had come */
	/* 6 was its stop signal, while it was asked to disconnect first */
	PLAIN(7, node_worker, leave_at, SIGNED),
	PLAIN(8, node_worker, rests_until, SIGNED),
	PLAIN(9, node_worker, taken, UNSIGNED),
	/* 10 was the time until which it drained */
	PLAIN(11, node_worker, given, FD),
	PLAIN(12, node_worker, given_by, UNSIGNED),
	PLAIN(13, node_worker, given_seq, SIGNED),
	PLAIN(14, node_worker, given_arrived, BOOL),
	PLAIN(CARRY_TEXT, node_worker, queries, HEAP),
	CARRY_ARRAY(CARRY_NODE_USE, node_worker, uses, &carried_node_use,
		use_count),
};
/* clang-format on */

static void *make_worker(struct carry_reader *r UNUSED, void *owner)
{
	return node_worker_of(owner);
}

const struct carried carried_node_worker = {
	.called = "a worker of Node",
	CARRIED_ROWS(node_worker_rows, node_worker),
	.make = make_worker,
};
