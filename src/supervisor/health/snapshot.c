/* SPDX-License-Identifier: MIT */
#include "supervisor/health/internal.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/look/look.h"
#include "os/process.h"
#include "supervisor/common/news.h"
#include "supervisor/health/health.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/sockets.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/service.h"

#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>

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

/* Has data arrived on this connection since the worker last sent some?  In doubt, and for unix
 * sockets, which do not tell: no. */
static bool snapshot_owes(const struct connection *c)
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
static uint64_t scramble_number(uint64_t one)
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
		print += scramble_number(one);
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

/* The connection with the oldest unanswered request, or NULL. */
static const struct connection *snapshot_oldest(
	const struct snapshot *snapshot, const struct child *child)
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

/* ---- not waiting ---- */

static bool is_listener(const void *context, uint64_t inode)
{
	return group_has_inode(context, inode);
}

/* Does no process of the worker wait for connections, though a process should? */
static bool is_away(
	const struct child *child, const struct listener *l, const struct snapshot *snapshot)
{
	/* connections come to a Node worker by its channel (node.h) */
	bool should = child->node != NULL;
	bool denied = false;

	if (snapshot->traced)
		return false;
	for (size_t i = 0; i < snapshot->tree_count; i++) {
		struct remote r;

		remote_of(&r, snapshot->tree[i]);
		switch (waits_for_client(&r, is_listener, l, &denied)) {
		case AWAITS_CONNECTION:
			return false;
		case AWAITS_NOTHING:
			should = true;
			break;
		case AWAITS_UNKNOWN:
			break;
		}
	}
	return should && !denied;
}

bool not_waiting_look(struct child *child, const struct listener *l, nsec_t patience, nsec_t now)
{
	struct health *h = child->health;
	struct snapshot snapshot = {.cpu = 0};
	uint64_t print;
	bool unmoved;

	snapshot_processes(&snapshot, child);
	if (!is_away(child, l, &snapshot)) {
		not_waiting_forget(child);
		return false;
	}
	/* reading connections costs more: only at the beginning and the end */
	if (h->not_waiting_found || (h->away_since != 0 && now - h->away_since < patience))
		return false;
	snapshot_connections(&snapshot, child);
	print = snapshot_print(&snapshot);
	unmoved = h->away_since != 0 && print == h->not_waiting_print && !snapshot.all.refused;
	snapshot_free(&snapshot);
	h->away_since = unmoved ? 0 : now;
	h->not_waiting_print = print;
	h->not_waiting_found = unmoved;
	return unmoved;
}

void not_waiting_forget(struct child *child)
{
	if (child->health == NULL)
		return;
	child->health->away_since = 0;
	child->health->not_waiting_found = false;
}

bool not_waiting_is_suspect(const struct child *child)
{
	return child->health != NULL && child->health->away_since != 0;
}

/* ---- hang ---- */

nsec_t hang_patience(const struct child *child)
{
	const struct cluster_settings *s = child_settings(child);

	return s != NULL ? s->request_timeout : 0;
}

static nsec_t age_of(const struct connection *c)
{
	return (nsec_t)c->received_ago * MSEC;
}

bool hang_exceeds(const struct child *child, const struct connection *c)
{
	nsec_t patience = hang_patience(child);

	return patience != 0 && snapshot_owes(c) && age_of(c) >= patience;
}

static void report_hang(
	struct child *child, const struct snapshot *snapshot, const struct connection *c)
{
	struct health *h = child->health;
	const struct news_number numbers[] = {
		{"age", nsec_seconds(age_of(c))},
		{"cpu", nsec_seconds(snapshot->cpu)},
	};
	struct remote r;
	char peer[64];
	char age[16];
	char threads[512];

	remote_of(&r, c->pid);
	snprintf(h->hang, sizeof(h->hang), "no answer to %s for %s",
		connections_peer(&r, c, peer, sizeof(peer)), text_age(age, age_of(c)));
	child->hang = h->hang;
	news_say_numbers(child, LOG_WARN, "hang", numbers, COUNT_OF(numbers),
		"worker %d hangs: %s; it has used %.1f s of CPU; %s", (int)child->pid, h->hang,
		nsec_seconds(snapshot->cpu), awaits_threads_text(c->pid, threads, sizeof(threads)));
	counters_note_hung(child->service);
	child_tell(child, EVENT_UNWELL, WHY_REQUEST);
}

void hang_look(struct child *child, nsec_t now)
{
	nsec_t patience = hang_patience(child);
	struct health *h = health_of(child);
	const struct connection *oldest;
	struct snapshot snapshot = {.cpu = 0};

	if (h == NULL || *h->hang != '\0' || now < h->hang_looked + patience / HANG_LOOKS)
		return;
	h->hang_looked = now;
	if (!health_is_ready(child))
		return;
	snapshot_processes(&snapshot, child);
	if (snapshot.traced)
		return;
	snapshot_connections(&snapshot, child);
	oldest = snapshot_oldest(&snapshot, child);
	/* two looks must see the request: the whole machine may have stood still */
	if (oldest == NULL || age_of(oldest) < patience / 2)
		h->hang_cookie = 0;
	else if (age_of(oldest) < patience || h->hang_cookie != oldest->cookie)
		h->hang_cookie = oldest->cookie;
	else
		report_hang(child, &snapshot, oldest);
	snapshot_free(&snapshot);
}
