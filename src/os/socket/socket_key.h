/* SPDX-License-Identifier: MIT */
#ifndef OS_SOCKET_KEY_H
#define OS_SOCKET_KEY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * What makes two binds want the same socket: the whole of the address, and what
 * decides which packets it gets.
 */
struct socket_key {
	int family;   /* AF_INET, AF_INET6 */
	int type;     /* SOCK_STREAM, SOCK_DGRAM */
	int protocol; /* IPPROTO_TCP, IPPROTO_MPTCP … */
	uint8_t ip[16];
	uint32_t scope;  /* of a link-local address */
	uint32_t device; /* SO_BINDTODEVICE: its index, or 0 */
	uint16_t port;   /* host order */
	bool v6only;
};

#define SOCKET_ADDRESS_MAX 128 /* struct sockaddr_storage */

/*
 * Of this socket, were it bound to this address; `any` holds `size` bytes as
 * bind(2) takes them.  -1: it is no internet socket, of another network
 * namespace, or the address is none that it could be bound to.
 */
int socket_key_of(
	struct socket_key *key, int fd, const void *any, socklen_t size);
/* Of one that is bound. */
int socket_key_bound(struct socket_key *key, int fd);
/* Of a socket that cannot be looked at: what it is by that name ("TCPv6"), and
 * what is known of its IPV6_V6ONLY (-1: nothing, the system's default). */
int socket_key_guess(struct socket_key *key, const char *protocol,
	const void *any, socklen_t size, int v6only);

bool socket_key_equal(const struct socket_key *a, const struct socket_key *b);
bool socket_key_is_any(const struct socket_key *key); /* 0.0.0.0, :: */
bool socket_key_is_tcp(const struct socket_key *key); /* or MPTCP */
/* The same whatever the protocol: TCP can stand for MPTCP, which falls back to
 * it, and the other way round. */
bool socket_key_like(const struct socket_key *a, const struct socket_key *b);
/* ::ffff:1.2.3.4 becomes 1.2.3.4, and true. */
bool socket_key_unmap(struct socket_key *key);

/* "tcp:0.0.0.0:80", "tcp:*:80" for both families.  Returned. */
#define SOCKET_KEY_TEXT 80
const char *socket_key_text(
	const struct socket_key *key, char to[SOCKET_KEY_TEXT]);

/* A new socket bound to it, CLOEXEC; with SO_REUSEADDR if `again` (always, if not
 * asked), one of several if `join` (SO_REUSEPORT).  -1 and errno. */
int socket_key_open_as(const struct socket_key *key, bool again, bool join);
int socket_key_open(const struct socket_key *key, bool join);
/* Bind this one.  -1 and errno. */
int socket_key_bind(const struct socket_key *key, int fd);

#endif
