/* SPDX-License-Identifier: MIT */
#include "base/scope.h"
#include "base/text.h"
#include "os/process.h"
#include "os/socket/socket.h"
#include "protocol/json.h"
#include "supervisor/common/registry.h"
#include "supervisor/health/health.h"
#include "supervisor/health/internal.h"
#include "supervisor/sockets/sockets.h"
#include "supervisor/workers/child.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>

/*
 * For `status`: a worker that serves one client at a time is held by a client that has connected
 * and sends nothing.  The look ends at the first worker that is not held, and is a sample: nothing
 * of it is kept.
 */
#define WORKERS_MOST 16
#define ROOM_MOST 4096U  /* most descriptors of a worker that is looked at */
#define LOOKS_MOST 4096U /* most connections that a status looks at */
#define HELD_LEAST (1 * SECOND)

/* The sockets for which a worker's processes wait in a blocking call. */
struct wait {
	uint64_t inodes[REMOTE_AWAITS_MOST];
	size_t count;
};

/* Has the process several threads, or so many descriptors that looking at them is much work? */
static bool serves_several(pid_t pid)
{
	uint64_t threads = 0;
	uint64_t room = 0;

	(void)process_status(pid, "Threads:", 10, &threads);
	(void)process_status(pid, "FDSize:", 10, &room);
	return threads != 1 || room > ROOM_MOST;
}

/* Finds the sockets that the worker waits for.  False: it may take the next client meanwhile. */
static bool find_awaited(struct wait *wait, const struct snapshot *snapshot)
{
	wait->count = 0;
	for (size_t i = 0; i < snapshot->tree_count; i++) {
		int fds[REMOTE_AWAITS_MOST];
		struct remote r;
		size_t count;

		remote_of(&r, snapshot->tree[i]);
		count = remote_awaits(&r, fds, REMOTE_AWAITS_MOST - wait->count);
		if (count > 0 ? serves_several(snapshot->tree[i])
			      : (remote_call_kind(remote_call(&r)) & CALL_EPOLL) != 0)
			return false;
		for (size_t k = 0; k < count; k++)
			wait->inodes[wait->count++] = remote_inode(&r, fds[k]);
		if (wait->count == REMOTE_AWAITS_MOST)
			return false;
	}
	return wait->count > 0;
}

static bool waits_for(const struct wait *wait, uint64_t inode)
{
	for (size_t i = 0; i < wait->count; i++)
		if (wait->inodes[i] == inode)
			return true;
	return false;
}

/* Returns the connection's listener, if neither end has sent anything yet; else NULL. */
static const struct listener *find_silent_listener(
	const struct child *child, const struct connection *c)
{
	const struct listener *l;

	if (c->kind != CONNECTION_TCP || c->state != TCP_ESTABLISHED || c->bytes_in > 0 ||
		c->bytes_out > 0)
		return NULL;
	for_each_listener (l, listeners_of(child->service, LISTENERS_ALL))
		if (l->facts.type == SOCK_STREAM && l->facts.port == c->port)
			return l;
	return NULL;
}

/* How long the worker has waited for a client's first byte; 0: it does not. */
static nsec_t held_for(const struct child *child, const struct listener **at, size_t *looks)
{
	const struct listener *l;
	struct snapshot snapshot = {.cpu = 0};
	struct wait wait;
	nsec_t time = 0;

	snapshot_processes(&snapshot, child);
	if (!find_awaited(&wait, &snapshot))
		return 0;
	snapshot_connections(&snapshot, child);
	*looks += snapshot.all.count + snapshot.all.others;
	for (size_t i = 0; i < snapshot.all.count; i++) {
		const struct connection *c = &snapshot.all.list[i];

		if (!waits_for(&wait, c->inode))
			continue;
		if (c->kind == CONNECTION_LISTENER) {
			time = 0; /* the worker waits for the next client, too */
			break;
		}
		l = find_silent_listener(child, c);
		if (l == NULL)
			continue;
		*at = socket_option(l->fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) == 0 ? l : NULL;
		time = (nsec_t)c->received_ago * MSEC;
	}
	snapshot_free(&snapshot);
	return time;
}

void held_on_status(struct json_writer *w, const struct service *service)
{
	const struct child *child;
	const struct listener *at = NULL;
	nsec_t longest = 0;
	size_t looks = 0;
	unsigned count = 0;
	char remedy[200] = "";
	char text[300];
	char age[16];

	if (service->kind->by_connection) /* each client gets a worker of its own */
		return;
	for_each_child (child, children_of(service)) {
		nsec_t time = health_is_ready(child) ? held_for(child, &at, &looks) : 0;

		if (time < HELD_LEAST || looks > LOOKS_MOST)
			return;
		longest = longest > time ? longest : time;
		if (++count == WORKERS_MOST)
			break;
	}
	if (count == 0)
		return;
	if (at != NULL)
		snprintf(remedy, sizeof(remedy),
			": '%s%s,defer-accept=10s'%s keeps such clients from "
			"them",
			learned_only(at) ? "listen = " : "", at->facts.text,
			learned_only(at) ? "" : " in 'listen'");
	snprintf(text, sizeof(text),
		"%s workers are held by clients that have connected and sent "
		"nothing, for up to %s%s",
		count == WORKERS_MOST ? "many" : "all", text_age(age, longest), remedy);
	json_key(w, "held");
	json_open_object(w);
	json_put_real(w, "seconds", nsec_seconds(longest), 3);
	json_put_text(w, "text", text);
	json_close_object(w);
}
