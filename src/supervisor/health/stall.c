/* SPDX-License-Identifier: MIT */
#include "supervisor/health/stall.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/process.h"
#include "protocol/json.h"
#include "supervisor/common/news.h"
#include "supervisor/health/health.h"
#include "supervisor/health/internal.h"
#include "supervisor/node/node.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/workers/service.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * `stall`: a ready worker has stalled if it has requests that it has not read or not answered, or
 * clients in a socket of its own, and has made no progress for that time: no byte moved on any
 * connection, and it used no more CPU time than housekeeping takes.
 *
 * `request-timeout`: a worker hangs if a request waits that long for its answer: the last data on a
 * TCP connection came from the client.  The worker is reported with what its threads do, and
 * replaced through its slot's gate; the drain does not wait for that request.  In doubt a
 * connection counts as answered here, but as busy in a drain.
 *
 * `check`: see internal.h.  All this is seen from outside, of all processes of a worker.
 */
#define LOOKS 4 /* in each of the times */
#define WAIT_LEAST (250 * MSEC)
/* A timer that ticks in a program is no progress: allow 1/HOUSEKEEPING of the time, and one unit of
 * /proc's clock. */
#define HOUSEKEEPING 100
#define CPU_UNIT (10 * MSEC)

/* ---- snapshot ---- */

/* What a worker and all processes below it do.  The caller zeroes the struct and looks at the
 * processes, then, if needed, at the connections, which costs some us for each. */

struct snapshot {
	struct connections all;
	nsec_t cpu; /* used so far */
	pid_t tree[PROCESS_TREE_MOST];
	size_t tree_count;
	bool traced; /* by a debugger */
	bool runs;   /* a process computes, or waits for a CPU */
};

static void look_at_processes(struct snapshot *snapshot, const struct child *child)
{
	snapshot->tree_count = process_tree(child->pid, snapshot->tree, PROCESS_TREE_MOST);
	for (size_t i = 0; i < snapshot->tree_count; i++) {
		struct process_facts facts;

		if (process_look(snapshot->tree[i], &facts) == -1)
			continue;
		snapshot->cpu += facts.cpu;
		snapshot->traced |= facts.state == 't'; /* by a debugger */
		snapshot->runs |= facts.state == 'R';
	}
}

static void look_at_connections(struct snapshot *snapshot, const struct child *child)
{
	for (size_t i = 0; i < snapshot->tree_count; i++) {
		scoped_fd pidfd = i > 0 ? pidfd_of(snapshot->tree[i]) : -1;
		struct remote r;

		remote_of(&r, snapshot->tree[i]);
		if (i == 0 || pidfd != -1) /* else the process is gone */
			(void)connections_add(&snapshot->all, &r, i == 0 ? child->pidfd : pidfd);
	}
	connections_sort(&snapshot->all);
}

/* ---- what waits ---- */

/* Does the worker listen at this port, or nclust for a worker of Node's?  Data that arrives on a
 * connection that the worker has made itself are answers, not requests. */
static bool is_served(const struct snapshot *snapshot, const struct child *child, uint16_t port)
{
	if (child->node != NULL &&
		walk_find(l, listener_next, listeners_of(child->service, LISTENERS_ALL),
			l->facts.type == SOCK_STREAM && l->facts.port == port) != NULL)
		return true;
	return array_find(c, snapshot->all.list, snapshot->all.count,
		       c->kind == CONNECTION_LISTENER && c->port == port) != NULL;
}

/* Has data arrived on this connection since the worker last sent some?  In doubt, and for unix
 * sockets, which do not tell: no. */
static bool is_owed(const struct connection *c)
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
	return unread > 0 || is_owed(c);
}

/* Do clients wait in a socket that only this worker takes from? */
static bool has_queue(const struct child *child)
{
	const struct listener *l;

	for_each_listener (l, listeners_of(child->service, LISTENERS_IN_FORCE)) {
		const struct listener_socket *own = group_own(l, child->traffic.lane);

		if (l->slots > 1 && own != NULL && group_has_queue(l, own))
			return true;
	}
	return false;
}

/* Has the worker a request that it has not read, or not answered? */
static bool has_waiting(const struct snapshot *snapshot, const struct child *child)
{
	return array_find(c, snapshot->all.list, snapshot->all.count,
		       is_waiting(snapshot, child, c)) != NULL ||
		has_queue(child);
}

/* ---- what moves ---- */

struct mark {
	uint64_t cookie; /* of a connection */
	uint64_t moved;  /* bytes that the worker has read and sent */
};

static uint64_t bytes_moved(const struct connection *c)
{
	/* the kernel counts the other side's FIN as a received byte */
	bool is_ended = c->kind == CONNECTION_TCP &&
		(c->state == TCP_CLOSE_WAIT || c->state == TCP_LAST_ACK || c->state == TCP_CLOSING);

	return c->bytes_out + c->bytes_in - c->queue - is_ended;
}

/* Was the connection accepted at this listener (NULL: any)?  Paths are not compared. */
static bool is_of(const struct connection *c, const struct listener *at)
{
	if (at == NULL)
		return c->kind != CONNECTION_LISTENER;
	return at->facts.family == AF_UNIX ? c->kind == CONNECTION_UNIX && c->has_name
					   : c->kind == CONNECTION_TCP && c->port == at->facts.port;
}

static void begin_unmoved(struct unmoved *u, nsec_t since, nsec_t cpu)
{
	free(u->marks);
	*u = (struct unmoved){.since = since, .looked = u->looked, .cpu = cpu};
}

/* Is a connection new, or has a byte moved on one?  Some may have ended. */
static bool has_moved(const struct unmoved *before, const struct mark *marks, size_t count)
{
	size_t k = 0;

	for (size_t i = 0; i < count; i++) {
		while (k < before->count && before->marks[k].cookie < marks[i].cookie)
			k++;
		if (k == before->count || before->marks[k].cookie != marks[i].cookie ||
			before->marks[k].moved != marks[i].moved)
			return true;
	}
	return false;
}

/* Has nothing moved on the worker's connections, those at `at` if it is not NULL, since u->since?
 * Else that is now. */
static bool is_unmoved(
	struct unmoved *u, const struct snapshot *snapshot, const struct listener *at, nsec_t now)
{
	struct mark *marks = calloc(snapshot->all.count + 1, sizeof(*marks));
	size_t count = 0;

	for (size_t i = 0; marks != NULL && i < snapshot->all.count; i++) {
		const struct connection *c = &snapshot->all.list[i];

		if (is_of(c, at))
			marks[count++] = (struct mark){c->cookie, bytes_moved(c)};
	}
	if (marks != NULL && u->since != 0 && !has_moved(u, marks, count)) {
		free(marks);
		return true;
	}
	begin_unmoved(u, marks != NULL ? now : 0, snapshot->cpu);
	u->marks = marks;
	u->count = count;
	return false;
}

void stall_free(struct health *h)
{
	free(h->stall.marks);
	free(h->missed.marks);
}

/* ---- request-timeout ---- */

static nsec_t age_of(const struct connection *c)
{
	return (nsec_t)c->received_ago * MSEC;
}

bool stall_exceeds(const struct child *child, const struct connection *c)
{
	nsec_t patience = health_settings(child)->request_timeout;

	return patience != 0 && is_owed(c) && age_of(c) >= patience;
}

/* The connection with the oldest unanswered request, or NULL. */
static const struct connection *find_oldest(
	const struct snapshot *snapshot, const struct child *child)
{
	const struct connection *oldest = NULL;

	for (size_t i = 0; i < snapshot->all.count; i++) {
		const struct connection *c = &snapshot->all.list[i];

		if (is_owed(c) && is_served(snapshot, child, c->port) &&
			!health_gives_up(child, c) &&
			(oldest == NULL || c->received_ago > oldest->received_ago))
			oldest = c;
	}
	return oldest;
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
	child->service->counters.hangs++;
	child_tell(child, EVENT_UNWELL, WHY_REQUEST);
}

/* True: the worker hangs, and may have ended. */
static bool judge_requests(
	struct child *child, struct health *h, const struct snapshot *snapshot, nsec_t patience)
{
	const struct connection *oldest = find_oldest(snapshot, child);

	/* two looks must see the request: the whole machine may have stood still */
	if (oldest == NULL || age_of(oldest) < patience / 2) {
		h->hang_cookie = 0;
		return false;
	}
	if (age_of(oldest) < patience || h->hang_cookie != oldest->cookie) {
		h->hang_cookie = oldest->cookie;
		return false;
	}
	report_hang(child, snapshot, oldest);
	return true;
}

/* ---- stall ---- */

static void judge_progress(
	struct child *child, struct unmoved *u, const struct snapshot *snapshot, nsec_t now)
{
	nsec_t time = now - u->since;
	char age[16];

	if (snapshot->all.refused && once_say(child->service->said, ONCE_STALL_UNSEEN))
		news_say_of(child->service, LOG_WARN, "stall-refused",
			"nclust may not look at its workers' connections, so 'stall' "
			"cannot be seen");
	if (!has_waiting(snapshot, child)) {
		begin_unmoved(u, now, snapshot->cpu);
	} else if (is_unmoved(u, snapshot, NULL, now) && time >= health_settings(child)->stall) {
		begin_unmoved(u, 0, 0); /* the worker may have to stay */
		news_say_worker(child, LOG_WARN, "stalled",
			"worker %d has requests waiting and has made no progress for "
			"%s",
			(int)child->pid, text_age(age, time));
		child_tell(child, EVENT_UNWELL, WHY_STALL);
	}
}

static bool is_watched(const struct child *child)
{
	const struct cluster_settings *s = health_settings(child);

	return s->stall != 0 || s->request_timeout != 0;
}

static void forget_progress(struct child *child)
{
	if (child->health == NULL)
		return;
	begin_unmoved(&child->health->stall, 0, 0);
	child->health->hang_cookie = 0;
}

static void judge_worker(struct child *child, const struct cluster_settings *s, nsec_t now)
{
	struct snapshot snapshot = {.cpu = 0};
	struct health *h = child->health;
	nsec_t patience = *h->hang == '\0' ? s->request_timeout : 0;
	bool computes;

	look_at_processes(&snapshot, child);
	if (snapshot.traced) {
		forget_progress(child);
		return;
	}
	computes = s->stall == 0 || h->stall.since == 0 ||
		snapshot.cpu > h->stall.cpu + CPU_UNIT + (now - h->stall.since) / HOUSEKEEPING;
	if (computes)
		begin_unmoved(&h->stall, now, snapshot.cpu);
	if (computes && patience == 0)
		return; /* to look at connections costs more */
	look_at_connections(&snapshot, child);
	if (!(patience != 0 && judge_requests(child, h, &snapshot, patience)) && !computes)
		judge_progress(child, &h->stall, &snapshot, now);
	connections_free(&snapshot.all);
}

static nsec_t look_at_worker(struct child *child, nsec_t now)
{
	const struct cluster_settings *s = health_settings(child);
	nsec_t least = s->stall == 0 || (s->request_timeout != 0 && s->request_timeout < s->stall)
		? s->request_timeout
		: s->stall;

	if (!health_is_ready(child))
		forget_progress(child);
	else if (health_of(child) != NULL)
		judge_worker(child, s, now);
	return least / LOOKS;
}

const struct monitor_kind stall_kind = {
	.first = WAIT_LEAST,
	.wants = is_watched,
	.look = look_at_worker,
	.forget = forget_progress,
};

/* ---- check ---- */

/* What brings connections to a worker: the listener, or its own path, or a Node worker's channel. */
struct bringer {
	const struct listener *l;
	uint64_t own;
	uint64_t channel;
};

static bool is_bringer(const void *context, uint64_t inode)
{
	const struct bringer *b = context;

	return inode == b->channel || inode == b->own ||
		(b->l != NULL && group_has_inode(b->l, inode));
}

/* Does no process of the worker wait for connections, though a process should? */
static bool is_away(
	const struct child *child, const struct listener *l, const struct snapshot *snapshot)
{
	const struct bringer bringer = {l, child->listening.own, node_channel_inode(child)};
	bool should = child->node != NULL;
	bool denied = false;

	for (size_t i = 0; i < snapshot->tree_count; i++) {
		struct remote r;

		remote_of(&r, snapshot->tree[i]);
		switch (waits_for_client(&r, is_bringer, &bringer, &denied)) {
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

bool stall_missed(
	struct child *child, const struct listener *at, bool untaken, nsec_t patience, nsec_t now)
{
	struct unmoved *u = &child->health->missed;
	struct snapshot snapshot = {.cpu = 0};
	bool unmoved = false;

	if (now < u->looked + patience / MISSED_LOOKS)
		return false;
	u->looked = now;
	look_at_processes(&snapshot, child);
	if (!snapshot.traced && (untaken || is_away(child, at, &snapshot))) {
		look_at_connections(&snapshot, child);
		unmoved = is_unmoved(u, &snapshot, untaken ? at : NULL, now) &&
			(untaken || !snapshot.all.refused);
		connections_free(&snapshot.all);
	} else {
		begin_unmoved(u, 0, 0);
	}
	/* one that is runnable may wait for a CPU: then its CPU time counts */
	return unmoved && now - u->since >= patience &&
		!(snapshot.runs && snapshot.cpu - u->cpu < patience);
}

void stall_forget_missed(struct child *child)
{
	if (child->health != NULL)
		begin_unmoved(&child->health->missed, 0, 0);
}

/* ---- held ---- */

#define HELD_LEAST (1 * SECOND)
/* A status looks at no worker with more descriptors; a thread counts as 16 of them. */
#define HELD_ROOM_MOST 4096U

/* One that serves one client at a time is not.  Of the others a hostile one could take seconds. */
static bool is_large(const struct child *child)
{
	pid_t tree[HELD_ROOM_MOST / 64]; /* the kernel makes room for 64 descriptors at least */
	size_t count = process_tree(child->pid, tree, COUNT_OF(tree));
	uint64_t room = 0;
	uint64_t n;

	for (size_t i = 0; i < count; i++) {
		if (process_status(tree[i], "FDSize:", 10, &n) == 0)
			room += n;
		if (process_status(tree[i], "Threads:", 10, &n) == 0)
			room += n * 16;
	}
	return room > HELD_ROOM_MOST;
}

/* For how long has the worker waited for clients that have connected and sent nothing?  0: it takes
 * the next one, or does something else. */
static nsec_t held_for(const struct child *child, const struct listener *l)
{
	struct snapshot snapshot = {.cpu = 0};
	uint32_t longest = 0;
	bool silent = true;

	look_at_processes(&snapshot, child);
	if (snapshot.runs || !is_away(child, l, &snapshot))
		return 0;
	look_at_connections(&snapshot, child);
	for (size_t i = 0; i < snapshot.all.count; i++) {
		const struct connection *c = &snapshot.all.list[i];

		if (c->kind != CONNECTION_TCP || c->state == TCP_CLOSE || !is_of(c, l))
			continue; /* TCP_CLOSE: a socket that was bound */
		silent &= c->bytes_in == 0 && c->bytes_out == 0;
		longest = c->received_ago > longest ? c->received_ago : longest;
	}
	connections_free(&snapshot.all);
	return silent ? (nsec_t)longest * MSEC : 0;
}

static void put_held(struct json_writer *w, const struct listener *l, nsec_t longest)
{
	bool named = !learned_only(l);
	char remedy[200] = "";
	char text[300];
	char age[16];

	if (socket_option(l->fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) == 0)
		snprintf(remedy, sizeof(remedy),
			": '%s%s,defer-accept=10s'%s keeps such clients from them",
			named ? "" : "listen = ", l->facts.text, named ? " in 'listen'" : "");
	snprintf(text, sizeof(text),
		"all workers are held by clients that have connected and sent "
		"nothing, for up to %s%s",
		text_age(age, longest), remedy);
	json_open_member(w, "held", true);
	json_put_real(w, "seconds", nsec_seconds(longest), 3);
	json_put_text(w, "text", text);
	json_close_object(w);
}

void held_on_status(struct json_writer *w, const struct service *service)
{
	const struct listener *l = NULL;
	const struct child *child;
	nsec_t longest = 0;
	nsec_t time;

	if (service->accepting != NULL) /* each client gets a worker of its own */
		return;
	for_each_child (child, children_of(service)) {
		l = check_target_of(child);
		time = l != NULL && health_is_ready(child) && !is_large(child) ? held_for(child, l)
									       : 0;
		if (time < HELD_LEAST)
			return;
		longest = longest > time ? longest : time;
	}
	if (longest > 0)
		put_held(w, l, longest);
}
