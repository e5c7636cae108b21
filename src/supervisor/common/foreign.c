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
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

/* It closes a packet's descriptors within this time, or hangs. */
#define PATIENCE (2 * SECOND)
/* A socket that nobody can send to any more is empty after so many reads. */
#define READS_MOST 4096

static bool is_foreign(const struct supervisor *sup)
{
	if (sup->settings->control_gid >= 0)
		return true;
	for (size_t i = 0; i < sup->service_count; i++) {
		long uid = cluster_settings(sup->services[i]->core)->uid;

		if (uid >= 0 && (uid_t)uid != geteuid())
			return true;
	}
	return false;
}

/* ---- the process ---- */

/* What it has not closed, it closes at its end, for which SO_LINGER does not make
 * it wait. */
static void let_go(struct supervisor *sup)
{
	struct closer *c = &sup->closer;

	if (c->pid == 0)
		return;
	ev_io_stop(sup->loop, &c->channel);
	ev_timer_stop(sup->loop, &c->patience);
	(void)close(c->channel.fd);
	fd_close(&c->pidfd);
	c->pid = 0;
	c->first = c->count = 0;
}

static void replace(struct supervisor *sup)
{
	struct closer *c = &sup->closer;
	const struct child *by =
		c->count > 0 ? child_by_serial(sup, c->owners[c->first]) : NULL;

	(void)pidfd_signal(c->pidfd, SIGKILL);
	let_go(sup);
	if (by == NULL)
		return;
	log_warn("%s.%" PRIu32 ": killing worker %d: it has given nclust a "
		 "descriptor that cannot be closed (a file server that does "
		 "not answer?)",
		by->service->name, by->slot, (int)by->pid);
	(void)pidfd_signal(by->pidfd, SIGKILL);
}

static void on_hung(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	replace(timer->data);
}

static void on_closed(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct supervisor *sup = watcher->data;
	struct closer *c = &sup->closer;
	struct fdpass_message m untouched;
	char byte;

	(void)revents;
	while (c->count > 0 &&
		fdpass_receive(watcher->fd, &byte, sizeof(byte), &m) == 1 &&
		m.len == 1) {
		c->first = (c->first + 1) % CLOSER_PACKETS;
		c->count--;
	}
	if (c->count == 0)
		ev_timer_stop(loop, &c->patience);
	else
		timer_arm(loop, &c->patience, PATIENCE);
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

/* ---- what it is given ---- */

static bool give(struct supervisor *sup, const struct child *by, const int *fds,
	size_t count)
{
	struct closer *c = &sup->closer;

	if (c->count == CLOSER_PACKETS)
		replace(sup); /* far behind */
	if (start(sup) == -1)
		return false;
	if (fdpass_send(c->channel.fd, "", 1, fds, count) == -1) {
		replace(sup);
		if (start(sup) == -1 ||
			fdpass_send(c->channel.fd, "", 1, fds, count) == -1)
			return false;
	}
	c->owners[(c->first + c->count++) % CLOSER_PACKETS] =
		by != NULL ? by->serial : 0;
	timer_arm_within(sup->loop, &c->patience, PATIENCE);
	return true;
}

static void close_list(
	struct supervisor *sup, const struct child *by, int *fds, size_t count)
{
	/* what it has now, too, is not closed by us */
	if (count > 0 && is_foreign(sup))
		(void)give(sup, by, fds, count);
	for (size_t i = 0; i < count; i++)
		fd_close(&fds[i]);
}

void foreign_close(struct supervisor *sup, const struct child *by, int *fd)
{
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

	/* a datagram may be empty */
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
	ev_init(&c->channel, on_closed);
	c->channel.data = sup;
	ev_init(&c->patience, on_hung);
	c->patience.data = sup;
}

void foreign_fini(struct supervisor *sup)
{
	let_go(sup);
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
}
