/* SPDX-License-Identifier: MIT */
#include "supervisor/sockets/group.h"

#include "base/log.h"
#include "base/nsec.h"
#include "os/clock.h"
#include "os/socket/socket.h"
#include "supervisor/common/news.h"
#include "supervisor/common/timer.h"
#include "supervisor/sockets/sockets.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

void heal_tell(struct listener *l, const char *text)
{
	if (once_each(&l->healed_at, clock_now(), MINUTE))
		news_say(l->sup, LOG_WARN, "listener-harmed", "listener '%s': %s", l->address.name,
			text);
}

/* ---- listening again ---- */

/* Listen again on a socket that was shut down.  1: done; 0: it was not shut down, and listen(2)
 * would reset its queue; -1 and errno. */
static int revive_socket(struct listener *l, int fd)
{
	struct pollfd look = {.fd = fd};

	if (poll(&look, 1, 0) != 1 || (look.revents & POLLHUP) == 0)
		return 0;
	if (socket_revive(fd, l->address.backlog) == -1)
		return -1;
	group_revived(l, fd);
	return 1;
}

static int revive_sockets(struct listener *l)
{
	int got = revive_socket(l, l->fd);

	for (struct listener_socket *s = l->sockets; s != NULL && got != -1; s = s->next)
		if (revive_socket(l, s->fd) == -1)
			got = -1;
	return got;
}

/* Several services may share a listener: the first of them. */
static struct service *service_of(const struct listener *l)
{
	for (size_t i = 0; i < l->sup->service_count; i++) {
		const struct listener *next;

		for_each_listener (next, listeners_of(l->sup->services[i], LISTENERS_ALL))
			if (next == l)
				return l->sup->services[i];
	}
	return NULL;
}

static void heal_listener(struct listener *l, const struct service *service)
{
	if (l->facts.family == AF_UNIX) {
		heal_forget(l);
		if (service == NULL || cluster_was_stopped(service->core))
			return;   /* the listener is about to be closed */
		renew_look_at(l); /* watches it again if nothing is wrong */
		return;
	}
	if (revive_sockets(l) != -1) {
		heal_tell(l, "a worker has shut it down for all; listening again");
		return;
	}
	log_syserr("listener '%s': a worker has shut it down", l->address.name);
	heal_forget(l); /* else EPOLLHUP would come for ever */
}

static void heal_within_allowance(struct listener *l, nsec_t begun)
{
	struct service *service = service_of(l);
	nsec_t rest;

	heal_listener(l, service);
	rest = service != NULL ? allowance_end_any(service, begun) : 0;
	if (rest > 0 && l->heal != -1)
		heal_rest(l, rest);
}

static void on_hang_up(struct ev_loop *loop, ev_io *watcher, int revents)
{
	nsec_t begun = allowance_begin();
	struct epoll_event events[TURN_ITEMS];
	struct eventset *set = watcher->data;
	int count;

	(void)loop;
	(void)revents;
	eventset_take(set);
	count = epoll_wait(set->set, events, TURN_ITEMS, 0);
	for (int i = 0; i < count; i++) {
		heal_within_allowance(events[i].data.ptr, begun);
		begun = allowance_begin();
	}
	eventset_arm(set);
}

/* ---- at rest ---- */

static void on_rest_over(struct ev_loop *loop, ev_timer *timer, int revents)
{
	const struct supervisor *sup = timer->data;

	(void)loop;
	(void)revents;
	for (size_t i = 0; i < sup->service_count; i++) {
		struct listener *l;

		for_each_listener (l, listeners_of(sup->services[i], LISTENERS_ALL)) {
			if (!l->heal_rests)
				continue;
			l->heal_rests = false;
			heal_watch(l);
			renew_look_at(l);
		}
	}
}

void heal_rest(struct listener *l, nsec_t span)
{
	heal_forget(l);
	l->heal_rests = true;
	timer_arm_within(l->sup->loop, &l->sup->sockets.heal_again, span);
}

/* ---- watching ---- */

void heal_init(struct supervisor *sup)
{
	struct eventset *set = &sup->sockets.listening;

	timer_init(&sup->sockets.heal_again, on_rest_over, sup);
	ev_init(&sup->sockets.heal, on_hang_up);
	sup->sockets.heal.data = set;
	/* before all other events, because clients are refused until then */
	ev_set_priority(&sup->sockets.heal, EV_MAXPRI);
	if (eventset_open(set) == -1) {
		log_syserr("cannot watch over the listeners");
		return;
	}
	ev_io_set(&sup->sockets.heal, set->wake, EV_READ);
	ev_io_start(sup->loop, &sup->sockets.heal);
}

void heal_fini(struct supervisor *sup)
{
	ev_timer_stop(sup->loop, &sup->sockets.heal_again);
	renew_fini(sup);
	if (!ev_is_active(&sup->sockets.heal))
		return;
	ev_io_stop(sup->loop, &sup->sockets.heal);
	eventset_close(&sup->sockets.listening);
}

static bool can_be_healed(const struct listener *l)
{
	if (l->facts.family == AF_UNIX)
		return renew_can(l);
	return l->facts.listening && (l->facts.family == AF_INET || l->facts.family == AF_INET6);
}

void heal_watch(struct listener *l)
{
	const struct sockets *s = &l->sup->sockets;

	if (l->heal != -1 || l->heal_rests || !ev_is_active(&s->heal) || !can_be_healed(l))
		return;
	l->heal = s->listening.set;
	heal_watch_also(l, l->fd);
	/* a listener that was taken over may have several sockets */
	for (const struct listener_socket *also = l->sockets; also != NULL; also = also->next)
		if (also->fd != l->fd)
			heal_watch_also(l, also->fd);
}

void heal_listening(struct listener *l)
{
	if (l->facts.listening)
		return;
	l->facts.listening = true;
	heal_watch(l);
	l->sup->orphans.changed = true;
}

/* close(2) alone would not remove the socket from the epoll set, because workers hold it too. */
void heal_forget(struct listener *l)
{
	heal_forget_also(l, l->fd);
	for (const struct listener_socket *s = l->sockets; s != NULL; s = s->next)
		heal_forget_also(l, s->fd);
	l->heal = -1;
}

void heal_watch_also(struct listener *l, int fd)
{
	/* a unix socket refuses connect(2) as soon as its receiving half is shut down */
	struct epoll_event event = {
		.events = l->facts.family == AF_UNIX ? EPOLLRDHUP : 0,
		.data.ptr = l,
	};

	if (l->heal != -1 && epoll_ctl(l->heal, EPOLL_CTL_ADD, fd, &event) == -1)
		log_syserr("listener '%s': cannot watch over it", l->address.name);
}

void heal_forget_also(const struct listener *l, int fd)
{
	if (l->heal != -1)
		(void)epoll_ctl(l->heal, EPOLL_CTL_DEL, fd, NULL);
}
