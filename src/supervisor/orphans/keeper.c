/* SPDX-License-Identifier: MIT */
#include "supervisor/orphans/keeper.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "os/pidfd.h"
#include "os/privilege.h"
#include "supervisor/common/part.h"
#include "supervisor/common/registry.h"
#include "supervisor/workers/capture.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* How long the keeper may take to answer, on a busy machine; a keeper that is slower hangs. */
#define PATIENCE (20 * SECOND)
#define GIVENS_MAX 131072U

static const char name[] = LOGWIRE_KEEPER;

bool keeper_wanted(const struct supervisor *sup)
{
	for (size_t i = 0; i < sup->settings->cluster_count; i++)
		if (sup->settings->clusters[i]->orphans == ORPHANS_KEEP)
			return true;
	return false;
}

/* ---- holding ---- */

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
	struct kept kept = {child->kept.entry, -1, -1};
	/* before its start the worker has no pidfd: /dev/null stands for it */
	int fds[LOGWIRE_FDS_MAX] = {child->pidfd != -1 ? child->pidfd : sup->null_fd};
	size_t count = 1;

	if (sup->orphans.keeper_socket == -1 || child->kept.entry == NULL ||
		(child->kept.entry->flags & STATE_KEEP) == 0)
		return;
	text_copy(p.cluster, sizeof(p.cluster), child->service->name);
	if (child->life.notify != -1) {
		p.which |= LOGWIRE_NOTIFY;
		fds[count++] = child->life.notify;
	}
	PARTS(hold, child, &kept);
	if (kept.trap != -1) {
		p.which |= LOGWIRE_TRAP;
		fds[count++] = kept.trap;
	}
	if (kept.channel != -1) {
		p.which |= LOGWIRE_CHANNEL;
		fds[count++] = kept.channel;
	}
	child->kept.held = logger_send(sup, &p, fds, count);
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
	if (child->kept.entry != NULL && (child->kept.entry->flags & STATE_KEEP) != 0)
		send_drop(child->service->sup, LOGWIRE_A_WORKER, child->serial);
}

void keeper_drop(struct supervisor *sup, enum logwire_what what, uint64_t *held)
{
	if (*held != 0)
		send_drop(sup, what, *held);
	*held = 0;
}

void keeper_hold(
	struct supervisor *sup, enum logwire_what what, uint64_t id, int fd, uint64_t *held)
{
	const struct logwire_packet p = {
		.kind = LOGWIRE_HOLD,
		.what = what,
		.which = what == LOGWIRE_A_SEGMENT ? LOGWIRE_MEMORY : LOGWIRE_SOCKET,
		.worker = id,
	};

	if (sup->orphans.keeper_socket == -1 || *held == id)
		return;
	keeper_drop(sup, what, held); /* the descriptor that it held before */
	if (logger_send(sup, &p, &fd, 1))
		*held = id;
}

void keeper_drop_rest(struct supervisor *sup, const struct givens *givens)
{
	for (size_t i = 0; i < givens->count; i++) {
		const struct given *given = &givens->list[i];

		if (given->what != LOGWIRE_A_WORKER && given->fds[0] != -1)
			send_drop(sup, given->what, given->id);
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
		if (fresh || !child->kept.held)
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

static int add_given(struct givens *g, const struct logwire_packet *p, struct fdpass_message *m)
{
	struct given given = {
		.what = (enum logwire_what)p->what,
		.which = p->which,
		.id = p->worker,
	};
	struct given *list;

	if (m->fd_count != logwire_count(p->which)) {
		errno = EMFILE; /* some descriptors did not fit into nclust's table */
		return -1;
	}
	list = g->count < GIVENS_MAX ? reallocarray(g->list, g->count + 1, sizeof(*list)) : NULL;
	if (list == NULL)
		return -1;
	for (size_t i = 0; i < COUNT_OF(given.fds); i++)
		given.fds[i] = i < m->fd_count ? fd_release(&m->fds[i]) : -1;
	g->list = list;
	list[g->count++] = given;
	return 0;
}

/* Receive a packet of the keeper.  1: it was the last; 0: more follow; -1 and errno. */
static int receive_packet(struct givens *g, nsec_t until)
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
		g->copies = p.sink == LOGWIRE_COPY;
		g->remembers = (p.which & LOGWIRE_CAN_REMEMBER) != 0;
		g->routes = (p.which & LOGWIRE_CAN_ROUTE) != 0;
	} else if (p.kind == LOGWIRE_HOLD) {
		got = add_given(g, &p, &m);
	} else if (p.kind == LOGWIRE_GIVEN) {
		got = 1;
	}
	fdpass_drop(&m);
	return got;
}

/* Is the peer a keeper of this user?  Root's keeper runs as a role's user (privilege_shed()), that
 * of an earlier release as nobody; no other user can put a socket into the directory. */
static int is_ours(struct givens *g)
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

static int compare_ids(const void *a, const void *b)
{
	const struct given *x = a;
	const struct given *y = b;

	if (x->what != y->what)
		return x->what < y->what ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

int keeper_call(struct supervisor *sup, struct givens *givens, struct error *err)
{
	nsec_t until = nsec_add(clock_now(), PATIENCE);
	int got;

	*givens = (struct givens){.channel = -1, .socket = -1};
	givens->channel = socket_connect_packets_at(sup->rundir.dir, name, err);
	if (givens->channel == -1)
		return -1;
	got = is_ours(givens);
	while (got == 0)
		got = receive_packet(givens, until);
	if (got == 1) {
		if (givens->count > 1)
			qsort(givens->list, givens->count, sizeof(*givens->list), compare_ids);
		return 0;
	}
	error_set(err, errno, "the keeper did not return everything");
	givens_fini(givens);
	return -1;
}

void keeper_dismiss(struct supervisor *sup)
{
	const struct logwire_packet p = {.kind = LOGWIRE_LEAVE};
	const struct timespec pause = {.tv_nsec = MSEC};
	nsec_t until = clock_now() + PATIENCE;
	scoped_fd pidfd = -1;
	struct givens givens;
	struct error err;

	if (keeper_call(sup, &givens, &err) == -1)
		return;
	pidfd = pidfd_of(givens.pid);
	(void)fdpass_send(givens.channel, &p, sizeof(p), NULL, 0);
	givens_fini(&givens);
	while (pidfd != -1 && !pidfd_has_ended(pidfd) && clock_now() < until)
		(void)nanosleep(&pause, NULL);
}

void givens_fini(struct givens *givens)
{
	for (size_t i = 0; i < givens->count; i++)
		for (size_t k = 0; k < COUNT_OF(givens->list[i].fds); k++)
			fd_close(&givens->list[i].fds[k]);
	free(givens->list);
	fd_close(&givens->channel);
	fd_close(&givens->socket);
	*givens = (struct givens){.channel = -1, .socket = -1};
}

int given_take(struct given *given, enum logwire_which which)
{
	unsigned at;

	if (given == NULL || (given->which & which) == 0)
		return -1;
	at = logwire_count(given->which & (which - 1U));
	return at < LOGWIRE_FDS_MAX ? fd_release(&given->fds[at]) : -1;
}

struct given *givens_find(struct givens *givens, enum logwire_what what, uint64_t id)
{
	const struct given key = {.what = what, .id = id};

	if (givens->count == 0)
		return NULL;
	return bsearch(&key, givens->list, givens->count, sizeof(key), compare_ids);
}
