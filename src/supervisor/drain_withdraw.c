/* SPDX-License-Identifier: MIT */
#include "base/scope.h"
#include "os/clock.h"
#include "os/reuseport.h"
#include "os/sockdiag.h"
#include "supervisor/drain_inside.h"
#include "supervisor/learned.h"
#include "supervisor/steer.h"

#include <poll.h>
#include <sys/socket.h>

/*
 * One of several workers that have the same socket is to be emptied, and the
 * others serve on: the kernel offers each new connection to all of them.  Who
 * waits by epoll(7) can be had out of this, from outside: a duplicate of its epoll
 * descriptor is the same set, and the socket is ours as well.  The worker goes on
 * with the connections that it has, and does not notice.
 *
 * Who waits in accept(2), poll(2) or select(2) cannot be helped that way.
 */

/* It may have been put back, by a server that stops accepting for a while. */
#define WITHDRAW_AGAIN (250 * MSEC)
#define WITHDRAW_SHARE 20
#define EPOLLS_MOST 64
#define HELD_MOST 16

struct held {
	int fd; /* the worker's number */
	const struct listener *listener;
};

struct search {
	struct child *child;
	int epolls[EPOLLS_MOST];
	size_t epoll_count;
	struct held held[HELD_MOST];
	size_t held_count;
};

/* Is the cluster to have no workers any more?  Then what waits in the queue is reset
 * when the socket is closed, or waits for the next ones: nobody has read it. */
static bool is_end(const struct child *child)
{
	const struct cluster *core = child->service->core;
	enum cluster_state state = cluster_state(core);

	return state == CLUSTER_STOPPING || state == CLUSTER_FAILED ||
		cluster_wanted(core) == 0;
}

/* The slot is not wanted any more, and no other worker has opened this port: what
 * comes to it is served as long as the worker lives. */
static bool is_last(const struct child *child, const struct listener *l)
{
	return l->learned &&
		child->slot >= cluster_wanted(child->service->core) &&
		!learned_is_used(l, child);
}

/* Is it that of others, too, who take what it does not? */
static bool is_common(const struct search *s, const struct listener *l)
{
	if (is_last(s->child, l) && !is_end(s->child))
		return false;
	return l->facts.type == SOCK_STREAM && l->facts.listening &&
		!l->own_group &&
		(steer_sockets(l) == 1 || steer_has_mates(s->child, l) ||
			is_end(s->child));
}

static const struct listener *find(
	const struct search *s, const struct listener_set *set, uint64_t inode)
{
	for (size_t i = 0; i < set->count; i++)
		if (is_common(s, set->list[i]) &&
			steer_has_inode(set->list[i], inode))
			return set->list[i];
	return NULL;
}

static void look_at_fd(void *context, int fd, const char *target)
{
	struct search *s = context;
	const struct service *service = s->child->service;
	uint64_t inode = remote_socket_inode(target);
	const struct listener *l;

	if (inode == 0) {
		if (s->epoll_count < EPOLLS_MOST && remote_is_epoll(target))
			s->epolls[s->epoll_count++] = fd;
		return;
	}
	l = find(s, &service->listeners, inode);
	if (l == NULL)
		l = find(s, &service->learned, inode);
	if (l != NULL && s->held_count < HELD_MOST)
		s->held[s->held_count++] = (struct held){fd, l};
}

static void withdraw_from(struct search *s, struct drain_process *p, int epoll)
{
	struct pollfd end = {.fd = p->pidfd, .events = POLLIN};
	scoped_fd set = remote_fd(&p->remote, epoll);

	/* else the number may be a stranger's, and so may the set */
	if (set == -1 || poll(&end, 1, 0) != 0)
		return;
	for (size_t i = 0; i < s->held_count; i++) {
		const struct listener *l = s->held[i].listener;
		const struct child *c = s->child;

		if (remote_epoll_remove(
			    set, steer_fd(l, c->lane), s->held[i].fd) == -1)
			continue;
		s->child->withdrawn = true;
		/* the kernel may have woken this one, and nobody else, for a
		 * connection that it will not take now */
		steer_wake_others(c->service, c->lane);
	}
}

static bool waits_for(struct search *s, struct drain_process *p, int held)
{
	for (size_t i = 0; i < s->epoll_count; i++) {
		scoped_fd set = remote_fd(&p->remote, s->epolls[i]);

		if (set != -1 &&
			remote_epoll_has(&p->remote, s->epolls[i], held))
			return true;
	}
	return false;
}

/* A listener of the worker: one of its processes, at least, waits for it so. */
struct door {
	const struct listener *listener;
	bool by_epoll;
};

static void note_door(struct door *doors, size_t *count,
	const struct listener *listener, bool by_epoll)
{
	size_t i = 0;

	while (i < *count && doors[i].listener != listener)
		i++;
	if (i == *count && i < HELD_MOST)
		doors[(*count)++] = (struct door){.listener = listener};
	if (i < HELD_MOST)
		doors[i].by_epoll |= by_epoll;
}

bool drain_can_withdraw(struct drain *d)
{
	struct door doors[HELD_MOST];
	size_t count = 0;
	size_t by_epoll = 0;

	for (size_t i = 0; i < d->process_count; i++) {
		struct drain_process *p = &d->processes[i];
		struct search s = {.child = d->child};

		if (remote_each_fd(&p->remote, CONNECTIONS_DESCRIPTORS,
			    look_at_fd, &s) == -1)
			continue;
		for (size_t k = 0; k < s.held_count; k++)
			note_door(doors, &count, s.held[k].listener,
				waits_for(&s, p, s.held[k].fd));
	}
	for (size_t i = 0; i < count; i++)
		by_epoll += doors[i].by_epoll;
	return count > 0 && by_epoll == count;
}

void drain_withdraw(struct drain *d, nsec_t now)
{
	nsec_t took;

	if (now < d->withdraw_at)
		return;
	/* until another one is there it alone can serve */
	if (cluster_ready(d->child->service->core) == 0 && !is_end(d->child))
		return;
	for (size_t i = 0; i < d->process_count; i++) {
		struct drain_process *p = &d->processes[i];
		struct search s = {.child = d->child};

		if (remote_each_fd(&p->remote, CONNECTIONS_DESCRIPTORS,
			    look_at_fd, &s) == -1 ||
			s.held_count == 0)
			continue;
		for (size_t k = 0; k < s.epoll_count; k++)
			withdraw_from(&s, p, s.epolls[k]);
	}
	took = clock_now() - now;
	d->withdraw_at = clock_now() +
		(took * WITHDRAW_SHARE > WITHDRAW_AGAIN ? took * WITHDRAW_SHARE
							: WITHDRAW_AGAIN);
}
