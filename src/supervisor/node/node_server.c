/* SPDX-License-Identifier: MIT */
#include "supervisor/node/node_inside.h"

#include "base/scope.h"
#include "supervisor/sockets/heal.h"
#include "supervisor/sockets/holding.h"
#include "supervisor/intercept/takeover.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/renew.h"
#include "supervisor/intercept/listens.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Servers: the addresses that Node workers ask for, and who has them. */

#define BACKLOG 511 /* Node's default (net.js) */

/* ---- finding a server ---- */

/* Write the address as `listen` does: with '@' in place of a first NUL. */
static void read_address(const struct nodeipc_place *place, char to[NODEIPC_ADDRESS_MAX])
{
	(void)memcpy(to, place->address, NODEIPC_ADDRESS_MAX);
	if (place->has_address && to[0] == '\0' && place->address_len > 0)
		to[0] = '@';
}

static bool is_same(
	const struct node_server *s, const struct nodeipc_place *place, const char *address)
{
	const char *mine = s->address != NULL ? s->address : "";

	return s->family == place->family && s->v6 == place->v6 && s->index == place->index &&
		s->fd == place->fd && s->flags == place->flags &&
		(s->address != NULL) == place->has_address && strcmp(mine, address) == 0;
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
	const struct nodeipc_place *place, const char *address, bool rr)
{
	struct node_server *s = n->servers;

	while (s != NULL &&
		(s->rr != rr || s->port != place->port || !may_have(child, s->listener) ||
			!is_same(s, place, address)))
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
	s->fd = -1;
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
	w->use_count--;
	(void)memmove(use, use + 1, (size_t)(w->uses + w->use_count - use) * sizeof(*use));
}

void node_server_free(struct node_server *s)
{
	struct node_server **at = &s->cluster->servers;

	/* workers that have it still have their own descriptors of it */
	while (s->user_count > 0)
		unlink_use(s->users[0], node_use_of(s->users[0], s));
	if (s->rr)
		node_rr_end(s);
	if (s->listener != NULL)
		unlink_listener(s);
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	s->cluster->server_count--;
	free(s->users);
	free(s->address);
	free(s->data);
	free(s);
}

static struct node_server *make(struct node_worker *w, const struct nodeipc_message *m,
	const char *address, struct listener *l, bool rr)
{
	struct node_cluster *n = w->child->service->node;
	struct node_server *s = node_server_new(n);

	if (s == NULL)
		return NULL;
	s->number = ++n->last_number;
	s->family = m->place.family;
	s->v6 = m->place.v6;
	s->port = m->place.port;
	s->fd = m->place.fd;
	s->flags = m->place.flags;
	s->index = m->place.index;
	s->data = m->data != NULL ? strdup(m->data) : NULL;
	node_server_link(s, l);
	if (m->place.has_address) {
		s->address = strdup(address);
		if (s->address == NULL)
			goto fail;
	}
	if (rr && node_rr_begin(w, s, m->place.backlog > 0 ? m->place.backlog : BACKLOG) == -1)
		goto fail;
	return s;
fail:
	node_server_free(s);
	return NULL;
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
	else if (s->rr)
		node_rr_room(s); /* others may take what waits */
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

/* ---- queries ---- */

static void answer_faux(struct node_worker *w, const struct node_server *s, int64_t ack)
{
	const struct socket_key *key = &s->listener->key;
	struct buffer line;
	struct nodeipc_writer to = node_writer(w, &line);
	char text[INET6_ADDRSTRLEN] = "";
	const struct nodeipc_answer a = {
		.key = s->number,
		.ack = ack,
		.seq = node_next_seq(w),
		.data = s->data,
	};

	if (s->listener->has_key)
		(void)inet_ntop(key->family, key->ip, text, sizeof(text));
	nodeipc_put_faux(
		&to, &a, s->listener->has_key ? text : NULL, key->family == AF_INET6, key->port);
	(void)node_send(w, &line, -1);
}

/* Is it another worker's alone, as `share-ports` does not name it? */
static bool is_taken(const struct node_worker *w, const struct listener *l)
{
	return l->has_key && learned_only(l) && learned_is_used(l, w->child) &&
		!takeover_shares(w->child, &l->key);
}

static struct node_server *find_or_make(
	struct node_worker *w, const struct nodeipc_message *m, int *error)
{
	struct node_cluster *n = w->child->service->node;
	bool rr = m->place.family != NODEIPC_UDP && node_rr_wanted(w->child);
	char address[NODEIPC_ADDRESS_MAX];
	struct node_server *s;
	struct listener *l;

	*error = ENAMETOOLONG;
	if (m->place.address_len >= sizeof(address))
		return NULL;
	read_address(&m->place, address);
	*error = EINVAL; /* a NUL inside: path.resolve() of an abstract one */
	if (strlen(address) != m->place.address_len)
		return NULL;
	s = find(n, w->child, &m->place, address, rr);
	if (s != NULL) {
		*error = EADDRINUSE;
		return node_use_of(w, s) == NULL && !is_taken(w, s->listener) ? s : NULL;
	}
	l = node_bind(w, &m->place, address, error);
	if (l == NULL)
		return NULL;
	*error = EADDRINUSE; /* it has another server there */
	if (uses_listener(w, l) || is_taken(w, l))
		return NULL;
	*error = ENOMEM;
	return make(w, m, address, l, rr);
}

void node_query(struct node_worker *w, const struct nodeipc_message *m)
{
	struct node_server *s;
	int error = EMFILE;

	if (w->use_count >= NODE_USES_MAX) {
		node_answer_error(w, m->seq, error);
		return;
	}
	s = find_or_make(w, m, &error);
	if (s == NULL) {
		node_answer_error(w, m->seq, error);
		return;
	}
	if (node_use_add(w, s) == -1) {
		node_answer_error(w, m->seq, ENOMEM);
		return;
	}
	learned_use(w->child, s->listener, w->child->pid);
	if (!s->rr) {
		node_answer_shared(w, s, m->seq, 0);
		return;
	}
	answer_faux(w, s, m->seq);
	node_rr_room(s);
}

/* ---- listening ---- */

/* Is it this server?  The port may have been chosen after the query. */
static bool is_meant(
	const struct node_server *s, const struct nodeipc_place *place, const char *address)
{
	return is_same(s, place, address) &&
		(s->port == place->port || s->listener->facts.port == place->port);
}

static void note_kernel(struct listener *l)
{
	if (!l->facts.listening && l->facts.type == SOCK_STREAM &&
		socket_option(l->fd, SOL_SOCKET, SO_ACCEPTCONN) != 0)
		heal_listening(l);
}

void node_listening(struct node_worker *w, const struct nodeipc_place *place)
{
	char address[NODEIPC_ADDRESS_MAX];
	struct node_use *use = NULL;

	read_address(place, address);
	for (size_t i = 0; i < w->use_count && use == NULL; i++)
		if (is_meant(w->uses[i].server, place, address))
			use = &w->uses[i];
	if (use == NULL) { /* one that it has bound by itself */
		listens_told(w->child, NULL);
		return;
	}
	use->listening = true;
	note_kernel(use->server->listener);
	/* it may have removed the file of one that others had already */
	renew_look_at(use->server->listener);
	listens_told(w->child, use->server->listener);
}
