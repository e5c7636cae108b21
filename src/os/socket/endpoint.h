/* SPDX-License-Identifier: MIT */
#ifndef OS_ENDPOINT_H
#define OS_ENDPOINT_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/* The address of one end of a socket, of any family.  The port of IPv6 is at the
 * same offset as that of IPv4. */
union endpoint {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un un;
	struct sockaddr_storage room;
};

/* The address of our end of a socket, and of the other end.  Returns the size of the
 * address; 0 and errno: no such end, and *at has no family. */
socklen_t endpoint_own(int fd, union endpoint *at);
socklen_t endpoint_peer(int fd, union endpoint *at);

/* Make an internet address; `ip` NULL: all addresses.  Returns its size. */
socklen_t endpoint_make(
	union endpoint *at, int family, const void *ip, uint16_t port, uint32_t scope);

/* The port in host order; 0: the family has none. */
uint16_t endpoint_port(const union endpoint *at);
/* The IP address in network order, *len bytes: 4, 16, or 0 where the family has none. */
const void *endpoint_ip(const union endpoint *at, size_t *len);

/* "192.0.2.7:80", "[::1]:80".  Returns `to`. */
#define ENDPOINT_TEXT (INET6_ADDRSTRLEN + 8)
const char *endpoint_text(char to[ENDPOINT_TEXT], int family, const void *ip, uint16_t port);

#endif
