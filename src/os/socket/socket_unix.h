/* SPDX-License-Identifier: MIT */
#ifndef OS_SOCKET_UNIX_H
#define OS_SOCKET_UNIX_H

#include "os/socket/socket.h"

#include <limits.h>

/* The parts of socket_open() and socket_as.h for AF_UNIX.  All but the first take no
 * memory and no lock. */

int socket_unix_open(const struct socket_plan *plan, struct socket_file *made, struct error *err);

/* "path" as an address; '@' first: abstract.  -1: too long or empty. */
int socket_unix_address(const char *path, struct sockaddr_un *address, socklen_t *size);

/* Open the directory that a path is in; *name is what follows.  -1 and errno. */
int socket_unix_parent(const char *path, const char **name);

/* Remove the file of that name in the directory, if no process is bound to it any more. */
bool socket_unix_remove_stale(int dir, const char *name);

/*
 * The spare name under which the file of a socket stays when its own name is removed
 * (".NAME.nclust" in the same directory; ".NAME.N.nclust" for a worker's): a file
 * without any name cannot get one again.  -1: the spare name would be too long.
 */
int socket_unix_spare(char to[NAME_MAX + 1], const char *name, const struct socket_file *made);
/* Give the file its spare name.  Where that fails, a new socket will replace one
 * whose file was removed. */
void socket_unix_add_spare(int dir, const char *name, const struct socket_file *made);

/* Is no process bound to this socket file, open as O_PATH, any more? false: *why is
 * the errno(3) for the process that wants the name. */
bool socket_unix_is_dead(int file, int *why);

#endif
