/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CHILDSET_H
#define SUPERVISOR_CHILDSET_H

#include "supervisor/common/state.h"

/* The descriptors by which nclust hears of workers, in an epoll set of their own (os/eventset.h),
 * because libev would need some 70 bytes for each. */
enum child_fd {     /* stored in the low bits of a pointer to struct child */
	CHILD_EXIT, /* the worker's pidfd */
	CHILD_NOTIFY,
	CHILD_TRAP, /* EPOLLONESHOT, because the call must be answered before the next event */
};

/* -1 and `err`. */
int childset_open(struct supervisor *sup, struct error *err);
void childset_close(struct supervisor *sup);

/* Watch `fd`: when it is readable, the hook `readable` of all rooms is called.  -1 and errno. */
int childset_add(struct child *child, enum child_fd which, int fd);
/* Stop watching `fd`.  To close it is not enough, because other processes may have it, too. */
void childset_remove(const struct child *child, int fd);

#endif
