/* SPDX-License-Identifier: MIT */
#include "os/socket/socket_key.h"

#include "base/scope.h"
#include "os/socket/endpoint.h"
#include "os/socket/socket_as.h"
#include "os/vfork.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* asm-generic/socket.h, 5.14 */
#endif
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

_Static_assert(sizeof(union endpoint) == SOCKET_ADDRESS_MAX, "room for any");

/* ---- from an address ---- */

static int take_address(struct socket_key *key, const void *any, socklen_t size)
{
	union endpoint a;

	if (size > sizeof(a) || size < sizeof(a.any.sa_family))
		return -1;
	memset(&a, 0, sizeof(a));
	memcpy(&a, any, size);
	if (a.any.sa_family != key->family)
		return -1;
	if (key->family == AF_INET && size >= sizeof(a.v4)) {
		key->port = ntohs(a.v4.sin_port);
		memcpy(key->ip, &a.v4.sin_addr, 4);
		return 0;
	}
	/* SIN6_LEN_RFC2133: without the scope */
	if (key->family != AF_INET6 || size < offsetof(struct sockaddr_in6, sin6_scope_id))
		return -1;
	key->port = ntohs(a.v6.sin6_port);
	memcpy(key->ip, &a.v6.sin6_addr, 16);
	if (IN6_IS_ADDR_LINKLOCAL(&a.v6.sin6_addr))
		key->scope = a.v6.sin6_scope_id;
	/* bind(2) to one address sets IPV6_V6ONLY (inet6_bind() in the kernel's
	 * net/ipv6/af_inet6.c) */
	if (!IN6_IS_ADDR_UNSPECIFIED(&a.v6.sin6_addr))
		key->v6only = !IN6_IS_ADDR_V4MAPPED(&a.v6.sin6_addr);
	return 0;
}

/* Compare the socket's network namespace with that of a socket of ours. */
static bool is_in_our_namespace(int fd)
{
	static uint64_t own;
	uint64_t its;
	socklen_t size = sizeof(its);

	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &its, &size) == -1)
		return true; /* before 5.14 the kernel does not tell */
	if (own == 0) {
		scoped_fd ours = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		size = sizeof(own);
		if (ours == -1 || getsockopt(ours, SOL_SOCKET, SO_NETNS_COOKIE, &own, &size) == -1)
			return true;
	}
	return own == its;
}

int socket_key_of(struct socket_key *key, int fd, const void *any, socklen_t size)
{
	int v6only = 0;

	memset(key, 0, sizeof(*key));
	if (socket_get(fd, SOL_SOCKET, SO_DOMAIN, &key->family) == -1 ||
		(key->family != AF_INET && key->family != AF_INET6) ||
		socket_get(fd, SOL_SOCKET, SO_TYPE, &key->type) == -1 ||
		socket_get(fd, SOL_SOCKET, SO_PROTOCOL, &key->protocol) == -1 ||
		!is_in_our_namespace(fd))
		return -1;
	if (key->family == AF_INET6 && socket_get(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only) == -1)
		return -1;
	key->v6only = v6only != 0;
	key->device = (uint32_t)socket_option(fd, SOL_SOCKET, SO_BINDTOIFINDEX);
	return take_address(key, any, size);
}

int socket_key_bound(struct socket_key *key, int fd)
{
	union endpoint at;
	socklen_t size = endpoint_own(fd, &at);

	return size > 0 ? socket_key_of(key, fd, &at, size) : -1;
}

struct looking {
	struct socket_key *key;
	int fd;
};

static int read_key(void *argument)
{
	const struct looking *l = argument;
	struct socket_key key; /* on the child's stack (vfork.h) */
	int got = socket_key_bound(&key, l->fd);

	if (got == 0)
		*l->key = key;
	return got;
}

int socket_key_look(struct socket_key *key, int fd)
{
	struct looking l = {key, fd};

	return vfork_call_on(fd, read_key, &l);
}

/* net.ipv6.bindv6only, as a new socket has it. */
static bool default_v6only(void)
{
	scoped_fd fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd != -1 && socket_option(fd, IPPROTO_IPV6, IPV6_V6ONLY) != 0;
}

int socket_key_guess(
	struct socket_key *key, const char *protocol, const void *any, socklen_t size, int v6only)
{
	memset(key, 0, sizeof(*key));
	if (strcmp(protocol, "TCP") == 0 || strcmp(protocol, "TCPv6") == 0)
		key->protocol = IPPROTO_TCP;
	else if (strcmp(protocol, "MPTCP") == 0 || strcmp(protocol, "MPTCPv6") == 0)
		key->protocol = IPPROTO_MPTCP;
	else
		return -1;
	key->type = SOCK_STREAM;
	key->family = protocol[strlen(protocol) - 1] == '6' ? AF_INET6 : AF_INET;
	if (key->family == AF_INET6)
		key->v6only = v6only == -1 ? default_v6only() : v6only != 0;
	return take_address(key, any, size);
}

/* ---- comparing and telling ---- */

bool socket_key_equal(const struct socket_key *a, const struct socket_key *b)
{
	return a->protocol == b->protocol && socket_key_like(a, b);
}

bool socket_key_like(const struct socket_key *a, const struct socket_key *b)
{
	return a->family == b->family && a->type == b->type && a->port == b->port &&
		a->scope == b->scope && a->device == b->device && a->v6only == b->v6only &&
		memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

bool socket_key_is_any(const struct socket_key *key)
{
	static const uint8_t none[16];

	return memcmp(key->ip, none, sizeof(none)) == 0;
}

bool socket_key_is_loopback(const struct socket_key *key)
{
	return key->family == AF_INET ? key->ip[0] == 127
				      : memcmp(key->ip, &in6addr_loopback, sizeof(key->ip)) == 0;
}

bool socket_key_is_tcp(const struct socket_key *key)
{
	return key->type == SOCK_STREAM &&
		(key->protocol == IPPROTO_TCP || key->protocol == IPPROTO_MPTCP);
}

bool socket_key_unmap(struct socket_key *key)
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

	if (key->family != AF_INET6 || memcmp(key->ip, prefix, sizeof(prefix)) != 0)
		return false;
	key->family = AF_INET;
	memmove(key->ip, key->ip + 12, 4);
	memset(key->ip + 4, 0, 12);
	return true;
}

const char *socket_key_text(const struct socket_key *key, char to[SOCKET_KEY_TEXT])
{
	const char *kind = key->type == SOCK_DGRAM ? "udp" : "tcp";
	char text[ENDPOINT_TEXT];

	if (key->family == AF_INET6 && socket_key_is_any(key) && !key->v6only)
		snprintf(to, SOCKET_KEY_TEXT, "%s:*:%u", kind, key->port);
	else
		snprintf(to, SOCKET_KEY_TEXT, "%s:%s", kind,
			endpoint_text(text, key->family, key->ip, key->port));
	return to;
}

/* ---- binding ---- */

int socket_key_bind(const struct socket_key *key, int fd)
{
	union endpoint at;
	socklen_t size = endpoint_make(&at, key->family, key->ip, key->port, key->scope);

	return bind(fd, &at.any, size);
}

int socket_key_open(const struct socket_key *key, uid_t uid, bool again, bool join)
{
	scoped_fd fd = socket_born_to(uid, key->family, key->type, key->protocol);

	if (fd == -1 || (again && socket_set(fd, SOL_SOCKET, SO_REUSEADDR, 1) == -1) ||
		(join && socket_set_reuseport(fd, true) == -1) ||
		(key->family == AF_INET6 &&
			socket_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, key->v6only) == -1) ||
		socket_key_bind(key, fd) == -1)
		return -1;
	return fd_release(&fd);
}

/* ---- socket options ---- */

#ifndef TCP_NOTSENT_LOWAT
#define TCP_NOTSENT_LOWAT 25
#endif

struct row {
	int level;
	int name;
	bool halve; /* the kernel doubles the value that is set (socket(7)) */
};

static const struct row rows[] = {
	{SOL_SOCKET, SO_KEEPALIVE, false},
	{SOL_SOCKET, SO_RCVBUF, true},
	{SOL_SOCKET, SO_SNDBUF, true},
	{SOL_SOCKET, SO_RCVLOWAT, false},
	{SOL_SOCKET, SO_PRIORITY, false},
	{SOL_SOCKET, SO_MARK, false},
	{SOL_SOCKET, SO_OOBINLINE, false},
	{SOL_SOCKET, SO_LINGER, false},
	{SOL_SOCKET, SO_RCVTIMEO, false},
	{SOL_SOCKET, SO_SNDTIMEO, false},
	{SOL_SOCKET, SO_INCOMING_CPU, false},
	{IPPROTO_TCP, TCP_NODELAY, false},
	{IPPROTO_TCP, TCP_DEFER_ACCEPT, false},
	{IPPROTO_TCP, TCP_KEEPIDLE, false},
	{IPPROTO_TCP, TCP_KEEPINTVL, false},
	{IPPROTO_TCP, TCP_KEEPCNT, false},
	{IPPROTO_TCP, TCP_USER_TIMEOUT, false},
	{IPPROTO_TCP, TCP_SYNCNT, false},
	{IPPROTO_TCP, TCP_LINGER2, false},
	{IPPROTO_TCP, TCP_WINDOW_CLAMP, false},
	{IPPROTO_TCP, TCP_FASTOPEN, false},
	{IPPROTO_TCP, TCP_NOTSENT_LOWAT, false},
	{IPPROTO_TCP, TCP_CONGESTION, false},
	{IPPROTO_IP, IP_TOS, false},
	{IPPROTO_IP, IP_TTL, false},
	{IPPROTO_IPV6, IPV6_TCLASS, false},
	{IPPROTO_IPV6, IPV6_UNICAST_HOPS, false},
};

_Static_assert(COUNT_OF(rows) == SOCKET_OPTIONS, "a place for each");

void socket_options_read(struct socket_options *options, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	memset(options, 0, sizeof(*options));
	options->nonblock = flags != -1 && (flags & O_NONBLOCK) != 0;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		socklen_t size = sizeof(options->list[i].data);

		if (getsockopt(fd, rows[i].level, rows[i].name, options->list[i].data, &size) == 0)
			options->list[i].size = size;
	}
}

struct following {
	int fd;
	const struct socket_options *before;
	const struct socket_options *now;
};

static int set_differing(void *argument)
{
	const struct following *f = argument;
	const struct socket_options *before = f->before;
	const struct socket_options *now = f->now;
	const int fd = f->fd;

	if (before->nonblock != now->nonblock)
		(void)socket_set_nonblock(fd, now->nonblock);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		uint32_t data[4];

		if (now->list[i].size == 0 ||
			memcmp(&before->list[i], &now->list[i], sizeof(now->list[i])) == 0)
			continue;
		memcpy(data, now->list[i].data, sizeof(data));
		if (rows[i].halve)
			data[0] /= 2;
		(void)setsockopt(fd, rows[i].level, rows[i].name, data, now->list[i].size);
	}
	return 0;
}

void socket_options_follow(
	int fd, const struct socket_options *before, const struct socket_options *now)
{
	struct following f = {fd, before, now};

	if (before->nonblock != now->nonblock ||
		memcmp(before->list, now->list, sizeof(now->list)) != 0)
		(void)vfork_call_on(fd, set_differing, &f);
}

bool socket_has_reuseport(int fd)
{
	return socket_option(fd, SOL_SOCKET, SO_REUSEPORT) != 0;
}

int socket_set_reuseport(int fd, bool on)
{
	return socket_set(fd, SOL_SOCKET, SO_REUSEPORT, on);
}
