/* SPDX-License-Identifier: MIT */
#ifndef OS_SOCKET_BIRTH_H
#define OS_SOCKET_BIRTH_H

#include "base/error.h"

#include <sys/socket.h>
#include <sys/types.h>

/*
 * bind(2) of a unix socket to a path, so that the file never grants more than it
 * should: it appears with its mode, owner and group.
 *
 * Linux takes the mode from the socket's own inode and the umask, and the owner
 * from the filesystem ids; both are set around the one bind and put back.  (They
 * belong to the process: one thread.) A process that may not set the ids makes a
 * file that is closed to all others, and opens it once its group is right.
 *
 * `dirfd` and `name` say where the file will be, `address` how to bind there.
 * mode -1: by umask; uid, gid -1: ours.  0, or -1 and errno; then no file is
 * left.
 */
int socket_birth(int fd, const struct sockaddr *address, socklen_t size, int dirfd,
	const char *name, int mode, long uid, long gid);

/*
 * socket(2), CLOEXEC, as if `uid` had called it: the socket can join only that user's
 * SO_REUSEPORT groups (sk_uid in the kernel, from the fsuid at its creation; fstat(2)
 * shows it).  -1 and errno; EPERM: nclust may not take that id.
 */
int socket_born_to(uid_t uid, int family, int type, int protocol);

#endif
