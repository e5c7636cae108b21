/* SPDX-License-Identifier: MIT */
#ifndef OS_REMOTE_H
#define OS_REMOTE_H

#include "base/nsec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Looking into another process, named by one of its threads.  The number may
 * come to mean another thread at any time: whoever looks has to make sure, after
 * each look, that the one he meant still was there (seccomp_waits()).
 *
 * Takes what ptrace(2) calls PTRACE_MODE_ATTACH_REALCREDS: one uid, and who
 * looks has at least the capabilities of the other, or CAP_SYS_PTRACE; the
 * other's program must be readable; Yama lets it be an ancestor at most.  EPERM
 * else.
 */

/* A duplicate of its descriptor (CLOEXEC; the caller's).  -1 and errno: EBADF:
 * there is none; EPERM. */
int remote_fd(pid_t tid, int fd);

/*
 * Read its memory.  0, or -1 and errno (EFAULT).  Memory may be made so that
 * reading it waits for its owner (a file of FUSE, userfaultfd(2)): `patience` is
 * how long at most, by a look from a process of its own (ETIMEDOUT); 0: we look
 * ourselves, however long that takes.  Such a process is no ancestor, so under
 * Yama it needs CAP_SYS_PTRACE.
 */
int remote_read(pid_t tid, uint64_t at, void *to, size_t size, nsec_t patience);

/* What its descriptor refers to, for each of the first `most` of them: "socket:[…]",
 * "anon_inode:[eventpoll]" …  -1 and errno. */
int remote_each_fd(pid_t tid, unsigned most,
	void (*look)(void *context, int fd, const char *target), void *context);

/* The inode of a target "socket:[N]"; 0: it is no socket. */
uint64_t remote_socket_inode(const char *target);
/* The same of a descriptor of ours; 0: cannot be told. */
uint64_t remote_own_inode(int fd);

/* O_NONBLOCK, O_CLOEXEC and the rest of its descriptor; -1 and errno. */
int remote_fd_flags(pid_t tid, int fd);

/* What its epoll descriptor waits for. */
struct remote_epoll_item {
	int fd; /* its number when it was added */
	uint32_t events;
	uint64_t data;
};
/* Returns how many were put into `items`, at most `most`. */
size_t remote_epoll_items(
	pid_t tid, int epoll, struct remote_epoll_item *items, size_t most);
/* Add `ours` to its epoll set under the number `item->fd` (epoll_ctl(2) keys by
 * number and file; ours is another number: a child does it). */
int remote_epoll_add(int epoll, int ours, const struct remote_epoll_item *item);

/* The descriptor from which the thread waits to accept a connection, right now;
 * -1: it does not. */
int remote_accepts(pid_t tid);

/* Has the thread the capability (CAP_...), in our user namespace? */
bool remote_may(pid_t tid, int capability);

/* "TCP", "TCPv6", "UDP" …: what a socket of it is, where the descriptor itself
 * cannot be had (system.sockprotoname).  -1 and errno. */
int remote_protocol(pid_t tid, int fd, char *to, size_t size);

#endif
