/* SPDX-License-Identifier: MIT */
#ifndef OS_EVENTSET_H
#define OS_EVENTSET_H

#include <linux/aio_abi.h>
#include <stdbool.h>

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

#endif
