/* SPDX-License-Identifier: MIT */
#ifndef OS_REMOTE_H
#define OS_REMOTE_H

#include "base/nsec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Looking into another process, named by one of its threads.  The thread id may
 * be used again for another thread at any time: after each look the caller must
 * check that the thread it meant still exists (seccomp_waits()).
 *
 * A look requires what ptrace(2) calls PTRACE_MODE_ATTACH_REALCREDS: the same
 * uid and gid, and at least the capabilities of the other process, or
 * CAP_SYS_PTRACE; its program must be readable; with Yama, only an ancestor may
 * look.  Otherwise EPERM or EACCES.
 */
struct remote {
	pid_t tid;
	/* CAP_SYS_PTRACE is missing, but we may take any ids: each look is by a
	 * short-lived child with those of the process. */
	bool as_user;
	uid_t uid; /* its own, if a child looks */
	gid_t gid;
	/* A process can make reading its memory wait for ever (userfaultfd(2), a
	 * file of FUSE): so a short-lived child reads, and is given up
	 * (vfork_patience()).  False: we read ourselves, without a limit, as Yama
	 * would not let a child of ours look. */
	bool aside;
	/* It has another uid, and may want to harm us: by the locks of its sockets
	 * and epoll sets it can make any look wait.  So a child makes them all. */
	bool others;
	/* A look took too long (ETIMEDOUT): no other one is tried. */
	bool late;
	/* The time of all looks in children; beyond a bound no other one is tried
	 * (ETIMEDOUT).  The caller may set it to 0 again. */
	nsec_t spent;
	/* A deed runs in a child: what it looks at itself needs no other one. */
	bool inside;
};
void remote_of(struct remote *r, pid_t tid);

/* Run `deed` with the rights to look at the process, here or in such a child:
 * it must not lock or allocate, and vfork.h says where it may write.  It may look
 * by other functions of this file.  Of our descriptors a child has only `keep`, or
 * none (-1).  What it returns, with its errno; or -1. */
typedef int remote_deed(void *argument);
int remote_run(struct remote *r, int keep, remote_deed *deed, void *argument);
/* The same, and *fd, which the deed has set, is a descriptor for the caller to close;
 * or -1.  (A channel for it is kept as well.) */
int remote_have(struct remote *r, int keep, remote_deed *deed, void *argument, int *fd);

/* A duplicate of its descriptor `fd` (CLOEXEC; the caller's).  -1 and errno:
 * EBADF: there is none, or it is another user's and neither a socket, an epoll set
 * nor a pipe (each exec of a child of ours would have to close a copy of it, and a
 * file server may let it wait); EPERM. */
int remote_fd(struct remote *r, int fd);
/* Close one; that may wait, too. */
void remote_close(int *fd);

/* Read its memory, at most REMOTE_READ_MOST bytes.  0, or -1 and errno (EFAULT;
 * ETIMEDOUT: see above). */
#define REMOTE_READ_MOST 256
int remote_read(struct remote *r, uint64_t at, void *to, size_t size);

/* Call `each` with the target of each of its first `most` descriptors, until it
 * says true: "socket:[…]", "anon_inode:[eventpoll]" …  It is part of a deed.  -1
 * and errno. */
typedef bool remote_each(void *context, int fd, const char *target);
int remote_each_fd(struct remote *r, unsigned most, remote_each *each, void *context);
/* The same of those with that number and higher ones. */
int remote_each_fd_from(
	struct remote *r, int from, unsigned most, remote_each *each, void *context);
/* The same, and `each` may use that descriptor of ours. */
int remote_each_fd_with(
	struct remote *r, int keep, unsigned most, remote_each *each, void *context);

/* The inode of a target "socket:[N]"; 0: it is no socket. */
uint64_t remote_socket_inode(const char *target);
/* The inode of one of its sockets, and of one of ours; 0: cannot be told. */
uint64_t remote_inode(struct remote *r, int fd);
uint64_t remote_own_inode(int fd);
bool remote_is_epoll(const char *target);

/* Descriptors by which a process may wait for connections: its epoll sets, and
 * those sockets that the caller wants. */
#define REMOTE_TABLE_MOST 64
struct remote_table {
	int epolls[REMOTE_TABLE_MOST];
	size_t epoll_count;
	int sockets[REMOTE_TABLE_MOST];
	uint64_t inodes[REMOTE_TABLE_MOST]; /* of the sockets */
	size_t socket_count;
};
/* Is the socket wanted?  The function may run in such a child, too. */
typedef bool remote_wanted(const void *context, uint64_t inode);
/* Fill the table from the first `most` descriptors.  -1 and errno:
 * incomplete. */
int remote_read_table(struct remote *r, unsigned most, remote_wanted *wanted, const void *context,
	struct remote_table *table);
/* Is the socket (its descriptor) in one of these epoll sets? */
bool remote_table_waits(struct remote *r, const struct remote_table *table, int socket);

/* O_NONBLOCK, O_CLOEXEC and the rest of its descriptor; -1 and errno. */
int remote_fd_flags(struct remote *r, int fd);

/* One entry of an epoll set. */
struct remote_epoll_item {
	int fd; /* its number when it was added */
	uint32_t events;
	uint64_t data;
};
/* Returns how many were put into `items`, at most `most`. */
size_t remote_epoll_items(
	struct remote *r, int epoll, struct remote_epoll_item *items, size_t most);
/* Has its epoll set an entry that was added under that number? */
bool remote_epoll_has(struct remote *r, int epoll, int fd);
/* Add `ours` to its epoll set (`epoll` is our duplicate) under the number
 * `item->fd`.  epoll_ctl(2) keys by number and file, so a child does it, in
 * which `ours` has that number. */
int remote_epoll_add(struct remote *r, int epoll, int ours, const struct remote_epoll_item *item);
/* Remove `ours` under the number `fd` from its epoll set; other entries stay.
 * ENOENT: it was not in it. */
int remote_epoll_remove(struct remote *r, int epoll, int ours, int fd);

/* The descriptors on which the thread waits for a connection, or for something to
 * read, in accept(2), poll(2), select(2) or a call that reads, right now: into `fds`,
 * up to `most`.  Returns how many; of a long list the first ones. */
#define REMOTE_AWAITS_MOST 32
size_t remote_awaits(struct remote *r, int *fds, size_t most);

/* The system call in which the thread is, or was stopped; -1: in none, it runs;
 * -2 and errno: cannot be told. */
long remote_call(struct remote *r);
/* The same, and the call's first argument, if that is a descriptor. */
long remote_call_on(struct remote *r, int *fd);

/* What a thread does in a system call; 0: it works, or will do so at once. */
enum remote_call_kind {
	CALL_WAITS = 1,   /* for a descriptor, a signal, a child */
	CALL_AWAITS = 2,  /* perhaps for a connection */
	CALL_EPOLL = 4,   /* for what is in an epoll set, its first argument */
	CALL_SLEEPS = 8,  /* for a time, or on a futex */
	CALL_UNKNOWN = 16 /* restarted; the kernel hides which call */
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

/* The path of its unix socket: "/run/x", "@abstract", escaped for people.  -1: it has
 * none, or is no unix socket. */
int remote_unix_path(struct remote *r, int fd, char *to, size_t size);

#endif
