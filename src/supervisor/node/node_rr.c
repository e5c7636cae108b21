/* SPDX-License-Identifier: MIT */
#include "supervisor/node/internal.h"

#include "base/error.h"
#include "base/nsec.h"
#include "base/scope.h"
#include "os/clock.h"
#include "supervisor/common/async_close.h"
#include "supervisor/common/timer.h"
#include "supervisor/messages/channel.h"
#include "supervisor/sockets/heal.h"
#include "supervisor/workers/child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>

/*
 * Round robin as Node's own primary has it: nclust accepts, and gives each connection to the next
 * worker in turn that has confirmed the connection before.  While no worker is free, nclust accepts
 * nothing: clients wait in the kernel's queue, where they cost no descriptor and survive an
 * upgrade.
 *
 * The kernel cannot do that: it takes turns only with CAP_BPF, and a worker cannot give back a
 * connection that it has accepted (maxConnections).
 */

/* How many connections nclust accepts at a time from a socket that workers have, too, because each
 * time requires a child process. */
#define ACCEPTS_AT_ONCE 8
/* The pause after a lack of descriptors or memory; and the pause of a worker that refused a
 * connection, or has no descriptor for it: else nclust would offer it thousands a second. */
#define PAUSE (100 * MSEC)
#define REST (20 * MSEC)

/* ---- who is next ---- */

static bool can_take_connection(
	const struct node_worker *w, const struct node_server *s, nsec_t now)
{
	return w != NULL && node_uses(w, s) && w->given == -1 && w->rests_until <= now &&
		!w->leaving && !child_is_stopping(w->child) && w->child->channel != NULL &&
		w->child->channel->io.fd != -1;
}

/* Returns the next worker in turn that is free; NULL: no worker is free. */
static struct node_worker *find_free_worker(const struct node_server *s, nsec_t now)
{
	const struct service *service = s->cluster->service;

	for (uint32_t i = 0; i < 2 * service->child_slots; i++) {
		struct child *child =
			service->children[(s->turn + i / 2) % service->child_slots][i % 2];

		if (child != NULL && can_take_connection(child->node, s, now))
			return child->node;
	}
	return NULL;
}

/* ---- giving ---- */

static void keep_waiting(struct node_server *s, int fd)
{
	struct node_wait *wait = malloc(sizeof(*wait));

	if (wait == NULL) { /* a worker that refused it may still have a duplicate */
		async_close(s->cluster->service->sup, NULL, &fd);
		return;
	}
	*wait = (struct node_wait){.fd = fd};
	list_append(s->waiting, wait);
}

static void pause_worker(struct node_worker *w, nsec_t span)
{
	w->rests_until = nsec_add(clock_now(), span);
	node_arm(w->child->service->node, w->rests_until);
}

/* Gives a connection to the worker, which is to confirm it.  False: it was not sent, because the
 * worker does not read, or there is a lack of descriptors or memory. */
static bool give_connection(struct node_server *s, struct node_worker *w, int fd)
{
	const int64_t seq = node_next_seq(w);
	struct buffer line;
	struct nodeipc_writer to = node_writer(w, &line);
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	s->turn = w->child->slot + 1;
	if (copy != -1)
		nodeipc_put_connection(&to, s->number, seq);
	if (copy == -1 || node_send(w, &line, copy) == -1) {
		pause_worker(w, PAUSE);
		return false;
	}
	w->given = fd;
	w->given_by = s->number;
	w->given_seq = seq;
	w->given_arrived = false;
	return true;
}

/* Gives away connections that wait.  False: no worker is free any more. */
static bool give_waiting(struct node_server *s)
{
	nsec_t now = clock_now();
	struct node_worker *w = find_free_worker(s, now);

	while (s->waiting != NULL && w != NULL) {
		struct node_wait *wait = s->waiting;

		if (give_connection(s, w, wait->fd)) {
			s->waiting = wait->next;
			free(wait);
		}
		w = find_free_worker(s, now);
	}
	return w != NULL;
}

/* ---- accepting ---- */

static int accept_some(const struct listener *l, int fds[ACCEPTS_AT_ONCE])
{
	/* workers have the socket, too: one that a setting names they get at their birth */
	if (!l->learned || l->asked != NULL || !l->ours_alone)
		return socket_accept(l->fd, fds, ACCEPTS_AT_ONCE);
	fds[0] = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	return fds[0] != -1 ? 1 : -1;
}

/* Accepts until no client waits.  False: the listener is to rest, because no worker is free, or
 * there is a lack of descriptors or memory. */
static bool accept_and_give(struct node_server *s)
{
	int fds[ACCEPTS_AT_ONCE];
	int count = 1;

	for (int i = 0; i < TURN_ITEMS && count > 0; i++) {
		if (!give_waiting(s))
			return false;
		count = accept_some(s->listener, fds);
		for (int k = 0; k < count; k++)
			keep_waiting(s, fds[k]);
	}
	if (count > 0)
		return give_waiting(s);
	if (!error_is_shortage(errno) && errno != ETIMEDOUT)
		return true;
	if (errno == ETIMEDOUT)
		heal_tell(s->listener,
			"a worker holds its socket, so that nothing can be accepted; "
			"it is tried again");
	node_arm(s->cluster, nsec_add(clock_now(), PAUSE));
	return false;
}

static void on_accept(struct ev_loop *loop UNUSED, ev_io *watcher, int revents UNUSED)
{
	node_rr_go_on(watcher->data);
}

void node_rr_rest(struct node_server *s)
{
	if (s->rr)
		ev_io_stop(s->cluster->service->sup->loop, &s->accept);
}

void node_rr_go_on(struct node_server *s)
{
	if (!s->rr)
		return;
	if (!accept_and_give(s)) {
		node_rr_rest(s);
	} else if (!ev_is_active(&s->accept)) {
		ev_io_set(&s->accept, s->listener->fd, EV_READ);
		ev_io_start(s->cluster->service->sup->loop, &s->accept);
	}
}

void node_rr_watch(struct node_server *s)
{
	s->rr = true;
	io_init(&s->accept, on_accept, s->listener->fd, s);
}

void node_rr_end(struct node_server *s)
{
	node_rr_rest(s);
	while (s->waiting != NULL) {
		struct node_wait *wait = s->waiting;

		s->waiting = wait->next;
		async_close(s->cluster->service->sup, NULL, &wait->fd);
		free(wait);
	}
}

/* ---- what became of it ---- */

void node_rr_left(struct node_worker *w)
{
	struct node_cluster *n = w->child->service->node;
	struct node_server *s = node_server_numbered(n, w->given_by);

	if (w->given == -1)
		return;
	pause_worker(w, REST);
	if (s == NULL) {
		async_close(n->service->sup, w->child, &w->given);
		return;
	}
	keep_waiting(s, fd_release(&w->given));
	node_rr_go_on(s);
}

void node_rr_answered(struct node_worker *w, int64_t seq, bool accepted)
{
	if (w->given == -1 || !w->given_arrived || w->given_seq != seq)
		return; /* the worker was given no such connection */
	w->child->channel->answers++;
	if (!accepted) {
		node_rr_left(w);
		return;
	}
	w->taken++;
	async_close(w->child->service->sup, w->child, &w->given);
	for (size_t i = 0; i < w->use_count; i++) {
		struct node_server *s = node_used(w, i);

		if (s != NULL)
			node_rr_go_on(s);
	}
}
