/* SPDX-License-Identifier: MIT */
#pragma once

#include "os/socket/endpoint.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Accept queue of a listening socket, read from its descriptor, unprivileged:
 * TCP: TCP_INFO (tcpi_unacked = depth, tcpi_sacked = limit) and
 * SO_MEMINFO[SK_MEMINFO_DROPS].  Unix stream: depth and
 * limit by sock_diag(7) UNIX_DIAG_RQLEN for this inode.  UDP: the bytes in the
 * receive queue are not a queue of connections: depth and limit -1, drops from
 * SO_MEMINFO.  Unknown values are -1.
 */
struct queue_facts {
	long depth;
	long limit;
	long drops;
};
void sockdiag_queue(int fd, struct queue_facts *facts);
/* Does a connection wait in the queue?  This never takes the lock (tcp_poll(),
 * unix_poll() of the kernel). */
bool sockdiag_has_queue(int fd);

/* The inode of the TCP socket of this machine with the address `at` that is
 * connected to `peer`, by that device (0: any).  0: it is not accepted yet, or there is none. */
uint64_t sockdiag_inode(const union endpoint *at, const union endpoint *peer, uint32_t device);
/*
 * Read into `to` the attribute `type` (UNIX_DIAG_...) of the unix socket with this inode,
 * which the kernel adds where `show` (UDIAG_SHOW_...) asks for it.  1; 0: no such
 * attribute; -1: unknown.
 */
int sockdiag_unix(uint64_t inode, uint32_t show, unsigned short type, void *to, size_t size);

/*
 * Does a TCP socket listen with its receiving half shut down? shutdown(2) on a socket
 * that does not listen fails and marks it all the same (inet_shutdown() in the
 * kernel's net/ipv4/af_inet.c); should the socket listen later, each connection that
 * it accepts is dead. poll(2) does not tell.  False: no, or unknown.
 */
bool sockdiag_is_shut(int fd);

/* A TCP socket of our network namespace, as the kernel lists it. */
struct inet_diag_msg;
typedef void sockdiag_each(
	void *context, const struct inet_diag_msg *socket, const void *tcp_info, size_t size);

/* Visit all TCP sockets that have a descriptor, with their tcp_info, or a size of 0.
 * The kernel walks through a table whose size grows with the machine's memory: 0.2
 * to 11 ms.  0, or -1 and errno. */
int sockdiag_each_tcp(bool info, sockdiag_each *each, void *context);

/*
 * How many connections to this TCP listener's port are half open (SYN_RECV), with
 * `retries` retransmissions of the SYN-ACK at least; -1: unknown.  The kernel
 * walks through all connections of the machine, some ms on a busy one.
 */
long sockdiag_half_open(int fd, unsigned retries);

/*
 * How many connections to that TCP port no process has accepted yet, without connections
 * that the other end has closed, and those from this machine that come from one of the
 * ports `own`; -1: unknown.  The kernel walks through all connections, too.
 */
long sockdiag_waiting(uint16_t port, const uint16_t *own, size_t own_count);

/* The address that all connections to that TCP port come from, if there are so many at least; NULL:
 * there are fewer, or others.  The kernel walks through all connections, too. */
const char *sockdiag_only_client(uint16_t port, unsigned least, char to[INET6_ADDRSTRLEN]);

/* Is a connection open (or half closed) that was accepted from this listener?  1, 0;
 * -1: unknown.  Stops at the first one. */
int sockdiag_has_accepted(int fd);

/* How many sockets, this one included, of all processes listen at the address of
 * this TCP listener (SO_REUSEPORT); -1: unknown. */
long sockdiag_listeners(int fd);

/* Find the sockets that have a port of our network namespace: TCP sockets that
 * listen there or are bound, or UDP sockets.  Returns how many were put into `list`,
 * at most `most`; 0 also if it is unknown. */
struct port_socket {
	uint64_t inode;
	unsigned uid;
};
size_t sockdiag_port(int type, uint16_t port, struct port_socket *list, size_t most);

/* The address where a socket of our network namespace waits for clients: a TCP socket
 * that listens, or a UDP socket without a peer.  False: it does not wait, or unknown. */
bool sockdiag_waits_at(uint64_t inode, int *type, union endpoint *at);
