/* SPDX-License-Identifier: MIT */
#include "supervisor/node/node_inside.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/socket/endpoint.h"
#include "supervisor/common/foreign.h"
#include "supervisor/common/timer.h"
#include "supervisor/sockets/heal.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/sockets/group.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Round robin: nclust accepts, and gives each connection to the next worker in
 * turn that has room.  Connections that no worker has confirmed yet are bounded,
 * and nothing is accepted while nobody has room: the rest waits in the kernel's
 * queue, where it costs no descriptor and survives an upgrade.
 */
#define WINDOW 8 /* connections that a worker may have unconfirmed */
/* The window for sticky clients; when it is full they go to another worker. */
#define WINDOW_STICKY 128
/* Accepted in one turn of the loop, so that a flood delays nothing else for
 * long. */
#define ACCEPTS_A_TURN 64
/* Of a socket that workers have, too: a child is made for each time. */
#define LENT_AT_ONCE 8
/* The pause after a lack of descriptors or memory. */
#define PAUSE (100 * MSEC)

bool node_rr_wanted(const struct child *child)
{
	const struct recipe *r = recipe_of(child->service, child->generation);

	return r != NULL && recipe_wants_rr(r);
}

/* ---- who is next ---- */

static bool is_sticky(const struct node_server *s)
{
	return cluster_settings(s->cluster->service->core)->sticky == STICKY_CLIENT_ADDRESS;
}

static unsigned window_of(const struct node_server *s)
{
	return is_sticky(s) ? WINDOW_STICKY : WINDOW;
}

static bool has_room(const struct node_server *s, const struct node_worker *w, nsec_t now)
{
	const struct node_use *use = node_use_of(w, s);

	return w->connections < window_of(s) && !w->leaving && !child_is_stopping(w->child) &&
		w->hold_until == 0 && use->refused_until <= now && w->child->channel != NULL &&
		w->child->channel->io.fd != -1;
}

static struct node_worker *next_in_turn(struct node_server *s, nsec_t now)
{
	for (size_t i = 0; i < s->user_count; i++) {
		size_t at = (s->turn + i) % s->user_count;

		if (has_room(s, s->users[at], now)) {
			s->turn = at + 1;
			return s->users[at];
		}
	}
	return NULL;
}

/* Of the peer's address without its port; 0: it has none. */
static uint64_t hash_of(const union endpoint *peer)
{
	size_t len;
	const unsigned char *at = endpoint_ip(peer, &len);
	uint64_t hash = text_hash(TEXT_HASH, at, len);

	hash ^= hash >> 32; /* its low bits choose */
	return len > 0 ? hash : 0;
}

static struct node_worker *in_slot(const struct node_server *s, uint32_t slot, nsec_t now)
{
	/* the newest: during a rollout there are two */
	for (size_t i = s->user_count; i-- > 0;)
		if (s->users[i]->child->slot == slot && has_room(s, s->users[i], now))
			return s->users[i];
	return NULL;
}

/* The worker in the client's slot, or in the next slot that has one. */
static struct node_worker *by_address(struct node_server *s, const union endpoint *peer, nsec_t now)
{
	uint32_t slots = cluster_wanted(s->cluster->service->core);
	uint64_t hash = hash_of(peer);

	for (uint32_t i = 0; hash != 0 && i < slots; i++) {
		struct node_worker *w = in_slot(s, (uint32_t)((hash + i) % slots), now);

		if (w != NULL)
			return w;
	}
	return next_in_turn(s, now);
}

/* `refused`: a worker has had the connection. */
static struct node_worker *choose(struct node_server *s, int fd, bool refused, nsec_t now)
{
	union endpoint peer;

	if (!is_sticky(s))
		return next_in_turn(s, now);
	/* none, if it is gone again */
	(void)(refused ? socket_other(fd, &peer) : endpoint_peer(fd, &peer));
	return by_address(s, &peer, now);
}

/* ---- giving ---- */

static int send_it(struct node_worker *w, const struct node_server *s, int fd)
{
	struct node_flight f = {
		.kind = NODE_FLIGHT_CONNECTION,
		.server = s->number,
		.seq = node_next_seq(w),
		.fd = fd,
	};
	struct buffer line;
	struct nodeipc_writer to = node_writer(w, &line);
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (copy == -1 || node_flight_add(w, &f) == -1) {
		fd_close(&copy);
		return -1;
	}
	nodeipc_put_connection(&to, s->number, f.seq);
	if (node_send(w, &line, copy) == 0)
		return 0;
	w->flight_count--;
	w->connections--;
	return -1;
}

/* A worker that has had it may have a duplicate. */
static void drop(const struct node_server *s, int fd)
{
	foreign_close(s->cluster->service->sup, NULL, &fd);
}

static void keep_waiting(struct node_server *s, int fd)
{
	struct node_wait *wait = malloc(sizeof(*wait));
	struct node_wait **at = &s->waiting;

	if (wait == NULL) {
		drop(s, fd);
		return;
	}
	*wait = (struct node_wait){.fd = fd};
	while (*at != NULL)
		at = &(*at)->next;
	*at = wait;
}

/* 0: it is on its way; -1: nobody has room. */
static int give(struct node_server *s, int fd, bool refused, nsec_t now)
{
	struct node_worker *w = choose(s, fd, refused, now);

	return w != NULL ? send_it(w, s, fd) : -1;
}

/* Refused connections are given away first.  False: some are left. */
static bool give_waiting(struct node_server *s, nsec_t now)
{
	while (s->waiting != NULL) {
		struct node_wait *wait = s->waiting;

		if (give(s, wait->fd, true, now) == -1)
			return false;
		s->waiting = wait->next;
		free(wait);
	}
	return true;
}

/* ---- accepting ---- */

static bool anybody(struct node_server *s, nsec_t now)
{
	for (size_t i = 0; i < s->user_count; i++)
		if (has_room(s, s->users[i], now))
			return true;
	return false;
}

static void pause_accept(struct node_server *s)
{
	ev_io_stop(s->cluster->service->sup->loop, &s->accept);
}

static bool is_passing(int error)
{
	return error == ECONNABORTED || error == EINTR || error == EPROTO || error == EPERM ||
		error == ENETDOWN || error == EHOSTDOWN || error == EHOSTUNREACH ||
		error == ENETUNREACH || error == ENOPROTOOPT;
}

/* May a worker have the socket, too?  It gets a named one at its birth. */
static bool is_lent(const struct listener *l)
{
	return !l->learned || l->asked != NULL || !l->ours_alone;
}

static void tell_held(struct listener *l, nsec_t now)
{
	if (l->healed_at != 0 && now - l->healed_at < MINUTE)
		return;
	l->healed_at = now;
	log_warn("listener '%s': a worker holds its socket, so that nothing can "
		 "be accepted; it is tried again",
		l->address.name);
}

static int accept_lent(struct node_server *s, nsec_t now)
{
	int fds[LENT_AT_ONCE];
	int count = socket_accept(s->listener->fd, fds, LENT_AT_ONCE);

	for (int i = 1; i < count; i++)
		if (give(s, fds[i], false, now) == -1) {
			keep_waiting(s, fds[i]);
			node_arm(s->cluster, nsec_add(now, PAUSE));
		}
	if (count == -1 && errno == ETIMEDOUT) {
		tell_held(s->listener, now);
		errno = ETIMEDOUT;
	}
	return count > 0 ? fds[0] : -1;
}

/* Accept until no client waits or no worker has room.  1: more may wait; 0:
 * none; -1: no worker has room, or there are no descriptors. */
static int accept_some(struct node_server *s)
{
	nsec_t now = clock_now();

	if (!give_waiting(s, now))
		return -1;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		int fd;

		if (!anybody(s, now))
			return -1;
		fd = is_lent(s->listener)
			? accept_lent(s, now)
			: accept4(s->listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd == -1 && is_passing(errno))
			continue;
		if (fd == -1 && (errno == EAGAIN || errno == EINVAL))
			return 0;
		if (fd == -1) {
			node_arm(s->cluster, nsec_add(now, PAUSE));
			return -1;
		}
		if (give(s, fd, false, now) == -1) {
			keep_waiting(s, fd);
			node_arm(s->cluster, nsec_add(now, PAUSE));
			return -1;
		}
	}
	return 1;
}

static void on_accept(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct node_server *s = watcher->data;

	(void)loop;
	(void)revents;
	if (accept_some(s) == -1)
		pause_accept(s);
}

/* A worker may have room: give it what waits, and watch the socket again if
 * that was stopped because all were busy. */
void node_rr_room(struct node_server *s)
{
	struct ev_loop *loop = s->cluster->service->sup->loop;

	if (s->user_count == 0 || (s->waiting == NULL && ev_is_active(&s->accept)))
		return;
	if (accept_some(s) == -1) {
		pause_accept(s);
		return;
	}
	if (ev_is_active(&s->accept))
		return;
	ev_io_set(&s->accept, s->listener->fd, EV_READ);
	ev_io_start(loop, &s->accept);
}

void node_rr_room_of(struct node_worker *w)
{
	for (size_t i = 0; i < w->use_count; i++)
		if (w->uses[i].server->rr)
			node_rr_room(w->uses[i].server);
}

void node_rr_again(struct node_server *s, int fd)
{
	nsec_t now = clock_now();

	if (!s->rr) {
		drop(s, fd);
		return;
	}
	if (s->waiting != NULL || give(s, fd, true, now) == -1)
		keep_waiting(s, fd);
	if (s->user_count == 0)
		pause_accept(s);
}

void node_rr_timer(struct node_server *s, nsec_t now)
{
	if (!s->rr)
		return;
	for (size_t i = 0; i < s->user_count; i++) {
		nsec_t until = node_use_of(s->users[i], s)->refused_until;

		if (until > now)
			node_arm(s->cluster, until);
	}
	node_rr_room(s);
}

/* ---- life ---- */

int node_rr_begin(const struct node_worker *w, struct node_server *s, int backlog)
{
	struct listener *l = s->listener;

	if (!l->facts.listening) {
		if (l->facts.type != SOCK_STREAM || node_listen(w, l, backlog) == -1)
			return -1;
		l->address.backlog = backlog; /* for heal.c */
		heal_listening(l);
	}
	/* only one socket is watched, and it must not be replaced */
	group_forget(l);
	node_rr_watch(s);
	return 0;
}

void node_rr_watch(struct node_server *s)
{
	s->rr = true;
	io_init(&s->accept, on_accept, s->listener->fd, s);
}

void node_rr_end(struct node_server *s)
{
	pause_accept(s);
	while (s->waiting != NULL) {
		struct node_wait *wait = s->waiting;

		s->waiting = wait->next;
		drop(s, wait->fd);
		free(wait);
	}
	s->rr = false;
}
