/* SPDX-License-Identifier: MIT */
#include "supervisor/node/node_inside.h"

#include "base/log.h"
#include "base/scope.h"
#include "supervisor/common/part.h"
#include "supervisor/intercept/listens.h"
#include "supervisor/intercept/takeover.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/holding.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/renew.h"
#include "supervisor/workers/recipe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Servers: the addresses that Node workers ask for, and who has them. */

/* ---- finding a server ---- */

static bool is_same(const struct nodeipc_place *a, const struct nodeipc_place *b)
{
	return a->family == b->family && a->v6 == b->v6 && a->index == b->index && a->fd == b->fd &&
		a->flags == b->flags && strcmp(a->address, b->address) == 0;
}

/* Not one of another slot's own address. */
static bool may_have(const struct child *child, const struct listener *l)
{
	struct listener_walk walk = listeners_for(child, LISTENERS_ALL);
	const struct listener *of = NULL;

	if (l == NULL || l->address.each == NULL)
		return true;
	while ((of = listener_next(&walk)) != NULL && of != l)
		;
	return of != NULL;
}

static struct node_server *find(const struct node_cluster *n, const struct child *child,
	const struct nodeipc_place *place, bool rr)
{
	struct node_server *s = n->servers;

	while (s != NULL &&
		(s->rr != rr || s->place.port != place->port || !may_have(child, s->listener) ||
			!is_same(&s->place, place)))
		s = s->next;
	return s;
}

struct node_server *node_server_numbered(const struct node_cluster *n, uint64_t number)
{
	struct node_server *s = n->servers;

	while (s != NULL && s->number != number)
		s = s->next;
	return s;
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

void node_server_link(struct node_server *s, struct listener *l)
{
	s->listener = l;
	s->next_of_listener = l->servers;
	l->servers = s;
}

static void unlink_listener(struct node_server *s)
{
	struct node_server **at = &s->listener->servers;

	while (*at != s)
		at = &(*at)->next_of_listener;
	*at = s->next_of_listener;
	s->listener = NULL;
}

static void unlink_use(struct node_worker *w, struct node_use *use)
{
	struct node_server *s = use->server;
	size_t at = 0;

	while (s->users[at] != w)
		at++;
	s->user_count--;
	(void)memmove(&s->users[at], &s->users[at + 1], (s->user_count - at) * sizeof(*s->users));
	if (s->turn > at)
		s->turn--;
	if (s->user_count == 0)
		node_rr_rest(s);
	w->use_count--;
	(void)memmove(use, use + 1, (size_t)(w->uses + w->use_count - use) * sizeof(*use));
}

void node_server_free(struct node_server *s)
{
	struct node_server **at = &s->cluster->servers;

	/* workers that have it still have their own descriptors of it */
	while (s->user_count > 0)
		unlink_use(s->users[0], node_use_of(s->users[0], s));
	node_rr_end(s);
	if (s->listener != NULL)
		unlink_listener(s);
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	s->cluster->server_count--;
	free(s->users);
	free(s->data);
	free(s);
}

static struct node_server *make(
	struct node_cluster *n, const struct nodeipc_message *m, struct listener *l, bool rr)
{
	struct node_server *s = node_server_new(n);

	if (s == NULL)
		return NULL;
	s->number = ++n->last_number;
	s->place = m->place;
	s->data = m->data != NULL ? strdup(m->data) : NULL;
	node_server_link(s, l);
	if (rr) {
		/* only one socket is watched, and it must not be replaced */
		group_forget(l);
		node_rr_watch(s);
	}
	return s;
}

/* ---- its users ---- */

struct node_use *node_use_of(const struct node_worker *w, const struct node_server *s)
{
	for (size_t i = 0; i < w->use_count; i++)
		if (w->uses[i].server == s)
			return &w->uses[i];
	return NULL;
}

static bool uses_listener(const struct node_worker *w, const struct listener *l)
{
	for (size_t i = 0; i < w->use_count; i++)
		if (w->uses[i].server->listener == l)
			return true;
	return false;
}

static int grow_users(struct node_server *s)
{
	size_t room = s->user_room > 0 ? 2 * s->user_room : 8;
	struct node_worker **more;

	if (s->user_count < s->user_room)
		return 0;
	more = realloc(s->users, room * sizeof(*more));
	if (more == NULL)
		return -1;
	s->users = more;
	s->user_room = room;
	return 0;
}

int node_use_add(struct node_worker *w, struct node_server *s)
{
	if (w->uses == NULL) {
		w->uses = calloc(NODE_USES_MAX, sizeof(*w->uses));
		if (w->uses == NULL)
			return -1;
	}
	if (w->use_count >= NODE_USES_MAX || grow_users(s) == -1)
		return -1;
	s->users[s->user_count++] = w;
	w->uses[w->use_count++] = (struct node_use){.server = s};
	return 0;
}

void node_use_drop(struct node_worker *w, size_t i, bool closed)
{
	struct node_server *s = w->uses[i].server;
	struct listener *l = s->listener;

	unlink_use(w, &w->uses[i]);
	if (closed && !uses_listener(w, l) && learned_unuse(w->child, l) && !w->leaving &&
		learned_only(l))
		learned_close(w->child->service, l, w->child); /* by its last user */
	else
		node_rr_go_on(s); /* others may take what waits */
}

void node_close(struct node_worker *w, const char *key)
{
	char mine[NODEIPC_KEY_MAX];

	for (size_t i = 0; i < w->use_count; i++) {
		(void)snprintf(mine, sizeof(mine), "%" PRIu64, w->uses[i].server->number);
		if (strcmp(mine, key) == 0) {
			node_use_drop(w, i, true);
			return;
		}
	}
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

/* nclust will accept and hand over. */
static void answer_faux(
	struct node_worker *w, const struct node_server *s, const struct nodeipc_answer *a)
{
	const struct socket_key *key = &s->listener->key;
	struct buffer line;
	struct nodeipc_writer to = node_writer(w, &line);
	char text[INET6_ADDRSTRLEN] = "";

	if (s->listener->has_key)
		(void)inet_ntop(key->family, key->ip, text, sizeof(text));
	nodeipc_put_faux(
		&to, a, s->listener->has_key ? text : NULL, key->family == AF_INET6, key->port);
	(void)node_send(w, &line, -1);
}

/* -1: the worker cannot get the socket. */
static int answer_shared(
	struct node_worker *w, struct node_use *use, const struct nodeipc_answer *a)
{
	struct listener *l = use->server->listener;
	struct buffer line;
	struct nodeipc_writer to = node_writer(w, &line);
	int fd;

	PARTS(provide, w->child, l, false);
	fd = fcntl(group_fd(l, w->child->traffic.lane), F_DUPFD_CLOEXEC, 3);
	if (fd == -1)
		return -1;
	l->ours_alone = false;
	use->sent = a->seq;
	nodeipc_put_shared(&to, a, l->facts.type == SOCK_DGRAM);
	(void)node_send(w, &line, fd);
	return 0;
}

/* It was not sent, or has not arrived. */
static void refuse(struct node_worker *w, const struct node_use *use)
{
	node_answer_error(w, use->query, EMFILE);
	node_use_drop(w, (size_t)(use - w->uses), true);
}

static void answer(struct node_worker *w, struct node_use *use)
{
	const struct nodeipc_answer a = {
		.key = use->server->number,
		.ack = use->query,
		.seq = node_next_seq(w),
		.data = use->server->data,
	};

	if (use->server->rr) {
		answer_faux(w, use->server, &a);
		node_rr_go_on(use->server);
	} else if (answer_shared(w, use, &a) == -1) {
		refuse(w, use);
	}
}

/* The oldest answer with a socket that has not arrived; NULL: there is none, or
 * a connection was sent before it. */
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
	if (!w->told_full)
		log_warn("%s.%" PRIu32 ": has no descriptor left for what nclust "
			 "passes it (limit-nofile?)",
			w->child->service->name, w->child->slot);
	w->told_full = true;
	if (use != NULL)
		refuse(w, use);
	else
		node_rr_left(w);
}

/* ---- queries ---- */

/* Is it another worker's alone, as `share-ports` does not name it? */
static bool is_taken(const struct node_worker *w, const struct listener *l)
{
	return l->has_key && learned_only(l) && learned_is_used(l, w->child) &&
		!takeover_shares(w->child, &l->key);
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
	*error = EINVAL; /* a NUL inside: path.resolve() of an abstract one */
	if (strlen(m->place.address) != m->place.address_len)
		return NULL;
	s = find(n, child, &m->place, rr);
	if (s != NULL) {
		*error = EADDRINUSE;
		return node_use_of(w, s) == NULL && !is_taken(w, s->listener) ? s : NULL;
	}
	l = node_bind(w, &m->place, error);
	if (l == NULL)
		return NULL;
	*error = EADDRINUSE; /* it has another server there */
	if (uses_listener(w, l) || is_taken(w, l))
		return NULL;
	*error = ENOMEM;
	return make(n, m, l, rr);
}

void node_query(struct node_worker *w, const struct nodeipc_message *m)
{
	struct node_server *s = NULL;
	int error = EMFILE;

	if (w->use_count < NODE_USES_MAX)
		s = find_or_make(w, m, &error);
	if (s != NULL && node_use_add(w, s) == -1) {
		error = ENOMEM;
		s = NULL;
	}
	if (s == NULL) {
		node_answer_error(w, m->seq, error);
		return;
	}
	learned_use(w->child, s->listener, w->child->pid);
	w->uses[w->use_count - 1].query = m->seq;
	answer(w, &w->uses[w->use_count - 1]);
}

/* ---- listening ---- */

/* The port may have been chosen after the query. */
static bool is_meant(const struct node_server *s, const struct nodeipc_place *place)
{
	return is_same(&s->place, place) &&
		(s->place.port == place->port || s->listener->facts.port == place->port);
}

void node_listening(struct node_worker *w, const struct nodeipc_place *place)
{
	struct listener *l = NULL; /* one that it has bound by itself */

	for (size_t i = 0; i < w->use_count && l == NULL; i++)
		if (is_meant(w->uses[i].server, place))
			l = w->uses[i].server->listener;
	if (l != NULL) /* it may have removed the file of one that others had already */
		renew_look_at(l);
	listens_told(w->child, l);
}
