/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

/*
 * A group of listening sockets at one address (SO_REUSEPORT, socket(7)).  A
 * classic BPF program, which needs no privilege, chooses the member that gets a
 * new connection by its place in the group.  Places are in the order of
 * listen(2); when a member leaves, the last one moves to its place
 * (reuseport_add_sock(), reuseport_detach_sock() in the kernel's
 * net/core/sock_reuseport.c).
 *
 * A socket that was bound without the option may get it later.  Until it has a
 * second member another program's bind fails with EADDRINUSE; after that the
 * kernel lets any process of the same user join, even if the option is cleared.
 */
#define REUSEPORT_MAX 128

/*
 * Open a second socket beside a bound TCP socket: same address, options, owner and, if
 * that listens, backlog; CLOEXEC.  It has its place at once, but drops each SYN (the
 * client sends it again after a second) until reuseport_unmute() makes it listen as
 * `like` does.  Call reuseport_share() before that.  -1 and errno.
 *
 * A UDP socket hears from the beginning: datagrams wait in it.
 */
int reuseport_join(int fd);
int reuseport_unmute(int fd, int like);
void reuseport_mute(int fd);

/* Let new connections go to place i in proportion to weights[i]; at least one weight
 * is not 0.  `fd` is any member; MPTCP cannot (EOPNOTSUPP).  -1 and errno. */
int reuseport_share(int fd, const unsigned *weights, unsigned count);
/* reuseport_share(), but a connection from the address `client` (TCP of this machine) goes to
 * `place`, whatever its weight. */
union endpoint;
int reuseport_aim(int fd, const unsigned *weights, unsigned count, const union endpoint *client,
	unsigned place);
/* The same in turn, not by chance: socket i gets weights[i] connections of each round.
 * Requires CAP_BPF, and no seccomp filter against it; -1 and errno. */
int reuseport_set_turns(int fd, const unsigned *weights, unsigned count);
/* All connections of one address (`ports`: of one address and port, as a flow of UDP
 * is) go to places[i], i < count, where i is a hash of the address; where places[i]
 * is -1 (not there now), to another place.  -1 and errno. */
int reuseport_set_sticky(int fd, const int *places, unsigned count, bool ports);
/* Let the kernel's hash choose again. */
void reuseport_unshare(int fd);

/* From now on, when a member leaves, its waiting and half-open connections move to one
 * of the members `to` (none: the kernel's hash chooses), and new ones go there, until one
 * of the functions above is called.  Requires CAP_BPF, and no seccomp filter against it;
 * -1 and errno. */
int reuseport_migrate(int fd, const int *to, unsigned count);
/* Could reuseport_migrate() do that here? */
bool reuseport_can_migrate(void);

/* Wake a process that waits on any stream socket, by connecting to its address and
 * closing.  Never blocks, and reports no error: the address may be unreachable. */
void reuseport_wake(int fd);

/* Leave the group, even if other processes hold the socket, and close it.
 * Connections in its queue are reset, unless reuseport_migrate() was called. */
void reuseport_leave(int fd);
