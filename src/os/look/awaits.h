/* SPDX-License-Identifier: MIT */
#ifndef OS_AWAITS_H
#define OS_AWAITS_H

#include "os/look/remote.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Does a process wait for a connection?  An idle server does, at almost any
 * moment; one that loops, is stopped, or whose threads wait for each other does
 * not.  A look is a sample: a process may wait between two looks.  It costs
 * some 10 us for each thread, and only reads.
 */
enum awaits {
	AWAITS_NOTHING, /* it has the listener, and no thread waits for it */
	AWAITS_CONNECTION,
	AWAITS_UNKNOWN, /* it has no such listener, or cannot be looked at */
};

/*
 * In doubt the process waits: a thread in poll(2) or io_uring_enter(2) may wait
 * for anything; one in epoll_wait(2) waits for a connection unless the listener
 * is in another epoll set of the process.  *denied becomes true if we may not
 * look at it.
 */
enum awaits awaits_look(
	struct remote *process, remote_wanted *is_listener, const void *context, bool *denied);

/* State, system call and function of the kernel of its threads: "thread 41: R;
 * thread 42: S in futex (futex_do_wait); and 6 more".  Returned. */
const char *awaits_threads_text(pid_t pid, char *to, size_t size);

#endif
