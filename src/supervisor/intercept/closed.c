/* SPDX-License-Identifier: MIT */
#include "supervisor/intercept/internal.h"

#include "os/process.h"
#include "os/socket/reuseport.h"
#include "os/socket/sockdiag.h"
#include "supervisor/common/registry.h"
#include "supervisor/intercept/intercept.h"
#include "supervisor/intercept/listens.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/workers/ports.h"
#include "supervisor/workers/service.h"

#include <fcntl.h>

/* Time from one look to the next: twice as long each time.  For sockets of an address with several
 * from WAIT_TWIN to WAIT_LEAST, else from there to WAIT_MOST. */
#define WAIT_TWIN (10 * MSEC)
#define WAIT_LEAST (1 * SECOND)
#define WAIT_MOST (1 * MINUTE)

/* What a look forgets of what was closed. */
enum look {
	LOOK_AT_ONCE, /* all */
	LOOK_LATE,    /* what was closed for long enough */
	LOOK_TWINS,   /* what has twins */
};

struct search {
	const struct service *service;
	pid_t tree[PROCESS_TREE_MOST];
	size_t count;
	unsigned seen; /* descriptors */
	uint64_t held; /* bits of learned listeners of which a process has a socket */
};

static bool note_fd(void *context, int fd UNUSED, const char *target)
{
	struct search *s = context;
	const struct listener_set *set = &s->service->sockets.learned;
	uint64_t inode = remote_socket_inode(target);

	s->seen++;
	for (size_t i = 0; inode != 0 && i < set->count; i++)
		if (group_has_inode(set->list[i], inode))
			s->held |= UINT64_C(1) << set->list[i]->bit;
	return false;
}

/* False: some descriptors were not seen. */
static bool search_all(struct child *child, struct search *s)
{
	struct remote r = {0};
	bool whole = s->count < PROCESS_TREE_MOST;

	for (size_t i = 0; i < s->count && whole; i++) {
		remote_of(&r, s->tree[i]);
		whole = remote_each_fd(&r, LOOK_MAX - s->seen, note_fd, s) == 0 &&
			s->seen < LOOK_MAX;
		intercept_check_late(child, &r);
	}
	return whole;
}

/* May a process have the socket that is no descendant of the worker any more? */
static bool may_have_strayed(
	const struct child *child, const struct search *s, const struct listener *l)
{
	struct process_facts facts;
	uint64_t process = 0;

	(void)process_status(l->binder, "Tgid:", 10, &process);
	if (array_has(s->tree, s->count, (pid_t)process))
		return false;
	if (process_look(l->binder, &facts) == -1)
		return s->count > 1;
	return facts.session == child->pid ||
		child_by_pid(child->service->sup, facts.session) == NULL;
}

bool closed_has_probes(const struct child *child, const struct socket_key *but)
{
	const struct listener_set *set = &child->service->sockets.learned;

	if (!allowance_is_ample(child))
		return false;
	return array_find(l, set->list, set->count,
		       (!(*l)->facts.listening || (*l)->key.port == but->port) && !(*l)->of_node &&
			       learned_has(child, *l) && !socket_key_equal(&(*l)->key, but)) !=
		NULL;
}

/* ---- twins: several sockets of one address ---- */

/* The next such socket beside `l` whose bit is one of `among`, after `after` (NULL: the first one);
 * NULL: there is none. */
static struct listener *next_twin(const struct service *service, const struct listener *l,
	uint64_t among, const struct listener *after)
{
	const struct listener_set *set = &service->sockets.learned;
	size_t i = 0;

	while (after != NULL && set->list[i++] != after)
		;
	for (; l->has_key && i < set->count; i++)
		if (set->list[i] != l && (among >> set->list[i]->bit & 1) != 0 &&
			set->list[i]->has_key && socket_key_equal(&set->list[i]->key, &l->key))
			return set->list[i];
	return NULL;
}

/* Has the worker twins; with clients in the queue of one? */
static bool has_twins(const struct child *child, bool waited_for)
{
	const struct listener_set *set = &child->service->sockets.learned;

	return array_find(l, set->list, set->count,
		       learned_has(child, *l) &&
			       next_twin(child->service, *l, child->listening.uses, NULL) != NULL &&
			       (!waited_for || sockdiag_has_queue((*l)->fd))) != NULL;
}

/* The kernel would go on giving the socket a share of the clients.  Those that wait there go to the
 * twins that are `held`, as far as the kernel can move them. */
static void leave_twins(const struct service *service, const struct listener *l, uint64_t held)
{
	struct listener *twin = next_twin(service, l, held, NULL);
	int fd = twin != NULL ? fcntl(l->fd, F_DUPFD_CLOEXEC, 3) : -1;

	if (fd == -1)
		return;
	(void)reuseport_migrate(fd, NULL, 0);
	reuseport_leave(fd);
	for (; twin != NULL; twin = next_twin(service, l, held, twin))
		reuseport_wake(twin->fd);
}

/* ---- forgetting ---- */

/* Has it been closed for long enough?  A port that is its successor's, too, only if it was closed at
 * the look before: a worker that ends by itself closes it first, and clients then wait for the next
 * worker.  Not if it has a twin that the worker has not closed. */
static bool is_due(struct child *child, const struct listener *l, enum look look, bool has_twin)
{
	uint64_t bit = UINT64_C(1) << l->bit;
	bool due = look == LOOK_AT_ONCE || has_twin || (child->trap.closed & bit) != 0 ||
		(ports_bit(child->service, l) & child->listening.lasting) == 0;

	if (look == LOOK_TWINS)
		return has_twin;
	child->trap.closed = due ? child->trap.closed & ~bit : child->trap.closed | bit;
	return due;
}

static void forget(struct child *child, const struct socket_key *but, enum look look)
{
	struct service *service = child->service;
	enum slot_state state = child_view(child).state;
	struct search s = {.service = service};
	nsec_t begun = allowance_begin();
	bool whole;

	if (child->listening.uses == 0 || !allowance_is_ample(child) ||
		/* one that ends closes all its ports, and they stay its successor's */
		(look != LOOK_AT_ONCE && state != SLOT_STARTING && state != SLOT_READY))
		return;
	s.count = process_tree(child->pid, s.tree, PROCESS_TREE_MOST);
	whole = search_all(child, &s);
	child->trap.closed &= ~s.held;
	for (size_t i = service->sockets.learned.count; whole && i-- > 0;) {
		struct listener *l = service->sockets.learned.list[i];
		bool has_twin = next_twin(service, l, s.held, NULL) != NULL;

		if (!learned_has(child, l) || l->of_node || (s.held >> l->bit & 1) != 0 ||
			(but != NULL && socket_key_equal(&l->key, but)) ||
			(l->facts.listening && may_have_strayed(child, &s, l)) ||
			!is_due(child, l, look, has_twin))
			continue;
		if (!has_twin)
			ports_forget(child, l);
		if (!learned_unuse(child, l))
			continue;
		if (l->facts.listening && learned_only(l)) {
			leave_twins(service, l, s.held);
			learned_close(service, l, child);
		} else {
			learned_drop(service, l);
		}
	}
	intercept_charge(child, begun);
}

void closed_forget(struct child *child, const struct socket_key *but)
{
	forget(child, but, LOOK_AT_ONCE);
}

/* Looks again if the worker has a late port, or several: one alone stays open as long as it lives. */
static void look_again_after(struct child *child, nsec_t wait)
{
	const struct listening *l = &child->listening;

	if ((l->ports & ~l->lasting) == 0 && (l->listens & (l->listens - 1)) == 0)
		return;
	child->trap.late_wait = wait;
	intercept_look_after(child, &child->trap.late_by, wait);
}

static void look_at_twins_after(struct child *child, nsec_t wait)
{
	if (!has_twins(child, false))
		return;
	child->trap.twins_wait = wait;
	intercept_look_after(child, &child->trap.twins_by, wait);
}

void closed_await(struct child *child)
{
	look_again_after(child, WAIT_LEAST);
	look_at_twins_after(child, WAIT_TWIN);
}

void closed_look(struct child *child)
{
	struct trapped *t = &child->trap;

	if (intercept_is_due(child, t->twins_by)) {
		if (t->twins_wait < WAIT_LEAST || has_twins(child, true))
			forget(child, NULL, LOOK_TWINS);
		t->twins_by = 0;
		look_at_twins_after(child, nsec_min(2 * t->twins_wait, WAIT_LEAST));
	}
	if (intercept_is_due(child, t->late_by)) {
		forget(child, NULL, LOOK_LATE);
		t->late_by = 0;
		look_again_after(child, nsec_min(2 * t->late_wait, WAIT_MOST));
	}
}
