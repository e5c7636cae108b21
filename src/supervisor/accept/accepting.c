/* SPDX-License-Identifier: MIT */
#include "supervisor/accept/accepting.h"

#include "base/error.h"
#include "base/log.h"
#include "base/nsec.h"
#include "base/scope.h"
#include "os/clock.h"
#include "os/socket/socket.h"
#include "supervisor/accept/visits.h"
#include "supervisor/common/async_close.h"
#include "supervisor/common/news.h"
#include "supervisor/common/timer.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* If there was no descriptor or process left, nclust accepts again after this time, or when a
 * process of the cluster has ended. */
#define PAUSE (100 * MSEC)
#define TOLD (10 * SECOND)
#define CRASH_TOLD (1 * SECOND)
/* Refused connections stay open until none was refused for this time; the oldest of many do not. */
#define LEAVE (500 * MSEC)

/* ---- trouble ---- */

bool accepting_may_tell(struct accepting *a, enum accepting_trouble which)
{
	nsec_t again = which == TROUBLE_CRASH ? CRASH_TOLD : TOLD;

	return once_each(&a->said_at[which], clock_now(), again);
}

static void accepting_arm(struct accepting *a, nsec_t at)
{
	if (at != 0)
		timer_arm_within(a->service->sup->loop, &a->due, at - clock_now());
}

static void pause_acceptor(struct accepting *a, const char *why)
{
	if (accepting_may_tell(a, TROUBLE_LACK))
		log_warn("%s: no more connections for the moment: %s", a->service->name, why);
	if (a->paused_until != 0)
		return;
	a->paused_until = clock_now() + PAUSE;
	accepting_arm(a, a->paused_until);
}

/* ---- refused connections ---- */

/* Closes a connection that will not be served.  Unread data would turn the close into a reset, so
 * it is read first: the client reads an end of file. */
static void close_unserved(struct accepting *a, int fd)
{
	struct supervisor *sup = a->service->sup;
	struct fdpass_message m;
	char unread[4096];

	(void)shutdown(fd, SHUT_WR);
	for (int i = 0; i < 16; i++)
		if (async_close_read(sup, NULL, fd, unread, sizeof(unread), FDPASS_NOTHING, &m) <=
			0)
			break;
	async_close(sup, NULL, &fd);
}

static void close_refused(struct accepting *a)
{
	while (a->leaving_count > 0)
		close_unserved(a, a->leaving[--a->leaving_count]);
	a->leave_at = 0;
}

static void refuse_connection(struct accepting *a, int fd)
{
	(void)shutdown(fd, SHUT_WR);
	if (a->leaving_count == LEAVING_MAX) {
		close_unserved(a, a->leaving[0]);
		a->leaving_count--;
		memmove(&a->leaving[0], &a->leaving[1], a->leaving_count * sizeof(a->leaving[0]));
	}
	a->leaving[a->leaving_count++] = fd;
	a->leave_at = clock_now() + LEAVE;
	accepting_arm(a, a->leave_at);
}

/* ---- a connection ---- */

/* Starts the command for a connection.  False: it cannot start now, and the descriptor is still the
 * caller's. */
static bool start_command(struct accepting *a, int fd, const struct peer *peer, size_t index,
	uint32_t slot, unsigned same)
{
	const struct listener *l = index < a->listeners.count ? a->listeners.list[index] : NULL;
	struct service *s = a->service;
	struct worker_place place = {
		.slot = slot,
		.workers = a->limit,
		.input = -1,
		.output = {-1, -1},
		.ready = -1,
		.channel = -1,
		.leader = -1,
		.connection = fd,
		.peer = peer,
		.path = l != NULL && l->facts.family == AF_UNIX ? l->address.path : NULL,
		.same = same,
	};
	struct ending ending = {.kind = ENDING_NONE};
	const struct child *child = child_serve(s, &place, &ending);

	if (child == NULL) {
		if ((ending.permanent || ending.step == -1) &&
			accepting_may_tell(a, TROUBLE_COMMAND))
			news_say_of(s, LOG_ERROR, "not-started", "%s", news_expected(s->sup));
		/* a failure before the process began may be temporary */
		if (!ending.permanent && (ending.step == -1 || error_is_transient(ending.code))) {
			pause_acceptor(a,
				ending.code > 0 ? strerror(ending.code)
						: "its start cannot be prepared");
			return false;
		}
		a->not_started++;
		refuse_connection(a, fd);
		return true;
	}
	/* its process may have ended by now, and have set SO_LINGER */
	async_close(s->sup, child, &fd);
	visit_begin(a, child, peer);
	return true;
}

/* Starts or refuses a connection, or keeps it pending until it can start. */
static void serve_connection(struct accepting *a, int fd, const struct peer *peer, size_t index)
{
	unsigned most = cluster_settings(a->service->core)->accept_per_address;
	unsigned same = most > 0 ? visit_count(a, peer) + 1 : 0;
	uint32_t slot = visit_slot(a);

	if (most > 0 && same > most) {
		a->refused++;
		refuse_connection(a, fd);
		return;
	}
	if (slot != SLOT_ALL && start_command(a, fd, peer, index, slot, same))
		return;
	a->pending = fd;
	a->pending_peer = *peer;
	a->pending_index = index;
}

/* ---- accepting ---- */

static bool has_room(const struct accepting *a)
{
	return a->open && a->pending == -1 && a->paused_until == 0 && visit_slot(a) != SLOT_ALL;
}

/* Accepts from the queue.  False: nothing waits, or nclust cannot take it now. */
static bool accept_one(struct accepting *a, size_t index)
{
	struct peer peer;
	int fd = peer_accept(a->listeners.list[index]->fd, &peer);

	if (fd != -1) {
		serve_connection(a, fd, &peer, index);
		return true;
	}
	switch (errno) {
	case EAGAIN:
		return false;
	case ECONNABORTED:
	case EINTR:
	case EPROTO:
		return true;
	default: /* accept(2) would fail again immediately */
		pause_acceptor(a, strerror(errno));
		return false;
	}
}

/* A connection of each listener in turn, so that a busy one does not starve the others. */
static void accept_some(struct accepting *a)
{
	nsec_t until = clock_now() + TURN_SPAN;

	for (size_t idle = 0; idle < a->listeners.count && has_room(a) && clock_now() <= until;) {
		size_t index = a->next % a->listeners.count;

		a->next = index + 1;
		idle = accept_one(a, index) ? 0 : idle + 1;
	}
}

static void watch_listeners(struct accepting *a, bool on)
{
	struct ev_loop *loop = a->service->sup->loop;

	a->unwatched = !on;
	for (size_t i = 0; i < a->listeners.count; i++) {
		if (on)
			ev_io_start(loop, &a->acceptors[i]);
		else
			ev_io_stop(loop, &a->acceptors[i]);
	}
}

static void on_acceptor(struct ev_loop *loop UNUSED, ev_io *watcher, int revents UNUSED)
{
	struct accepting *a = watcher->data;

	accept_some(a);
	if (!has_room(a))
		watch_listeners(a, false);
}

static void retry_pending(struct accepting *a)
{
	struct peer peer = a->pending_peer;
	int fd = a->pending;
	int lower;

	if (fd == -1 || a->paused_until != 0)
		return;
	a->pending = -1;
	/* other files had the low numbers, on which the start insists */
	lower = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (lower != -1) {
		(void)close(lower < fd ? fd : lower);
		fd = lower < fd ? lower : fd;
	}
	serve_connection(a, fd, &peer, a->pending_index);
}

/* A slot has become free.  Most likely a connection waits for it, so nclust accepts first, and
 * watches the listeners only if there is still room. */
void accepting_look(struct accepting *a)
{
	if (!a->open || !a->unwatched)
		return;
	a->paused_until = 0;
	retry_pending(a);
	accept_some(a);
	if (has_room(a))
		watch_listeners(a, true);
}

static void on_due(struct ev_loop *loop UNUSED, ev_timer *timer, int revents UNUSED)
{
	struct accepting *a = timer->data;
	nsec_t now = clock_now();

	if (a->leave_at <= now)
		close_refused(a);
	accepting_arm(a, a->leave_at);
	if (a->paused_until > now) {
		accepting_arm(a, a->paused_until);
	} else if (a->paused_until != 0) {
		a->paused_until = 0;
		accepting_look(a);
	}
}

/* ---- opening and closing ---- */

static void release_listeners(struct accepting *a)
{
	if (a->listeners.count > 0)
		watch_listeners(a, false);
	listeners_release(&a->listeners);
	free(a->acceptors);
	a->acceptors = NULL;
	a->unwatched = true;
}

static int follow_listeners(struct accepting *a)
{
	struct listener_set set;
	ev_io *acceptors = calloc(a->service->sockets.listeners.count + 1, sizeof(*acceptors));

	if (acceptors == NULL || listeners_share(&set, &a->service->sockets.listeners) == -1) {
		free(acceptors);
		return -1;
	}
	release_listeners(a);
	a->listeners = set;
	a->acceptors = acceptors;
	for (size_t i = 0; i < set.count; i++) {
		io_init(&acceptors[i], on_acceptor, set.list[i]->fd, a);
		if (socket_set_nonblock(set.list[i]->fd, true) == -1)
			return -1;
	}
	return 0;
}

static void open_listeners(struct accepting *a)
{
	if (follow_listeners(a) == -1) {
		log_syserr("%s: cannot accept", a->service->name);
		return;
	}
	a->open = true;
	accepting_look(a);
}

void accept_on_reloaded(struct service *service)
{
	struct accepting *a = service->accepting;

	if (a != NULL && a->open && service->stage.live)
		open_listeners(a);
}

void accept_on_report(struct service *service, const struct report *r)
{
	struct accepting *a = service->accepting;

	if (a == NULL)
		return;
	if (r->worker != 0) {
		visit_report(a, r);
	} else if (r->kind == REPORT_ALL_READY) {
		open_listeners(a);
		news_say_of(service, LOG_NOTE, "all-ready",
			"accepting, at most %u connection%s at once", a->limit,
			a->limit == 1 ? "" : "s");
	} else if (r->kind == REPORT_ROLLOUT_DONE && a->open) {
		open_listeners(a);
	} else if (r->kind == REPORT_SCALED) {
		a->limit = r->count;
		(void)visits_reserve(a); /* without memory fewer are served at once */
		accepting_look(a);
	} else if (r->kind == REPORT_STATE && r->state >= CLUSTER_STOPPING) {
		if (a->open && a->listeners.count > 0)
			watch_listeners(a, false);
		a->open = false;
		a->paused_until = 0;
		if (a->pending != -1)
			close_unserved(a, fd_release(&a->pending));
	}
}

/* ---- life ---- */

static void init_accepting(struct accepting *a, struct service *service)
{
	a->service = service;
	a->pending = -1;
	a->unwatched = true;
	timer_init(&a->due, on_due, a);
	service->accepting = a;
}

int accept_on_begin(struct service *service)
{
	const struct cluster_settings *settings = cluster_settings(service->core);
	struct accepting *a = settings->accept ? calloc(1, sizeof(*a)) : NULL;

	if (a == NULL)
		return settings->accept ? -1 : 0;
	init_accepting(a, service);
	a->limit = service_wanted(service->sup, settings);
	return visits_reserve(a);
}

void accepting_close(struct service *service)
{
	struct accepting *a = service->accepting;

	if (a == NULL)
		return;
	release_listeners(a);
	ev_timer_stop(service->sup->loop, &a->due);
	a->paused_until = 0;
	close_refused(a);
	async_close(service->sup, NULL, &a->pending);
}

/* The core has forgotten one that outlived SIGKILL, and does not report its end. */
void accept_on_gone(struct child *child)
{
	struct accepting *a = child->service->accepting;

	if (a == NULL || child->pid == 0 || child_view(child).state != SLOT_EMPTY)
		return;
	a->paused_until = clock_now();
	accepting_arm(a, a->paused_until);
}

void accept_on_drop(struct service *service)
{
	accepting_close(service);
	if (service->accepting != NULL)
		free(service->accepting->visits);
	free(service->accepting);
	service->accepting = NULL;
}

void *accepting_carried(struct carry_reader *r UNUSED, void *owner)
{
	struct service *service = owner;
	struct accepting *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	init_accepting(a, service);
	if (visits_reserve(a) == 0 && service->core != NULL &&
		cluster_reserve(service->core, service->child_slots) == 0)
		return a;
	return NULL; /* `a` is the service's by now */
}

void accept_on_go_on(struct supervisor *sup)
{
	for (size_t i = 0; i < sup->service_count; i++) {
		struct accepting *a = sup->services[i]->accepting;

		if (a == NULL)
			continue;
		timer_arm(sup->loop, &a->due, 0);
		if (a->open)
			open_listeners(a);
	}
}
