/* SPDX-License-Identifier: MIT */
#include "supervisor/node/internal.h"

#include "base/scope.h"
#include "os/process.h"
#include "os/socket/socket.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/sockets.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"
#include "supervisor/intercept/intercept.h"
#include "supervisor/common/news.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

#define BACKLOG 511 /* Node's default (net.js) */

static struct listener *find_passed(const struct node_worker *w, int fd)
{
	const struct recipe *r = recipe_of(w->child->service, w->child->generation);

	return r != NULL && fd >= FIRST_FD
		? listeners_at(&r->listeners, w->child->slot, (size_t)(fd - FIRST_FD))
		: NULL;
}

/* ---- internet ---- */

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

/* ---- unix ---- */

/* The file is made as the user that the worker is now, because the worker may have given up some of
 * the rights with which it was started. */
static int read_user(const struct node_worker *w, struct vfork_user *user)
{
	const struct child *c = w->child;
	const struct recipe *r = recipe_of(c->service, c->generation);
	uint64_t uid;
	uint64_t gid;

	if (process_status(c->pid, "Uid:", 10, &uid) == -1 ||
		process_status(c->pid, "Gid:", 10, &gid) == -1)
		return -1;
	*user = (struct vfork_user){.uid = (uid_t)uid, .gid = (gid_t)gid};
	if (r != NULL && r->settings->uid == (long)uid) {
		user->groups = r->groups;
		user->group_count = r->group_count;
	}
	return 0;
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
	if (l != NULL || make_address(&address, place) == -1)
		return l;
	if ((*path == '@' || cluster_settings(w->child->service->core)->chroot == NULL) &&
		read_user(w, &user) == 0)
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

/* ---- all ---- */

static int begin_listening(struct listener *l, int backlog)
{
	if (l->facts.type != SOCK_STREAM || l->facts.listening)
		return 0;
	if (socket_backlog(l->fd, backlog) == -1)
		return -1;
	l->address.backlog = backlog; /* for heal.c */
	heal_listening(l);
	return 0;
}

struct listener *node_bind(struct node_worker *w, const struct nodeipc_place *place, int *error)
{
	struct listener *l = NULL;

	*error = EINVAL;
	switch (place->family) {
	case NODEIPC_FD:
		l = find_passed(w, place->fd);
		break;
	case NODEIPC_UNIX:
		l = bind_unix(w, place, error);
		break;
	case NODEIPC_TCP:
	case NODEIPC_UDP:
		l = bind_internet(w, place, error);
		break;
	}
	/* libuv polls, and would otherwise hang in accept(2) */
	if (l == NULL ||
		(fcntl(l->fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0 &&
			begin_listening(l, place->backlog > 0 ? place->backlog : BACKLOG) == 0))
		return l;
	*error = errno;
	return NULL;
}
