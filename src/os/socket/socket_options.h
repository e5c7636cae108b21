/* SPDX-License-Identifier: MIT */
#ifndef OS_SOCKET_OPTIONS_H
#define OS_SOCKET_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * What a program has set on a socket before it binds it, and what a socket that
 * takes its place must have too.  What accepted connections inherit is among it.
 */
enum { SOCKET_OPTIONS = 27 };

struct socket_options {
	struct {
		uint32_t data[4]; /* as getsockopt(2) gave it */
		uint32_t size;    /* 0: it has no such option */
	} list[SOCKET_OPTIONS];
	bool nonblock; /* O_NONBLOCK, of the open file */
};

void socket_options_read(struct socket_options *options, int fd);

/*
 * What differs between `before` and `now` is set on `fd`; what does not is left,
 * as its users may have set it otherwise since.  Limits that only a privileged
 * process could pass are the kernel's business: what it refuses stays.
 */
void socket_options_follow(int fd, const struct socket_options *before,
	const struct socket_options *now);

bool socket_has_reuseport(int fd);
int socket_set_reuseport(int fd, bool on);

#endif
