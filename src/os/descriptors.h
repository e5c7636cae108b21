/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"

#include <dirent.h>
#include <linux/aio_abi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/types.h>

/*
 * Close whole ranges of descriptors, or mark them close-on-exec.  Safe between
 * clone and exec: no allocation, no lock.  These functions call close_range(2)
 * (the flag is of Linux 5.11), and where that is refused walk /proc/self/fd, as
 * the third one does.  -1 and errno.
 */
int descriptors_close(unsigned first, unsigned last);
int descriptors_cloexec(unsigned first, unsigned last);
int descriptors_cloexec_by_proc(unsigned first, unsigned last);

/* Raise RLIMIT_NOFILE to its hard limit; where that is refused, leave it. */
void descriptors_allow_many(void);

/* How many descriptors this process has open; -1: /proc does not tell. */
long descriptors_count(void);

/* Open a directory for readdir(3), and none by a link.  NULL and errno. */
DIR *directory_list(int at, const char *name);

/* access(2) relative to a directory. faccessat(3) is another system call with some
 * libc, which filters of containers refuse. */
int access_in(int dir, const char *file, int mode);

/* Are both open, and the same file? */
bool descriptors_same(int a, int b);
/* Open the file of that descriptor anew, CLOEXEC: another file description.  -1 and errno. */
int descriptors_again(int fd, int flags);
/* A hash of the path of that file now, for which no disk is asked; one that was removed has another.
 * 0: unknown. */
uint64_t descriptors_place(int fd);

/* ---- files in memory ---- */

/* memfd_create(2), CLOEXEC, of a file that can be sealed and never be executed. */
int memfd_make(const char *name);

/* Bytes that nobody can change any more: CLOEXEC; the caller's.  -1 and `err`. */
int sealed_make(const char *name, const void *data, size_t len, struct error *err);
/* Map the file's content; the caller calls munmap(2).  -1 and `err`: also if the
 * file is not sealed, or could still be changed. */
int sealed_map(int fd, const void **data, size_t *len, struct error *err);

/*
 * An empty sealed file, made to be locked (flock(2)).  A lock belongs to an open file
 * description: the kernel frees the lock when the description's last duplicate is
 * closed, so also when the process that holds it ends.
 */

/* Make such a file.  Its descriptor (CLOEXEC) is the caller's; -1 and errno. */
int lockfd_make(const char *name);
/* Is `fd` a descriptor of such a file?  A worker may have sent any descriptor. */
bool lockfd_is_one(int fd);

/* Lock the file for this description, which may have the lock already.  False:
 * another description has the lock. */
bool lockfd_take(int fd);
void lockfd_drop(int fd);

/* ---- pty ---- */

/*
 * Open a pseudo-terminal of that size for output: bytes written to `*slave` come out
 * of the other end unchanged.  Both ends are the caller's.  The slave cannot be read
 * from, so that no program waits there for input.  Its owner is `uid` (-1: ours), who
 * may open it by its name.  No other process has it yet, so no call in this function
 * waits for another process.  Returns the other end; -1 and errno.
 */
int pty_open(const struct winsize *size, uid_t uid, int *slave);

/* The size of a terminal that other processes may have; all zero if it is unknown.
 * These can make the kernel wait here (tiocgwinsz() copies to a process with the
 * lock), so a child asks (os/vfork.h). */
struct winsize pty_size_of(int terminal);

/* ---- eventset ---- */

/*
 * An epoll set beside that of the loop; an eventfd tells the loop that this set has
 * events.
 *
 * To add anything to a set that is in another one, or a set to another one, the kernel
 * takes a lock that the whole machine shares (epnested_mutex in fs/eventpoll.c).  Any
 * user's process can hold that lock for ever: it adds a set whose own lock it holds,
 * as epoll_wait(2) writes to memory that is a file of its own file server.  So no set
 * of nclust is in another one: the kernel's asynchronous I/O waits for them.
 *
 * Without asynchronous I/O (before Linux 4.18, in a sandbox, or if others have used up
 * fs.aio-max-nr), and where no process has fewer rights than nclust, the loop watches
 * the set itself.  Other programs that add sets to sets wait all the same.
 */
struct eventset {
	int set;  /* -1: there is none */
	int wake; /* readable when the set has events: an eventfd, or the set itself */
	aio_context_t context;
	bool armed;
};

/* -1 and errno. */
int eventset_open(struct eventset *s);
/* Call this only at the end of the process: io_destroy(2) takes some 30 ms, and exit
 * and exec free all of the set by themselves. */
void eventset_close(struct eventset *s);
/* From now on `wake` becomes readable once, when the set has an event. */
void eventset_arm(struct eventset *s);
/* Take the eventfd's notice, after `wake` was readable. */
void eventset_take(struct eventset *s);
