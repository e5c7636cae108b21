/* SPDX-License-Identifier: MIT */
#pragma once

#include "os/look/remote.h"

/* Read the process's memory, at most REMOTE_READ_MOST bytes.  0, or -1 and errno
 * (EFAULT; ETIMEDOUT: see remote.h). */
#define REMOTE_READ_MOST 256
int remote_read(struct remote *r, uint64_t at, void *to, size_t size);

/* Descriptors by which a process may wait for connections: its epoll sets, and
 * those sockets that the caller wants. */
#define REMOTE_TABLE_MOST 64
struct remote_table {
	int epolls[REMOTE_TABLE_MOST];
	size_t epoll_count;
	int sockets[REMOTE_TABLE_MOST];
	uint64_t inodes[REMOTE_TABLE_MOST]; /* inodes of the sockets */
	size_t socket_count;
};
/* Does the caller want the socket?  The function may run in such a child, too. */
typedef bool remote_wanted(const void *context, uint64_t inode);
/* Fill the table from the first `most` descriptors.  -1 and errno:
 * incomplete. */
int remote_read_table(struct remote *r, unsigned most, remote_wanted *wanted, const void *context,
	struct remote_table *table);
/* Is the socket (its descriptor) in one of these epoll sets? */
bool remote_table_waits(struct remote *r, const struct remote_table *table, int socket);

/* One entry of an epoll set. */
struct remote_epoll_item {
	int fd; /* number of the descriptor when it was added */
	uint32_t events;
	uint64_t data;
};
/* Has the process's epoll set an entry that was added under that number?  Then *item is filled. */
bool remote_epoll_find(struct remote *r, int epoll, int fd, struct remote_epoll_item *item);
bool remote_epoll_has(struct remote *r, int epoll, int fd);
/* Add `ours` to the process's epoll set (`epoll` is our duplicate) under the number
 * `item->fd`. epoll_ctl(2) keys entries by number and file, so a child in which
 * `ours` has that number makes the call. */
int remote_epoll_add(struct remote *r, int epoll, int ours, const struct remote_epoll_item *item);
/* Remove `ours` under the number `fd` from the process's epoll set; other entries
 * stay.  ENOENT: no such entry. */
int remote_epoll_remove(struct remote *r, int epoll, int ours, int fd);

/* The descriptors on which the thread waits for a connection, or for something to
 * read, in accept(2), poll(2), select(2) or a call that reads, right now: into `fds`,
 * up to `most`.  Returns how many; of a long list the first ones. */
#define REMOTE_AWAITS_MOST 32
size_t remote_awaits(struct remote *r, int *fds, size_t most);

/* The system call in which the thread is, or was stopped, and its first argument, if that
 * is a descriptor; -1: none, the thread runs; -2 and errno: unknown. */
long remote_call(struct remote *r, int *fd);

/* The epoll set at which the thread waits, without a limit of time; -1: none. */
int remote_endless_epoll(struct remote *r);

/* What a thread does in a system call; 0: it runs, or will do so at once. */
enum remote_call_kind {
	CALL_WAITS = 1,    /* for a descriptor, a signal, a child */
	CALL_AWAITS = 2,   /* perhaps for a connection */
	CALL_EPOLL = 4,    /* for an event of the epoll set that is its first argument */
	CALL_SLEEPS = 8,   /* until a time, or on a futex */
	CALL_UNKNOWN = 16, /* a restarted call, io_uring: the kernel hides which, or for what */
	CALL_READS = 32    /* for bytes on the descriptor that is its first argument */
};
unsigned remote_call_kind(long call);
/* "futex", "system call 4711".  Returns `to`, or a constant. */
const char *remote_call_name(char to[40], long call);
