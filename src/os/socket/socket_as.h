/* SPDX-License-Identifier: MIT */
#ifndef OS_SOCKET_AS_H
#define OS_SOCKET_AS_H

#include "os/socket/socket.h"
#include "os/vfork.h"

/*
 * A unix stream socket of a user's, bound to a path ('@' first: abstract) with its
 * rights; not listening, CLOEXEC.  A socket file that nobody listens on is
 * replaced; what else is there stays (EADDRINUSE).  The file is the user's own.
 * Takes CAP_SETUID and CAP_SETGID.  -1 and errno: ETIMEDOUT: the file system has
 * kept it waiting for too long (vfork_patience()).
 *
 * The user may change its directories at any time, so that a path leads
 * somewhere else at the next look.  That gains nothing: whatever is done there,
 * socket_unlink() of the file included, is done with the user's rights.
 */
int socket_unix_open_as(const char *path, const struct vfork_user *user, struct socket_file *made);

/* listen(2) as that user: who connects is told its ids (SO_PEERCRED).  As above. */
int socket_unix_listen_as(int fd, int backlog, const struct vfork_user *user);

#endif
