/* SPDX-License-Identifier: MIT */
#ifndef OS_SOCKET_UNIX_H
#define OS_SOCKET_UNIX_H

#include "os/socket/socket.h"

/* The part of socket_open() for AF_UNIX; private to socket.c. */
int socket_unix_open(const struct socket_plan *plan, struct socket_file *made,
	struct error *err);

/* "path" as an address; '@' first: abstract.  -1: too long or empty. */
int socket_unix_address(
	const char *path, struct sockaddr_un *address, socklen_t *size);

#endif
