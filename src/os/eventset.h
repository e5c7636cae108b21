/* SPDX-License-Identifier: MIT */
#ifndef OS_EVENTSET_H
#define OS_EVENTSET_H

#include <linux/aio_abi.h>
#include <stdbool.h>

/*
 * An epoll set beside that of the loop, which is told by an eventfd that it has
 * something.
 *
 * To add anything to a set that is in another one, or a set to another one, the
 * kernel takes a lock that the whole machine shares (epnested_mutex in fs/eventpoll.c).
 * Any user's process can hold that for ever: it adds a set whose own lock it
 * holds, as epoll_wait(2) writes to memory that is a file of its own file server.
 * So our sets are in no other one.  The kernel's asynchronous I/O waits for them.
 *
 * Without that (before Linux 4.18, in a sandbox, or if others have used up
 * fs.aio-max-nr) the set itself is what is to be watched; and where nobody has
 * fewer rights than we.  Other programs that add sets to sets wait all the same.
 */
struct eventset {
	int set;  /* -1: there is none */
	int wake; /* readable: there is something; the set itself, or an eventfd */
	aio_context_t context;
	bool armed;
};

/* -1 and errno. */
int eventset_open(struct eventset *s);
/* At the end of the process: that alone frees all of it, in some 30 ms.  (So does an
 * exec.) */
void eventset_close(struct eventset *s);
/* From now on `wake` says once that there is something. */
void eventset_arm(struct eventset *s);
/* It has said so. */
void eventset_take(struct eventset *s);

#endif
