/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* ---- socket options ---- */

/* The options that a program has set on a socket before it binds it.  A socket that
 * replaces this one must have them, too: accepted connections inherit some. */
enum { SOCKET_OPTIONS = 27 };

struct socket_options {
	struct {
		uint32_t data[4]; /* as getsockopt(2) gave it */
		uint32_t size;    /* 0: the socket has no such option */
	} list[SOCKET_OPTIONS];
	bool nonblock; /* O_NONBLOCK of the file description */
};

void socket_options_read(struct socket_options *options, int fd);

/* Set on `fd` the options that differ between `before` and `now`.  The others are
 * left, because users of `fd` may have changed them since.  An option that the
 * kernel refuses (it may require privilege) stays unchanged. */
void socket_options_follow(
	int fd, const struct socket_options *before, const struct socket_options *now);

bool socket_has_reuseport(int fd);
int socket_set_reuseport(int fd, bool on);

/* ---- socket key ---- */

/* The key of a socket: two binds with the same key want the same socket.  It
 * contains the whole address, and all else that decides which packets a socket gets. */
struct socket_key {
	int family;   /* AF_INET, AF_INET6 */
	int type;     /* SOCK_STREAM, SOCK_DGRAM */
	int protocol; /* IPPROTO_TCP, IPPROTO_MPTCP and so on */
	uint8_t ip[16];
	uint32_t scope;  /* of a link-local address */
	uint32_t device; /* SO_BINDTODEVICE: index of the device, or 0 */
	uint16_t port;   /* host order */
	bool v6only;
};

#define SOCKET_ADDRESS_MAX 128 /* struct sockaddr_storage */

/* The key that this socket would have, bound to this address; `any` holds `size`
 * bytes as bind(2) takes them.  -1: no internet socket, a socket of another network
 * namespace, or it cannot be bound to that address. */
int socket_key_of(struct socket_key *key, int fd, const void *any, socklen_t size);
/* The key of a bound socket. */
int socket_key_bound(struct socket_key *key, int fd);
/* The same of a socket that a worker may have, too. */
int socket_key_look(struct socket_key *key, int fd);
/* The key of a socket that nclust cannot look at, from the name of its protocol
 * ("TCPv6") and its IPV6_V6ONLY (-1: unknown, assume the default). */
int socket_key_guess(
	struct socket_key *key, const char *protocol, const void *any, socklen_t size, int v6only);

bool socket_key_equal(const struct socket_key *a, const struct socket_key *b);
bool socket_key_is_any(const struct socket_key *key); /* 0.0.0.0, :: */
bool socket_key_is_loopback(const struct socket_key *key);
bool socket_key_is_tcp(const struct socket_key *key); /* or MPTCP */
/* Are the keys equal but for TCP and MPTCP?  Each can replace the other, because
 * MPTCP falls back to TCP. */
bool socket_key_like(const struct socket_key *a, const struct socket_key *b);
/* Turn ::ffff:1.2.3.4 into 1.2.3.4; true: the key had such an address. */
bool socket_key_unmap(struct socket_key *key);

/* "tcp:0.0.0.0:80", "tcp:*:80" for both families.  Returns `to`. */
#define SOCKET_KEY_TEXT 80
const char *socket_key_text(const struct socket_key *key, char to[SOCKET_KEY_TEXT]);

/* Open a socket bound to the key's address, CLOEXEC; with SO_REUSEADDR if `again`,
 * with SO_REUSEPORT if `join`: it joins that user's sockets there and no other
 * user's (socket_born_to()).  -1 and errno. */
int socket_key_open(const struct socket_key *key, uid_t uid, bool again, bool join);
/* Bind a socket to the key's address.  -1 and errno. */
int socket_key_bind(const struct socket_key *key, int fd);
