/* SPDX-License-Identifier: MIT */
#ifndef OS_PEER_H
#define OS_PEER_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

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

#endif
