/* SPDX-License-Identifier: MIT */
#ifndef OS_REUSEPORT_H
#define OS_REUSEPORT_H

/*
 * Several listening sockets of one address (SO_REUSEPORT, socket(7)), and who of
 * them gets new connections: a classic BPF program, which takes no privilege,
 * answers with a place in the group.  Places are in the order of listen(2); when
 * a member leaves, the last one moves to its place (reuseport_add_sock(),
 * reuseport_detach_sock() in the kernel's net/core/sock_reuseport.c).
 *
 * What was bound without the option may get it later, and is alone until then:
 * another program's bind fails with EADDRINUSE.  From the first second member on
 * the kernel lets any process of the same user join, whatever is cleared.
 */
#define REUSEPORT_MAX 8

/*
 * A second socket beside this one, a listening TCP socket: same address, options,
 * owner and backlog; CLOEXEC.  It takes its place at once, but is deaf (each SYN
 * is dropped, and sent again by its sender after a second) until reuseport_hear(),
 * as `like` does: first reuseport_share() has to say what it gets.  -1 and errno.
 */
int reuseport_join(int fd);
int reuseport_hear(int fd, int like);
void reuseport_deafen(int fd);

/* New connections go to place i in proportion to weights[i]; some are above 0.
 * By any member; MPTCP sockets cannot (EOPNOTSUPP).  -1 and errno. */
int reuseport_share(int fd, const unsigned *weights, unsigned count);
/* The same, but what comes from the address to which `client` is bound (TCP of
 * this machine) goes to that place, whatever that weighs. */
int reuseport_aim(int fd, const unsigned *weights, unsigned count, int client,
	unsigned place);
/* As the kernel spreads them: by a hash. */
void reuseport_unshare(int fd);

/* From now on what a member leaves behind, waiting or half open, goes to another
 * one, and new connections by a hash, until the next of the above.  It takes
 * CAP_BPF, where no seccomp filter forbids it; -1 and errno. */
int reuseport_migrate(int fd);

/* Of any stream socket: connect to its address and go away: whoever waits there is woken.  Never
 * blocks; nothing is told, as there may be no way from here to there. */
void reuseport_knock(int fd);

/* Leave the group, whoever else holds the socket, and close it.  What is in its
 * queue is reset, but after reuseport_migrate(). */
void reuseport_leave(int fd);

#endif
