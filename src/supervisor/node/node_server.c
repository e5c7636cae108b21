/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "base/scope.h"
#include "os/socket/socket.h"
#include "os/socket/socket_as.h"
#include "os/vfork.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/trouble.h"
#include "supervisor/intercept/listens.h"
#include "supervisor/intercept/takeover.h"
#include "supervisor/messages/channel.h"
#include "supervisor/node/internal.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/heal.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/paths.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Servers: the addresses that Node workers ask for, and which workers use them. */

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

#define BACKLOG 511 /* Node's default (net.js) */

/* ---- finding a server ---- */

static bool is_same_place(const struct nodeipc_place *a, const struct nodeipc_place *b)
{
	return a->family == b->family && a->v6 == b->v6 && a->index == b->index && a->fd == b->fd &&
		a->flags == b->flags && strcmp(a->address, b->address) == 0;
}

/* May the worker have this listener?  Not if it is another slot's own address. */
static bool may_have_listener(const struct child *child, const struct listener *l)
{
	struct listener_walk walk = listeners_for(child, LISTENERS_ALL);
	const struct listener *of = NULL;

	if (l == NULL || l->address.each == NULL)
		return true;
	while ((of = listener_next(&walk)) != NULL && of != l)
		;
	return of != NULL;
}

static struct node_server *find_server(const struct node_cluster *n, const struct child *child,
	const struct nodeipc_place *place, bool rr)
{
	struct node_server *s = n->servers;

	while (s != NULL &&
		(s->rr != rr || s->place.port != place->port ||
			!may_have_listener(child, s->listener) || !is_same_place(&s->place, place)))
		s = s->next;
	return s;
}

struct node_server *node_server_numbered(const struct node_cluster *n, uint64_t number)
{
	return list_find(s, n->servers, s->number == number);
}

/* ---- life ---- */

struct node_server *node_server_new(struct node_cluster *n)
{
	struct node_server *s;

	if (n->server_count >= NODE_SERVERS_MAX)
		return NULL;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->cluster = n;
	s->place.fd = -1;
	s->next = n->servers;
	n->servers = s;
	n->server_count++;
	return s;
}

void node_server_free(struct node_server *s)
{
	node_rr_end(s);
	list_remove(s->cluster->servers, s);
	s->cluster->server_count--;
	free(s->data);
	free(s);
}

static struct node_server *make_server(
	struct node_cluster *n, const struct nodeipc_message *m, struct listener *l, bool rr)
{
	struct node_server *s = node_server_new(n);

	if (s == NULL)
		return NULL;
	s->number = ++n->last_number;
	s->place = m->place;
	s->data = m->data != NULL ? strdup(m->data) : NULL;
	s->listener = l;
	l->of_node = true;
	if (rr) {
		/* only one socket is watched, and it must not be replaced */
		group_forget(l);
		node_rr_watch(s);
	}
	return s;
}

/* ---- what a worker uses ---- */

struct node_server *node_used(const struct node_worker *w, size_t i)
{
	return node_server_numbered(w->child->service->node, w->uses[i].server);
}

bool node_uses(const struct node_worker *w, const struct node_server *s)
{
	return array_find(use, w->uses, w->use_count, use->server == s->number) != NULL;
}

static bool uses_listener(const struct node_worker *w, const struct listener *l)
{
	for (size_t i = 0; i < w->use_count; i++) {
		const struct node_server *s = node_used(w, i);

		if (s != NULL && s->listener == l)
			return true;
	}
	return false;
}

static void drop_use(struct node_worker *w, size_t i)
{
	const struct node_server *s = node_used(w, i);

	w->use_count--;
	memmove(&w->uses[i], &w->uses[i + 1], (w->use_count - i) * sizeof(*w->uses));
	if (s != NULL && !uses_listener(w, s->listener) && learned_unuse(w->child, s->listener) &&
		!w->leaving && !child_is_stopping(w->child) && learned_only(s->listener))
		learned_close(w->child->service, s->listener,
			w->child); /* the last worker that used it has closed it */
}

void node_close(struct node_worker *w, const char *key)
{
	char mine[NODEIPC_KEY_MAX];

	for (size_t i = 0; i < w->use_count; i++) {
		snprintf(mine, sizeof(mine), "%" PRIu64, w->uses[i].server);
		if (strcmp(mine, key) == 0) {
			drop_use(w, i);
			return;
		}
	}
	w->closed += w->child->saved.adopted;
}

/* ---- answers ---- */

void node_answer_error(struct node_worker *w, int64_t ack, int error)
{
	struct buffer line;
	struct nodeipc_writer to = node_writer(w, &line);
	const struct nodeipc_answer a = {
		.ack = ack,
		.seq = node_next_seq(w),
	};

	nodeipc_put_error(&to, &a, error);
	(void)node_send(w, &line, -1);
}

/* Tells the worker that nclust will accept and hand over connections. */
static void answer_faux(
	struct node_worker *w, const struct node_server *s, const struct nodeipc_answer *a)
{
	const struct socket_key *key = &s->listener->key;
	struct buffer line;
	struct nodeipc_writer to = node_writer(w, &line);
	char text[INET6_ADDRSTRLEN] = "";

	if (s->listener->has_key)
		inet_ntop(key->family, key->ip, text, sizeof(text));
	nodeipc_put_faux(
		&to, a, s->listener->has_key ? text : NULL, key->family == AF_INET6, key->port);
	(void)node_send(w, &line, -1);
}

/* Sends the worker the server's socket.  -1: the worker cannot get it. */
static int answer_shared(
	struct node_worker *w, const struct node_server *s, const struct nodeipc_answer *a)
{
	struct listener *l = s->listener;
	struct buffer line;
	struct nodeipc_writer to = node_writer(w, &line);
	int fd;

	moment_uses(w->child, l, USE_GIVEN);
	fd = fcntl(group_fd(l, w->child->traffic.lane), F_DUPFD_CLOEXEC, 3);
	/* libuv polls, and would otherwise hang in accept(2): before Node 20 it accepts until EAGAIN */
	if (fd == -1 || socket_set_nonblock(fd, true) == -1) {
		fd_close(&fd);
		return -1;
	}
	l->ours_alone = false;
	nodeipc_put_shared(&to, a, l->facts.type == SOCK_DGRAM);
	(void)node_send(w, &line, fd);
	return 0;
}

/* The socket was not sent, or has not arrived. */
static void refuse_use(struct node_worker *w, const struct node_use *use)
{
	node_answer_error(w, use->query, EMFILE);
	drop_use(w, (size_t)(use - w->uses));
}

static void answer_query(struct node_worker *w, struct node_server *s, struct node_use *use)
{
	const struct nodeipc_answer a = {
		.key = s->number,
		.ack = use->query,
		.seq = node_next_seq(w),
		.data = s->data,
	};

	if (s->rr) {
		answer_faux(w, s, &a);
		node_rr_go_on(s);
		return;
	}
	use->sent = a.seq;
	if (answer_shared(w, s, &a) == -1)
		refuse_use(w, use);
}

/* The oldest answer whose socket has not arrived; NULL: none, or a connection was sent earlier. */
static struct node_use *find_sent(const struct node_worker *w)
{
	size_t i = 0;

	while (i < w->use_count && w->uses[i].sent == 0)
		i++;
	if (i == w->use_count)
		return NULL;
	return w->given != -1 && !w->given_arrived && w->given_seq < w->uses[i].sent ? NULL
										     : &w->uses[i];
}

void node_handle_acked(struct node_worker *w)
{
	struct node_use *use = find_sent(w);

	if (use == NULL && (w->given == -1 || w->given_arrived))
		return; /* nothing was sent: ignore it */
	w->child->channel->answers++;
	if (use != NULL)
		use->sent = 0;
	else
		w->given_arrived = true;
}

void node_handle_nacked(struct node_worker *w)
{
	struct node_use *use = find_sent(w);

	if (use == NULL && (w->given == -1 || w->given_arrived))
		return;
	if (once_say(w->child->said, ONCE_NODE_FULL))
		log_worker(w->child, LOG_WARN,
			"has no descriptor left for what nclust passes it (limit-nofile?)");
	if (use != NULL)
		refuse_use(w, use);
	else
		node_rr_left(w);
}

/* ---- binding an address ---- */

static int read_ip(struct socket_key *key, const char *address)
{
	char ip[NODEIPC_ADDRESS_MAX];
	char *scope;

	memcpy(ip, address, sizeof(ip));
	scope = strchr(ip, '%');
	if (scope != NULL) {
		*scope++ = '\0';
		key->scope = if_nametoindex(scope);
	}
	return inet_pton(key->family, ip, key->ip) == 1 ? 0 : -1;
}

static int make_key(struct socket_key *key, const struct nodeipc_place *place)
{
	bool udp = place->family == NODEIPC_UDP;

	*key = (struct socket_key){
		.family = place->v6 || !place->has_address ? AF_INET6 : AF_INET,
		.type = udp ? SOCK_DGRAM : SOCK_STREAM,
		.protocol = udp ? IPPROTO_UDP : IPPROTO_TCP,
		.port = place->port,
		.v6only = (place->flags & NODEIPC_V6ONLY) != 0,
	};
	if (udp && !place->has_address)
		key->family = place->v6 ? AF_INET6 : AF_INET;
	if (place->has_address && read_ip(key, place->address) == -1)
		return -1;
	/* as bind(2) sets it (socket_key.c) */
	if (key->family == AF_INET6 && !socket_key_is_any(key))
		key->v6only = true;
	return 0;
}

static struct listener *find_listener(const struct child *child, const struct socket_key *key)
{
	struct listener *l;

	if (key->port == 0)
		return NULL;
	if (learned_find(child, key, &l, 1) == 1)
		return l;
	l = learned_cover(child, key);
	/* a bare port in the settings covers all addresses */
	if (l == NULL && socket_key_is_any(key))
		l = learned_named(child, key);
	return l;
}

static struct listener *bind_internet(
	struct node_worker *w, const struct nodeipc_place *place, int *error)
{
	struct socket_key key;
	struct socket_key v4;
	struct listener *l;

	if (make_key(&key, place) == -1) {
		*error = EINVAL;
		return NULL;
	}
	l = find_listener(w->child, &key);
	if (l == NULL && !place->has_address && key.family == AF_INET6) {
		v4 = key;
		v4.family = AF_INET;
		l = find_listener(w->child, &v4);
	}
	return l != NULL
		? l
		: takeover_open(w->child, &key, (place->flags & NODEIPC_REUSEADDR) != 0, error);
}

/* -1: no listener can have this address. */
static int make_address(struct address *address, const struct nodeipc_place *place)
{
	scoped_str text = NULL;
	struct error err;

	if (asprintf(&text, "unix:%s", place->address) == -1) {
		text = NULL;
		return -1;
	}
	if (address_parse(address, text, &err) == -1)
		return -1;
	if (strcmp(address->path, place->address) != 0) { /* a comma begins an option */
		address_fini(address);
		return -1;
	}
	address->backlog = place->backlog > 0 ? place->backlog : BACKLOG;
	address->nonblock = true;
	if (place->readable_all || place->writable_all)
		address->mode =
			0755 | (place->readable_all ? 0444 : 0) | (place->writable_all ? 0222 : 0);
	return 0;
}

static struct listener *bind_unix(
	struct node_worker *w, const struct nodeipc_place *place, int *error)
{
	const char *path = place->address;
	struct listener *l = learned_find_unix(w->child, path);
	struct error err = {.sys = EACCES}; /* a `chroot` has other paths */
	struct socket_file made = {0};
	struct vfork_user user;
	struct address address;
	int fd = -1;

	*error = EINVAL;
	if (l != NULL) /* the worker may have removed the file, and goes on when it listens */
		renew_look_at(l);
	if (l != NULL || make_address(&address, place) == -1)
		return l;
	if (paths_user(w->child, w->child->pid, path, &user) == 0)
		fd = listener_bind_as(&address, &user, &made, &err);
	address_fini(&address);
	if (fd == -1) {
		*error = err.sys != 0 ? err.sys : EADDRINUSE;
		trouble_cannot_bind(w->child, SOCK_STREAM, 0, path, *error, NULL);
		child_tell(w->child, EVENT_REFUSED, WHY_ITSELF);
		return NULL;
	}
	l = learned_add_unix(w->child->service, path, fd, &made, &err);
	if (l == NULL) {
		(void)socket_unlink(path, &made);
		(void)close(fd);
		*error = EMFILE;
		return NULL;
	}
	takeover_log(w->child, l);
	return l;
}

/* `shared`: workers get it.  Each has its own socket before the first client comes. */
static int begin_listening(struct node_worker *w, struct listener *l, bool shared, int backlog)
{
	if (l->facts.type != SOCK_STREAM || l->facts.listening)
		return 0;
	if (shared)
		moment_uses(w->child, l, USE_GIVEN);
	if (group_set_backlog(l, backlog) == -1)
		return -1;
	l->address.backlog = backlog; /* for heal.c */
	heal_listening(l);
	return 0;
}

/* Returns the listener for an address: a listener that nclust has, or a new one, which listens if
 * it is for streams.  NULL: *error says why, as an errno(3). */
static struct listener *bind_place(
	struct node_worker *w, const struct nodeipc_place *place, int *error)
{
	const struct recipe *r = recipe_of(w->child->service, w->child->generation);
	struct listener *l = NULL;

	*error = EINVAL;
	switch (place->family) {
	case NODEIPC_FD:
		if (r != NULL && place->fd >= FIRST_FD)
			l = listeners_at(
				&r->listeners, w->child->slot, (size_t)(place->fd - FIRST_FD));
		break;
	case NODEIPC_UNIX:
		l = bind_unix(w, place, error);
		break;
	case NODEIPC_TCP:
	case NODEIPC_UDP:
		l = bind_internet(w, place, error);
		break;
	}
	/* nclust itself may accept from it (node_rr.c) */
	if (l == NULL ||
		(socket_set_nonblock(l->fd, true) == 0 &&
			begin_listening(w, l, r == NULL || !recipe_accepts(r),
				place->backlog > 0 ? place->backlog : BACKLOG) == 0))
		return l;
	*error = errno;
	return NULL;
}

/* ---- queries ---- */

/* Does another worker have the address alone, because `share-ports` does not name it? */
static bool is_others_alone(const struct node_worker *w, const struct listener *l)
{
	return l->has_key && learned_only(l) && learned_is_used(l, w->child) &&
		!takeover_shares(w->child, &l->key, w->child->pid);
}

static struct node_server *find_or_make(
	struct node_worker *w, const struct nodeipc_message *m, int *error)
{
	const struct child *child = w->child;
	const struct recipe *r = recipe_of(child->service, child->generation);
	bool rr = m->place.family != NODEIPC_UDP && r != NULL && recipe_accepts(r);
	struct node_cluster *n = child->service->node;
	struct node_server *s;
	struct listener *l;

	*error = ENAMETOOLONG;
	if (m->place.address_len >= sizeof(m->place.address))
		return NULL;
	*error = EINVAL; /* a NUL inside: path.resolve() of an abstract address */
	if (strlen(m->place.address) != m->place.address_len)
		return NULL;
	s = find_server(n, child, &m->place, rr);
	if (s != NULL) {
		*error = EADDRINUSE;
		return !node_uses(w, s) && !is_others_alone(w, s->listener) ? s : NULL;
	}
	l = bind_place(w, &m->place, error);
	if (l == NULL)
		return NULL;
	*error = EADDRINUSE; /* the worker has another server there */
	if (uses_listener(w, l) || is_others_alone(w, l))
		return NULL;
	*error = ENOMEM;
	return make_server(n, m, l, rr);
}

void node_query(struct node_worker *w, const struct nodeipc_message *m)
{
	struct node_use *use = NULL;
	struct node_server *s = NULL;
	int error = EMFILE;

	if (w->use_count < NODE_USES_MAX)
		s = find_or_make(w, m, &error);
	if (s != NULL && array_grow(w->uses, w->use_count)) {
		use = &w->uses[w->use_count++];
		*use = (struct node_use){.server = s->number, .query = m->seq};
	}
	if (use == NULL) {
		node_answer_error(w, m->seq, s != NULL ? ENOMEM : error);
		return;
	}
	learned_use(w->child, s->listener, w->child->pid);
	answer_query(w, s, use);
}

/* ---- listening ---- */

void node_listening(struct node_worker *w, const struct nodeipc_place *place)
{
	struct listener *l = NULL; /* a socket that the worker has bound by itself */

	for (size_t i = 0; i < w->use_count && l == NULL; i++) {
		const struct node_server *s = node_used(w, i);

		/* the port may have been chosen after the query */
		if (s != NULL && is_same_place(&s->place, place) &&
			(s->place.port == place->port || s->listener->facts.port == place->port))
			l = s->listener;
	}
	if (l != NULL) /* the worker may have removed the file of a path that others had already */
		renew_look_at(l);
	listens_note(w->child, l);
}
