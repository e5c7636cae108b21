/* SPDX-License-Identifier: MIT */
#include "supervisor/listens.h"

#include "base/scope.h"
#include "os/clock.h"
#include "os/remote.h"
#include "supervisor/bequest.h"
#include "supervisor/child.h"
#include "supervisor/heal.h"
#include "supervisor/intercept.h"
#include "supervisor/learned.h"
#include "supervisor/putover.h"
#include "supervisor/service.h"
#include "supervisor/steer.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* Between two listens of one server. */
#define LISTEN_PATIENCE (1 * SECOND)
/* Between two looks at one that has not called it, doubled up to that. */
#define LOOK_WAIT (50 * MSEC)
/* Looks at a worker that does not listen; it is late by then in any case. */
#define LOOKS_MAX 100
#define ITEMS_MAX 64

/* ---- readiness ---- */

static void tell_listening(struct child *child)
{
	struct event event = {
		.kind = EVENT_LISTENING,
		.slot = child->slot,
		.worker = child->worker,
	};

	child->listening_by = 0;
	child->listening_told = true;
	bequest_child(child);
	service_tell(child->service, &event);
}

/* Does it still lack one that another worker listens on? */
static bool lacks_one(const struct child *child)
{
	const struct listener_set *set = &child->service->learned;

	for (size_t i = 0; i < set->count; i++)
		if (set->list[i]->facts.listening &&
			(child->listens >> set->list[i]->bit & 1) == 0 &&
			learned_is_used(set->list[i], child))
			return true;
	return false;
}

/* ---- served without a listen ---- */

struct waiter {
	const struct service *service;
	struct remote remote;
	int listeners[LEARNED_MAX];
	unsigned count;
	int epolls[EPOLLS_MAX];
	unsigned epoll_count;
};

static void note_fd(void *context, int fd, const char *target)
{
	struct waiter *w = context;
	uint64_t inode = remote_socket_inode(target);
	const struct listener *l;

	if (inode == 0) {
		if (w->epoll_count < EPOLLS_MAX && remote_is_epoll(target))
			w->epolls[w->epoll_count++] = fd;
		return;
	}
	l = learned_by_inode(w->service, inode);
	if (l != NULL && l->facts.listening && w->count < LEARNED_MAX)
		w->listeners[w->count++] = fd;
}

static bool waits_by(struct waiter *w, int epoll)
{
	struct remote_epoll_item items[ITEMS_MAX];
	size_t n = remote_epoll_items(&w->remote, epoll, items, ITEMS_MAX);

	for (size_t i = 0; i < n; i++)
		for (unsigned k = 0; k < w->count; k++)
			if (items[i].fd == w->listeners[k])
				return true;
	return false;
}

static bool process_waits(struct child *child, pid_t tid)
{
	struct waiter w = {.service = child->service};
	bool waits = false;
	int accepts;

	remote_of(&w.remote, tid);
	accepts = remote_accepts(&w.remote);
	(void)remote_each_fd(&w.remote, LOOK_MAX, note_fd, &w);
	for (unsigned i = 0; i < w.count; i++)
		waits |= w.listeners[i] == accepts;
	for (unsigned i = 0; !waits && i < w.epoll_count; i++)
		waits = waits_by(&w, w.epolls[i]);
	intercept_judge(child, &w.remote);
	return waits;
}

/* A number that means somebody else by now has none of our sockets. */
static bool waits_for_connections(struct child *child)
{
	return process_waits(child, child->bound_by) ||
		(child->pid != child->bound_by &&
			process_waits(child, child->pid));
}

/* The timer is for the earliest. */
static void arm(struct child *child)
{
	struct supervisor *sup = child->service->sup;
	ev_timer *timer = &sup->intercept.ready;
	double wait = nsec_seconds(child->listening_by - clock_now());

	if (ev_is_active(timer) && ev_timer_remaining(sup->loop, timer) <= wait)
		return;
	ev_timer_stop(sup->loop, timer);
	ev_now_update(sup->loop);
	ev_timer_set(timer, wait > 0. ? wait : 0., 0.);
	ev_timer_start(sup->loop, timer);
}

static nsec_t look_wait(unsigned looks)
{
	return looks < 5 ? LOOK_WAIT << looks : LISTEN_PATIENCE;
}

static void look_if_ready(struct child *child, int argument)
{
	nsec_t now = clock_now();

	(void)argument;
	if (child->listening_by == 0)
		return;
	if (child->listening_by <= now) {
		if (child->listens != 0 || waits_for_connections(child)) {
			tell_listening(child);
			return;
		}
		if (child->looks++ >= LOOKS_MAX) {
			child->listening_by = 0;
			return;
		}
		child->listening_by = nsec_add(now, look_wait(child->looks));
	}
	arm(child);
}

static void on_ready(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	children_each(timer->data, NULL, look_if_ready, 0);
}

/* Would its listening make it ready? */
static bool is_asked(const struct child *child)
{
	enum ready_mode mode = cluster_settings(child->service->core)->ready;

	return mode == READY_AUTO || mode == READY_LISTEN;
}

void listens_bound(struct child *child, pid_t thread)
{
	child->bound_by = thread;
	if (child->listening_by != 0 || child->listening_told ||
		!is_asked(child))
		return;
	child->listening_by = nsec_add(clock_now(), look_wait(0));
	arm(child);
}

static void note_listening(struct child *child, struct listener *l)
{
	bool first = child->listens == 0;

	if (l->learned)
		child->listens |= UINT64_C(1) << l->bit;
	bequest_child(child);
	if (!lacks_one(child)) {
		tell_listening(child);
	} else if (first && !child->listening_told) {
		child->listening_by = nsec_add(clock_now(), LISTEN_PATIENCE);
		arm(child);
	}
}

void listens_told(struct child *child, struct listener *l)
{
	if (l != NULL)
		note_listening(child, l);
	else
		tell_listening(child);
}

/* ---- the call ---- */

/* What each worker would have had by itself, all together; the kernel takes
 * no more than net.core.somaxconn. */
static int backlog_for(
	const struct child *child, const struct listener *l, int asked)
{
	unsigned workers = cluster_wanted(child->service->core);

	if (!learned_only(l))
		return l->address.backlog;
	if (asked < 0 || workers == 0)
		return asked < 0 ? INT_MAX : asked;
	return asked <= INT_MAX / (int)workers ? asked * (int)workers : INT_MAX;
}

/* A socket that is none of ours: of a unix path, it is what a server does that
 * begins to serve. */
static bool is_unix(struct remote *r, int fd)
{
	char protocol[32];

	return remote_protocol(r, fd, protocol, sizeof(protocol)) == 0 &&
		strncmp(protocol, "UNIX", 4) == 0;
}

/* It is for the kernel to do. */
static void leave(struct child *child, const struct seccomp_notice *notice,
	struct remote *r)
{
	int trap = child->trap_watcher.fd;
	bool serves = is_unix(r, notice->fd) && seccomp_waits(trap, notice->id);

	seccomp_continue(trap, notice->id);
	intercept_judge(child, r);
	if (serves)
		tell_listening(child);
}

void listens_call(struct child *child, const struct seccomp_notice *notice)
{
	int trap = child->trap_watcher.fd;
	struct remote r;
	struct listener *l;
	int backlog;

	remote_of(&r, notice->tid);
	l = learned_by_inode(child->service, remote_inode(&r, notice->fd));
	if (l == NULL || !seccomp_waits(trap, notice->id)) {
		leave(child, notice, &r);
		return;
	}
	/* by ourselves: it listens before anybody is told that it does */
	backlog = backlog_for(child, l, notice->backlog);
	steer_set_backlog(l, backlog);
	if (socket_backlog(l->fd, backlog) == -1) {
		int error = errno;

		seccomp_answer(trap, notice->id, error);
		return;
	}
	if (!l->facts.listening) {
		l->facts.listening = true;
		if (l->heal == -1)
			heal_watch(child->service->sup, l);
		bequest_due(child->service->sup);
	}
	l->address.backlog = backlog; /* to heal it by */
	learned_use(child, l, notice->tid);
	seccomp_answer(trap, notice->id, 0);
	note_listening(child, l);
}

/* ---- life ---- */

void listens_resume(struct child *child)
{
	if (child->listening_by != 0)
		arm(child);
}

void listens_init(struct supervisor *sup)
{
	ev_init(&sup->intercept.ready, on_ready);
	sup->intercept.ready.data = sup;
}

void listens_fini(struct supervisor *sup)
{
	ev_timer_stop(sup->loop, &sup->intercept.ready);
}
