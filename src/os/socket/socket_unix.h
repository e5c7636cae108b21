/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"
#include "os/socket/socket.h"
#include "os/vfork.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>

/* The parts of socket_open(), and of socket_as below, for AF_UNIX.  All but the first take no
 * memory and no lock. */

int socket_unix_open(const struct socket_plan *plan, struct socket_file *made, struct error *err);

/* "path" as an address; '@' first: abstract.  -1: too long or empty. */
int socket_unix_address(const char *path, struct sockaddr_un *address, socklen_t *size);

/* Open the directory that a path is in; *name is what follows.  -1 and errno. */
int socket_unix_parent(const char *path, const char **name);

/* Remove the file of that name in the directory, if no process is bound to it any more.  -1
 * and errno: EADDRINUSE: one is; ENOTSOCK: it is another kind of file. */
int socket_unix_remove_stale(int dir, const char *name);

/*
 * The spare name under which the file of a socket stays when its own name is removed
 * (".NAME.nclust" in the same directory; ".NAME.N.nclust" for a worker's): a file
 * without any name cannot get one again.  -1: the spare name would be too long.
 */
int socket_unix_spare(char to[NAME_MAX + 1], const char *name, const struct socket_file *made);
/* Give the file its spare name.  Where that fails, a new socket will replace one
 * whose file was removed. */
void socket_unix_add_spare(int dir, const char *name, const struct socket_file *made);

/* Does the path lead to the file that nclust made?  0: yes; 1: it was removed, and
 * has its name again; -1 and errno; ENOENT: the file is gone, or dead; EEXIST: another file
 * has the name. */
int socket_keep_name(const char *path, const struct socket_file *made);
/* Remove the name alone, if it leads to that file.  1: it did; 0: no; -1 and errno. */
int socket_take_name(const char *path, const struct socket_file *made);
/* Let an inotify instance report when a name of the file is removed or made (IN_ATTRIB), of
 * whatever directory, as long as the file is there. */
void socket_watch_names(const char *path, const struct socket_file *made, int inotify);
/* Connect to the socket whose file that is, with the rights of its user.  -1 and errno; ESTALE:
 * another file has the name. */
int socket_connect_name(int fd, const char *path, const struct socket_file *made);
/* Has another file that name?  In doubt: no. */
bool socket_is_replaced(const char *path, const struct socket_file *made);

/* Give a spare name, by which nclust can keep it, to the file of a socket that a process of
 * this user has bound, and belongs to the user (root: to anybody).  *found has the number, and the
 * file's dev and ino (ino 0: unknown).  -1 and errno. */
struct vfork_user;
int socket_spare_name(const char *path, const struct vfork_user *user, struct socket_file *found);

/*
 * A unix stream or datagram socket bound to `name` in a directory: for control
 * and notify.  Created with `mode` and owned by uid:gid (-1: ours).  SO_PASSCRED
 * for datagrams.  Nonblocking, CLOEXEC.  An existing file is replaced: the caller
 * holds the lock.
 */
int socket_open_at(
	int dirfd, const char *name, int type, mode_t mode, long uid, long gid, struct error *err);
/* The same without a directory: a datagram socket with an abstract name that the
 * kernel chooses. */
int socket_open_nowhere(struct error *err);
/* A datagram socket (blocking, CLOEXEC) that is connected to that bound one of ours. */
int socket_connect_self(int fd, struct error *err);
/* The socket's name as sd_notify(3) wants it, "@NAME"; -1: it has none. */
int socket_own_name(int fd, char *text, size_t size);
/* Connect to `name` in a directory (SOCK_STREAM or SOCK_SEQPACKET; blocking, CLOEXEC).
 * EAGAIN when connect(2), or later a send(2), has made no progress for 10 s. */
int socket_connect_at(int dirfd, const char *name, int type, struct error *err);
/* A datagram socket connected to a unix path ('@': abstract), for sd_notify(3);
 * CLOEXEC, the caller's. fdpass_send() on it fails with EAGAIN while the receiver's
 * queue is full, and poll(2) reports when there is room.  -1 and errno. */
int socket_connect_datagrams(const char *path);
