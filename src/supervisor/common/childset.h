/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CHILDSET_H
#define SUPERVISOR_CHILDSET_H

#include "supervisor/common/state.h"

/*
 * The descriptors by which nclust hears of each worker, in a set of their own
 * (os/eventset.h): libev would need 48 bytes for each, and some 20 in its tables.
 */
enum child_fd {     /* less than the alignment of a struct child */
	CHILD_EXIT, /* its pidfd */
	CHILD_NOTIFY,
	CHILD_TRAP, /* once: while a call is answered, nobody may look at it */
};

/* -1 and `err`. */
int childset_open(struct supervisor *sup, struct error *err);
void childset_close(struct supervisor *sup);

/* The hook `readable` of a part is called when `fd` is.  -1 and errno. */
int childset_add(struct child *child, enum child_fd which, int fd);
/* Not any more; needed before it is closed, because others may have it, too. */
void childset_remove(const struct child *child, int fd);

#endif
