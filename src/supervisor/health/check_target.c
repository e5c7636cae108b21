/* SPDX-License-Identifier: MIT */
#include "supervisor/health/internal.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/socket/socket.h"
#include "supervisor/sockets/sockets.h"
#include "supervisor/workers/recipe.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

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

static const struct listener *find_first_or_learned(const struct listener_set *set,
	const struct service *s, uint32_t slot, const struct child *user)
{
	const struct listener *l = find_first(set, slot, NULL);

	return l != NULL ? l : find_first(&s->sockets.learned, slot, user);
}

const struct listener *check_target_next(const struct service *s, uint32_t slot)
{
	return find_first_or_learned(&s->sockets.listeners, s, slot, NULL);
}

const struct listener *check_target_of(const struct child *child)
{
	const struct service *s = child->service;
	const struct recipe *r = recipe_of(s, child->generation);

	return find_first_or_learned(r != NULL ? &r->listeners : &s->sockets.listeners, s,
		child->slot, child->listening.uses != 0 ? child : NULL);
}

static int set_unix_address(struct check_target *target, const struct listener *l)
{
	const char *path = l->address.path;
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
	target->file = l->file;
	return 0;
}

/* Opens the file of the path, if it still is the listener's.  -1 and errno. */
static int open_file(const struct check_target *target)
{
	scoped_fd file = open(target->address.un.sun_path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (file == -1 || fstat(file, &st) == -1)
		return -1;
	errno = ESTALE;
	return st.st_dev == target->file.dev && st.st_ino == target->file.ino ? fd_release(&file)
									      : -1;
}

int check_target_connect(const struct check_target *target, int fd)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	scoped_fd file = -1;

	if (target->file.ino == 0)
		return connect(fd, &target->address.any, target->size);
	file = open_file(target);
	if (file == -1)
		return -1;
	snprintf(to.sun_path, sizeof(to.sun_path), "/proc/self/fd/%d", file);
	return connect(fd, (const struct sockaddr *)&to, sizeof(to));
}

/* A listener on all addresses is asked at the loopback address. */
static void set_inet_address(struct check_target *target, const struct socket_key *key)
{
	struct sockaddr_in *in = &target->address.v4;
	struct sockaddr_in6 *in6 = &target->address.v6;

	target->size = endpoint_make(&target->address, key->family, key->ip, key->port, key->scope);
	snprintf(target->host, sizeof(target->host), "localhost:%u", key->port);
	if (in->sin_family == AF_INET) {
		if (in->sin_addr.s_addr == htonl(INADDR_ANY))
			in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return;
	}
	if (!IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr))
		return;
	if (key->v6only) {
		in6->sin6_addr = in6addr_loopback;
		return;
	}
	*in = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(key->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	target->size = sizeof(*in);
}

int check_target_at(struct check_target *target, const struct listener *l, struct error *err)
{
	if (l == NULL || (!l->has_key && l->facts.family != AF_UNIX))
		return error_set(err, 0, "it has no listener that could be asked (yet)");
	target->inode = l->inode;
	target->size = 0;
	target->deferred = false;
	target->file = (struct socket_file){0};
	target->strange = false;
	if (l->has_key) {
		set_inet_address(target, &l->key);
		/* MPTCP would take the socket's lock for it, which a worker may have */
		target->deferred = l->key.protocol == IPPROTO_TCP &&
			socket_option(l->fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) > 0;
		return 0;
	}
	target->size = endpoint_own(l->fd, &target->address);
	if (set_unix_address(target, l) == -1)
		return error_set(err, 0, "the path of its listener is too long");
	if (target->file.ino != 0) {
		scoped_fd file = open_file(target);

		target->strange = file == -1 && errno == ESTALE;
	}
	if (target->strange)
		return error_set(err, 0, "'%s' is not the file of its listener any more",
			target->address.un.sun_path);
	return 0;
}
