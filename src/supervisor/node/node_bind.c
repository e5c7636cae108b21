/* SPDX-License-Identifier: MIT */
#include "supervisor/node/node_inside.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/process.h"
#include "os/socket/socket_as.h"
#include "os/socket/socket_key.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/common/news.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"
#include "supervisor/intercept/takeover.h"
#include "supervisor/common/trouble.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

/* Finds or makes the listener for an address that a Node worker asks for. */

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

static void tell_bound(const struct node_worker *w, const struct listener *l)
{
	struct child *c = w->child;

	if (news_spares(c))
		news_say_of(c->service, LOG_NOTE, "listening",
			"listening on %s (opened by %s.%" PRIu32 ")", listener_text(l),
			c->service->name, c->slot);
}

/* Make it nonblocking: libuv polls, and would otherwise hang in accept(2). */
static struct listener *ready(struct listener *l, int *error)
{
	if (fcntl(l->fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0)
		return l;
	*error = errno;
	return NULL;
}

/* ---- sockets passed at the start ---- */

static struct listener *find_passed(const struct node_worker *w, int fd)
{
	const struct recipe *r = recipe_of(w->child->service, w->child->generation);

	return r != NULL && fd >= FIRST_FD
		? listeners_at(&r->listeners, w->child->slot, (size_t)(fd - FIRST_FD))
		: NULL;
}

/* ---- as which user ---- */

/* Sockets are made as the user that the worker is now, because it may have
 * given up some of the rights with which it was started. */
static int read_user(const struct node_worker *w, struct vfork_user *user)
{
	const struct child *c = w->child;
	const struct recipe *r = recipe_of(c->service, c->generation);
	uint64_t uid;
	uint64_t gid;

	if (process_status(c->pid, "Uid:", 10, &uid) == -1 ||
		process_status(c->pid, "Gid:", 10, &gid) == -1) {
		errno = EACCES;
		return -1;
	}
	*user = (struct vfork_user){.uid = (uid_t)uid, .gid = (gid_t)gid};
	if (r != NULL && r->settings->uid == (long)uid) {
		user->groups = r->groups;
		user->group_count = r->group_count;
	}
	return 0;
}

/* ---- internet ---- */

static int read_ip(struct socket_key *key, const char *address)
{
	char ip[NODEIPC_ADDRESS_MAX];
	char *scope;

	(void)memcpy(ip, address, sizeof(ip));
	scope = strchr(ip, '%');
	if (scope != NULL) {
		*scope++ = '\0';
		key->scope = if_nametoindex(scope);
	}
	return inet_pton(key->family, ip, key->ip) == 1 ? 0 : -1;
}

static int make_key(struct socket_key *key, const struct nodeipc_place *place, const char *address)
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
	if (place->has_address && read_ip(key, address) == -1)
		return -1;
	/* as bind(2) sets it (socket_key.c) */
	if (key->family == AF_INET6 && !socket_key_is_any(key))
		key->v6only = true;
	return 0;
}

static struct listener *find_held(const struct child *child, const struct socket_key *key)
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

/* For datagrams the worker says whether others may have the address, too. */
static int open_key(const struct socket_key *key, uid_t uid, unsigned flags)
{
	if (key->type != SOCK_DGRAM)
		return socket_key_open(key, uid, false);
	return socket_key_open_as(
		key, uid, (flags & NODEIPC_REUSEADDR) != 0, (flags & NODEIPC_REUSEPORT) != 0);
}

/* If unused learned listeners have the address, close them first. */
static int open_either(const struct node_worker *w, const struct socket_key *key, unsigned flags)
{
	struct vfork_user user;
	int fd;

	if (read_user(w, &user) == -1)
		return -1;
	fd = open_key(key, user.uid, flags);
	if (fd != -1 || errno != EADDRINUSE)
		return fd;
	if (learned_make_way(w->child, key))
		return open_key(key, user.uid, flags);
	errno = EADDRINUSE;
	return -1;
}

static struct listener *keep(struct node_worker *w, struct socket_key *key, int fd, int *error)
{
	struct listener *l = NULL;
	struct error err = {0};

	if (socket_key_bound(key, fd) == 0)
		l = learned_add(w->child->service, key, fd, &err);
	if (l == NULL) {
		(void)close(fd);
		*error = EMFILE;
		return NULL;
	}
	tell_bound(w, l);
	return l;
}

static bool may_bind(const struct node_worker *w, const struct socket_key *key)
{
	struct remote r;

	if (key->port == 0)
		return true;
	remote_of(&r, w->child->pid);
	return takeover_may(w->child, key, &r);
}

static struct listener *bind_new(struct node_worker *w, struct socket_key *key,
	const struct nodeipc_place *place, int *error)
{
	char text[SOCKET_KEY_TEXT];
	int fd = -1;

	errno = EACCES;
	if (may_bind(w, key))
		fd = open_either(w, key, place->flags);
	if (fd != -1)
		return keep(w, key, fd, error);
	*error = errno;
	if (place->has_address || key->family != AF_INET6 || *error == EADDRINUSE ||
		*error == EACCES) {
		trouble_cannot_bind(
			w->child, key->type, key->port, socket_key_text(key, text), *error, NULL);
		child_tell(w->child, EVENT_REFUSED, WHY_ITSELF);
		return NULL;
	}
	/* no IPv6 here: as net.js does */
	key->family = AF_INET;
	return bind_new(w, key, place, error);
}

static struct listener *bind_internet(
	struct node_worker *w, const struct nodeipc_place *place, const char *address, int *error)
{
	struct socket_key key;
	struct socket_key v4;
	struct listener *l;

	if (make_key(&key, place, address) == -1) {
		*error = EINVAL;
		return NULL;
	}
	l = find_held(w->child, &key);
	if (l == NULL && !place->has_address && key.family == AF_INET6) {
		v4 = key;
		v4.family = AF_INET;
		l = find_held(w->child, &v4);
	}
	return l != NULL ? l : bind_new(w, &key, place, error);
}

/* ---- unix ---- */

static int open_unix(const struct node_worker *w, const struct nodeipc_place *place,
	const char *path, struct socket_file *made)
{
	const struct cluster_settings *s = cluster_settings(w->child->service->core);
	struct vfork_user user;
	struct socket_plan plan = {
		.family = AF_UNIX,
		.type = SOCK_STREAM,
		.path = path,
		.backlog = place->backlog > 0 ? place->backlog : -1,
		.mode = -1,
		.owner = -1,
		.group = -1,
		.v6only = -1,
		.defer_accept = -1,
		.nonblock = true,
		.rcvbuf = -1,
		.sndbuf = -1,
		.text = path,
	};
	struct error err = {0};
	int fd;

	if (place->readable_all || place->writable_all)
		plan.mode =
			0755 | (place->readable_all ? 0444 : 0) | (place->writable_all ? 0222 : 0);
	if (read_user(w, &user) == -1)
		return -1;
	if (user.uid == geteuid() && (*path == '@' || s->chroot == NULL)) {
		fd = socket_open(&plan, made, &err);
		errno = err.sys != 0 ? err.sys : EADDRINUSE;
		return fd;
	}
	if (*path != '@' && s->chroot != NULL) { /* the path is below its root, not ours */
		errno = EACCES;
		return -1;
	}
	return socket_unix_open_as(path, &user, made);
}

static struct listener *bind_unix(
	struct node_worker *w, const struct nodeipc_place *place, const char *path, int *error)
{
	struct service *service = w->child->service;
	struct listener *l = learned_find_unix(w->child, path);
	struct socket_file made = {0};
	struct error err = {0};
	int fd;

	if (l != NULL)
		return l;
	fd = open_unix(w, place, path, &made);
	if (fd == -1) {
		*error = errno;
		trouble_cannot_bind(w->child, SOCK_STREAM, 0, path, *error, NULL);
		child_tell(w->child, EVENT_REFUSED, WHY_ITSELF);
		return NULL;
	}
	l = learned_add_unix(service, path, fd, &made, &err);
	if (l == NULL) {
		(void)socket_unlink(path, &made);
		(void)close(fd);
		*error = EMFILE;
		return NULL;
	}
	tell_bound(w, l);
	return l;
}

/* Clients are told the ids of who listens: the worker's, not ours. */
int node_listen(const struct node_worker *w, const struct listener *l, int backlog)
{
	struct vfork_user user;

	if (!l->learned || l->facts.family != AF_UNIX)
		return socket_backlog(l->fd, backlog);
	if (read_user(w, &user) == -1)
		return -1;
	return user.uid == geteuid() ? socket_backlog(l->fd, backlog)
				     : socket_unix_listen_as(l->fd, backlog, &user);
}

/* ---- all ---- */

struct listener *node_bind(
	struct node_worker *w, const struct nodeipc_place *place, const char *address, int *error)
{
	struct listener *l = NULL;

	*error = EINVAL;
	switch (place->family) {
	case NODEIPC_FD:
		l = find_passed(w, place->fd);
		break;
	case NODEIPC_UNIX:
		l = bind_unix(w, place, address, error);
		break;
	case NODEIPC_TCP:
	case NODEIPC_UDP:
		l = bind_internet(w, place, address, error);
		break;
	}
	return l != NULL ? ready(l, error) : NULL;
}
