/* SPDX-License-Identifier: MIT */
#pragma once

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
	/* CAP_SYS_PTRACE is missing, but nclust may take any ids: a short-lived
	 * child with the ids of the process makes each look. */
	bool as_user;
	uid_t uid; /* of the process, if a child looks */
	gid_t gid;
	/* A process can make reading its memory wait for ever (userfaultfd(2), a
	 * file of FUSE): so a short-lived child reads, and is given up after
	 * vfork_patience().  False: nclust itself reads, without a limit, as Yama
	 * would not let a child look. */
	bool in_child;
	/* The process has another uid, and may want to harm nclust: by the locks of its
	 * sockets and epoll sets it can make any look wait.  So a child makes all looks. */
	bool others;
	/* A look took too long (ETIMEDOUT): no other look is tried. */
	bool late;
	/* The time of all looks in children; beyond a bound no other look is tried
	 * (ETIMEDOUT).  The caller may reset it to 0. */
	nsec_t spent;
	/* We are in the child: further looks need no other child. */
	bool inside;
};
void remote_of(struct remote *r, pid_t tid);

/* Call `function` with the rights to look at the process: here, or in a child as described
 * above.  The function must not lock or allocate, and vfork.h says where it may write; it may
 * call other functions of this file.  Of our descriptors the child has only `keep`, or none
 * (-1).  Returns the function's result, with its errno; or -1. */
typedef int remote_function(void *argument);
int remote_run(struct remote *r, int keep, remote_function *function, void *argument);
/* The same, and *fd, which the function has set, is a descriptor for the caller to
 * close; or -1.  (The child keeps a channel for passing it, too.) */
int remote_have(struct remote *r, int keep, remote_function *function, void *argument, int *fd);
/* As remote_run(), but in a child if `in_child` is set; `keep` may also be VFORK_LEAVES. */
int remote_run_in(
	struct remote *r, bool in_child, int keep, remote_function *function, void *argument);
/* Make a call in a child, with the ids that it names (vfork.h); or here, in such a child. */
struct vfork_call;
int remote_make_call(struct remote *r, const struct vfork_call *call);

/* Read the file /proc/TID/NAME, at most 8 KiB of it.  0, or -1 and errno. */
int remote_text(struct remote *r, const char *name, char *to, size_t size);

/* A duplicate of the process's descriptor `fd` (CLOEXEC; the caller's).  -1 and
 * errno: EBADF: no such descriptor, or it is another user's and neither a socket, an
 * epoll set nor a pipe (each exec of a child of ours would have to close a copy of
 * it, and a file server may let close(2) wait); EPERM. */
int remote_fd(struct remote *r, int fd);
/* Close such a duplicate; in a child where close(2) may wait. */
void remote_close(int *fd);

/* Read the process's memory, at most REMOTE_READ_MOST bytes.  0, or -1 and errno
 * (EFAULT; ETIMEDOUT: see above). */
#define REMOTE_READ_MOST 256
int remote_read(struct remote *r, uint64_t at, void *to, size_t size);

/* Call `each` with the targets of the process's first `most` descriptors
 * ("socket:[4711]", "anon_inode:[eventpoll]") until it returns true.  `each` may
 * run in a child, as a function of remote_run().  -1 and errno. */
typedef bool remote_each(void *context, int fd, const char *target);
int remote_each_fd(struct remote *r, unsigned most, remote_each *each, void *context);
/* The same; `each` may use our descriptor `keep`. */
int remote_each_fd_keeping(
	struct remote *r, int keep, unsigned most, remote_each *each, void *context);

/* The target of one of its descriptors, cut.  0, or -1 and errno. */
int remote_target(struct remote *r, int fd, char *to, size_t size);
/* The inode of a target "socket:[N]"; 0: the target is no socket. */
uint64_t remote_socket_inode(const char *target);
/* The inode of a socket of the process, and of a socket of ours; 0: unknown. */
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

/* O_NONBLOCK, O_CLOEXEC and the other flags of the process's descriptor; -1 and errno. */
int remote_fd_flags(struct remote *r, int fd);

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

/* Has the thread the capability (CAP_...), in our user namespace? */
bool remote_may(struct remote *r, int capability);

/* Is that link of /proc/PID the same as ours, such as a namespace ("ns/net") or "root"? */
bool remote_shares(struct remote *r, const char *name);

/* The protocol of a socket of the process, "TCP", "TCPv6" or "UDP", where the
 * descriptor itself cannot be duplicated (system.sockprotoname).  -1 and errno. */
int remote_protocol(struct remote *r, int fd, char *to, size_t size);

/* The path of a unix socket of the process: "/run/x", "@abstract", escaped for
 * people; dev and ino of its file (ino 0: they cannot be had).  -1: no path, or no unix socket. */
struct socket_file;
int remote_unix_path(struct remote *r, int fd, char *to, size_t size, struct socket_file *file);
