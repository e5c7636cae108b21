/* SPDX-License-Identifier: MIT */
#ifndef OS_WAITS_FOR_CLIENT_H
#define OS_WAITS_FOR_CLIENT_H

#include "os/look/remote.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Does a process wait for a connection?  An idle server does, at almost any
 * moment; a server that loops, is stopped, or whose threads wait for each other
 * does not.  A look is a sample: a process may wait between two looks.  A look
 * costs some 10 us for each thread, and only reads.
 */
enum awaits {
	AWAITS_NOTHING, /* the process has the listener, and no thread waits for it */
	AWAITS_CONNECTION,
	AWAITS_UNKNOWN, /* the process has no such listener, or nclust may not look */
};

/*
 * In doubt the process waits: a thread in poll(2) or io_uring_enter(2) may wait
 * for anything; a thread in epoll_wait(2) waits for a connection unless the
 * listener is in another epoll set of the process.  *denied becomes true if
 * nclust may not look at the process.
 */
enum awaits waits_for_client(
	struct remote *process, remote_wanted *is_listener, const void *context, bool *denied);

/* State, system call and kernel function of the process's threads: "thread 41: R;
 * thread 42: S in futex (futex_do_wait); and 6 more".  Returns `to`. */
const char *awaits_threads_text(pid_t pid, char *to, size_t size);

#endif
