/* SPDX-License-Identifier: MIT */
#include "supervisor/sockets/group.h"

#include "base/log.h"
#include "base/nsec.h"
#include "base/scope.h"
#include "os/clock.h"
#include "os/look/remote.h"
#include "os/socket/reuseport.h"
#include "os/socket/socket.h"
#include "supervisor/common/moment.h"
#include "supervisor/sockets/heal.h"
#include "supervisor/sockets/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* A SYN may be on its way through the kernel when a socket's share becomes
 * 0. */
#define AWAY_LEAST (3 * MSEC)
/* How often nclust wakes a worker by a connection of its own: each one adds to the queue, and some
 * programs never accept from a socket that they hold. */
#define WAKES_MOST 64
/* The longest TCP handshake: the kernel gives up 63 s after the SYN (tcp_synack_retries). */
#define HALF_OPEN_MAX (64 * SECOND)

/* ---- sockets ---- */

struct listener_socket *group_socket(const struct listener *l, unsigned lane)
{
	struct listener_socket *best = NULL;
	struct listener_socket *oldest = l->sockets;

	for (struct listener_socket *s = l->sockets; s != NULL; s = s->next) {
		if (s->lane <= lane && (best == NULL || s->lane > best->lane))
			best = s;
		if (s->lane < oldest->lane)
			oldest = s;
	}
	return best != NULL ? best : oldest;
}

struct listener_socket *group_own(const struct listener *l, unsigned lane)
{
	struct listener_socket *s = group_socket(l, lane);

	return s != NULL && s->lane == lane ? s : NULL;
}

int group_fd(const struct listener *l, unsigned lane)
{
	return l->sockets != NULL ? group_socket(l, lane)->fd : l->fd;
}

bool group_has_inode(const struct listener *l, uint64_t inode)
{
	return l->inode == inode || list_find(s, l->sockets, s->inode == inode) != NULL;
}

bool group_had_inode(const struct listener *l, uint64_t inode)
{
	return array_has(l->closed, COUNT_OF(l->closed), inode) || group_has_inode(l, inode);
}

unsigned group_size(const struct listener *l)
{
	unsigned count = 0;

	for (const struct listener_socket *s = l->sockets; s != NULL; s = s->next)
		count++;
	return count > 0 ? count : 1;
}

const char *group_balance(const struct listener *l)
{
	static const char *const names[] = {
		[SPREAD_SHARED] = "share",
		[SPREAD_CHANCE] = "random",
		[SPREAD_CLIENTS] = "client-address",
		[SPREAD_FLOWS] = "flow",
		[SPREAD_TURNS] = "rr",
	};

	return names[l->own_group ? SPREAD_SHARED : l->chosen];
}

void group_queue(const struct listener *l, struct queue_facts *facts)
{
	sockdiag_queue(l->fd, facts);
	for (const struct listener_socket *s = l->sockets; s != NULL; s = s->next) {
		struct queue_facts more;

		if (s->fd == l->fd)
			continue;
		sockdiag_queue(s->fd, &more);
		if (facts->depth >= 0 && more.depth > 0)
			facts->depth += more.depth;
		if (facts->drops >= 0 && more.drops > 0)
			facts->drops += more.drops;
	}
}

int group_set_backlog(const struct listener *l, int backlog)
{
	unsigned count = l->sockets != NULL ? group_size(l) : 0;

	for (unsigned place = 0; place < count; place++) {
		const struct listener_socket *s = l->sockets;

		while (s->place != place && s->next != NULL)
			s = s->next;
		if (s->fd != l->fd)
			(void)socket_backlog(s->fd, backlog);
		else if (socket_backlog(s->fd, backlog) == -1)
			return -1;
	}
	return count > 0 ? 0 : socket_backlog(l->fd, backlog);
}

int group_listen(const struct listener *l, unsigned lane, int backlog)
{
	return l->spread != SPREAD_SHARED && l->facts.listening
		? socket_backlog(group_fd(l, lane), backlog)
		: group_set_backlog(l, backlog);
}

/* Put the sockets' shares of new connections at their places.  Returns their number. */
static unsigned shares_of(const struct listener *l, unsigned weights[REUSEPORT_MAX])
{
	unsigned count = 0;

	for (const struct listener_socket *s = l->sockets; s != NULL; s = s->next) {
		weights[s->place] = s->weight;
		count++;
	}
	return count;
}

/* Each slot gets a part of the clients.  If two sockets are of one slot, because one of them is
 * about to be closed, the clients get the newer socket. */
static int spread_by_client(const struct listener *l, int fd)
{
	int places[REUSEPORT_MAX];
	unsigned lanes[REUSEPORT_MAX] = {0};

	for (unsigned i = 0; i < l->slots; i++)
		places[i] = -1;
	for (const struct listener_socket *s = l->sockets; s != NULL; s = s->next) {
		const uint32_t part = s->slot != SLOT_ALL ? s->slot : 0;

		if (s->weight == 0 || part >= l->slots ||
			(places[part] != -1 && lanes[part] > s->lane))
			continue;
		places[part] = (int)s->place;
		lanes[part] = s->lane;
	}
	return reuseport_set_sticky(fd, places, l->slots, l->spread == SPREAD_FLOWS);
}

static int set_way(
	const struct listener *l, enum spread way, int fd, const unsigned *weights, unsigned count)
{
	switch (way) {
	case SPREAD_TURNS:
		return reuseport_set_turns(fd, weights, count);
	case SPREAD_CLIENTS:
	case SPREAD_FLOWS:
		return spread_by_client(l, fd);
	default:
		return reuseport_share(fd, weights, count);
	}
}

/* Let the kernel choose among the sockets by l->spread.  If the kernel refuses, *why is the errno
 * and they are chosen by chance.  Returns the way; -1: none is possible. */
static int set_spread(const struct listener *l, const unsigned *weights, unsigned count, int *why)
{
	for (struct listener_socket *s = l->sockets; s != NULL; s = s->next) {
		enum spread way = l->spread;
		int got = set_way(l, way, s->fd, weights, count);

		*why = got == -1 ? errno : 0;
		if (got == -1 && way > SPREAD_CHANCE) {
			way = SPREAD_CHANCE;
			got = set_way(l, way, s->fd, weights, count);
		}
		if (got == 0)
			return (int)way;
	}
	return -1;
}

static void log_other_way(const struct listener *l)
{
	static const char *const asked[] = {
		[SPREAD_TURNS] = "in turn: bpf(2)",
		[SPREAD_CLIENTS] = "by their clients",
		[SPREAD_FLOWS] = "by their clients",
	};

	log_note("listener '%s': the kernel chooses workers by chance, not %s: %s%s",
		l->address.name, asked[l->spread], strerror(l->chosen_why),
		l->spread == SPREAD_TURNS && l->chosen_why == EPERM
			? " (requires CAP_BPF, and a seccomp profile that permits bpf)"
			: "");
}

void group_apply(struct listener *l)
{
	unsigned weights[REUSEPORT_MAX] = {0};
	unsigned count = shares_of(l, weights);
	const enum spread before = l->chosen;
	const int why_before = l->chosen_why;
	int way;

	if (l->own_group || (!l->facts.listening && l->facts.type != SOCK_DGRAM))
		return;
	way = set_spread(l, weights, count, &l->chosen_why);
	l->chosen = way != -1 ? (enum spread)way : SPREAD_SHARED;
	if (count == 1) { /* a single socket may be in no group */
		l->chosen = l->spread;
		l->chosen_why = 0;
	} else if (way == -1) {
		log_syserr("listener '%s': cannot choose among its sockets", l->address.name);
	} else if (l->chosen != l->spread && l->chosen_why != EBUSY &&
		(l->chosen != before || why_before == 0)) {
		log_other_way(l);
	}
}

bool group_has_stranger(const struct listener *l)
{
	return l->facts.type == SOCK_STREAM && sockdiag_listeners(l->fd) > (long)group_size(l);
}

int group_bind_client(int client, const struct sockaddr *to, socklen_t size)
{
	union endpoint from = {.room = {0}};

	if (size > sizeof(from)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(&from, to, size);
	from.v4.sin_port = 0;
	return bind(client, &from.any, size);
}

int group_aim(const struct listener *l, unsigned lane, const union endpoint *client)
{
	const struct listener_socket *k = group_socket(l, lane);
	unsigned weights[REUSEPORT_MAX] = {0};
	unsigned count = shares_of(l, weights);

	return reuseport_aim(k->fd, weights, count, client, k->place);
}

void group_aim_no_more(const struct listener *l)
{
	unsigned weights[REUSEPORT_MAX] = {0};
	unsigned count = shares_of(l, weights);
	int why;

	if (set_spread(l, weights, count, &why) == -1)
		log_syserr("listener '%s': cannot choose among its sockets", l->address.name);
}

int group_connect(const struct listener *l, unsigned lane, int client, const struct sockaddr *to,
	socklen_t size)
{
	const struct listener_socket *k = group_socket(l, lane);
	union endpoint peer;
	union endpoint own;
	unsigned count = group_size(l);
	int got;
	int error;

	if (k == NULL || count == 1 || l->own_group || count > REUSEPORT_MAX)
		return connect(client, to, size);
	if (!l->facts.listening) { /* `client`'s address would only block a bind(2) */
		errno = EAGAIN;
		return -1;
	}
	if (group_bind_client(client, to, size) == -1 || endpoint_own(client, &own) == 0 ||
		group_aim(l, lane, &own) == -1)
		return -1;
	got = connect(client, to, size);
	error = errno;
	/* within this machine connect(2) never takes long */
	if (got == -1 && error == EINPROGRESS)
		error = EAGAIN;
	if (got == -1 && error == EAGAIN && endpoint_peer(client, &peer) > 0)
		got = 0;
	group_aim_no_more(l);
	errno = error;
	return got;
}

static struct listener_socket *last_of(const struct listener *l)
{
	struct listener_socket *last = l->sockets;

	for (struct listener_socket *s = last; s != NULL; s = s->next)
		if (s->place > last->place)
			last = s;
	return last;
}

/* Give the last socket's connections to the other sockets for a moment.  False: no other socket
 * gets any. */
static bool share_out_last(struct listener *l)
{
	struct listener_socket *last = last_of(l);
	const unsigned weight = last->weight;
	const struct listener_socket *other = l->sockets;

	if (weight == 0)
		return true;
	while (other != NULL && (other == last || other->weight == 0))
		other = other->next;
	if (other == NULL)
		return false;
	last->weight = 0;
	group_apply(l);
	last->weight = weight;
	return true;
}

struct listener_socket *group_add(struct listener *l, int fd, unsigned lane)
{
	struct listener_socket *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->fd = fd;
	s->inode = remote_own_inode(fd);
	s->lane = lane;
	s->slot = SLOT_ALL;
	s->place = l->sockets != NULL ? group_size(l) : 0;
	s->next = l->sockets;
	l->sockets = s;
	return s;
}

/* Closing a socket moves the last socket of the kernel's group to its place.  Until the kernel has
 * done that, the last socket gets no new connections, because the closed one would get them; if no
 * other socket can stand in, the kernel is told the new places first, and drops what comes
 * meanwhile.  With two sockets the other one gets everything in any case. */
void group_close(struct listener *l, struct listener_socket *s)
{
	struct holding holding = {.listener = l, .socket = s};
	bool few = group_size(l) <= 2 || share_out_last(l);

	if (!few)
		reuseport_mute(s->fd);
	last_of(l)->place = s->place; /* so does the kernel */
	list_remove(l->sockets, s);
	moment_let_go(&holding);
	if (l->fd == s->fd) { /* any other socket becomes the listener's `fd` */
		l->fd = l->sockets->fd;
		l->inode = l->sockets->inode;
	}
	l->sup->orphans.changed = true;
	heal_forget_also(l, s->fd);
	if (!few)
		group_apply(l);
	memmove(&l->closed[1], &l->closed[0], sizeof(l->closed) - sizeof(l->closed[0]));
	l->closed[0] = s->inode;
	reuseport_leave(s->fd);
	if (few)
		group_apply(l);
	free(s);
}

/* The kernel moves the queue when the socket stops listening, and wakes no worker for that. */
void group_rescue(struct listener *l, struct listener_socket *k)
{
	int to[REUSEPORT_MAX] uninitialized;
	unsigned count = 0;

	for (const struct listener_socket *s = l->sockets; s != NULL; s = s->next)
		if (s->weight > 0 && s != k && count < REUSEPORT_MAX)
			to[count++] = s->fd;
	if (l->own_group || count == 0 || reuseport_migrate(k->fd, to, count) == -1)
		return;
	socket_stop_listening(k->fd);
	if (socket_revive(k->fd, l->address.backlog) == -1)
		log_syserr("listener '%s'", l->address.name);
	group_revived(l, k->fd);
	for (k = l->sockets; k != NULL; k = k->next)
		if (k->weight > 0)
			group_wake(l, k->lane);
}

void group_forget(struct listener *l)
{
	while (l->sockets != NULL) {
		struct listener_socket *s = l->sockets;
		struct holding holding = {.listener = l, .socket = s};

		moment_let_go(&holding);
		l->sockets = s->next;
		if (s->fd != l->fd) {
			heal_forget_also(l, s->fd);
			reuseport_leave(s->fd);
		}
		free(s);
	}
	if (l->fd != -1)
		reuseport_unshare(l->fd);
}

void group_give_up(struct listener *l)
{
	l->own_group = true;
	if (l->sockets != NULL)
		reuseport_unshare(l->sockets->fd);
}

void group_revived(struct listener *l, int fd)
{
	struct listener_socket *s = list_find(its, l->sockets, its->fd == fd);

	if (s == NULL)
		return;
	last_of(l)->place = s->place; /* as if it was closed, and added again */
	s->place = group_size(l) - 1;
	group_apply(l);
}

bool group_weigh(struct listener_socket *socket, unsigned weight)
{
	bool changed = socket->weight != weight;

	if (weight > 0) {
		socket->served = true;
		socket->away = 0;
		socket->settled = false;
	} else if (socket->away == 0) {
		socket->away = clock_now();
	}
	socket->weight = weight;
	return changed;
}

/* ---- sockets that get no new connections ---- */

/* A queue does not count if all its clients have closed, as nclust's own checks do. */
bool group_has_queue(const struct listener *l, const struct listener_socket *socket)
{
	return l->facts.listening && sockdiag_has_queue(socket->fd) &&
		sockdiag_waiting(l->key.port, NULL, 0) != 0;
}

/* How often the kernel has repeated the SYN-ACK of a handshake that began `span` ago: after 1, 3,
 * 7, 15 and 31 s.  The kernel's timers may be late by an eighth. */
static unsigned retries_since(nsec_t span)
{
	unsigned retries = 0;

	while (span >= ((2LL << retries) - 1) * SECOND * 5 / 4 && retries < 5)
		retries++;
	return retries;
}

static bool has_no_half_open(const struct listener *l, struct listener_socket *k, nsec_t span)
{
	/* with TCP_DEFER_ACCEPT no SYN-ACK is repeated */
	unsigned retries = l->address.defer_accept > 0 ? 0 : retries_since(span);
	nsec_t began = clock_now();
	/* the kernel walks over all connections of the machine */
	long count = sockdiag_half_open(k->fd, retries);
	nsec_t now = clock_now();

	k->look_at = now + (now - began) * TURN_REST;
	return count <= 0;
}

/* The socket is drained when its queue and all its handshakes are over. */
bool group_is_dry(const struct listener *l, struct listener_socket *k)
{
	nsec_t span = clock_now() - k->away;

	if (group_has_queue(l, k) || span < AWAY_LEAST)
		return false;
	if (l->facts.type == SOCK_DGRAM)
		return !sockdiag_has_queue(k->fd);
	if (!k->settled && span < HALF_OPEN_MAX && clock_now() >= k->look_at)
		k->settled = has_no_half_open(l, k, span);
	/* a handshake that ended since the first look of this function is in the queue */
	return (k->settled || span >= HALF_OPEN_MAX) && !group_has_queue(l, k);
}

/* The kernel wakes one worker for each connection (EPOLLEXCLUSIVE, accept(2)).  If that worker was
 * stopped or killed before it accepted, the next connection wakes another one.  A socket without
 * new connections has no next one, so nclust connects to it. */
static void wake_worker_at(struct listener *l, struct listener_socket *k)
{
	unsigned weights[REUSEPORT_MAX] = {0};

	weights[k->place] = 1;
	if (reuseport_share(k->fd, weights, group_size(l)) == 0)
		reuseport_wake(k->fd);
	group_apply(l);
}

void group_wake_unweighted(struct listener *l, struct listener_socket *k)
{
	nsec_t now = clock_now();

	if (!group_has_queue(l, k)) {
		k->waited = false;
		k->wakes = 0;
		return;
	}
	if (!k->waited) { /* a worker may be about to accept */
		k->waited = true;
		return;
	}
	if (k->wakes >= WAKES_MOST || (k->wakes > 0 && now < k->wake_at))
		return;
	wake_worker_at(l, k);
	k->wake_at = now + (k->wakes < 10 ? MSEC << k->wakes : SECOND);
	k->wakes++;
	k->away = now;
	k->settled = false;
}

void group_wake(struct listener *l, unsigned lane)
{
	struct listener_socket *k = group_socket(l, lane);

	if (!l->facts.listening || l->own_group || !sockdiag_has_queue(k != NULL ? k->fd : l->fd))
		return;
	if (k == NULL || group_size(l) == 1)
		reuseport_wake(l->fd);
	else
		wake_worker_at(l, k);
}
