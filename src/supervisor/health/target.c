/* SPDX-License-Identifier: MIT */
#include "supervisor/health/internal.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/fdpass.h"
#include "os/socket/socket_unix.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* `user`: if not NULL, only learned listeners of this worker. */
static const struct listener *find_first(
	const struct listener_set *set, uint32_t slot, const struct child *user)
{
	const struct listener *l;

	for (size_t i = 0; (l = listeners_at(set, slot, i)) != NULL; i++)
		if (l->facts.type == SOCK_STREAM && (user == NULL || learned_has(user, l)))
			break;
	return l;
}

/* The unix socket that the worker has bound by itself, if nclust knows its file; or NULL. */
static const struct path *own_path_of(const struct child *child)
{
	const struct path *p = child->life.paths;

	while (p != NULL && p->file.ino == 0)
		p = p->next;
	return p;
}

const struct listener *check_target_of(const struct child *child)
{
	const struct service *s = child->service;
	const struct recipe *r = recipe_of(s, child->generation);
	const struct listener *l =
		find_first(r != NULL ? &r->listeners : &s->sockets.listeners, child->slot, NULL);

	if (l == NULL && (child->listening.uses != 0 || own_path_of(child) == NULL))
		l = find_first(&s->sockets.learned, child->slot,
			child->listening.uses != 0 ? child : NULL);
	return l;
}

static int set_unix_address(
	struct check_target *target, const char *path, const struct socket_file *file)
{
	struct sockaddr_un *to = &target->address.un;

	text_copy(target->host, sizeof(target->host), "localhost");
	/* the kernel's path may be relative to another directory */
	if (path == NULL || *path != '/')
		return 0;
	if (strlen(path) >= sizeof(to->sun_path))
		return -1;
	*to = (struct sockaddr_un){.sun_family = AF_UNIX};
	text_copy(to->sun_path, sizeof(to->sun_path), path);
	target->size = sizeof(*to);
	target->file = *file;
	return 0;
}

int check_target_connect(const struct check_target *target, int fd)
{
	return target->file.ino == 0
		? connect(fd, &target->address.any, target->size)
		: socket_connect_name(fd, target->address.un.sun_path, &target->file);
}

/* A listener on all addresses is asked at the loopback address. */
static void set_inet_address(struct check_target *target, const struct socket_key *key)
{
	struct sockaddr_in *in = &target->address.v4;
	struct sockaddr_in6 *in6 = &target->address.v6;

	target->size = endpoint_make(&target->address, key->family, key->ip, key->port, key->scope);
	snprintf(target->host, sizeof(target->host), "localhost:%u", key->port);
	if (key->family == AF_INET6 && !key->v6only && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr)) {
		*in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(key->port)};
		target->size = sizeof(*in);
	}
	if (in->sin_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr))
		in6->sin6_addr = in6addr_loopback;
	else if (in->sin_family == AF_INET && in->sin_addr.s_addr == htonl(INADDR_ANY))
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

/* Fills *target for `l`, or without one for the path.  -1 and `err`: there is no address to ask at
 * (yet). */
static int check_target_at(struct check_target *target, const struct listener *l,
	const struct path *own, struct error *err)
{
	*target = (struct check_target){.size = 0};
	if (l == NULL ? own == NULL : !l->has_key && l->facts.family != AF_UNIX)
		return error_set(err, 0, "it has no listener that could be asked (yet)");
	if (l != NULL && l->has_key) {
		set_inet_address(target, &l->key);
		/* MPTCP would take the socket's lock for it, which a worker may have */
		target->deferred = l->key.protocol == IPPROTO_TCP &&
			socket_option(l->fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) > 0;
		return 0;
	}
	if (l != NULL)
		target->size = endpoint_own(l->fd, &target->address);
	if (set_unix_address(target, l != NULL ? l->address.path : own->name,
		    l != NULL ? &l->file : &own->file) == -1)
		return error_set(err, 0, "the path of its listener is too long");
	return 0;
}

uint64_t check_target_socket(const struct child *child)
{
	const struct listener *l = check_target_of(child);

	if (l == NULL)
		return own_path_of(child) != NULL ? child->listening.own : 0;
	return l->sockets != NULL && !l->own_group ? group_socket(l, child->traffic.lane)->inode
						   : l->inode;
}

bool check_target_is_certain(const struct check_target *target)
{
	return target->address.any.sa_family != AF_UNIX || target->file.ino != 0 ||
		target->address.un.sun_path[0] == '\0';
}

int check_target_open(struct check_target *target, const struct child *child, struct error *err)
{
	const struct listener *l = check_target_of(child);
	scoped_fd fd = -1;
	int family;
	int got;

	if (check_target_at(target, l, own_path_of(child), err) == -1)
		return -1;
	family = target->address.any.sa_family;
	fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return error_set(err, errno, "cannot connect to its listener");
	if (family == AF_UNIX)
		fdpass_refuse(fd);
	else /* `interface`: 0 is none */
		(void)socket_set(fd, SOL_SOCKET, SO_BINDTOIFINDEX,
			socket_option(l->fd, SOL_SOCKET, SO_BINDTOIFINDEX));
	got = family == AF_UNIX
		? check_target_connect(target, fd)
		: group_connect(l, child->traffic.lane, fd, &target->address.any, target->size);
	if (got == 0 || errno == EINPROGRESS || (errno == EAGAIN && family == AF_UNIX))
		return fd_release(&fd);
	if (errno != ESTALE)
		return error_set(err, errno, "cannot connect to its listener");
	(void)error_set(err, 0, "'%s' is not the file of its listener any more",
		target->address.un.sun_path);
	err->sys = ESTALE;
	return -1;
}
