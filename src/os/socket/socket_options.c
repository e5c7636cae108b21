/* SPDX-License-Identifier: MIT */
#include "os/socket/socket.h"

#include "base/scope.h"
#include "os/vfork.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>

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
