/* SPDX-License-Identifier: MIT */
#include "supervisor/common/registry.h"
#include "base/nsec.h"

#include "supervisor/common/timer.h"

#include <errno.h>
#include <sys/epoll.h>

static void hear(const struct childset *all, const struct epoll_event *event)
{
	unsigned which = (uintptr_t)event->data.ptr % _Alignof(struct child);
	struct child *child = (void *)((char *)event->data.ptr - which);

	/* The worker may have ended in this turn, and its struct may be free. */
	if (child->service != NULL)
		all->hear[which](child);
}

static void on_wake(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct epoll_event events[TURN_ITEMS];
	struct supervisor *sup = watcher->data;
	struct eventset *set = &sup->childset.set;
	int count;

	if (io_failed(loop, &sup->childset.again, watcher, revents))
		return;
	eventset_take(set);
	count = epoll_wait(set->set, events, TURN_ITEMS, 0);
	for (int i = 0; i < count; i++)
		hear(&sup->childset, &events[i]);
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
