/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
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

/* ---- peer ---- */

/* The other end of an accepted connection: plain data, so that it outlives the
 * descriptor.  An IPv4 client of a dual-stack socket has its IPv4 address, not
 * ::ffff:1.2.3.4. */
struct peer {
	int family; /* AF_INET, AF_INET6, AF_UNIX; 0: unknown */
	uint8_t ip[16];
	uint8_t local_ip[16]; /* network order; 4 bytes used for AF_INET */
	uint16_t port;        /* host order */
	uint16_t local_port;
	uint32_t scope; /* index of the interface of a link-local address */
	pid_t pid;      /* AF_UNIX: the client; 0: not in our pid namespace */
	uid_t uid;
	gid_t gid;
};

/* Accept the next connection of a nonblocking listener: a blocking descriptor,
 * CLOEXEC, the caller's.  -1 and errno; EAGAIN: no client waits. */
int peer_accept(int listener, struct peer *peer);

/* Are both clients on the same host, as far as addresses tell: the same IPv4 address, or
 * the same /64 of IPv6?  Unix: false, because all clients are on this host. */
bool peer_is_same(const struct peer *a, const struct peer *b);

#define PEER_TEXT_MAX 72
/* "192.0.2.7:4711", "[2001:db8::1]:80", "pid 12, uid 0".  Returns `to`. */
const char *peer_text(char to[PEER_TEXT_MAX], const struct peer *peer);

/*
 * The environment of a program that is run for a connection, as "K=V" with a NUL
 * behind each: that of UCSPI (tcpserver(1), ipsvd's tcpsvd(8), s6-tcpserver's,
 * s6-ipcserver's, ucspi-tcp6, ucspi-unix) and that of systemd's Accept=yes.
 * `path`: of a unix listener, or NULL; `same`: how many connections this address
 * has, this one included, 0: not counted.  Returns how many strings.
 */
size_t peer_environment(
	struct buffer *out, const struct peer *peer, const char *path, unsigned same);
/* Has "K=V" one of the names that peer_environment() sets? */
bool peer_is_variable(const char *entry);
