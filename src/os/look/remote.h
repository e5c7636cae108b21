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

/* O_NONBLOCK, O_CLOEXEC and the other flags of the process's descriptor; -1 and errno. */
int remote_fd_flags(struct remote *r, int fd);

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
