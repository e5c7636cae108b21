/* SPDX-License-Identifier: MIT */
#include "supervisor/takeover.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/privilege.h"
#include "os/remote.h"
#include "os/vfork.h"
#include "supervisor/heal.h"
#include "supervisor/intercept.h"
#include "supervisor/learned.h"
#include "supervisor/listener.h"
#include "supervisor/news.h"
#include "supervisor/service.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/* Descriptors of a worker that are looked at for others of the same socket. */
#define LOOK_MAX 4096
#define SAME_MAX 16 /* such descriptors; more keep the worker's own socket */
#define EPOLLS_MAX 16
#define ITEMS_MAX 64
#define FOUND_MAX 16
#define PUT_PATIENCE (1 * SECOND)
/* More learned listeners than this: look whether they are in use at all. */
#define LEARNED_FEW 16

/* One bind, from the trap to the answer. */
struct takeover {
	struct child *child;
	struct service *service;
	const struct seccomp_notice *notice;
	int trap;
	int sock; /* of the worker's socket, or -1: it cannot be had */
	struct socket_key key;
	struct socket_options asked; /* what the worker has set on it */
	bool reuseport;

	/* its process: descriptors of the same socket, epoll sets, and which
	 * of the listeners it holds already */
	uint64_t inode;
	int same[SAME_MAX];
	unsigned same_count;
	int epolls[EPOLLS_MAX];
	unsigned epoll_count;
	struct listener *found[FOUND_MAX];
	unsigned held[FOUND_MAX]; /* by so many descriptors */
	size_t found_count;
};

static bool still_waits(const struct takeover *t)
{
	return seccomp_waits(t->trap, t->notice->id);
}

static void answer(const struct takeover *t, int error)
{
	seccomp_answer(t->trap, t->notice->id, error);
}

static void let_kernel(const struct takeover *t)
{
	seccomp_continue(t->trap, t->notice->id);
}

/* ---- looking ---- */

static void look_at_fd(void *context, int fd, const char *target)
{
	struct takeover *t = context;
	uint64_t inode = remote_socket_inode(target);

	if (inode == 0) {
		if (t->epoll_count < EPOLLS_MAX &&
			strcmp(target, "anon_inode:[eventpoll]") == 0)
			t->epolls[t->epoll_count++] = fd;
		return;
	}
	if (inode == t->inode && fd != t->notice->fd &&
		t->same_count < SAME_MAX)
		t->same[t->same_count++] = fd;
	for (size_t i = 0; i < t->found_count; i++)
		if (t->found[i]->inode == inode)
			t->held[i]++;
}

/* The inode of the descriptor itself, where that cannot be had. */
static uint64_t inode_of(pid_t tid, int fd)
{
	char path[64];
	char target[64];
	ssize_t len;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)tid, fd);
	len = readlink(path, target, sizeof(target) - 1);
	if (len <= 0)
		return 0;
	target[len] = '\0';
	return remote_socket_inode(target);
}

/* Has the process bound it?  A named one it was born with, once. */
static bool has_bound(const struct takeover *t, size_t i)
{
	return t->held[i] > (learned_only(t->found[i]) ? 0U : 1U);
}

static void look_at_process(struct takeover *t)
{
	t->inode = t->sock != -1 ? remote_own_inode(t->sock)
				 : inode_of(t->notice->tid, t->notice->fd);
	t->same[0] = t->notice->fd;
	t->same_count = 1;
	t->epoll_count = 0;
	(void)memset(t->held, 0, sizeof(t->held));
	(void)remote_each_fd(t->notice->tid, LOOK_MAX, look_at_fd, t);
}

/* ---- putting a kept socket in the place of the worker's ---- */

struct putting {
	const struct takeover *t;
	int ours;
	bool cloexec[SAME_MAX];
	int error;
};

static void put_all(void *argument)
{
	struct putting *p = argument;
	const struct takeover *t = p->t;

	for (unsigned i = 0; i < t->same_count; i++)
		if (seccomp_put(t->trap, t->notice->id, p->ours, t->same[i],
			    p->cloexec[i]) == -1) {
			p->error = errno;
			return;
		}
}

static bool is_same(const struct takeover *t, int fd)
{
	for (unsigned i = 0; i < t->same_count; i++)
		if (t->same[i] == fd)
			return true;
	return false;
}

/* What waited for the worker's own socket is to wait for this one.  The items
 * were read before it was replaced: with it they are gone. */
struct waiting {
	int epoll; /* theirs */
	struct remote_epoll_item item;
};

static unsigned read_waiting(
	const struct takeover *t, struct waiting *list, unsigned most)
{
	struct remote_epoll_item items[ITEMS_MAX];
	unsigned count = 0;

	for (unsigned i = 0; i < t->epoll_count; i++) {
		size_t n = remote_epoll_items(
			t->notice->tid, t->epolls[i], items, ITEMS_MAX);

		for (size_t k = 0; k < n && count < most; k++)
			if (is_same(t, items[k].fd))
				list[count++] = (struct waiting){
					t->epolls[i], items[k]};
	}
	return count;
}

static void add_waiting(const struct takeover *t, const struct listener *l,
	const struct waiting *list, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		scoped_fd epoll = remote_fd(t->notice->tid, list[i].epoll);

		if (epoll == -1 || !still_waits(t) ||
			remote_epoll_add(epoll, l->fd, &list[i].item) == -1)
			log_syserr("%s.%" PRIu32 ": cannot add %s to its epoll",
				t->service->name, t->child->slot,
				listener_text(l));
	}
}

/* How a socket is that nobody has set anything on. */
static struct socket_options *plain_options(const struct socket_key *key)
{
	struct socket_options *options = calloc(1, sizeof(*options));
	scoped_fd fd =
		socket(key->family, key->type | SOCK_CLOEXEC, key->protocol);

	if (options != NULL && fd != -1)
		socket_options_read(options, fd);
	return options;
}

static void follow_options(struct takeover *t, struct listener *l)
{
	if (l->asked == NULL)
		l->asked = plain_options(&t->key);
	if (l->asked == NULL)
		return;
	if (t->sock == -1) { /* only this can be seen */
		bool nonblock = t->asked.nonblock;

		t->asked = *l->asked;
		t->asked.nonblock = nonblock;
	}
	socket_options_follow(l->fd, l->asked, &t->asked);
	*l->asked = t->asked;
}

static void put_over(struct takeover *t, struct listener *l)
{
	struct putting p = {.t = t, .ours = l->fd};
	struct waiting waiting[ITEMS_MAX];
	unsigned count = read_waiting(t, waiting, ITEMS_MAX);

	for (unsigned i = 0; i < t->same_count; i++) {
		int flags = remote_fd_flags(t->notice->tid, t->same[i]);

		p.cloexec[i] = flags != -1 && (flags & O_CLOEXEC) != 0;
		if (i == 0 && t->sock == -1)
			t->asked.nonblock =
				flags != -1 && (flags & O_NONBLOCK) != 0;
	}
	if (!still_waits(t))
		return;
	follow_options(t, l);
	/* it waits until the worker has them, which may be kept from running */
	if (vfork_run(put_all, &p, PUT_PATIENCE) == -1) {
		answer(t, EAGAIN);
		return;
	}
	if (p.error != 0) {
		answer(t, p.error);
		return;
	}
	add_waiting(t, l, waiting, count);
	learned_use(t->child, l);
	answer(t, 0);
}

/* ---- binding ---- */

static unsigned first_free_port(void)
{
	char text[16];
	scoped_fd fd = open("/proc/sys/net/ipv4/ip_unprivileged_port_start",
		O_RDONLY | O_CLOEXEC);
	ssize_t len = fd != -1 ? read(fd, text, sizeof(text) - 1) : -1;

	if (len <= 0)
		return 1024;
	text[len] = '\0';
	return (unsigned)strtoul(text, NULL, 10);
}

/* Our right to bind low ports is not the worker's. */
static bool may_bind(const struct takeover *t)
{
	return t->key.port >= first_free_port() ||
		!privilege_has(CAP_NET_BIND_SERVICE) ||
		remote_may(t->notice->tid, CAP_NET_BIND_SERVICE);
}

/* Which cluster of ours holds the port? */
static const char *own_holder(const struct takeover *t)
{
	const struct supervisor *sup = t->service->sup;

	for (size_t i = 0; i < sup->service_count; i++) {
		const struct service *s = sup->services[i];
		const struct listener_set *sets[] = {
			&s->listeners, &s->learned};

		for (size_t k = 0; s != t->service && k < COUNT_OF(sets); k++)
			for (size_t n = 0; n < sets[k]->count; n++)
				if (sets[k]->list[n]->has_key &&
					sets[k]->list[n]->key.port ==
						t->key.port)
					return s->name;
	}
	return NULL;
}

static void tell_failed(const struct takeover *t, int error)
{
	char text[SOCKET_KEY_TEXT];
	const char *holder = own_holder(t);

	if (t->child->bind_told) /* it may try for ever */
		return;
	t->child->bind_told = true;
	(void)socket_key_text(&t->key, text);
	if (error != EADDRINUSE)
		log_note("%s.%" PRIu32 ": cannot bind %s: %s", t->service->name,
			t->child->slot, text, strerror(error));
	else if (holder != NULL)
		log_warn("%s.%" PRIu32 ": cannot bind %s: in use by cluster "
			 "'%s' of this nclust",
			t->service->name, t->child->slot, text, holder);
	else
		log_warn("%s.%" PRIu32 ": cannot bind %s: in use by another "
			 "process (see: ss -ltnp 'sport = :%u')",
			t->service->name, t->child->slot, text, t->key.port);
}

static int set_reuseaddr(int fd)
{
	int on = 1;

	return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
}

/*
 * The worker's own socket.  The first of an address is bound without
 * SO_REUSEPORT, or a stranger's would go unnoticed; later ones join it.
 */
static int bind_own(const struct takeover *t, bool first)
{
	int got;
	int saved;

	/* what TIME_WAIT has left must not keep the port */
	(void)set_reuseaddr(t->sock);
	if (first && t->reuseport)
		(void)socket_set_reuseport(t->sock, false);
	got = socket_key_bind(&t->key, t->sock);
	saved = errno;
	if (first && t->reuseport)
		(void)socket_set_reuseport(t->sock, true);
	errno = saved;
	return got;
}

/* One of ours, where the worker's cannot be had. */
static int bind_new(struct takeover *t, bool first)
{
	int fd = socket_key_open(&t->key, !first);

	/* nobody can see if the worker has said IPV6_V6ONLY, but a program that
	 * asks for both families by two sockets has */
	if (fd == -1 && errno == EADDRINUSE && t->key.family == AF_INET6 &&
		socket_key_is_any(&t->key) && !t->key.v6only) {
		t->key.v6only = true;
		fd = socket_key_open(&t->key, !first);
	}
	if (fd != -1)
		(void)socket_set_reuseport(fd, true);
	return fd;
}

static void tell_learned(const struct takeover *t, const struct listener *l)
{
	news_say(t->service->sup, LOG_NOTE, "listening",
		"%s: listening on %s, taken over from %s.%" PRIu32,
		t->service->name, listener_text(l), t->service->name,
		t->child->slot);
	if (!learned_is_named(t->service, &t->key))
		log_warn("%s.%" PRIu32 ": binds %s, which 'listen' does not "
			 "name",
			t->service->name, t->child->slot, listener_text(l));
}

static void keep_options(struct listener *l, const struct takeover *t)
{
	if (t->sock == -1)
		return;
	l->asked = malloc(sizeof(*l->asked));
	if (l->asked != NULL)
		*l->asked = t->asked;
}

static void learn(struct takeover *t, bool first)
{
	bool own = t->sock != -1;
	struct listener *l;
	struct error err;
	int fd;

	if (!may_bind(t) || !still_waits(t)) {
		let_kernel(t);
		return;
	}
	fd = own ? fcntl(t->sock, F_DUPFD_CLOEXEC, 3) : bind_new(t, first);
	if (fd == -1 || (own && bind_own(t, first) == -1)) {
		int error = errno;

		fd_close(&fd);
		tell_failed(t, error);
		answer(t, error);
		return;
	}
	l = learned_add(t->service, &t->key, fd, &err);
	if (l == NULL) {
		fd_close(&fd);
		log_warn("%s: a port cannot be taken over: %s",
			t->service->name, err.text);
		if (own)
			answer(t, 0); /* it is bound, as the worker wished */
		else
			let_kernel(t);
		return;
	}
	keep_options(l, t);
	tell_learned(t, l);
	if (!own) {
		put_over(t, l);
		return;
	}
	learned_use(t->child, l);
	answer(t, 0);
}

/*
 * The user has named a bare port, for which nclust has made a socket of IPv6 that
 * serves both families; the worker wants one for IPv4 alone, or one for each.
 * Ours has served nobody, so the worker's takes its place.
 */
static bool supersedes(const struct takeover *t, const struct listener *l)
{
	return l->made && !l->learned && l->asked == NULL &&
		l->address.kind == ADDRESS_TCP &&
		l->address.family == AF_UNSPEC && l->key.family == AF_INET6 &&
		!l->key.v6only && l->key.port == t->key.port &&
		socket_key_is_any(&t->key) &&
		(t->key.family == AF_INET || t->key.v6only);
}

static struct listener *superseded(const struct takeover *t)
{
	const struct listener_set *set = &t->service->listeners;

	for (size_t i = 0; i < set->count; i++)
		if (set->list[i]->has_key && supersedes(t, set->list[i]))
			return set->list[i];
	return NULL;
}

static void supersede(struct takeover *t, struct listener *l)
{
	struct error err;
	scoped_fd made = -1;

	heal_forget(l);
	(void)shutdown(l->fd, SHUT_RD);
	if (t->sock == -1)
		made = bind_new(t, true);
	if ((t->sock != -1 ? bind_own(t, true) : made) == -1 ||
		dup3(t->sock != -1 ? t->sock : made, l->fd, O_CLOEXEC) == -1) {
		int error = errno;

		if (socket_backlog(l->fd, l->address.backlog) == -1)
			log_syserr("listener '%s'", l->address.name);
		heal_watch(t->service->sup, l);
		tell_failed(t, error);
		answer(t, error);
		return;
	}
	l->key = t->key;
	l->inode = remote_own_inode(l->fd);
	if (socket_look(l->fd, &l->facts, &err) == -1)
		log_warn("%s", err.text);
	keep_options(l, t);
	news_say(t->service->sup, LOG_NOTE, "listening",
		"%s: listening on %s, taken over from %s.%" PRIu32,
		t->service->name, listener_text(l), t->service->name,
		t->child->slot);
	if (t->sock != -1)
		answer(t, 0);
	else
		put_over(t, l);
}

/* ---- deciding ---- */

static void limit(struct takeover *t, struct listener *l)
{
	char text[SOCKET_KEY_TEXT];

	if (!l->limit_told)
		log_note("%s.%" PRIu32 ": binds %s; it gets %s, as 'listen' "
			 "says",
			t->service->name, t->child->slot,
			socket_key_text(&t->key, text), listener_text(l));
	l->limit_told = true;
	put_over(t, l);
}

static void bind_anew(struct takeover *t)
{
	struct listener *l = superseded(t);

	if (t->sock == -1)
		look_at_process(t);
	if (l != NULL) {
		supersede(t, l);
		return;
	}
	l = learned_cover(t->service, &t->key);
	if (l == NULL) {
		learn(t, true);
		return;
	}
	t->found[0] = l;
	t->found_count = 1;
	look_at_process(t);
	if (has_bound(t, 0)) /* and another one besides */
		learn(t, true);
	else
		limit(t, l);
}

/* The n-th bind of an address by one process gets the n-th socket; one that it
 * has closed again (a probe) is free. */
static void bind_known(struct takeover *t)
{
	look_at_process(t);
	for (size_t i = 0; i < t->found_count; i++) {
		if (t->found[i]->inode == t->inode) {
			/* the same call once more, or a second one */
			if (seccomp_comes_again())
				answer(t, 0);
			else
				let_kernel(t);
			return;
		}
		if (!has_bound(t, i)) {
			put_over(t, t->found[i]);
			return;
		}
	}
	if (t->reuseport)
		learn(t, false);
	else
		answer(t, EADDRINUSE);
}

/* What was bound and closed again without a listen(2), or is one of very many,
 * is let go once it is seen to be in nobody's hands. */
static void forget_probes(struct takeover *t)
{
	struct service *s = t->service;

	t->found_count = 0;
	for (size_t i = 0; i < s->learned.count && t->found_count < FOUND_MAX;
		i++) {
		struct listener *l = s->learned.list[i];

		if ((!l->facts.listening || s->learned.count > LEARNED_FEW) &&
			!learned_is_used(l, t->child) &&
			!socket_key_equal(&l->key, &t->key))
			t->found[t->found_count++] = l;
	}
	if (t->found_count == 0)
		return;
	look_at_process(t);
	if (t->child->pid != t->notice->tid)
		(void)remote_each_fd(t->child->pid, LOOK_MAX, look_at_fd, t);
	for (size_t i = 0; i < t->found_count; i++)
		if (t->held[i] == 0)
			learned_drop(s, t->found[i]);
}

static void decide(struct takeover *t)
{
	forget_probes(t);
	t->found_count = learned_find(t->service, &t->key, t->found, FOUND_MAX);
	if (t->found_count > 0)
		bind_known(t);
	else
		bind_anew(t);
}

/* ---- reading the call ---- */

static bool is_tcp(const struct socket_key *key)
{
	return key->type == SOCK_STREAM &&
		(key->protocol == IPPROTO_TCP ||
			key->protocol == IPPROTO_MPTCP);
}

/* Flows are spread over the workers' own sockets by the kernel. */
static void share_udp(const struct takeover *t)
{
	if (t->key.type == SOCK_DGRAM && t->key.protocol == IPPROTO_UDP)
		(void)socket_set_reuseport(t->sock, true);
}

/* Is it one that could be taken over?  Most are not, and cost no more. */
static bool look_at_socket(struct takeover *t, const void *address)
{
	char protocol[32];
	int v6only = -1;

	if (t->sock != -1)
		return socket_key_of(
			       &t->key, t->sock, address, t->notice->size) == 0;
	if (t->child->v6only_known && t->child->v6only_fd == t->notice->fd)
		v6only = t->child->v6only ? 1 : 0;
	return remote_protocol(t->notice->tid, t->notice->fd, protocol,
		       sizeof(protocol)) == 0 &&
		still_waits(t) &&
		socket_key_guess(&t->key, protocol, address, t->notice->size,
			v6only) == 0;
}

void takeover_bind(struct child *child, const struct seccomp_notice *notice)
{
	struct supervisor *sup = child->service->sup;
	struct takeover t = {
		.child = child,
		.service = child->service,
		.notice = notice,
		.trap = child->trap_watcher.fd,
		.sock = -1,
	};
	char address[SOCKET_ADDRESS_MAX];

	if (notice->size < sizeof(sa_family_t) ||
		notice->size > sizeof(address)) {
		let_kernel(&t);
		return;
	}
	if (sup->intercept.way == WAY_ADOPT)
		t.sock = remote_fd(notice->tid, notice->fd);
	if (sup->intercept.way == WAY_ADOPT && t.sock == -1) {
		if (errno == EPERM)
			intercept_tell_refused(child, errno);
		let_kernel(&t);
		return;
	}
	if (intercept_read(child, notice, address, notice->size) == -1 ||
		!still_waits(&t) || !look_at_socket(&t, address) ||
		t.key.port == 0) {
		let_kernel(&t);
	} else if (!is_tcp(&t.key)) {
		share_udp(&t);
		let_kernel(&t);
	} else {
		if (t.sock != -1) {
			socket_options_read(&t.asked, t.sock);
			t.reuseport = socket_has_reuseport(t.sock);
		} else {
			t.reuseport = true; /* nobody can see it */
		}
		decide(&t);
	}
	fd_close(&t.sock);
}

/* ---- listen ---- */

/* What each worker would have had by itself, all together; the kernel takes
 * no more than net.core.somaxconn. */
static int backlog_for(
	const struct child *child, const struct listener *l, int asked)
{
	unsigned workers = cluster_wanted(child->service->core);

	if (!learned_only(l))
		return l->address.backlog;
	if (asked < 0 || workers == 0)
		return asked < 0 ? INT_MAX : asked;
	return asked <= INT_MAX / (int)workers ? asked * (int)workers : INT_MAX;
}

/* A socket that is none of ours: of a unix path, it is what a server does that
 * begins to serve. */
static bool is_unix(
	const struct child *child, const struct seccomp_notice *notice)
{
	char protocol[32];

	return remote_protocol(notice->tid, notice->fd, protocol,
		       sizeof(protocol)) == 0 &&
		strncmp(protocol, "UNIX", 4) == 0 &&
		seccomp_waits(child->trap_watcher.fd, notice->id);
}

void takeover_listen(struct child *child, const struct seccomp_notice *notice)
{
	int trap = child->trap_watcher.fd;
	struct listener *l = learned_by_inode(
		child->service, inode_of(notice->tid, notice->fd));
	bool serves;
	int backlog;

	if (l == NULL || !seccomp_waits(trap, notice->id)) {
		serves = is_unix(child, notice);
		seccomp_continue(trap, notice->id);
		if (serves)
			learned_tell_listening(child);
		return;
	}
	/* by ourselves: it listens before anybody is told that it does */
	backlog = backlog_for(child, l, notice->backlog);
	if (socket_backlog(l->fd, backlog) == -1) {
		int error = errno;

		seccomp_answer(trap, notice->id, error);
		return;
	}
	if (!l->facts.listening) {
		l->facts.listening = true;
		if (l->heal == -1)
			heal_watch(child->service->sup, l);
	}
	l->address.backlog = backlog; /* to heal it by */
	learned_use(child, l);
	seccomp_answer(trap, notice->id, 0);
	learned_listens(child, l);
}
