/* SPDX-License-Identifier: MIT */
#ifndef OS_SOCKDIAG_H
#define OS_SOCKDIAG_H

#include "os/socket/endpoint.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Accept queue of a listening socket, read from its descriptor, unprivileged:
 * TCP: TCP_INFO (tcpi_unacked = depth, tcpi_sacked = limit) and
 * SO_MEMINFO[SK_MEMINFO_DROPS]; see KERNEL.md section 1.  Unix stream: depth
 * and limit by sock_diag(7) UNIX_DIAG_RQLEN for this inode.  UDP: the bytes in
 * the receive queue are not a queue of connections: depth and limit -1, drops
 * from SO_MEMINFO.  What cannot be told is -1.
 */
struct queue_facts {
	long depth;
	long limit;
	long drops;
};
void sockdiag_queue(int fd, struct queue_facts *facts);
/* The same without a child of our own, in one: it may wait for the socket's lock. */
void sockdiag_queue_here(int fd, struct queue_facts *facts);
/* Does something wait in it to be accepted?  This never takes the lock (tcp_poll(),
 * unix_poll() of the kernel). */
bool sockdiag_has_queue(int fd);

/* The inode of the TCP socket of this machine that is at `at` and connected to
 * `peer`.  0: it is not accepted yet, or there is none. */
uint64_t sockdiag_inode(const union endpoint *at, const union endpoint *peer);
/*
 * What the kernel tells of a unix socket of ours: the attribute `type`
 * (UNIX_DIAG_...), which comes where `show` (UDIAG_SHOW_...) asks for it, into `to`.
 * 1; 0: it has no such attribute; -1: it cannot be told.
 */
int sockdiag_unix(int fd, uint32_t show, unsigned short type, void *to, size_t size);

/*
 * Does a TCP socket listen with its receiving half shut down?  shutdown(2) on one
 * that does not listen fails and marks it all the same (inet_shutdown() in the
 * kernel's net/ipv4/af_inet.c); should it listen then, each connection that it
 * accepts is dead.  poll(2) does not tell.  False where nobody can tell.
 */
bool sockdiag_is_shut(int fd);

/* A TCP socket of our network namespace, as the kernel lists it. */
struct inet_diag_msg;
typedef void sockdiag_each(
	void *context, const struct inet_diag_msg *socket, const void *tcp_info, size_t size);

/* All TCP sockets that somebody may have as a descriptor, with their tcp_info, or a
 * size of 0.  It walks a table as large as the machine has memory for: 0.2 to 11 ms.
 * 0, or -1 and errno. */
int sockdiag_each_tcp(bool info, sockdiag_each *each, void *context);

/*
 * How many connections to this TCP listener's port are half open (SYN_RECV), those
 * whose SYN-ACK was sent again `retries` times at least; -1: nobody can tell.
 * The kernel walks through all connections there are, some ms on a busy machine.
 */
long sockdiag_half_open(int fd, unsigned retries);

/*
 * How many connections to that TCP port nobody has accepted yet, without those that
 * the other end has closed, and those from this machine that come from one of the
 * ports `own`; -1: nobody can tell.  It walks through all of them, too.
 */
long sockdiag_waiting(uint16_t port, const uint16_t *own, size_t own_count);

/* Has anybody a connection open that came by this listener, also a half closed one?
 * 1, 0; -1: nobody can tell.  It stops at the first. */
int sockdiag_has_accepted(int fd);

/* How many sockets, this one among them, listen at the address of this TCP
 * listener, whoever has them (SO_REUSEPORT); -1: nobody can tell. */
long sockdiag_listeners(int fd);

/* Who has a port of our network namespace: TCP sockets that listen there or are
 * bound, or UDP sockets.  Returns how many were put into `list`, at most `most`;
 * 0 also where nobody can tell. */
struct port_socket {
	uint64_t inode;
	unsigned uid;
};
size_t sockdiag_port(int type, uint16_t port, struct port_socket *list, size_t most);

/* Where a socket of our network namespace waits for others: a TCP socket that listens, or
 * a UDP socket without a peer.  False: it does not, or nobody can tell. */
bool sockdiag_waits_at(uint64_t inode, int *type, union endpoint *at);

#endif
