/* SPDX-License-Identifier: MIT */
#include "supervisor/common/guard.h"

#include "base/log.h"
#include "base/scope.h"
#include "supervisor/common/timer.h"

#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* The wait after a removal, so that the program that removes can finish. */
#define SETTLE (200 * MSEC)
/* The wait before the next attempt, if the files cannot be made now. */
#define RETRY (10 * SECOND)

/* Watch the runtime directory, unless the same directory is watched already. */
static void watch_rundir(struct supervisor *sup)
{
	int fd = sup->guard.watcher.fd;
	char path[40];
	int watch;

	if (fd == -1)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", sup->rundir.dir);
	watch = inotify_add_watch(fd, path, IN_DELETE | IN_MOVED_FROM | IN_MOVE_SELF | IN_ONLYDIR);
	if (watch == -1)
		log_debug("the runtime directory is not watched");
	else if (sup->guard.watch != -1 && sup->guard.watch != watch)
		/* EINVAL: the kernel has dropped the watch of a removed directory */
		(void)inotify_rm_watch(fd, sup->guard.watch);
	sup->guard.watch = watch;
}

static int remake_files(struct supervisor *sup, struct error *err)
{
	if (rundir_renew(&sup->rundir, sup->settings->runtime_directory, err) == -1)
		return -1;
	if (moment_renew(sup, err) == -1)
		return -1;
	watch_rundir(sup);
	once_forget(sup->said, ONCE_NOT_REMADE);
	return 0;
}

static void on_settled(struct ev_loop *loop, ev_timer *timer, int revents UNUSED)
{
	struct supervisor *sup = timer->data;
	struct error err;

	if (remake_files(sup, &err) == 0)
		return;
	if (once_say(sup->said, ONCE_NOT_REMADE))
		log_error("the control socket has been removed and cannot be "
			  "made again: %s; the workers are not affected, and "
			  "nclust tries again",
			err.text);
	timer_arm(loop, timer, RETRY);
}

static void remake_soon(struct supervisor *sup)
{
	if (!ev_is_active(&sup->guard.timer))
		timer_arm(sup->loop, &sup->guard.timer, SETTLE);
}

static void on_removed(struct ev_loop *loop UNUSED, ev_io *watcher, int revents UNUSED)
{
	char events[4096] __attribute__((aligned(8))) uninitialized;
	ssize_t got = read(watcher->fd, events, sizeof(events));
	ssize_t at = 0;

	while (at < got) {
		const struct inotify_event *event = (const void *)(events + at);

		/* remake_files() finds out what was removed; these two nclust itself renames over
		 * others (os/place/statefile.h) */
		if (event->len == 0 ||
			(strcmp(event->name, "estate.new") != 0 &&
				strcmp(event->name, "state.new") != 0))
			remake_soon(watcher->data);
		at += (ssize_t)(sizeof(*event) + event->len);
	}
}

static void init_watchers(struct supervisor *sup)
{
	timer_init(&sup->guard.timer, on_settled, sup);
	io_init(&sup->guard.watcher, on_removed, sup->guard.watcher.fd, sup);
}

void guard_on_go_on(struct supervisor *sup)
{
	bool remake = sup->guard.timer.active != 0; /* as the upgrade has carried it */

	init_watchers(sup);
	if (sup->guard.watcher.fd == -1)
		return;
	ev_io_start(sup->loop, &sup->guard.watcher);
	if (remake)
		remake_soon(sup);
}

void guard_init(struct supervisor *sup)
{
	sup->guard.watcher.fd = sup->has_rundir ? inotify_init1(IN_CLOEXEC | IN_NONBLOCK) : -1;
	init_watchers(sup);
	sup->guard.watch = -1;
	if (sup->guard.watcher.fd == -1) {
		/* a user has a limited number of instances */
		log_debug("no inotify: a removed control socket is not noticed");
		return;
	}
	ev_io_start(sup->loop, &sup->guard.watcher);
	watch_rundir(sup);
}

void guard_on_shutdown(struct supervisor *sup)
{
	int fd = sup->guard.watcher.fd;

	ev_timer_stop(sup->loop, &sup->guard.timer);
	if (!ev_is_active(&sup->guard.watcher))
		return;
	ev_io_stop(sup->loop, &sup->guard.watcher);
	(void)close(fd);
}
