/* SPDX-License-Identifier: MIT */
#include "supervisor/control/admit.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/clock.h"
#include "os/socket/socket.h"
#include "protocol/json.h"
#include "supervisor/common/trouble.h"
#include "supervisor/control/clients.h"
#include "supervisor/control/control.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef NCLUST_VERSION
#define NCLUST_VERSION "unknown"
#endif

/* Which clients are let in, and which make room for them. */

/* The oldest client that may change things, or of those that may not; `idle`: the
 * client that has been without a request for longest. */
static struct client *find_oldest(const struct supervisor *sup, bool may_write, bool idle)
{
	struct client *found = NULL;

	for (struct client *c = sup->control.first; c != NULL; c = c->next)
		if (c->may_write == may_write && !c->own &&
			(!idle || (c->state == CLIENT_IDLE && c->in.len == 0)) &&
			(found == NULL || (idle && c->idle_since < found->idle_since)))
			found = c; /* the first of the list is the oldest */
	return found;
}

/*
 * The client that makes room for a new one.  Readers cannot keep out a client that may
 * change things: readers never have all places, evict only idle readers, and leave first.
 */
static struct client *who_makes_room(const struct supervisor *sup, bool may_write)
{
	struct client *found = find_oldest(sup, false, true);

	if (found == NULL && may_write)
		found = find_oldest(sup, false, false);
	if (found == NULL && may_write)
		found = find_oldest(sup, true, true);
	return found;
}

/* How many clients, or readers alone, are there?  nclust's roles do not count. */
static unsigned count_clients(const struct supervisor *sup, bool readers)
{
	unsigned count = 0;

	for (const struct client *c = sup->control.first; c != NULL; c = c->next)
		count += !c->own && (!readers || !c->may_write);
	return count;
}

/* The line with which each connection begins. */
static void say_hello(struct client *c)
{
	struct supervisor *sup = c->sup;
	double read = nsec_seconds(sup->instance.read_at);
	struct json_writer w;
	char *file;

	for (size_t i = 0; i < sup->service_count; i++)
		if (trouble_needs_reload(sup->services[i]))
			read = 0.001; /* those in force are older than any file */
	json_begin(&w, &c->out);
	json_open_object(&w);
	json_put_text(&w, "jsonrpc", "2.0");
	json_put_text(&w, "method", "hello");
	json_open_member(&w, "params", true);
	json_put_text(&w, "name", sup->settings->name);
	json_put_int(&w, "pid", getpid());
	json_put_text(&w, "version", NCLUST_VERSION);
	json_put_int(&w, "protocol", CONTROL_VERSION);
	json_put_real(&w, "read", read, 3);
	json_open_list(&w, "files");
	for (size_t i = 0; (file = settings_file(sup->settings, i)) != NULL; i++) {
		json_text(&w, file);
		free(file);
	}
	json_close_array(&w);
	json_open_list(&w, "clusters");
	for (size_t i = 0; i < sup->service_count; i++)
		json_text(&w, sup->services[i]->name);
	json_close_array(&w);
	json_close_object(&w);
	json_close_object(&w);
	buffer_string(&c->out, "\n");
}

/* 0: no access at all; 1: may read; 2: may do everything. */
static int rights_of(const struct supervisor *sup, int fd)
{
	struct ucred peer;

	if (socket_peer(fd, &peer) == -1)
		return 0;
	if (peer.uid == 0 || peer.uid == geteuid())
		return 2;
	return sup->settings->control_gid >= 0 &&
		socket_peer_in_group(fd, (gid_t)sup->settings->control_gid);
}

/* Takes over the descriptor.  -1: out of memory. */
static int add_client(struct supervisor *sup, int fd, bool may_write, bool own)
{
	struct client *c = client_new(sup);

	if (c == NULL) {
		clients_turn_away(sup, &fd, CONTROL_BUSY, "no memory");
		return -1;
	}
	c->own = own;
	c->may_write = may_write;
	c->line_since = c->stuck_since = NSEC_NEVER;
	c->idle_since = clock_now();
	ev_io_set(&c->io, fd, EV_READ);
	say_hello(c);
	client_write(c);
	return 0;
}

int clients_add_own(struct supervisor *sup, int fd)
{
	return add_client(sup, fd, false, true);
}

/* Accept the client, if need be in place of another; or refuse it. */
static void let_in(struct supervisor *sup, int fd, bool no_descriptor)
{
	static const char *const why[] = {
		"48 clients that may only look have requests under way",
		"64 clients have requests under way",
		"nclust has no descriptor left",
	};
	int rights = rights_of(sup, fd);
	bool may_write = rights == 2;
	struct client *out = NULL;

	if (rights == 0) {
		clients_turn_away(sup, &fd, CONTROL_NOT_PERMITTED, "not permitted");
		return;
	}
	if (no_descriptor || count_clients(sup, false) >= CLIENTS_MAX ||
		(!may_write && count_clients(sup, true) >= READERS_MAX)) {
		out = who_makes_room(sup, may_write);
		if (out == NULL) {
			clients_turn_away(
				sup, &fd, CONTROL_BUSY, why[no_descriptor ? 2 : may_write]);
			return;
		}
		client_free(out);
	}
	(void)add_client(sup, fd, may_write, false);
}

/*
 * No descriptor is left for a connection: close an idle reader.  If all are busy,
 * accept by means of the reserved descriptor; the new client then evicts another
 * or is refused.  A new client that is the only one is kept, because an operator
 * must be able to scale down.  If even that fails, the socket is not watched for a
 * second, so that nclust does not spin.
 */
static void free_descriptor(struct supervisor *sup)
{
	ev_io *listen = &sup->control.listen;
	struct client *idle = find_oldest(sup, false, true);
	int fd;

	if (idle != NULL) {
		client_free(idle);
		return;
	}
	fd_close(&sup->control.reserve_fd);
	fd = accept4(listen->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd == -1) {
		ev_io_stop(sup->loop, listen);
		clients_arm_bounds(sup);
	} else {
		let_in(sup, fd, count_clients(sup, false) > 0);
	}
	clients_keep_reserve(sup);
}

void clients_on_connect(struct ev_loop *loop UNUSED, ev_io *watcher, int revents)
{
	struct supervisor *sup = watcher->data;

	if ((revents & EV_ERROR) != 0) { /* epoll_ctl(2) failed */
		log_error("cannot watch the control socket, trying again");
		clients_arm_bounds(sup);
		return;
	}
	clients_keep_reserve(sup);
	for (int i = 0; i < TURN_ITEMS; i++) {
		int fd = accept4(watcher->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd == -1) {
			if (errno == EMFILE || errno == ENFILE)
				free_descriptor(sup);
			return;
		}
		let_in(sup, fd, false);
	}
}
