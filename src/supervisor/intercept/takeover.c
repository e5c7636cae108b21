/* SPDX-License-Identifier: MIT */
#include "supervisor/intercept/takeover.h"

#include "base/log.h"
#include "base/scope.h"
#include "config/value_list.h"
#include "os/privilege.h"
#include "os/process.h"
#include "supervisor/common/async_close.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/trouble.h"
#include "supervisor/intercept/internal.h"
#include "supervisor/intercept/listens.h"
#include "supervisor/intercept/spare_gate.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/heal.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/paths.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"
#include "supervisor/workers/strays.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Lets the kernel bind.  nclust's duplicate is closed first, because the worker may close its own
 * socket and bind again. */
static void let_kernel(struct takeover *t)
{
	async_close_now(t->service->sup, t->child, &t->sock);
	seccomp_continue(t->trap, t->notice->id);
}

/* ---- binding ---- */

static unsigned first_free_port(void)
{
	char text[16];
	static const char path[] = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

	return process_read_path(path, text, sizeof(text)) > 0 ? (unsigned)strtoul(text, NULL, 10)
							       : 1024;
}

/* May the worker bind the port?  nclust may have a right to bind low ports that it has not. */
static bool may_bind(struct takeover *t)
{
	return t->key.port >= first_free_port() || learned_named(t->child, &t->key) != NULL ||
		!privilege_has(CAP_NET_BIND_SERVICE) || remote_may(t->remote, CAP_NET_BIND_SERVICE);
}

static void report_failed(const struct takeover *t, int error)
{
	char text[SOCKET_KEY_TEXT];
	char own[256];

	learned_describe_holder(t->child, &t->key, own, sizeof(own));
	trouble_cannot_bind(
		t->child, t->key.type, t->key.port, socket_key_text(&t->key, text), error, own);
	child_tell(t->child, EVENT_REFUSED, WHY_ITSELF);
}

/* The first socket of an address is bound without SO_REUSEPORT, so that it fails if another program
 * has the port; further sockets join it. */
static int make_binding(void *argument)
{
	const struct takeover *t = argument;
	int got;
	int saved;

	/* connections in TIME_WAIT must not keep the port; of UDP strangers could share it then */
	if (t->key.type == SOCK_STREAM)
		(void)socket_set(t->sock, SOL_SOCKET, SO_REUSEADDR, 1);
	if (!t->joins && t->reuseport)
		(void)socket_set_reuseport(t->sock, false);
	got = socket_key_bind(&t->key, t->sock);
	saved = errno;
	if (!t->joins && t->reuseport)
		(void)socket_set_reuseport(t->sock, true);
	errno = saved;
	return got;
}

/* Binds a new socket with the worker's uid: the worker's own cannot be duplicated, or is none. */
static int bind_new_socket(struct takeover *t)
{
	bool again = t->key.type == SOCK_STREAM || t->reuseaddr;
	uint64_t uid;
	int fd;

	if (process_status(t->notice->tid, "Uid:", 10, &uid) == -1) {
		errno = EACCES;
		return -1;
	}
	fd = socket_key_open(&t->key, (uid_t)uid, again, t->joins);
	if (!t->reuseport)
		return fd;
	/* nclust cannot see IPV6_V6ONLY, which a program that binds one for each family sets */
	if (fd == -1 && errno == EADDRINUSE && t->key.family == AF_INET6 &&
		socket_key_is_any(&t->key) && !t->key.v6only) {
		t->key.v6only = true;
		fd = socket_key_open(&t->key, (uid_t)uid, true, t->joins);
	}
	if (fd != -1)
		(void)socket_set_reuseport(fd, true);
	return fd;
}

/* Binds a new socket with the options of the setting that names the port alone. */
static int bind_as_named(const struct takeover *t, const struct listener *l)
{
	struct address at = l->address;
	struct socket_file none;
	struct error err;
	int fd;

	at.family = t->key.family;
	at.port = t->key.port;
	at.scope_id = t->key.scope;
	at.v6only = at.family == AF_INET6 ? t->key.v6only : -1;
	memcpy(at.ip, t->key.ip, sizeof(at.ip));
	fd = listener_bind(&at, &none, &err);
	if (fd == -1)
		errno = err.sys;
	else if (t->reuseport)
		(void)socket_set_reuseport(fd, true);
	return fd;
}

/* Returns the bound descriptor: t->sock, or a new one; -1 and errno. */
static int bind_once(struct takeover *t)
{
	const struct listener *l = learned_named(t->child, &t->key);

	if (l != NULL && *l->address.options != '\0' && t->key.type == SOCK_STREAM && !t->joins)
		return bind_as_named(t, l);
	if (t->sock == -1)
		return bind_new_socket(t);
	return remote_run(t->remote, t->sock, make_binding, t) == -1 ? -1 : t->sock;
}

static int bind_either(struct takeover *t)
{
	const struct socket_key key = t->key;
	int got = bind_once(t);

	if (got != -1 || errno != EADDRINUSE || t->joins)
		return got;
	if (!learned_make_way(t->child, &key)) {
		errno = EADDRINUSE;
		return -1;
	}
	t->key = key;
	return bind_once(t);
}

void takeover_log(struct child *c, const struct listener *l)
{
	if (news_spares(c))
		news_say_of(c->service, LOG_NOTE, "listening",
			"listening on %s, opened by %s.%" PRIu32, listener_text(l),
			c->service->name, c->slot);
}

static void keep_options(struct listener *l, const struct takeover *t, int fd)
{
	if (fd != t->sock)
		return;
	l->asked = malloc(sizeof(*l->asked));
	if (l->asked != NULL)
		*l->asked = t->asked;
}

/* Keeps the bound socket as a listener.  NULL: the socket is still the caller's. */
static struct listener *keep_listener(struct takeover *t, int fd)
{
	struct error err;
	struct listener *l = learned_add(t->service, &t->key, fd, &err);

	if (l == NULL) {
		if (news_spares(t->child))
			log_warn("%s: a port cannot be taken over: %s", t->service->name, err.text);
		return NULL;
	}
	keep_options(l, t, fd);
	takeover_log(t->child, l);
	if (learned_named(t->child, NULL) != NULL && learned_named(t->child, &t->key) == NULL &&
		news_spares(t->child))
		log_worker(t->child, LOG_WARN, "binds %s, which 'listen' does not name",
			listener_text(l));
	return l;
}

/* Answers the worker: it keeps its own socket, or gets the kept socket in its place. */
static void hand_out(struct takeover *t, struct listener *l, int fd)
{
	if (fd != t->sock) {
		replace_socket_search(t);
		replace_worker_socket(t, l);
		return;
	}
	moment_uses(t->child, l, USE_OWN);
	learned_use(t->child, l, t->notice->tid);
	listens_bound(t->child, t->notice->tid);
	takeover_answer(t, 0);
}

static void take_over_port(struct takeover *t)
{
	struct listener *l;
	int fd;

	if (!may_bind(t))
		report_failed(t, EACCES);
	if (!may_bind(t) || !takeover_waits(t)) {
		let_kernel(t);
		return;
	}
	fd = bind_either(t);
	if (fd == -1) {
		int error = errno;

		report_failed(t, error);
		takeover_answer(t, error);
		return;
	}
	for (size_t i = 0; t->joins && i < t->listener_count; i++)
		group_give_up(t->listeners[i]);
	l = keep_listener(t, fd);
	if (l != NULL) {
		hand_out(t, l, fd);
		if (fd == t->sock)
			t->sock = -1; /* the socket belongs to the listener */
	} else if (fd == t->sock) {
		takeover_answer(t, 0); /* the socket is bound, as the worker wished */
	} else {
		async_close(t->service->sup, t->child, &fd);
		let_kernel(t);
	}
}

/* Do workers of another generation take clients from that socket? */
static bool others_take(const struct child *child, const struct listener *l)
{
	return walk_find(c, child_next, children_of(child->service),
		       c->traffic.takes && c->generation != child->generation &&
			       learned_or_passed(c, l)) != NULL;
}

/*
 * May the worker's socket take the place of this listener's?  So it is if the user has named a bare
 * port, for which nclust has made an IPv6 socket that serves both families, and the worker wants a
 * socket for IPv4 alone, or one for each family.  nclust's socket has served nobody yet.
 */
static bool may_replace(const struct takeover *t, const struct listener *l)
{
	return l->made && !l->learned && l->asked == NULL && l->address.kind == ADDRESS_TCP &&
		l->address.family == AF_UNSPEC && l->key.family == AF_INET6 && !l->key.v6only &&
		l->key.port == t->key.port && socket_key_is_any(&t->key) &&
		(t->key.family == AF_INET || t->key.v6only) && !others_take(t->child, l);
}

static struct listener *find_replaceable(const struct takeover *t)
{
	const struct listener_set *set = &t->service->sockets.listeners;
	struct listener *l;

	for (size_t i = 0; (l = listeners_at(set, t->child->slot, i)) != NULL; i++)
		if (l->has_key && may_replace(t, l))
			return l;
	return NULL;
}

/* Not only when the worker does: clients wait as they did at the socket before, also if this worker
 * fails and another one, which does not call listen(2), gets the socket. */
static void listen_there(struct listener *l)
{
	if (socket_backlog(l->fd, l->address.backlog) == -1)
		log_syserr("listener '%s'", l->address.name);
	heal_watch(l);
}

static void replace_listener(struct takeover *t, struct listener *l)
{
	struct error err;
	scoped_fd made = -1;
	int old = fcntl(l->fd, F_DUPFD_CLOEXEC, 3); /* workers have that socket, too */
	int fd;

	if (old == -1) {
		takeover_answer(t, errno);
		return;
	}
	group_forget(l);
	heal_forget(l);
	socket_stop_listening(l->fd);
	fd = bind_once(t);
	if (fd != t->sock)
		made = fd;
	if (fd == -1 || dup3(fd, l->fd, O_CLOEXEC) == -1) {
		int error = errno;

		listen_there(l);
		fd_close(&old);
		report_failed(t, error);
		takeover_answer(t, error);
		return;
	}
	async_close_now(t->service->sup, NULL, &old);
	l->key = t->key;
	l->inode = remote_own_inode(l->fd);
	listen_there(l);
	if (socket_look(l->fd, &l->facts, &err) == -1)
		log_warn("%s", err.text);
	keep_options(l, t, fd);
	takeover_log(t->child, l);
	hand_out(t, l, fd);
}

/* ---- binding for a worker that asks ---- */

static int bind_asked(struct takeover *t)
{
	bool any = t->key.family == AF_INET6 && socket_key_is_any(&t->key) && !t->key.v6only;
	int fd;

	errno = EACCES;
	if (t->key.port != 0 && !may_bind(t))
		return -1;
	fd = bind_either(t);
	if (fd != -1 || !any || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
		return fd;
	t->key.family = AF_INET; /* the kernel has no IPv6 */
	return bind_either(t);
}

struct listener *takeover_open(
	struct child *child, const struct socket_key *key, bool again, int *error)
{
	const struct seccomp_notice notice = {.tid = child->pid};
	struct remote remote;
	struct takeover t = {
		.child = child,
		.service = child->service,
		.notice = &notice,
		.remote = &remote,
		.trap = -1,
		.sock = -1,
		.key = *key,
		.reuseaddr = again,
	};
	struct listener *l = NULL;
	int fd;

	remote_of(&remote, child->pid);
	fd = bind_asked(&t);
	if (fd == -1) {
		*error = errno;
		report_failed(&t, *error);
		return NULL;
	}
	if (socket_key_bound(&t.key, fd) == 0)
		l = keep_listener(&t, fd);
	if (l == NULL) {
		(void)close(fd);
		*error = EMFILE;
	}
	return l;
}

/* ---- deciding ---- */

/* Has the process bound this listener itself?  Of a named listener it inherits one descriptor. */
static bool has_bound(const struct takeover *t, size_t i)
{
	return t->listener_fds[i] > (learned_only(t->listeners[i]) ? 0U : 1U);
}

static void give_covering(struct takeover *t, struct listener *l)
{
	char text[SOCKET_KEY_TEXT];

	(void)socket_key_text(&t->key, text);
	if (strcmp(text, listener_text(l)) != 0 && once_say(l->said, ONCE_COVERED))
		log_worker(t->child, LOG_NOTE, "binds %s; it gets %s, as 'listen' says", text,
			listener_text(l));
	replace_worker_socket(t, l);
}

static void bind_first(struct takeover *t)
{
	struct listener *l = find_replaceable(t);

	if (l != NULL) {
		replace_listener(t, l);
		return;
	}
	l = learned_cover(t->child, &t->key);
	if (l == NULL) {
		take_over_port(t);
		return;
	}
	t->listeners[0] = l;
	t->listener_count = 1;
	replace_socket_search(t);
	if (has_bound(t, 0)) /* the process binds a second socket */
		take_over_port(t);
	else
		give_covering(t, l);
}

/* The n-th bind of an address by one process gets the n-th socket; a socket that the process has
 * closed again (a probe) is free. */
static void bind_later(struct takeover *t)
{
	replace_socket_search(t);
	for (size_t i = 0; i < t->listener_count; i++) {
		if (group_has_inode(t->listeners[i], t->inode)) {
			takeover_answer(t, 0); /* the same call once more */
			return;
		}
		if (!has_bound(t, i)) {
			replace_worker_socket(t, t->listeners[i]);
			return;
		}
	}
	t->joins = t->reuseport;
	if (t->joins)
		take_over_port(t);
	else
		takeover_answer(t, EADDRINUSE);
}

/* Is it below the worker no more?  Also if its parent, which has forked it, is about to end. */
static bool has_left(const struct child *child, pid_t tid, pid_t parent)
{
	struct process_facts facts = {.state = 'R'};
	char words[2][256] = {{0}};
	ssize_t its = process_read(parent, "cmdline", words[1], sizeof(words[1]));

	(void)process_read(tid, "cmdline", words[0], sizeof(words[0]));
	if (parent != child->pid && /* a process that ends has no words any more */
		(its == 0 || (its > 0 && memcmp(words[0], words[1], sizeof(*words)) == 0)))
		return true;
	while (parent > 1 && parent != child->pid && parent != getpid() && facts.state != 'Z')
		parent = process_look(parent, &facts) == 0 ? facts.parent : child->pid;
	return parent != child->pid;
}

bool takeover_is_daemons(const struct child *child, pid_t tid)
{
	uint64_t *known = child->service->life.daemons;
	struct process_facts facts;

	if (process_look(tid, &facts) == -1 || facts.session == child->pid ||
		pidfd_has_ended(child->pidfd) || !has_left(child, tid, facts.parent))
		return false;
	if (!service_has_daemon(child->service, tid)) {
		memmove(known + 1, known, sizeof(child->service->life.daemons) - sizeof(*known));
		known[0] = (uint64_t)facts.session;
	}
	return true;
}

/* Is the port a daemon's own?  Not one that workers share already. */
static bool is_daemons(const struct child *child, const struct socket_key *key, pid_t tid)
{
	char text[SOCKET_KEY_TEXT];
	struct listener *any;

	if (learned_find(child, key, &any, 1) != 0 || !takeover_is_daemons(child, tid))
		return false;
	if (once_say(child->service->said, ONCE_DAEMON))
		news_say_of(child->service, LOG_NOTE, "listening",
			"process %d, a daemon that a worker has started, binds %s: this port is "
			"no worker's, and not shared ('share-ports = %u' shares it)",
			(int)tid, socket_key_text(key, text), key->port);
	return true;
}

bool takeover_shares(const struct child *child, const struct socket_key *key, pid_t tid)
{
	const struct cluster_settings *s = child_settings(child);

	if (s == NULL || learned_named(child, key) != NULL || learned_cover(child, key) != NULL)
		return true;
	return s->share_ports != NULL ? value_ports_have(s->share_ports, key->port)
				      : !is_daemons(child, key, tid);
}

static void decide_tcp(struct takeover *t)
{
	if (closed_has_probes(t->child, &t->key))
		closed_forget(t->child, &t->key);
	t->listener_count = learned_find(t->child, &t->key, t->listeners, FOUND_MAX);
	if (t->listener_count > 0)
		bind_later(t);
	else
		bind_first(t);
}

/* ---- reading the call ---- */

/* All workers share a UDP socket that the user has named. */
static bool give_named(struct takeover *t)
{
	struct listener *l;

	t->listener_count = learned_find(t->child, &t->key, t->listeners, FOUND_MAX);
	if (t->listener_count == 0) {
		l = learned_cover(t->child, &t->key);
		if (l == NULL)
			return false;
		t->listeners[0] = l;
		t->listener_count = 1;
	}
	replace_socket_search(t);
	if (has_bound(t, 0))
		return false;
	replace_worker_socket(t, t->listeners[0]);
	return true;
}

static int set_reuseport(void *argument)
{
	return socket_set_reuseport(((const struct takeover *)argument)->sock, true);
}

/* Binds a UDP socket.  One that nclust does not keep is the worker's own: the kernel spreads
 * flows. */
static void decide_udp(struct takeover *t)
{
	const struct recipe *r = recipe_of(t->service, t->child->generation);
	bool udp = t->sock != -1 && t->key.type == SOCK_DGRAM && t->key.protocol == IPPROTO_UDP;
	/* Is each flow to stay in its slot?  Then nclust keeps a UDP socket for each slot.  Not for
	 * spares, which wait in this call: the kernel answers it in the end. */
	bool spread = udp && r != NULL && recipe_spreads(r) && r->settings->spare == 0;

	if (udp && give_named(t)) {
		if (learned_only(t->listeners[0])) /* as by its own bind(2) */
			listens_look(t->child, true);
		return;
	}
	if (udp && t->fresh && learned_blocks(t->child, &t->key)) {
		report_failed(t, EADDRINUSE);
		takeover_answer(t, EADDRINUSE);
		return;
	}
	if (udp && !spread)
		(void)remote_run(t->remote, t->sock, set_reuseport, t);
	if (udp && spare_gate_keep(t->child, NULL, t->notice))
		return;
	if (udp)
		listens_look(t->child, true);
	if (spread && t->fresh)
		decide_tcp(t);
	else
		let_kernel(t);
}

/* Was the call answered already?  A call that a signal interrupts after nclust's answer comes
 * again, and its socket is nclust's by then. */
static bool is_answered(const struct takeover *t)
{
	return t->sock != -1 && !seccomp_waits_killable() &&
		learned_by_inode(t->service, remote_own_inode(t->sock)) != NULL;
}

/* Does the socket stay the worker's own?  Not that of a process which the worker has started. */
static bool is_exclusive(const struct takeover *t)
{
	const pid_t worker = t->child->pid;
	uint64_t process;

	if (!t->child->trap.exclusive || (t->sock != -1 && t->reuseport))
		return false;
	return t->notice->tid == worker ||
		(process_status(t->notice->tid, "Tgid:", 10, &process) == 0 &&
			process == (uint64_t)worker);
}

/* Is the socket neither bound nor connected?  Such a TCP socket polls as hung up (tcp_poll(): the
 * state is CLOSE).  Other sockets are left to the kernel. */
static bool is_fresh(int sock)
{
	struct pollfd state = {.fd = sock, .events = POLLOUT};
	struct socket_key bound;

	/* asked first: to poll what is no socket may take any time */
	return socket_key_bound(&bound, sock) == 0 && bound.port == 0 &&
		(bound.type == SOCK_DGRAM ||
			(poll(&state, 1, 0) == 1 && (state.revents & POLLHUP) != 0));
}

struct examining {
	struct takeover *t;
	char address[SOCKET_ADDRESS_MAX];
	int error; /* why nclust cannot have the socket or the address; or 0 */
	bool known;
};

/* Examines the socket, whose lock the worker may hold. */
static void examine_socket(struct examining *e)
{
	struct takeover *t = e->t;
	struct socket_options asked; /* on the child's stack (vfork.h) */
	struct socket_key key;

	if (socket_key_of(&key, t->sock, e->address, t->notice->size) == -1)
		return;
	t->key = key;
	t->fresh = is_fresh(t->sock);
	socket_options_read(&asked, t->sock);
	t->asked = asked;
	t->reuseport = socket_has_reuseport(t->sock);
	e->known = true;
}

/* Finds out all that must be known of the call, in one child if there has to be one. */
static int examine(void *argument)
{
	struct examining *e = argument;
	struct takeover *t = e->t;
	struct remote *r = t->remote;

	if (t->duplicates)
		t->sock = remote_fd(r, t->notice->fd);
	if ((t->sock == -1 && t->duplicates) ||
		remote_read(r, t->notice->at, e->address, t->notice->size) == -1)
		e->error = errno;
	else if (t->sock != -1)
		examine_socket(e);
	return 0;
}

/* Finds out what is possible about a socket that nclust cannot duplicate. */
static bool guess_socket(struct takeover *t, const void *address)
{
	char protocol[32];
	int v6only = -1;

	t->fresh = true;
	t->reuseport = true; /* assumed: it cannot be seen */
	if (t->child->trap.v6only_known && t->child->trap.v6only_fd == t->notice->fd)
		v6only = t->child->trap.v6only ? 1 : 0;
	return remote_protocol(t->remote, t->notice->fd, protocol, sizeof(protocol)) == 0 &&
		remote_shares(t->remote, "ns/net") && takeover_waits(t) &&
		socket_key_guess(&t->key, protocol, address, t->notice->size, v6only) == 0;
}

/* Can this socket be taken over?  Most cannot, and cost no more than this. */
static bool examine_call(struct takeover *t)
{
	struct remote *r = t->remote;
	struct examining e = {.t = t};
	int got;

	/* a worker that hangs here delays no other worker's trap */
	got = remote_have(r, t->trap, examine, &e, &t->sock);
	if (e.error == EPERM && once_say(t->service->said, ONCE_TRAP_REFUSED))
		news_say_worker(t->child, LOG_WARN, "listening",
			"the port that it binds cannot be taken over, it stays its own: %s "
			"(another user's or an unreadable program, or Yama; nclust would need "
			"CAP_SYS_PTRACE)",
			strerror(EPERM));
	if (got == -1 || e.error != 0 || !takeover_waits(t))
		return false;
	paths_bind(t->child, t->notice->tid, e.address, t->notice->size);
	return t->sock != -1 ? e.known : guess_socket(t, e.address);
}

void takeover_bind(struct child *child, const struct seccomp_notice *notice, struct remote *remote)
{
	struct supervisor *sup = child->service->sup;
	struct takeover t = {
		.duplicates = sup->intercept.way == WAY_ADOPT,
		.child = child,
		.service = child->service,
		.notice = notice,
		.remote = remote,
		.trap = child->trap.fd,
		.sock = -1,
	};

	if (notice->size < sizeof(sa_family_t) || notice->size > SOCKET_ADDRESS_MAX ||
		!examine_call(&t) || t.key.port == 0) {
		let_kernel(&t);
	} else if (!takeover_shares(child, &t.key, notice->tid)) {
		let_kernel(&t);
	} else if (is_answered(&t)) {
		takeover_answer(&t, 0);
	} else if (!socket_key_is_tcp(&t.key)) {
		decide_udp(&t);
	} else if (!t.fresh || is_exclusive(&t)) {
		let_kernel(&t);
	} else {
		decide_tcp(&t);
	}
	async_close(sup, child, &t.sock);
}
