/* SPDX-License-Identifier: MIT */
#ifndef OS_SOCKDIAG_H
#define OS_SOCKDIAG_H

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

#endif
