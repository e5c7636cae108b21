/* SPDX-License-Identifier: MIT */
#include "supervisor/orphans/internal.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "os/privilege.h"
#include "os/socket/socket_unix.h"
#include "supervisor/common/registry.h"
#include "supervisor/messages/channel.h"
#include "supervisor/workers/logger_life.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* How long the keeper may take to answer, on a busy machine; a keeper that is slower hangs. */
#define PATIENCE (20 * SECOND)
#define FD_STORE_MAX 131072U

static const char name[] = LOGWIRE_KEEPER;

bool keeper_wanted(const struct supervisor *sup)
{
	return array_find(s, sup->settings->clusters, sup->settings->cluster_count,
		       (*s)->orphans == ORPHANS_KEEP) != NULL;
}

/* ---- holding ---- */

static void add_fd(struct logwire_packet *p, int *fds, enum logwire_which which, int fd)
{
	if (fd == -1)
		return;
	fds[logwire_count(p->which)] = fd;
	p->which |= which;
}

void keeper_hold_child(struct child *child)
{
	struct supervisor *sup = child->service->sup;
	struct logwire_packet p = {
		.kind = LOGWIRE_HOLD,
		.what = LOGWIRE_A_WORKER,
		.which = LOGWIRE_PIDFD,
		.worker = child->serial,
		.slot = child->slot,
	};
	/* before its start the worker has no pidfd: /dev/null stands for it */
	int fds[LOGWIRE_FDS_MAX] = {child->pidfd != -1 ? child->pidfd : sup->null_fd};

	if (sup->orphans.keeper_socket == -1 || child->saved.entry == NULL ||
		(child->saved.entry->flags & STATE_KEEP) == 0)
		return;
	text_copy(p.cluster, sizeof(p.cluster), child->service->name);
	add_fd(&p, fds, LOGWIRE_NOTIFY, child->life.notify);
	add_fd(&p, fds, LOGWIRE_TRAP, child->trap.fd);
	if (child->channel != NULL)
		add_fd(&p, fds, LOGWIRE_CHANNEL, child->channel->io.fd);
	child->saved.in_keeper = logger_send(sup, &p, fds, logwire_count(p.which));
}

static void send_drop(struct supervisor *sup, enum logwire_what what, uint64_t id)
{
	const struct logwire_packet p = {
		.kind = LOGWIRE_DROP,
		.what = what,
		.worker = id,
	};

	if (sup->orphans.keeper_socket != -1)
		(void)logger_send(sup, &p, NULL, 0);
}

void keeper_drop_child(const struct child *child)
{
	if (child->saved.entry != NULL && (child->saved.entry->flags & STATE_KEEP) != 0)
		send_drop(child->service->sup, LOGWIRE_A_WORKER, child->serial);
}

void keeper_drop(struct supervisor *sup, enum logwire_what what, uint64_t *keeper_id)
{
	if (*keeper_id != 0)
		send_drop(sup, what, *keeper_id);
	*keeper_id = 0;
}

void keeper_hold(
	struct supervisor *sup, enum logwire_what what, uint64_t id, int fd, uint64_t *keeper_id)
{
	const struct logwire_packet p = {
		.kind = LOGWIRE_HOLD,
		.what = what,
		.which = what == LOGWIRE_A_SEGMENT ? LOGWIRE_MEMORY : LOGWIRE_SOCKET,
		.worker = id,
	};

	if (sup->orphans.keeper_socket == -1 || *keeper_id == id)
		return;
	keeper_drop(sup, what, keeper_id); /* the descriptor that it held before */
	if (logger_send(sup, &p, &fd, 1))
		*keeper_id = id;
}

void keeper_drop_rest(struct supervisor *sup, const struct fd_store *store)
{
	for (size_t i = 0; i < store->count; i++) {
		const struct stored *stored = &store->list[i];

		if (stored->what != LOGWIRE_A_WORKER && stored->fds[0] != -1)
			send_drop(sup, stored->what, stored->id);
	}
}

void keeper_greet(struct supervisor *sup, bool fresh)
{
	const struct logwire_packet p = {.kind = LOGWIRE_KEEP};
	struct child *child;
	struct error err;
	int fds[2];

	if (!keeper_wanted(sup))
		return;
	if (sup->orphans.keeper_socket == -1)
		sup->orphans.keeper_socket =
			socket_open_at(sup->rundir.dir, name, SOCK_SEQPACKET, 0600, -1, -1, &err);
	if (sup->orphans.keeper_socket == -1) {
		log_warn("if nclust is killed, nothing is kept: %s", err.text);
		return;
	}
	fds[0] = sup->orphans.keeper_socket;
	fds[1] = sup->rundir.dir;
	if (!logger_send(sup, &p, fds, 2))
		return;
	for_each_child (child, children_of_all(sup))
		if (fresh || !child->saved.in_keeper)
			keeper_hold_child(child);
	sup->orphans.fresh |= fresh;
	sup->orphans.changed = true; /* orphans_write_changes() sends listeners and segments */
}

void keeper_leave(struct supervisor *sup)
{
	const struct logwire_packet p = {.kind = LOGWIRE_LEAVE};

	if (sup->orphans.keeper_socket == -1)
		return;
	(void)logger_send(sup, &p, NULL, 0);
	fd_close(&sup->orphans.keeper_socket);
}

/* ---- calling an earlier nclust's keeper ---- */

static int add_stored(struct fd_store *g, const struct logwire_packet *p, struct fdpass_message *m)
{
	struct stored stored = {
		.what = (enum logwire_what)p->what,
		.which = p->which,
		.id = p->worker,
	};

	if (m->fd_count != logwire_count(p->which)) {
		errno = EMFILE; /* some descriptors did not fit into nclust's table */
		return -1;
	}
	if (g->count >= FD_STORE_MAX || !array_grow(g->list, g->count))
		return -1;
	for (size_t i = 0; i < COUNT_OF(stored.fds); i++)
		stored.fds[i] = i < m->fd_count ? fd_release(&m->fds[i]) : -1;
	g->list[g->count++] = stored;
	return 0;
}

/* Receive a packet of the keeper.  1: it was the last; 0: more follow; -1 and errno. */
static int receive_packet(struct fd_store *g, nsec_t until)
{
	struct pollfd one = {.fd = g->channel, .events = POLLIN};
	nsec_t now = clock_now();
	struct logwire_packet p;
	struct fdpass_message m;
	int got = 0;

	if (now >= until || poll(&one, 1, (int)((until - now) / MSEC) + 1) < 1) {
		errno = ETIMEDOUT;
		return -1;
	}
	if (fdpass_receive(g->channel, &p, sizeof(p), &m) != 1)
		return -1;
	if (m.len == 0 || m.cut || !logwire_check(&p, (size_t)m.len)) {
		errno = m.len == 0 ? EPIPE : EPROTO;
		got = -1;
	} else if (p.kind == LOGWIRE_HELLO && m.fd_count == 1) {
		fd_close(&g->socket);
		g->socket = fd_release(&m.fds[0]);
		/* SO_PEERCRED would name the dead nclust, if that had called listen(2) and the
		 * keeper had not yet */
		if (m.has_cred && m.cred.pid > 0)
			g->pid = m.cred.pid;
	} else if (p.kind == LOGWIRE_HOLD) {
		got = add_stored(g, &p, &m);
	} else if (p.kind == LOGWIRE_GIVEN) {
		got = 1;
	}
	fdpass_drop(&m);
	return got;
}

/* Is the peer a keeper of this user?  Root's keeper runs as a role's user (privilege_shed()), that
 * of an earlier release as nobody; no other user can put a socket into the directory. */
static int is_ours(struct fd_store *g)
{
	struct ucred peer;

	if (socket_peer(g->channel, &peer) == -1)
		return -1;
	g->pid = peer.pid;
	if (peer.uid == geteuid() ||
		(geteuid() == 0 && peer.uid >= ROLE_UID_FIRST && peer.uid <= NOBODY))
		return 0;
	errno = EPERM;
	return -1;
}

int keeper_call(struct supervisor *sup, struct fd_store *store, struct error *err)
{
	nsec_t until = nsec_add(clock_now(), PATIENCE);
	int got;

	*store = (struct fd_store){.channel = -1, .socket = -1};
	store->channel = socket_connect_at(sup->rundir.dir, name, SOCK_SEQPACKET, err);
	if (store->channel == -1)
		return -1;
	got = is_ours(store);
	while (got == 0)
		got = receive_packet(store, until);
	if (got == 1)
		return 0;
	error_set(err, errno, "the keeper did not return everything");
	fd_store_fini(store);
	return -1;
}

void keeper_dismiss(struct supervisor *sup)
{
	const struct logwire_packet p = {.kind = LOGWIRE_LEAVE};
	const struct timespec pause = {.tv_nsec = MSEC};
	nsec_t until = clock_now() + PATIENCE;
	scoped_fd pidfd = -1;
	struct fd_store store;
	struct error err;

	if (keeper_call(sup, &store, &err) == -1)
		return;
	pidfd = pidfd_of(store.pid);
	(void)fdpass_send(store.channel, &p, sizeof(p), NULL, 0);
	fd_store_fini(&store);
	while (pidfd != -1 && !pidfd_has_ended(pidfd) && clock_now() < until)
		(void)nanosleep(&pause, NULL);
}

void fd_store_fini(struct fd_store *store)
{
	for (size_t i = 0; i < store->count; i++)
		for (size_t k = 0; k < COUNT_OF(store->list[i].fds); k++)
			fd_close(&store->list[i].fds[k]);
	free(store->list);
	fd_close(&store->channel);
	fd_close(&store->socket);
	*store = (struct fd_store){.channel = -1, .socket = -1};
}
