/* SPDX-License-Identifier: MIT */
#include "supervisor/health/internal.h"

#include "base/text.h"
#include "os/clock.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/health/health.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

/* Which worker has a connection of a batch?  It is asked when that is known. */

/* ---- asking ---- */

/* Sends all but the last `kept` bytes.  -1: it cannot be sent. */
static int send_request(struct probing *a, size_t kept)
{
	const struct probe_batch *v = a->batch;
	char request[HTTPREQUEST_MAX];
	size_t len = httpstatus_request(request, sizeof(request), v->probe->text, v->target.host,
		v->settings->check_header.list, v->settings->check_header.count);

	if (len <= a->sent + kept)
		return -1;
	len -= a->sent + kept;
	if (send(a->io.fd, request + a->sent, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len)
		return -1;
	a->sent += len;
	return 0;
}

/* The worker has taken the connection: sends the request, if the worker must be asked. */
static void give_to_worker(struct probing *a, struct child *child, bool closed)
{
	struct probe_batch *v = a->batch;
	bool is_http = v->probe->kind == PROBE_HTTP;

	if (a->state != PROBING_WAITS)
		return;
	v->quiet_since = monitor_time(&v->monitor, clock_now());
	if (!batch_must_ask(v, child) || batch_asks(v, child)) {
		probing_close(a);
		return;
	}
	if (v->monitor.kind->taken != NULL) {
		if (!closed)
			v->monitor.kind->taken(child, a->io.fd, a->sent);
		probing_close(a);
		return;
	}
	a->slot = child->slot;
	a->worker = child->worker;
	if (!is_http) {
		probing_end(a, true, "");
		return;
	}
	if (health_of(child) != NULL)
		child->health->check_inode = a->inode;
	a->state = PROBING_TAKEN;
	a->since = v->quiet_since;
	if (closed || send_request(a, 0) == -1) {
		probing_end(a, false, PROBING_CLOSED);
		return;
	}
	ev_io_start(v->monitor.service->sup->loop, &a->io);
}

/* The cluster's only worker; NULL: it has several, or none. */
static struct child *only_child(const struct service *s)
{
	struct child_walk walk = children_of(s);
	struct child *only = child_next(&walk);

	return child_next(&walk) == NULL ? only : NULL;
}

static void warn_denied(struct probe_batch *v)
{
	struct service *s = v->monitor.service;

	if ((v->denied || v->blind) && once_say(s->said, ONCE_CHECK_DENIED))
		news_say_of(s, LOG_WARN, "check-denied",
			"%s, so it is not known which worker got a check%s",
			v->blind ? "the kernel does not show sockets to nclust "
				   "(sock_diag)"
				 : "nclust may not look at its workers' descriptors",
			v->monitor.kind->taken != NULL ? "" : ": use exec:");
}

/* Lists the connections that are taken, as inodes of their other ends, by place. */
static unsigned list_taken(const struct probe_batch *v, uint64_t inodes[BATCH_MAX])
{
	unsigned count = 0;

	for (size_t i = 0; i < BATCH_MAX; i++) {
		const struct probing *a = &v->asks[i];

		inodes[i] = a->state == PROBING_WAITS ? a->inode : 0;
		count += inodes[i] != 0;
	}
	return count;
}

static void find_in_worker(struct probe_batch *v, struct child *child, bool deep,
	const uint64_t inodes[BATCH_MAX], nsec_t until)
{
	uint32_t slot = child->slot;
	uint64_t worker = child->worker;
	uint32_t held;

	if (v->part_searched != worker)
		v->place = (struct other_end_place){0};
	held = other_end_held(child->pid, deep, inodes, BATCH_MAX, until, &v->place, &v->denied);
	v->part_searched = v->place.process != 0 || v->place.fd != 0 ? worker : 0;
	if (held != 0)
		v->took_below = deep;
	for (size_t i = 0; i < BATCH_MAX && child != NULL; i++) {
		if ((held >> i & 1) == 0)
			continue;
		give_to_worker(&v->asks[i], child, false);
		child = child_find(v->monitor.service, slot, worker);
	}
}

/* Does the address lead to the worker for sure?  A path whose file nclust did not make may lead to
 * another program. */
static bool is_certain(const struct check_target *target)
{
	return target->address.any.sa_family != AF_UNIX || target->file.ino != 0 ||
		target->address.un.sun_path[0] == '\0';
}

/* An only worker has taken all connections.  But if nclust itself answers clients (fallback), it
 * must find out which process has. */
static bool give_to_only(struct probe_batch *v, const uint64_t inodes[BATCH_MAX])
{
	bool given = false;

	if (v->monitor.service->outage.answered || !is_certain(&v->target))
		return false;
	for (size_t i = 0; i < BATCH_MAX; i++) {
		struct child *only = only_child(v->monitor.service);

		if (only == NULL || inodes[i] == 0)
			continue; /* the last answer may have ended it */
		give_to_worker(&v->asks[i], only, false);
		given = true;
	}
	return given;
}

/* Searches the worker at the cursor.  False: the worker was searched in part only. */
static bool find_at_cursor(struct probe_batch *v, nsec_t until)
{
	const struct service *s = v->monitor.service;
	struct child *child = s->children[v->cursor / 2][v->cursor % 2];
	/* first the kind that took the last connection (`took_below`), then the other */
	bool deep = v->below_first == (v->searched < 2 * s->child_slots);
	uint64_t inodes[BATCH_MAX];

	if (child == NULL || list_taken(v, inodes) == 0)
		return true;
	find_in_worker(v, child, deep, inodes, until);
	return v->part_searched == 0;
}

bool batch_find_owners(struct probe_batch *v)
{
	const struct service *s = v->monitor.service;
	nsec_t until = clock_now() + TURN_SPAN;
	uint64_t inodes[BATCH_MAX];

	if (list_taken(v, inodes) == 0 || give_to_only(v, inodes)) {
		v->part_searched = 0;
		return false;
	}
	if (v->searched == 0)
		v->below_first = v->took_below;
	for (; v->searched < 4 * s->child_slots; v->searched++) {
		bool done;

		if (clock_now() > until)
			return true;
		if (v->cursor >= 2 * s->child_slots)
			v->cursor = 0;
		done = find_at_cursor(v, until);
		if (list_taken(v, inodes) == 0) {
			v->searched = 0;
			v->part_searched = 0;
			return false;
		}
		if (!done)
			return true;
		v->cursor++;
	}
	v->searched = 0;
	/* no worker has it: another program does, or a worker has passed it on */
	for (size_t i = 0; i < BATCH_MAX; i++)
		if (v->asks[i].state == PROBING_WAITS && v->asks[i].inode != 0)
			probing_close(&v->asks[i]);
	warn_denied(v);
	return false;
}

/* ---- looking ---- */

/* If the kernel waits for data before a worker can accept: sends the request but for its last
 * bytes, or the byte `first`.  -1: it cannot be sent. */
static int send_first(struct probing *a)
{
	const struct probe_batch *v = a->batch;

	if (!v->target.deferred || v->probe->kind != PROBE_HTTP)
		return 0;
	if (v->first == '\0')
		return send_request(a, 2);
	a->sent = 1;
	return send(a->io.fd, &v->first, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 0 : -1;
}

/* The kernel tries a TCP connection again by itself; connect(2) to a unix socket with a full queue
 * failed with EAGAIN.  -1: the connection cannot be made at all. */
static int connect_again(struct probing *a)
{
	struct probe_batch *v = a->batch;
	struct check_target target = v->target;
	struct child *child;
	struct error err;
	int error;

	if (target.address.any.sa_family != AF_UNIX)
		return socket_get(a->io.fd, SOL_SOCKET, SO_ERROR, &error) == 0 && error == 0 ? 0
											     : -1;
	child = child_find(v->monitor.service, a->slot, a->worker);
	if (a->has_target &&
		(child == NULL || check_target_at(&target, check_target_of(child), &err) == -1))
		return -1;
	return check_target_connect(&target, a->io.fd) == 0 || errno == EAGAIN ? 0 : -1;
}

void probing_begin(struct probing *a)
{
	struct probe_batch *v = a->batch;
	union endpoint peer;

	if (endpoint_peer(a->io.fd, &peer) == 0) {
		if (connect_again(a) == -1)
			probing_close(a);
		return;
	}
	a->state = PROBING_WAITS;
	v->blind |= !other_end_works(a->io.fd);
	if (send_first(a) == -1)
		probing_close(a);
}

/* nclust cannot see which worker has the connection, unless there is only one worker. */
static bool give_to_unseen(struct probing *a, bool closed)
{
	struct child *only = only_child(a->batch->monitor.service);

	if (only != NULL)
		give_to_worker(a, only, closed);
	else
		probing_close(a);
	return only != NULL;
}

unsigned probing_count_in_slot(const struct child *child)
{
	struct child *const *both = child->service->children[child->slot];

	return both[0] != NULL && both[1] != NULL ? 2 : 1;
}

/* Has a worker taken and closed the connection before nclust saw which worker?  A connection that
 * waits in a queue has neither bytes to read nor an end. */
static bool is_closed_unseen(const struct probing *a)
{
	char byte;

	return recv(a->io.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

/* Only one worker can take this connection.  If it does not, it is busy; it has failed when it
 * takes no connections of clients either for as long as it may fail its checks. */
static void look_at_aimed(struct probing *a, nsec_t now)
{
	struct probe_batch *v = a->batch;
	struct child *child = child_find(v->monitor.service, a->slot, a->worker);
	const struct cluster_settings *s = v->settings;
	nsec_t patience = (nsec_t)s->check_failures * s->check_interval + s->check_timeout;
	nsec_t waited = now - a->since;
	char time[24];
	char why[64];

	if (child == NULL) {
		probing_close(a);
		return;
	}
	a->inode = other_end_inode(a->io.fd);
	if (a->is_of_slot && probing_count_in_slot(child) > 1) {
		if (v->blind || a->inode != 0)
			return; /* or the slot's other worker has it */
	} else if (v->blind || a->inode != 0 ||
		(a->state == PROBING_WAITS && is_closed_unseen(a))) {
		give_to_worker(a, child, !v->blind && a->inode == 0);
		return;
	}
	if (waited < s->check_timeout || v->monitor.kind->answered == NULL ||
		clock_now() > v->look_until || !not_accepting_for_long(child, a->since, now) ||
		waited < patience)
		return;
	snprintf(why, sizeof(why), "took no connection for %s", text_age(time, waited));
	/* the worker has missed all its checks */
	if (health_of(child) != NULL)
		child->health->failures = s->check_failures - 1;
	probing_end(a, false, why);
}

void probing_look(struct probing *a, nsec_t now)
{
	char byte;
	ssize_t n;

	if (a->has_target) {
		look_at_aimed(a, now);
		return;
	}
	if (a->batch->blind) {
		if (!give_to_unseen(a, false))
			warn_denied(a->batch);
		return;
	}
	if (a->inode == 0)
		a->inode = other_end_inode(a->io.fd);
	if (a->inode != 0)
		return;
	n = recv(a->io.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n == 1 || (n == -1 && (errno == EAGAIN || errno == EINTR)))
		return;
	(void)give_to_unseen(a, true); /* closed before its owner was known */
}
