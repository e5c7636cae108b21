/* SPDX-License-Identifier: MIT */
#ifndef OS_SOCKET_AS_H
#define OS_SOCKET_AS_H

#include "os/socket/socket.h"

/*
 * A unix stream socket bound to a path with no more rights than user `uid` and
 * group `gid` have; not listening, CLOEXEC.  A socket file that nobody listens on
 * is replaced; what else is there stays (EADDRINUSE).  The file is the user's
 * own.  Takes CAP_SETUID and CAP_SETGID.  -1 and errno.
 */
int socket_unix_open_as(
	const char *path, uid_t uid, gid_t gid, struct socket_file *made);

#endif
