/* SPDX-License-Identifier: MIT */
#include "supervisor/drain/drain_withdraw.h"

#include "base/nsec.h"
#include "os/clock.h"
#include "supervisor/common/async_close.h"
#include "supervisor/drain/internal.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/workers/paths.h"
#include "supervisor/workers/service.h"

#include <sys/socket.h>

/*
 * The kernel offers each new connection to all workers that share the socket.  A worker that is
 * drained must get none of them.  If the worker waits by epoll(7), nclust can arrange that from
 * outside: a duplicate of the worker's epoll descriptor is the same set, and nclust has the socket
 * as well.  The worker continues to serve the connections that it has, and does not notice.
 *
 * A worker that waits in accept(2), poll(2) or select(2) has no such set.
 */

/* A server that pauses accepting for a while may add its socket again. */
#define WITHDRAW_AGAIN (250 * MSEC)

/* Is the cluster to have no workers any more?  Then nothing is lost: nobody reads its queue, which
 * is reset by the last close or kept for the next workers. */
static bool has_no_successors(const struct child *child)
{
	const struct cluster *core = child->service->core;
	enum cluster_state state = cluster_state(core);

	return state == CLUSTER_STOPPING || state == CLUSTER_FAILED || cluster_wanted(core) == 0;
}

/* Is nobody else to take its connections before it ends?  Where the old worker is to end first, they
 * wait for the one after it, from the stop signal on: a process that has not heard of that would
 * accept one more, and lose it. */
static bool may_wait(const struct child *child)
{
	return has_no_successors(child) ||
		(child_view(child).state == SLOT_STOPPING &&
			child->slot < cluster_wanted(child->service->core));
}

/* Is this the only worker that serves the address?  So it is for an address that each slot has
 * apart, and for a learned port that only this worker, in an unwanted slot, has opened. */
static bool serves_alone(const struct child *child, const struct listener *l)
{
	struct child *const *both = child->service->children[child->slot];

	if (l->address.each != NULL)
		return both[0] == NULL || both[1] == NULL;
	return l->learned && child->slot >= cluster_wanted(child->service->core) &&
		!learned_is_used(l, child);
}

/* Does another worker take new connections from the same socket? */
static bool has_peers(const struct child *child, const struct listener *l)
{
	const struct listener_socket *mine = group_socket(l, child->traffic.lane);

	return walk_find(c, child_next, children_of(child->service),
		       c != child && c->traffic.takes &&
			       group_socket(l, c->traffic.lane) == mine) != NULL;
}

/* May the worker be taken off this listener, because other workers take its connections? */
static bool may_leave_listener(const struct child *child, const struct listener *l)
{
	if (serves_alone(child, l) && !may_wait(child))
		return false;
	return l->facts.type == SOCK_STREAM && l->facts.listening && !l->own_group &&
		(group_size(l) == 1 || has_peers(child, l) || has_no_successors(child));
}

/* The common listener with this inode; *bit: a bit of its own, for the first 64. */
static const struct listener *find_listener(
	const struct child *child, uint64_t inode, uint64_t *bit)
{
	struct listener_walk walk = listeners_for(child, LISTENERS_IN_FORCE);
	const struct listener *l;

	for (*bit = 1; (l = listener_next(&walk)) != NULL; *bit <<= 1)
		if (may_leave_listener(child, l) && group_has_inode(l, inode))
			return l;
	return NULL;
}

static bool is_listener_inode(const void *child, uint64_t inode)
{
	uint64_t bit;

	return find_listener(child, inode, &bit) != NULL;
}

static int read_listener_fds(struct drain *d, struct drain_process *p, struct remote_table *has)
{
	return remote_read_table(&p->remote, CONNECTIONS_MOST + CONNECTIONS_OTHERS,
		is_listener_inode, d->child, has);
}

static void withdraw_from(
	struct child *child, struct drain_process *p, const struct remote_table *has, int epoll)
{
	int set = remote_fd(&p->remote, epoll);
	/* if the process has ended, its pid and so the set may be another process's */
	bool its = set != -1 && !pidfd_has_ended(p->pidfd);
	uint64_t bit;

	for (size_t i = 0; its && i < has->socket_count; i++) {
		const struct listener *l = find_listener(child, has->inodes[i], &bit);

		if (remote_epoll_remove(&p->remote, set, group_fd(l, child->traffic.lane),
			    has->sockets[i]) == -1)
			continue;
		child->traffic.withdrawn = true;
		/* the kernel may have woken this worker alone, which takes nothing now */
		if (cluster_ready(child->service->core) > 0)
			steer_wake_others(child->service, child->traffic.lane);
	}
	async_close(child->service->sup, child, &set);
}

static bool can_get_epoll(
	const struct child *child, struct drain_process *p, const struct remote_table *has)
{
	int set = has->epoll_count > 0 ? remote_fd(&p->remote, has->epolls[0]) : -1;
	bool had = set != -1;

	async_close(child->service->sup, child, &set);
	return had;
}

/* Does each of the worker's listeners have a process that waits for it by epoll(7)? */
bool drain_can_withdraw(struct drain *d)
{
	uint64_t held = 0;
	uint64_t by_epoll = 0;
	uint64_t bit;

	for (size_t i = 0; i < d->process_count; i++) {
		struct drain_process *p = &d->processes[i];
		struct remote_table has;

		if (read_listener_fds(d, p, &has) == -1)
			continue;
		for (size_t k = 0; k < has.socket_count; k++) {
			(void)find_listener(d->child, has.inodes[k], &bit);
			held |= bit;
			if (remote_table_waits(&p->remote, &has, has.sockets[k]) &&
				can_get_epoll(d->child, p, &has))
				by_epoll |= bit;
		}
	}
	return held != 0 && by_epoll == held;
}

void drain_withdraw(struct drain *d, nsec_t now)
{
	const struct child *child = d->child;
	nsec_t took;

	if (now < d->withdraw_at)
		return;
	/* no other worker is ready to serve */
	if (cluster_ready(d->child->service->core) == 0 && !may_wait(d->child))
		return;
	for (size_t i = 0; i < d->process_count; i++) {
		struct drain_process *p = &d->processes[i];
		struct remote_table has;

		if (read_listener_fds(d, p, &has) == -1)
			continue;
		for (size_t k = 0; k < has.epoll_count; k++)
			withdraw_from(d->child, p, &has, has.epolls[k]);
	}
	/* A worker that listens only at unix paths of its own gets no new connections when another
	 * worker has bound these paths after it. */
	if (!d->unreachable && child->listening.uses == 0 &&
		child->service->sockets.listeners.count == 0)
		d->unreachable = paths_are_others(child);
	took = (clock_now() - now) * TURN_REST;
	d->withdraw_at = clock_now() + (took > WITHDRAW_AGAIN ? took : WITHDRAW_AGAIN);
}

/* ---- who else has its sockets ---- */

/* Does a living worker have the socket of that lane? */
static bool has_living_worker(
	const struct service *service, const struct listener *l, unsigned lane)
{
	const struct listener_socket *socket = group_socket(l, lane);

	return walk_find(c, child_next, children_of(service),
		       group_socket(l, c->traffic.lane) == socket) != NULL;
}

void steer_wake_others(const struct service *service, unsigned lane)
{
	struct listener *l;

	if (cluster_state(service->core) == CLUSTER_STOPPING)
		return;
	for_each_listener (l, listeners_of(service, LISTENERS_IN_FORCE))
		if (has_living_worker(service, l, lane))
			group_wake(l, lane);
}

bool steer_is_away(const struct child *child)
{
	const struct listener *l;
	bool steered = false;

	for_each_listener (l, listeners_of(child->service, LISTENERS_IN_FORCE)) {
		if (group_size(l) == 1 || l->own_group)
			continue;
		if (group_socket(l, child->traffic.lane)->weight > 0)
			return false;
		steered = true;
	}
	return steered;
}

bool steer_may_stop(const struct child *child)
{
	const struct listener *l;

	for_each_listener (l, listeners_of(child->service, LISTENERS_ALL)) {
		struct listener_socket *mine = group_socket(l, child->traffic.lane);

		if (group_size(l) > 1 && mine->weight == 0 && !has_peers(child, l) &&
			!group_is_dry(l, mine))
			return false;
	}
	return true;
}
