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
 * Takes what ptrace(2) calls PTRACE_MODE_ATTACH_REALCREDS: one uid and gid, and
 * who looks has at least the capabilities of the other, or CAP_SYS_PTRACE; the
 * other's program must be readable; Yama lets it be an ancestor at most.  EPERM
 * or EACCES else.
 */
struct remote {
	pid_t tid;
	/* CAP_SYS_PTRACE is missing, but we may take any ids: each look is by a
	 * short-lived child with those of the process. */
	bool as_user;
	uid_t uid;
	gid_t gid;
	/* Memory may be made so that reading it waits for its owner (a file of
	 * FUSE, userfaultfd(2)): then so long at most, by such a child as well.
	 * 0: we look ourselves, for as long as it takes.  So it is where we
	 * have one uid with it, which has easier ways to harm us, and Yama
	 * would let no child of ours look. */
	nsec_t patience;
	/* A look was not over in time (ETIMEDOUT), and no other is tried: its
	 * owner holds us up. */
	bool late;
};
void remote_of(struct remote *r, pid_t tid);

/* Run `deed` with the rights to look at it, here or in such a child: it changes
 * nothing but what is behind `argument`, and takes no lock and no memory.  0, or
 * -1 and errno. */
int remote_run(struct remote *r, void (*deed)(void *), void *argument);

/* A duplicate of its descriptor (CLOEXEC; the caller's).  -1 and errno: EBADF:
 * there is none; EPERM. */
int remote_fd(struct remote *r, int fd);

/* Read its memory.  0, or -1 and errno (EFAULT; ETIMEDOUT: see above). */
int remote_read(struct remote *r, uint64_t at, void *to, size_t size);

/* What its descriptor refers to, for each of the first `most` of them:
 * "socket:[…]", "anon_inode:[eventpoll]" …  `look` may run in such a child: it
 * changes nothing but what is behind `context`, and takes no lock and no memory.
 * -1 and errno. */
int remote_each_fd(struct remote *r, unsigned most,
	void (*look)(void *context, int fd, const char *target), void *context);

/* The inode of a target "socket:[N]"; 0: it is no socket. */
uint64_t remote_socket_inode(const char *target);
/* The same of one descriptor of it, and of one of ours; 0: cannot be told. */
uint64_t remote_inode(struct remote *r, int fd);
uint64_t remote_own_inode(int fd);
bool remote_is_epoll(const char *target);

/* What a process may wait for connections with: its epoll sets, and those of its
 * sockets that are wanted. */
#define REMOTE_TABLE_MOST 64
struct remote_table {
	int epolls[REMOTE_TABLE_MOST];
	size_t epoll_count;
	int sockets[REMOTE_TABLE_MOST];
	uint64_t inodes[REMOTE_TABLE_MOST]; /* of the sockets */
	size_t socket_count;
};
/* Is it wanted?  It may run in such a child, too. */
typedef bool remote_wanted(const void *context, uint64_t inode);
/* Of the first `most` descriptors.  -1 and errno: some may be missing. */
int remote_read_table(struct remote *r, unsigned most, remote_wanted *wanted,
	const void *context, struct remote_table *table);
/* Is the socket (its descriptor) in one of these epoll sets? */
bool remote_table_waits(
	struct remote *r, const struct remote_table *table, int socket);

/* O_NONBLOCK, O_CLOEXEC and the rest of its descriptor; -1 and errno. */
int remote_fd_flags(struct remote *r, int fd);

/* What its epoll descriptor waits for. */
struct remote_epoll_item {
	int fd; /* its number when it was added */
	uint32_t events;
	uint64_t data;
};
/* Returns how many were put into `items`, at most `most`. */
size_t remote_epoll_items(struct remote *r, int epoll,
	struct remote_epoll_item *items, size_t most);
/* Does it wait for what was added under that number? */
bool remote_epoll_has(struct remote *r, int epoll, int fd);
/* Add `ours` to its epoll set (a duplicate of ours) under the number `item->fd`:
 * epoll_ctl(2) keys by number and file; ours is another number: a child does
 * it. */
int remote_epoll_add(int epoll, int ours, const struct remote_epoll_item *item);
/* The reverse: it waits no more for `ours` under the number `fd`; that of others
 * stays.  ENOENT: it did not. */
int remote_epoll_remove(int epoll, int ours, int fd);

/* The descriptor from which the thread waits to accept a connection, right now;
 * -1: it does not. */
int remote_accepts(struct remote *r);

/* The system call in which the thread is, or was stopped; -1: in none, it runs;
 * -2 and errno: cannot be told. */
long remote_call(struct remote *r);
/* The same, and its first argument, where it is a descriptor. */
long remote_call_on(struct remote *r, int *fd);

/* What it means that a thread is in a system call; 0: it does something, or will in
 * no time. */
enum remote_call_kind {
	CALL_WAITS = 1,   /* for a descriptor, a signal, a child */
	CALL_AWAITS = 2,  /* perhaps for a connection */
	CALL_EPOLL = 4,   /* for what is in an epoll set, its first argument */
	CALL_SLEEPS = 8,  /* for a time, or on a futex */
	CALL_UNKNOWN = 16 /* which one goes on is not said */
};
unsigned remote_call_kind(long call);
/* "futex", "system call 4711".  Returned, or constant. */
const char *remote_call_name(char to[40], long call);

/* The function of the kernel in which the thread sleeps ("futex_do_wait"); "0":
 * in none, or it is kept secret.  -1 and errno. */
int remote_sleeps_in(struct remote *r, char *to, size_t size);

/* Has the thread the capability (CAP_...), in our user namespace? */
bool remote_may(struct remote *r, int capability);

/* Is it in our namespace of that kind ("user", "net")? */
bool remote_shares(struct remote *r, const char *kind);

/* "TCP", "TCPv6", "UDP" …: what a socket of it is, where the descriptor itself
 * cannot be had (system.sockprotoname).  -1 and errno. */
int remote_protocol(struct remote *r, int fd, char *to, size_t size);

/* The path of the unix socket with that inode, in the thread's network: "/run/x",
 * "@abstract".  -1: it has none, or it does not fit. */
int remote_unix_path(
	const struct remote *r, uint64_t inode, char *to, size_t size);

#endif
