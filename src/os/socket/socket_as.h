/* SPDX-License-Identifier: MIT */
#ifndef OS_SOCKET_AS_H
#define OS_SOCKET_AS_H

#include "os/socket/socket.h"
#include "os/vfork.h"

/*
 * A unix stream socket of a user's, bound to a path ('@' first: abstract) with
 * the user's rights; not listening, CLOEXEC.  A socket file on which no process
 * listens is replaced; any other file stays (EADDRINUSE).  The file is the user's
 * own.  Requires CAP_SETUID and CAP_SETGID.  -1 and errno: ETIMEDOUT: the file
 * system took longer than vfork_patience().
 *
 * The user may change the directories at any time, so that a path leads somewhere
 * else at the next look.  The user gains nothing by that: all calls,
 * socket_unlink() of the file included, are made with the user's rights.
 */
int socket_unix_open_as(const char *path, const struct vfork_user *user, struct socket_file *made);

/* listen(2) as that user: clients see its ids (SO_PEERCRED).  Errors as above. */
int socket_unix_listen_as(int fd, int backlog, const struct vfork_user *user);

#endif
