/* SPDX-License-Identifier: MIT */
#include "supervisor/sockets/heal.h"

#include "base/log.h"
#include "base/nsec.h"
#include "base/scope.h"
#include "base/trusted.h"
#include "os/clock.h"
#include "os/look/remote.h"
#include "os/socket/socket.h"
#include "os/socket/socket_as.h"
#include "os/socket/socket_unix.h"
#include "os/vfork.h"
#include "supervisor/common/async_close.h"
#include "supervisor/common/news.h"
#include "supervisor/common/timer.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

/* A worker may shut a listener down again and again: it listens again once in this time. */
#define HEAL_REST (2 * MSEC)
#define HEALED \
	"a worker has shut it down for all; listening again; servers that accept no more then " \
	"(gRPC) need 'balance = rr' and 'drain = quiet'"

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

/* Several services may share a listener: the first of them. */
static const struct service *service_of(const struct listener *l)
{
	for (size_t i = 0; i < l->sup->service_count; i++)
		if (listener_find(its, listeners_of(l->sup->services[i], LISTENERS_ALL), its == l))
			return l->sup->services[i];
	return NULL;
}

/* Do not watch the listener for that time; then look at it again. */
static void heal_rest(struct listener *l, nsec_t span)
{
	heal_forget(l);
	l->heal_rests = true;
	timer_arm_within(l->sup->loop, &l->sup->sockets.heal_again, span);
}

static void heal_listener(struct listener *l)
{
	const struct service *service = service_of(l);
	bool stopped = service == NULL || cluster_was_stopped(service->core);
	struct error err;
	int got;

	if (l->facts.family == AF_UNIX) {
		heal_forget(l);
		if (!stopped)             /* else it is about to be closed */
			renew_look_at(l); /* watches it again if nothing is wrong */
		return;
	}
	got = revive_socket(l, l->fd);
	for (struct listener_socket *s = l->sockets; s != NULL && got != -1; s = s->next)
		if (revive_socket(l, s->fd) == -1)
			got = -1;
	if (got != -1) {
		if (!stopped)
			heal_tell(l, HEALED);
		heal_rest(l, HEAL_REST);
		return;
	}
	error_set(
		&err, errno, "a worker has shut it down, and listening again is tried each second");
	heal_tell(l, err.text);
	heal_rest(l, SECOND); /* else EPOLLHUP would come for ever */
}

/* ---- at rest ---- */

static void on_rest_over(struct ev_loop *loop UNUSED, ev_timer *timer, int revents UNUSED)
{
	const struct supervisor *sup = timer->data;

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

/* ---- watching ---- */

void heal_init(struct supervisor *sup)
{
	timer_init(&sup->sockets.heal_again, on_rest_over, sup);
	sup->childset.hang_up = heal_listener;
}

/* Is the listener a unix socket that nclust has bound, and in use? */
static bool renew_can(const struct listener *l)
{
	return l->made && l->address.kind == ADDRESS_UNIX &&
		(l->facts.listening || l->facts.type == SOCK_DGRAM);
}

static bool can_be_healed(const struct listener *l)
{
	if (l->facts.family == AF_UNIX)
		return renew_can(l);
	return l->facts.listening && (l->facts.family == AF_INET || l->facts.family == AF_INET6);
}

void heal_watch(struct listener *l)
{
	if (l->watched || l->heal_rests || !can_be_healed(l))
		return;
	l->watched = true;
	if (l->facts.family == AF_UNIX)
		paths_watch(l->sup, l->address.path, &l->file);
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
	if (group_size(l) > 1)
		group_apply(l);
	heal_watch(l);
	l->sup->orphans.changed = true;
}

/* close(2) alone would not remove the socket from the epoll set, because workers hold it too. */
void heal_forget(struct listener *l)
{
	heal_forget_also(l, l->fd);
	for (const struct listener_socket *s = l->sockets; s != NULL; s = s->next)
		heal_forget_also(l, s->fd);
	l->watched = false;
}

void heal_watch_also(struct listener *l, int fd)
{
	/* a unix socket refuses connect(2) as soon as its receiving half is shut down */
	struct epoll_event event = {
		.events = l->facts.family == AF_UNIX ? EPOLLRDHUP : 0,
		.data.ptr = (char *)l + CHILD_FDS,
	};

	if (l->watched && epoll_ctl(l->sup->childset.set.set, EPOLL_CTL_ADD, fd, &event) == -1)
		log_syserr("listener '%s': cannot watch over it", l->address.name);
}

void heal_forget_also(const struct listener *l, int fd)
{
	if (l->watched)
		(void)epoll_ctl(l->sup->childset.set.set, EPOLL_CTL_DEL, fd, NULL);
}

/* ---- renew ---- */

/* ---- workers that have a former socket ---- */

bool renew_has_former(const struct child *child)
{
	return listener_find(l, listeners_for(child, LISTENERS_ALL),
		       l->renewed >= child->serial &&
			       (!learned_only(l) || learned_has(child, l))) != NULL;
}

static void look_soon(struct supervisor *sup)
{
	timer_arm_within(sup->loop, &sup->sockets.renewed, 0);
}

void renew_init(struct supervisor *sup,
	void (*on_renewed)(struct ev_loop *loop, ev_timer *timer, int revents))
{
	timer_init(&sup->sockets.renewed, on_renewed, sup);
	look_soon(sup); /* workers from before an upgrade may have a former socket */
}

void renew_ready(const struct child *child)
{
	if (renew_has_former(child))
		look_soon(child->service->sup);
}

/* ---- another socket ---- */

static bool is_shut(int fd)
{
	struct pollfd look = {.fd = fd, .events = POLLRDHUP};

	return poll(&look, 1, 0) == 1 && (look.revents & (POLLHUP | POLLRDHUP)) != 0;
}

static int check_way(void *path)
{
	struct error err;

	if (trusted_way(path, &err) == 0)
		return 0;
	errno = err.sys != 0 ? err.sys : EPERM;
	return -1;
}

/* A path that a worker has bound is bound with that worker's rights again.  A path that nclust has
 * bound is bound again only if no other user can replace a directory on the way to it. */
static int bind_again(struct listener *l, struct socket_file *made, struct error *err)
{
	const struct vfork_user user = {.uid = l->file.uid, .gid = l->file.gid};

	if (l->file.uid == 0 || l->file.uid == geteuid()) {
		if (vfork_call_in(-1, check_way, l->address.path) == 0)
			return listener_bind(&l->address, made, err);
		return error_set(err, errno,
			errno == EPERM ? "another user can replace a directory "
					 "on the way to '%s'"
				       : "cannot open the directory of '%s'",
			l->address.path);
	}
	return listener_bind_as(&l->address, &user, made, err);
}

static int replace_socket(struct listener *l, struct error *err)
{
	struct socket_file made = {0};
	scoped_fd fd = -1;
	ev_io watcher;
	int flags;
	int old;

	if (socket_unlink(l->address.path, &l->file) == -1)
		return error_set(err, 0, "another process holds its directory");
	fd = bind_again(l, &made, err);
	if (fd == -1)
		return -1;
	old = fcntl(l->fd, F_DUPFD_CLOEXEC, 3); /* workers have the former socket, too */
	heal_forget(l);
	/* O_NONBLOCK of the former socket, too: nclust may accept from it, and must not block */
	flags = old != -1 ? fcntl(old, F_GETFL) : -1;
	if (flags == -1 || fcntl(fd, F_SETFL, flags) == -1 || dup3(fd, l->fd, O_CLOEXEC) == -1) {
		error_set(err, errno, "cannot put another in its place");
		(void)socket_unlink(l->address.path, &made);
		async_close_now(l->sup, NULL, &old);
		return -1;
	}
	async_close_now(l->sup, NULL, &old);
	l->file = made;
	l->inode = remote_own_inode(l->fd);
	/* A watcher of this descriptor (a cluster without workers) knows its number alone.  To set
	 * any watcher tells libev that the number is another socket now. */
	io_init(&watcher, NULL, l->fd, NULL); /* it is stopped before anything is called */
	ev_io_start(l->sup->loop, &watcher);
	ev_io_stop(l->sup->loop, &watcher);
	return 0;
}

/* Workers may harm each new socket, and are replaced each time: so the pause between two new
 * sockets doubles, until none was needed for QUIET. */
#define PAUSE_FIRST (100 * MSEC)
#define PAUSE_MOST (5 * MINUTE)
#define QUIET (10 * MINUTE)

static void renew_socket(struct listener *l, const char *why)
{
	const nsec_t now = clock_now();
	struct error err = {0};

	if (l->renew_at > now) {
		heal_rest(l, l->renew_at - now);
		return;
	}
	l->renew_pause = l->renew_pause == 0 || now - l->renew_at > QUIET
		? PAUSE_FIRST
		: nsec_min(2 * l->renew_pause, PAUSE_MOST);
	l->renew_at = now + l->renew_pause;
	if (replace_socket(l, &err) == -1) {
		error_wrap(&err, "%s, and it cannot be bound again", why);
		heal_tell(l, err.text);
		heal_rest(l, l->renew_pause);
		return;
	}
	l->renewed = l->sup->births.next_serial;
	heal_watch(l);
	/* before a worker gets the socket, because a next nclust must know it */
	moment_write_down(l->sup);
	look_soon(l->sup);
	news_say(l->sup, LOG_WARN, "listener-harmed",
		"listener '%s': %s; bound again, and workers that have the "
		"former socket will be replaced",
		l->address.name, why);
}

/* ---- names of unix sockets ---- */

/* A worker may change them again and again: after so many looks in a second there are pauses. */
#define PATHS_LOOKS 20
#define PATHS_PAUSE (100 * MSEC)

static void on_paths_changed(struct ev_loop *loop, ev_io *watcher, int revents UNUSED)
{
	struct sockets *s = &((struct supervisor *)watcher->data)->sockets;
	char events[4096] uninitialized;
	ev_io_stop(loop, watcher); /* until the look is over, whatever comes */
	while (read(watcher->fd, events, sizeof(events)) == sizeof(events))
		;
	if (once_each(&s->paths_since, clock_now(), SECOND))
		s->paths_looks = 0;
	timer_arm(loop, &s->paths_look, s->paths_looks++ < PATHS_LOOKS ? 0 : PATHS_PAUSE);
}

void paths_init(
	struct supervisor *sup, void (*look)(struct ev_loop *loop, ev_timer *t, int revents))
{
	timer_init(&sup->sockets.paths_look, look, sup);
	io_init(&sup->sockets.paths_changed, on_paths_changed, -1, sup);
}

void paths_watch(struct supervisor *sup, const char *path, const struct socket_file *file)
{
	ev_io *watcher = &sup->sockets.paths_changed;

	if (*path == '@')
		return;
	sup->sockets.has_paths = true;
	if (watcher->fd == -1) {
		int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

		if (fd == -1) /* a user has a limited number of instances */
			return;
		ev_io_set(watcher, fd, EV_READ);
		ev_io_start(sup->loop, watcher);
	}
	socket_watch_names(path, file, watcher->fd);
}

/* ---- looking ---- */

/* A datagram socket that is connected hears no other client: undo that. */
static void look_at_peer(struct listener *l, int fd)
{
	if (socket_disconnect(fd) == 1)
		heal_tell(l,
			"a worker has connected it, so that it heard one "
			"client alone; that is undone");
}

static void look_at_path(struct listener *l)
{
	int got = socket_keep_name(l->address.path, &l->file);
	const int error = errno;

	if (got == 1)
		heal_tell(l, "its file was removed; it has its name again");
	if (got == -1 && error == EEXIST)
		heal_tell(l,
			"another file is in its place, and nclust leaves that "
			"alone: clients do not reach the listener");
	else if (is_shut(l->fd))
		renew_socket(l, "a worker has shut it down for all");
	else if (got == -1 && error == ENOENT)
		renew_socket(l, "its file was removed");
	else
		heal_watch(l);
}

void renew_look_at(struct listener *l)
{
	if (l->facts.type == SOCK_DGRAM && l->made) {
		look_at_peer(l, l->fd);
		for (const struct listener_socket *s = l->sockets; s != NULL; s = s->next)
			look_at_peer(l, s->fd);
	}
	if (renew_can(l))
		look_at_path(l);
}

void renew_look(struct service *service)
{
	struct listener *l;

	if (cluster_was_stopped(service->core))
		return; /* its files are removed anyway */
	for_each_listener (l, listeners_of(service, LISTENERS_IN_FORCE))
		if (!l->heal_rests)
			renew_look_at(l);
}
