/* SPDX-License-Identifier: MIT */
#ifndef OS_SOCKET_OPTIONS_H
#define OS_SOCKET_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

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

#endif
