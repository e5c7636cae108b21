/* SPDX-License-Identifier: MIT */
#include "supervisor/common/async_close.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/clock.h"
#include "os/privilege.h"
#include "os/vfork.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long a child may hang before the worker is killed. */
#define PATIENCE (5 * SECOND)
/* How long a child may sleep for what is to be closed now.  Longer only because of a worker that
 * means it, or of SO_LINGER, whose wait SIGKILL ends. */
#define PROMPTLY (100 * MSEC)
/* The same for all that waits for the end of a turn, */
#define MOMENT (1 * MSEC)
/* and when the next child goes on. */
#define LOOK (10 * MSEC)
/* How long nclust waits before an upgrade and at its end, until everything is closed. */
#define SETTLE_MOST (2 * SECOND)
/* A worker is killed if more of its descriptors wait to be closed. */
#define WAITING_MOST 512

struct async_close {
	int fd;
	uid_t cluster;  /* cluster_of() */
	uint64_t owner; /* the worker's serial, or 0 */
};

/* In place of a uid: a worker's cluster, or clients, with bits that no uid has set. */
static uid_t cluster_of(const struct child *by)
{
	return 0xC0000000U | (by != NULL ? by->service->saved.number : 0);
}

static uint64_t owner_of(const struct child *by)
{
	return by != NULL ? by->serial : 0;
}

/* Can a process with fewer rights than nclust pass descriptors to it? */
static bool has_weaker_users(const struct supervisor *sup)
{
	return (sup->settings->control_gid >= 0 || privilege_has(CAP_SETUID)) && vfork_is_shared();
}

static void kill_owner(struct supervisor *sup, uint64_t owner, const char *why)
{
	const struct child *by = owner != 0 ? child_by_serial(sup, owner) : NULL;

	if (by == NULL || sup->closer.killed == owner)
		return;
	sup->closer.killed = owner;
	log_worker(by, LOG_WARN, "killing worker %d: it has given nclust %s", (int)by->pid, why);
	(void)pidfd_signal(by->pidfd, SIGKILL);
}

static void kill_endless(struct supervisor *sup, uint64_t owner)
{
	kill_owner(sup, owner, "a descriptor that cannot be closed (does its file server answer?)");
}

static void look_within(struct supervisor *sup, nsec_t wait)
{
	if (sup->loop != NULL)
		timer_arm_within(sup->loop, &sup->closer.look, wait);
}

/* If the last child hangs, the worker is killed in a while; if too many do, at once. */
static void blame(struct supervisor *sup, uid_t cluster, uint64_t owner)
{
	if (!vfork_blame(cluster, owner))
		return;
	look_within(sup, PATIENCE);
	if (vfork_patience(cluster) == 0)
		kill_endless(sup, owner);
}

/* ---- closing ---- */

struct closing {
	int null_fd;
	const struct async_close *list;
	size_t count;
	volatile size_t done;
};

/*
 * Runs in the child, which shares nclust's memory and descriptor table.  dup3(2) puts /dev/null at
 * the descriptor's number, and closes what was there; nclust closes the number later.  If the child
 * is killed in that wait, the next one finds /dev/null there.
 */
static int close_in_child(void *argument)
{
	struct closing *c = argument;

	for (; c->done < c->count; c->done++)
		(void)dup3(c->null_fd, c->list[c->done].fd, O_CLOEXEC);
	return 0;
}

/* How many of the list are closed now, until one took too long. */
static size_t close_list(
	struct supervisor *sup, struct async_close *list, size_t count, nsec_t patience)
{
	struct closing it = {.null_fd = sup->null_fd, .list = list, .count = count};
	const struct vfork_call call = {close_in_child, &it, NULL, VFORK_SHARES, -1, true};

	(void)vfork_run_call(&call, patience);
	for (size_t i = 0; i < it.done; i++)
		fd_close(&list[i].fd);
	if (it.done < count)
		blame(sup, list[it.done].cluster, list[it.done].owner);
	return it.done;
}

static void close_waiting(struct supervisor *sup, nsec_t patience)
{
	struct closer *c = &sup->closer;
	size_t done;

	if (c->count == 0)
		return;
	done = close_list(sup, c->list, c->count, patience);
	c->count -= done;
	memmove(c->list, c->list + done, c->count * sizeof(*c->list));
	if (c->count > 0)
		look_within(sup, LOOK);
}

static void on_look(struct ev_loop *loop UNUSED, ev_timer *timer, int revents UNUSED)
{
	struct supervisor *sup = timer->data;
	uint64_t owner;

	close_waiting(sup, MOMENT);
	while ((owner = vfork_overdue(PATIENCE)) != 0)
		kill_endless(sup, owner);
	if (vfork_stuck() > 0)
		look_within(sup, PATIENCE);
}

bool async_close_is_settled(const struct supervisor *sup)
{
	return sup->closer.count == 0;
}

void async_close_settle(struct supervisor *sup)
{
	nsec_t until = clock_now() + SETTLE_MOST;

	do {
		close_waiting(sup, PROMPTLY);
	} while (!async_close_is_settled(sup) && vfork_left() && clock_now() < until);
}

/* ---- receiving ---- */

/* While 8 children hang because of a cluster, its workers' descriptors are not received. */
static enum fdpass_take what_to_take(const struct child *by, enum fdpass_take take)
{
	return vfork_patience(cluster_of(by)) > 0 ? take : FDPASS_LEAVE;
}

/* Keeps errno, which is that of the receiving. */
static void note_received(struct supervisor *sup, const struct child *by,
	const struct fdpass_message *m, enum fdpass_take take)
{
	int error = errno;

	if (m->lost && take == FDPASS_LEAVE)
		kill_endless(sup, owner_of(by));
	else if (m->lost)
		blame(sup, cluster_of(by), owner_of(by));
	errno = error;
}

int async_close_receive(struct supervisor *sup, const struct child *by, int fd, void *data,
	size_t size, struct fdpass_message *m)
{
	enum fdpass_take take;
	int got;

	if (!has_weaker_users(sup))
		return fdpass_receive(fd, data, size, m);
	take = what_to_take(by, FDPASS_NOTHING);
	got = fdpass_receive_apart(fd, data, size, take, m);
	note_received(sup, by, m, take);
	return got;
}

ssize_t async_close_read(struct supervisor *sup, const struct child *by, int fd, void *data,
	size_t size, enum fdpass_take take, struct fdpass_message *m)
{
	ssize_t got;

	if (!has_weaker_users(sup))
		return fdpass_read(fd, data, size, m);
	take = what_to_take(by, take);
	got = fdpass_read_apart(fd, data, size, take, m);
	note_received(sup, by, m, take);
	return got;
}

/* ---- descriptors to be closed ---- */

static int grow_list(struct closer *c)
{
	size_t room = c->room > 0 ? 2 * c->room : 64;
	struct async_close *list;

	if (c->count < c->room)
		return 0;
	list = realloc(c->list, room * sizeof(*list));
	if (list == NULL)
		return -1;
	c->list = list;
	c->room = room;
	return 0;
}

static void bound_waiting(struct supervisor *sup, uint64_t owner)
{
	const struct closer *c = &sup->closer;
	size_t n = 0;

	for (size_t i = 0; i < c->count; i++)
		n += c->list[i].owner == owner;
	/* `c->count` has those of other workers, too */
	if (n > WAITING_MOST)
		kill_owner(sup, owner, "more descriptors than can be closed in time");
}

void async_close_now(struct supervisor *sup, const struct child *by, int *fd)
{
	struct async_close it = {*fd, cluster_of(by), owner_of(by)};

	if (*fd == -1 || !has_weaker_users(sup)) {
		fd_close(fd);
	} else if (close_list(sup, &it, 1, PROMPTLY) == 1) {
		*fd = -1;
	} else {
		if (vfork_left())
			kill_endless(sup, it.owner);
		async_close(sup, by, fd);
	}
}

void async_close(struct supervisor *sup, const struct child *by, int *fd)
{
	struct closer *c = &sup->closer;

	if (*fd == -1)
		return;
	if (!has_weaker_users(sup) || grow_list(c) == -1) {
		fd_close(fd);
		return;
	}
	c->list[c->count++] = (struct async_close){fd_release(fd), cluster_of(by), owner_of(by)};
	look_within(sup, c->count == 1 ? 0 : LOOK);
	if (c->count > WAITING_MOST)
		bound_waiting(sup, owner_of(by));
}

/* Is nothing left in the queue of a unix socket that is shut down?  unix_dgram_sendmsg() puts nothing
 * there then.  At the end of a connection recv(2) answers 0, as for an empty message.  Before 6.9
 * who closes any unix socket also closes what others have sent to each other and lost (unix_gc() in
 * unix_release_sock()): so only a newer kernel is asked. */
static bool is_empty(int fd)
{
	char c;

	return recv(fd, &c, sizeof(c), MSG_PEEK | MSG_DONTWAIT) == -1 && errno == EAGAIN;
}

void async_hang_up(struct supervisor *sup, const struct child *by, int *fd)
{
	int passes = fdpass_passes(*fd);

	if (passes == 0 || (shutdown(*fd, SHUT_RDWR) == 0 && passes == 1 && is_empty(*fd)))
		fd_close(fd);
	else
		async_close(sup, by, fd);
}

/* ---- life ---- */

void async_close_init(struct supervisor *sup)
{
	sup->closer = (struct closer){.killed = 0};
	timer_init(&sup->closer.look, on_look, sup);
}

void async_close_fini(struct supervisor *sup)
{
	async_close_settle(sup);
	ev_timer_stop(sup->loop, &sup->closer.look);
	free(sup->closer.list);
	async_close_init(sup);
}
