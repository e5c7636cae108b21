/* SPDX-License-Identifier: MIT */
#pragma once

/* What the programs of the bench share. */
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static inline __attribute__((noreturn)) void bench_die(const char *what)
{
	perror(what);
	_exit(99);
}

static inline void bench_put(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			bench_die("write");
		data += n;
		len -= (size_t)n;
	}
}

static inline int64_t bench_now(void) /* nanoseconds */
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline struct sockaddr_in bench_local(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons((in_port_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* Listens at 127.0.0.1:PORT; `shared`: so do others. */
static inline int bench_listen(int port, bool shared)
{
	const struct sockaddr_in at = bench_local(port);
	const int yes = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd == -1)
		bench_die("socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (shared)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes));
	if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) == -1 || listen(fd, 4096) == -1)
		bench_die("listen");
	return fd;
}

static inline int bench_unix_address(struct sockaddr_un *to, const char *path)
{
	size_t n = strlen(path);

	memset(to, 0, sizeof(*to));
	to->sun_family = AF_UNIX;
	if (n >= sizeof(to->sun_path))
		return -1;
	memcpy(to->sun_path, path, n);
	return 0;
}

/* A datagram socket at that path; what was there before is removed. */
static inline int bench_receiver(const char *path)
{
	const int room = 1 << 20;
	struct sockaddr_un at;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1 || bench_unix_address(&at, path) == -1)
		bench_die("socket");
	(void)unlink(path);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) == -1)
		bench_die(path);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	return fd;
}

/* Waits when the receiver is behind. */
static inline void bench_send(const char *path, const char *text)
{
	struct sockaddr_un to;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd == -1 || bench_unix_address(&to, path) == -1)
		bench_die("socket");
	(void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof(to));
	(void)close(fd);
}
