/* SPDX-License-Identifier: MIT */
#include "supervisor/common/foreign.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/fdpass.h"
#include "os/pidfd.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/role.h"
#include "supervisor/common/timer.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* The closer gets this many at a time, and must close them within this time. */
#define BATCH 8
#define PATIENCE (5 * SECOND)
#define START_AGAIN (1 * SECOND)
/* If more descriptors of one worker wait than this, it is killed. */
#define WAITING_MOST 512
/* A socket that nobody can send to any more is empty after so many reads. */
#define READS_MOST 4096

struct foreign {
	int fd;
	uint64_t owner; /* the worker's serial, or 0 */
};

static bool is_others(const struct cluster_settings *s)
{
	return s->uid >= 0 && (uid_t)s->uid != geteuid();
}

static bool has_others(const struct supervisor *sup)
{
	if (sup->settings->control_gid >= 0)
		return true;
	for (size_t i = 0; i < sup->service_count; i++) {
		const struct service *s = sup->services[i];

		if (is_others(cluster_settings(s->core)))
			return true;
		for (const struct recipe *r = s->life.recipes; r != NULL;
			r = r->next)
			if (is_others(r->settings))
				return true;
	}
	return false;
}

static bool is_foreign(struct supervisor *sup)
{
	sup->closer.others |= has_others(sup);
	return sup->closer.others;
}

/* ---- the process ---- */

/* End the closer.  The kernel then closes what it has not closed, and does not
 * wait for SO_LINGER in an exiting process. */
static void let_go(struct supervisor *sup)
{
	struct closer *c = &sup->closer;

	if (c->pid == 0)
		return;
	(void)pidfd_signal(c->pidfd, SIGKILL);
	ev_io_stop(sup->loop, &c->channel);
	ev_timer_stop(sup->loop, &c->patience);
	(void)close(c->channel.fd);
	fd_close(&c->pidfd);
	c->pid = 0;
	c->sent = 0;
}

static void kill_owner(struct supervisor *sup, uint64_t owner, const char *why)
{
	const struct child *by =
		owner != 0 ? child_by_serial(sup, owner) : NULL;

	if (by == NULL || sup->closer.killed == owner)
		return;
	sup->closer.killed = owner;
	log_warn("%s.%" PRIu32 ": killing worker %d: it has given nclust %s",
		by->service->name, by->slot, (int)by->pid, why);
	(void)pidfd_signal(by->pidfd, SIGKILL);
}

static int start(struct supervisor *sup)
{
	struct closer *c = &sup->closer;
	int channel;

	if (c->pid != 0)
		return 0;
	if (role_start(sup, ROLE_CLOSER, &channel, &c->pid, &c->pidfd) == -1) {
		c->pid = 0;
		return -1;
	}
	ev_io_set(&c->channel, channel, EV_READ);
	ev_io_start(sup->loop, &c->channel);
	return 0;
}

/* Descriptors of the worker that has waited longest, as many as fit. */
static size_t choose(const struct closer *c, int *fds)
{
	size_t n = 0;

	for (size_t i = 0; i < c->count && n < BATCH; i++)
		if (c->list[i].owner == c->list[0].owner)
			fds[n++] = c->list[i].fd;
	return n;
}

/* The first `n` descriptors of that worker were sent: close our copies. */
static void note_sent(struct closer *c, size_t n)
{
	size_t kept = 0;

	c->owner = c->list[0].owner;
	c->sent = n;
	for (size_t i = 0; i < c->count; i++) {
		if (c->list[i].owner == c->owner && n > 0) {
			fd_close(&c->list[i].fd); /* the closer has a copy */
			n--;
			continue;
		}
		c->list[kept++] = c->list[i];
	}
	c->count = kept;
}

/* The closer closes them when the second message has come, after our copies are
 * closed: whoever closes the last copy may have to wait. */
static int send_some(struct supervisor *sup)
{
	struct closer *c = &sup->closer;
	int fds[BATCH];
	size_t n = choose(c, fds);

	if (start(sup) == -1 || fdpass_send(c->channel.fd, "", 1, fds, n) == -1)
		return -1;
	note_sent(c, n);
	return fdpass_send(c->channel.fd, "", 1, NULL, 0);
}

/* Send descriptors of one worker at a time.  If one cannot be closed, those of
 * other workers are not stuck behind it, and nclust knows whose it is. */
static void send_next(struct supervisor *sup)
{
	struct closer *c = &sup->closer;

	if (c->sent > 0 || c->count == 0 || sup->instance.over)
		return;
	if (send_some(sup) == 0) {
		timer_arm(sup->loop, &c->patience, PATIENCE);
		return;
	}
	let_go(sup);
	timer_arm(sup->loop, &c->patience, START_AGAIN);
}

void foreign_settle(struct supervisor *sup)
{
	while (sup->closer.count > 0 && send_some(sup) == 0)
		;
}

/* Read how many the closer has closed.  True: some, or it has exited. */
static bool hear(struct supervisor *sup)
{
	struct closer *c = &sup->closer;
	struct fdpass_message m untouched;
	bool some = false;
	char byte;
	int got;

	while ((got = fdpass_receive(c->channel.fd, &byte, sizeof(byte), &m)) ==
			1 &&
		m.len == 1) {
		c->sent -= c->sent > 0;
		some = true;
	}
	if (got != 0) { /* the closer has exited */
		let_go(sup);
		some = true;
	}
	if (c->sent == 0)
		ev_timer_stop(sup->loop, &c->patience);
	return some;
}

static void on_closed(struct ev_loop *loop, ev_io *watcher, int revents)
{
	(void)loop;
	(void)revents;
	(void)hear(watcher->data);
	send_next(watcher->data);
}

/* The closer has closed nothing within its time, or is to be started again. */
static void on_patience(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct supervisor *sup = timer->data;
	struct closer *c = &sup->closer;

	(void)revents;
	/* its answer may have come while nclust itself did not run */
	if (c->sent > 0 && hear(sup) && c->sent > 0) {
		timer_arm(loop, timer, PATIENCE);
	} else if (c->sent > 0) {
		uint64_t owner = c->owner;

		let_go(sup);
		kill_owner(sup, owner,
			"a descriptor that cannot be closed (a file server "
			"that does not answer?)");
	}
	send_next(sup);
}

/* ---- what it is given ---- */

static int make_room(struct closer *c, size_t count)
{
	size_t room = c->room > 0 ? c->room : 64;
	struct foreign *list;

	while (room < c->count + count)
		room *= 2;
	if (room == c->room)
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
	/* others may wait behind one that is slow to close */
	if (n > WAITING_MOST)
		kill_owner(sup, c->sent > 0 ? c->owner : owner,
			"more descriptors than can be closed in time");
}

static void close_list(
	struct supervisor *sup, const struct child *by, int *fds, size_t count)
{
	struct closer *c = &sup->closer;
	uint64_t owner = by != NULL ? by->serial : 0;

	if (count == 0)
		return;
	if (!is_foreign(sup) || make_room(c, count) == -1) {
		for (size_t i = 0; i < count; i++)
			fd_close(&fds[i]);
		return;
	}
	for (size_t i = 0; i < count; i++)
		c->list[c->count++] =
			(struct foreign){fd_release(&fds[i]), owner};
	if (!ev_is_active(&c->patience))
		send_next(sup);
	if (c->count > WAITING_MOST)
		bound_waiting(sup, owner);
}

/* Is it a TCP listener?  It closes without waiting, and frees its address. */
static bool is_tcp_listener(int fd)
{
	int listens = 0;
	int protocol = 0;
	socklen_t size = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) ==
		0 &&
		listens != 0 &&
		getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) ==
		0 &&
		(protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP);
}

void foreign_close(struct supervisor *sup, const struct child *by, int *fd)
{
	if (*fd != -1 && is_tcp_listener(*fd))
		fd_close(fd);
	close_list(sup, by, fd, *fd != -1);
}

void foreign_close_all(struct supervisor *sup, const struct child *by,
	struct fdpass_message *m)
{
	close_list(sup, by, m->fds, m->fd_count);
	m->fd_count = 0;
}

void foreign_end(struct supervisor *sup, const struct child *by, int *socket)
{
	struct fdpass_message m untouched;
	char data[4096] untouched;
	int type = SOCK_STREAM;
	socklen_t size = sizeof(type);
	bool stream;

	/* a read of 0 bytes ends a stream, but may be an empty datagram */
	stream = getsockopt(*socket, SOL_SOCKET, SO_TYPE, &type, &size) == -1 ||
		type != SOCK_DGRAM;
	if (*socket != -1 && is_foreign(sup) && shutdown(*socket, SHUT_RD) == 0)
		for (int i = 0; i < READS_MOST; i++) {
			ssize_t got =
				fdpass_read(*socket, data, sizeof(data), &m);

			if (got == -1 || (got == 0 && stream))
				break;
			foreign_close_all(sup, by, &m);
		}
	fd_close(socket);
}

/* ---- life ---- */

void foreign_init(struct supervisor *sup)
{
	struct closer *c = &sup->closer;

	*c = (struct closer){.pidfd = -1};
	io_init(&c->channel, on_closed, -1, sup);
	timer_init(&c->patience, on_patience, sup);
}

/* What still waits is closed when nclust exits, without SO_LINGER. */
void foreign_fini(struct supervisor *sup)
{
	let_go(sup);
	ev_timer_stop(sup->loop, &sup->closer.patience);
	free(sup->closer.list);
	foreign_init(sup);
}

bool foreign_owns(const struct supervisor *sup, pid_t pid)
{
	return sup->closer.pid != 0 && sup->closer.pid == pid;
}

void foreign_reap(struct supervisor *sup)
{
	struct pidfd_end end;

	(void)pidfd_reap(sup->closer.pidfd, &end);
	let_go(sup);
	send_next(sup);
}
