/* SPDX-License-Identifier: MIT */
#include "supervisor/health/internal.h"

#include "base/scope.h"
#include "os/process.h"
#include "supervisor/health/health.h"
#include "supervisor/sockets/sockets.h"

#include <netinet/tcp.h>

void snapshot_processes(struct snapshot *snapshot, const struct child *child)
{
	snapshot->tree_count = process_tree(child->pid, snapshot->tree, SNAPSHOT_PROCESSES);
	for (size_t i = 0; i < snapshot->tree_count; i++) {
		struct process_facts facts;

		if (process_look(snapshot->tree[i], &facts) == -1)
			continue;
		snapshot->cpu += facts.cpu;
		snapshot->traced |= facts.state == 't'; /* by a debugger */
	}
}

void snapshot_connections(struct snapshot *snapshot, const struct child *child)
{
	for (size_t i = 0; i < snapshot->tree_count; i++) {
		struct remote r;

		remote_of(&r, snapshot->tree[i]);
		if (i == 0) {
			(void)connections_add(&snapshot->all, &r, child->pidfd);
			continue;
		}
		scoped_fd pidfd = pidfd_of(snapshot->tree[i]);
		if (pidfd != -1) /* else the process is gone */
			(void)connections_add(&snapshot->all, &r, pidfd);
	}
}

/* Does the worker listen at this port, or nclust for a worker of Node's?  Data that arrives on a
 * connection that the worker has made itself are answers, not requests. */
static bool is_served(const struct snapshot *snapshot, const struct child *child, uint16_t port)
{
	struct listener_walk walk = listeners_of(child->service, LISTENERS_ALL);
	const struct listener *l;

	while (child->node != NULL && (l = listener_next(&walk)) != NULL)
		if (l->facts.type == SOCK_STREAM && l->facts.port == port)
			return true;
	for (size_t i = 0; i < snapshot->all.count; i++)
		if (snapshot->all.list[i].kind == CONNECTION_LISTENER &&
			snapshot->all.list[i].port == port)
			return true;
	return false;
}

bool snapshot_owes(const struct connection *c)
{
	/* CLOSE_WAIT: the client has closed, the worker has not */
	return c->kind == CONNECTION_TCP &&
		(c->state == TCP_ESTABLISHED || c->state == TCP_CLOSE_WAIT) && c->segments_in > 0 &&
		(c->bytes_out == 0 || c->received_ago < c->sent_ago);
}

static bool is_waiting(
	const struct snapshot *snapshot, const struct child *child, const struct connection *c)
{
	/* the kernel counts the other side's FIN as a byte */
	uint32_t unread = c->queue -
		(c->queue > 0 && c->kind == CONNECTION_TCP && c->state == TCP_CLOSE_WAIT);

	if (c->kind == CONNECTION_UNIX)
		return c->has_name && unread > 0;
	if (c->kind != CONNECTION_TCP || !is_served(snapshot, child, c->port))
		return false;
	return unread > 0 || snapshot_owes(c);
}

/* How many bytes of a connection the worker has read. */
static uint64_t bytes_read(const struct connection *c)
{
	/* the kernel counts the other side's FIN as a received byte */
	bool is_ended = c->kind == CONNECTION_TCP &&
		(c->state == TCP_CLOSE_WAIT || c->state == TCP_LAST_ACK || c->state == TCP_CLOSING);

	return c->bytes_in - c->queue - is_ended;
}

/* Scrambles a number; a print is the sum of such numbers, in any order. */
static uint64_t scramble(uint64_t one)
{
	one *= 0x9e3779b97f4a7c15;
	return one ^ one >> 29;
}

uint64_t snapshot_print(const struct snapshot *snapshot)
{
	uint64_t print = snapshot->all.count + 1;

	for (size_t i = 0; i < snapshot->all.count; i++) {
		const struct connection *c = &snapshot->all.list[i];
		uint64_t one = c->cookie ^ c->bytes_out << 20;

		if (c->kind == CONNECTION_LISTENER)
			continue;
		one ^= bytes_read(c) << 42;
		print += scramble(one);
	}
	return print;
}

bool snapshot_any_waits(const struct snapshot *snapshot, const struct child *child)
{
	for (size_t i = 0; i < snapshot->all.count; i++)
		if (is_waiting(snapshot, child, &snapshot->all.list[i]))
			return true;
	return false;
}

const struct connection *snapshot_oldest(const struct snapshot *snapshot, const struct child *child)
{
	const struct connection *oldest = NULL;

	for (size_t i = 0; i < snapshot->all.count; i++) {
		const struct connection *c = &snapshot->all.list[i];

		if (snapshot_owes(c) && is_served(snapshot, child, c->port) &&
			!health_gives_up(child, c) &&
			(oldest == NULL || c->received_ago > oldest->received_ago))
			oldest = c;
	}
	return oldest;
}

void snapshot_free(struct snapshot *snapshot)
{
	connections_free(&snapshot->all);
}
