/* SPDX-License-Identifier: MIT */
#include "supervisor/common/registry.h"

#include "base/nsec.h"
#include "base/scope.h"
#include "os/clock.h"
#include "supervisor/common/timer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

struct service *service_named(const struct supervisor *sup, const char *name)
{
	for (size_t i = 0; i < sup->service_count; i++)
		if (strcmp(sup->services[i]->name, name) == 0)
			return sup->services[i];
	return NULL;
}

/* ---- the table of pids ---- */

/* Pids are dense: their low bits spread well. */
static size_t bucket_of(pid_t pid)
{
	return (size_t)pid % PID_BUCKETS;
}

void pids_add(struct supervisor *sup, struct child *child)
{
	struct child **at = &sup->pids[bucket_of(child->pid)];

	child->next = *at;
	*at = child;
}

void pids_remove(struct supervisor *sup, struct child *child)
{
	list_remove(sup->pids[bucket_of(child->pid)], child);
}

struct child *child_by_pid(const struct supervisor *sup, pid_t pid)
{
	return list_find(c, sup->pids[bucket_of(pid)], c->pid == pid);
}

/* ---- by slot ---- */

struct child *child_find(const struct service *service, uint32_t slot, uint64_t worker)
{
	struct child *const *at;

	if (slot >= service->child_slots)
		return NULL;
	at = array_find(its, service->children[slot], 2, *its != NULL && (*its)->worker == worker);
	return at != NULL ? *at : NULL;
}

struct child_walk children_of(const struct service *service)
{
	return (struct child_walk){.sup = service->sup, .only = service};
}

struct child_walk children_of_all(const struct supervisor *sup)
{
	return (struct child_walk){.sup = sup};
}

struct child *child_next(struct child_walk *w)
{
	size_t services = w->only != NULL ? 1 : w->sup->service_count;

	for (; w->service < services; w->service++, w->at = 0) {
		const struct service *s = w->only != NULL ? w->only : w->sup->services[w->service];

		while (w->at < 2 * (size_t)s->child_slots) {
			struct child *c = s->children[w->at / 2][w->at % 2];

			w->at++;
			if (c != NULL)
				return c;
		}
	}
	return NULL;
}

struct child *child_by_serial(const struct supervisor *sup, uint64_t serial)
{
	struct child_walk walk = children_of_all(sup);
	struct child *c;

	while ((c = child_next(&walk)) != NULL && c->serial != serial)
		;
	return c;
}

bool service_is_done(const struct service *service)
{
	return service->stage.ended && service->stage.status == 0 &&
		cluster_state(service->core) == CLUSTER_STOPPED &&
		!cluster_was_stopped(service->core);
}

void child_flag(const struct child *child, uint32_t flag, bool on)
{
	struct state_entry *e = child->saved.entry;

	if (e != NULL && on)
		e->flags |= flag;
	else if (e != NULL)
		e->flags &= ~flag;
}

/* ---- log lines about a worker ---- */

void log_slot(
	const struct service *service, uint32_t slot, enum log_level level, const char *format, ...)
{
	char text[800];
	va_list args;

	if (level > log_level())
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_line(level, "%s.%" PRIu32 ": %s", service->name, slot, text);
}

/* ---- childset ---- */

static void call_listener(const struct childset *all, const struct epoll_event *event)
{
	unsigned which = (uintptr_t)event->data.ptr % _Alignof(struct child);
	void *whose = (char *)event->data.ptr - which;

	if (which == CHILD_FDS)
		all->hang_up(whose);
	else
		all->hear[which](whose);
}

/* Takes one event at a time, because what is done for it may end a worker that has others.  Stops
 * after TURN_SPAN, because to reap a worker can take up to 100 ms if much of its /proc was read, and
 * workers may send messages without end.  The kernel reports the other descriptors in the next turn,
 * before those that were heard in this one. */
static void on_wake(struct ev_loop *loop, ev_io *watcher, int revents)
{
	nsec_t until = clock_now() + TURN_SPAN;
	struct supervisor *sup = watcher->data;
	struct eventset *set = &sup->childset.set;
	struct epoll_event event;

	if (io_failed(loop, &sup->childset.again, watcher, revents))
		return;
	eventset_take(set);
	for (int i = 0; i < TURN_ITEMS && clock_now() < until; i++) {
		if (epoll_wait(set->set, &event, 1, 0) != 1)
			break;
		call_listener(&sup->childset, &event);
	}
	eventset_arm(set);
}

int childset_open(struct supervisor *sup, struct error *err)
{
	struct eventset *set = &sup->childset.set;

	if (eventset_open(set) == -1)
		return error_set(err, errno, "cannot watch workers");
	io_init(&sup->childset.wake, on_wake, set->wake, sup);
	ev_io_start(sup->loop, &sup->childset.wake);
	eventset_arm(set);
	return 0;
}

void childset_close(struct supervisor *sup)
{
	if (!ev_is_active(&sup->childset.wake) && sup->childset.again.pause == 0)
		return;
	ev_timer_stop(sup->loop, &sup->childset.again.timer);
	ev_io_stop(sup->loop, &sup->childset.wake);
	eventset_close(&sup->childset.set);
}

int childset_add(struct child *child, enum child_fd which, int fd)
{
	int set = child->service->sup->childset.set.set;
	struct epoll_event event = {
		.events = EPOLLIN | (which == CHILD_TRAP ? EPOLLONESHOT : 0U),
		.data.ptr = (char *)child + which,
	};

	if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0)
		return 0;
	return errno == EEXIST ? epoll_ctl(set, EPOLL_CTL_MOD, fd, &event) : -1;
}

void childset_remove(const struct child *child, int fd)
{
	(void)epoll_ctl(child->service->sup->childset.set.set, EPOLL_CTL_DEL, fd, NULL);
}

struct recipe *recipe_of(const struct service *service, unsigned generation)
{
	return list_find(r, service->life.recipes, r->generation == generation);
}
