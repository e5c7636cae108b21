/* SPDX-License-Identifier: MIT */
#include "os/socket/endpoint.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

typedef int get_name(int fd, struct sockaddr *at, socklen_t *size);

static socklen_t get_address(get_name *name, int fd, union endpoint *at)
{
	socklen_t size = sizeof(*at);

	memset(at, 0, sizeof(*at));
	return name(fd, &at->any, &size) == 0 ? size : 0;
}

socklen_t endpoint_own(int fd, union endpoint *at)
{
	return get_address(getsockname, fd, at);
}

socklen_t endpoint_peer(int fd, union endpoint *at)
{
	return get_address(getpeername, fd, at);
}

socklen_t endpoint_make(
	union endpoint *at, int family, const void *ip, uint16_t port, uint32_t scope)
{
	memset(at, 0, sizeof(*at));
	at->any.sa_family = (sa_family_t)family;
	at->v4.sin_port = htons(port);
	if (family == AF_INET) {
		if (ip != NULL)
			memcpy(&at->v4.sin_addr, ip, 4);
		return sizeof(at->v4);
	}
	if (ip != NULL)
		memcpy(&at->v6.sin6_addr, ip, 16);
	at->v6.sin6_scope_id = scope;
	return sizeof(at->v6);
}

const void *endpoint_ip(const union endpoint *at, size_t *len)
{
	if (at->any.sa_family == AF_INET6) {
		*len = 16;
		return &at->v6.sin6_addr;
	}
	*len = at->any.sa_family == AF_INET ? 4 : 0;
	return &at->v4.sin_addr;
}

uint16_t endpoint_port(const union endpoint *at)
{
	size_t len;

	(void)endpoint_ip(at, &len);
	return len > 0 ? ntohs(at->v4.sin_port) : 0;
}

const char *endpoint_text(char to[ENDPOINT_TEXT], int family, const void *ip, uint16_t port)
{
	char text[INET6_ADDRSTRLEN] = "?";

	inet_ntop(family, ip, text, sizeof(text));
	snprintf(to, ENDPOINT_TEXT, family == AF_INET6 ? "[%s]:%u" : "%s:%u", text, port);
	return to;
}
