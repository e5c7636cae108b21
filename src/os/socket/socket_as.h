/* SPDX-License-Identifier: MIT */
#pragma once

#include "os/socket/socket.h"
#include "os/vfork.h"

#include <sys/stat.h>

/* Remove the file if the path still leads to it (socket_unix.h).  -1: the file stays,
 * because another process holds the directory, or its file system keeps us waiting. */
int socket_unlink(const char *path, const struct socket_file *made);

/* ---- socket as ---- */

/*
 * A unix stream socket of a user's, bound to a path ('@' first: abstract) and
 * listening with the user's rights, CLOEXEC: clients see its ids (SO_PEERCRED).  A
 * socket file on which no process listens is replaced; any other file stays
 * (EADDRINUSE).  The file is the user's own.  Requires CAP_SETUID and CAP_SETGID.
 * -1 and errno: ETIMEDOUT: the file system took longer than vfork_patience().
 *
 * The user may change the directories at any time, so that a path leads somewhere
 * else at the next look.  The user gains nothing by that: all calls,
 * socket_unlink() of the file included, are made with the user's rights.
 */
int socket_unix_listen_as(
	const char *path, int backlog, const struct vfork_user *user, struct socket_file *made);

/* Run `act` in a child with the user's rights (root, or nclust's own user: with nclust's),
 * which may hang in a file system, and so keeps no port and no pipe of ours but `keep` (or -1).
 * Returns its result; or -1 and errno; ETIMEDOUT also if that user may not make nclust wait any
 * more. */
int socket_unix_act(
	const struct vfork_user *user, int keep, int (*act)(void *argument), void *argument);
/* The group by which the user may remove a name again: the directory's, if the
 * user is in that group. */
gid_t socket_unix_group(const struct vfork_user *user, const struct stat *dir);

/* ---- socket birth ---- */

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
