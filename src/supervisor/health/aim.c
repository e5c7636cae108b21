/* SPDX-License-Identifier: MIT */
#include "supervisor/health/aim.h"

#include "base/text.h"
#include "os/socket/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

static const struct listener *first_of(const struct listener_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		if (set->list[i]->facts.type == SOCK_STREAM)
			return set->list[i];
	return NULL;
}

static int set_unix(struct aim *aim, const struct listener *l)
{
	const char *path = l->address.path;
	struct sockaddr_un *to = &aim->address.un;

	(void)text_copy(aim->host, sizeof(aim->host), "localhost");
	/* the kernel's path may be relative to another directory */
	if (path == NULL || *path != '/')
		return 0;
	if (strlen(path) >= sizeof(to->sun_path))
		return -1;
	*to = (struct sockaddr_un){.sun_family = AF_UNIX};
	(void)text_copy(to->sun_path, sizeof(to->sun_path), path);
	aim->size = sizeof(*to);
	return 0;
}

/* A listener on all addresses is asked at the loopback address. */
static void set_inet(struct aim *aim, int fd)
{
	struct sockaddr_in *in = &aim->address.v4;
	struct sockaddr_in6 *in6 = &aim->address.v6;
	uint16_t port = in->sin_port; /* at the same place as sin6_port */

	(void)snprintf(
		aim->host, sizeof(aim->host), "localhost:%u", ntohs(port));
	if (in->sin_family == AF_INET) {
		if (in->sin_addr.s_addr == htonl(INADDR_ANY))
			in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return;
	}
	if (!IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr))
		return;
	if (socket_option(fd, IPPROTO_IPV6, IPV6_V6ONLY) != 0) {
		in6->sin6_addr = in6addr_loopback;
		return;
	}
	*in = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = port,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	aim->size = sizeof(*in);
}

int aim_at(struct aim *aim, const struct service *s, struct error *err)
{
	const struct listener *l = first_of(&s->held.listeners);

	if (l == NULL)
		l = first_of(&s->held.learned);
	aim->listener = l;
	aim->size = l != NULL ? endpoint_own(l->fd, &aim->address) : 0;
	aim->deferred = false;
	if (aim->size == 0)
		return error_set(
			err, 0, "it has no listener that could be asked (yet)");
	if (aim->address.any.sa_family == AF_UNIX) {
		if (set_unix(aim, l) == -1)
			return error_set(
				err, 0, "the path of its listener is too long");
		return 0;
	}
	aim->deferred = socket_option(l->fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) > 0;
	set_inet(aim, l->fd);
	return 0;
}
