/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CHILDSET_H
#define SUPERVISOR_CHILDSET_H

#include "supervisor/common/state.h"

/* -1 and `err`. */
int childset_open(struct supervisor *sup, struct error *err);
void childset_close(struct supervisor *sup);

/* Watch `fd`: when it may be readable, childset.hear[which] is called.  -1 and errno. */
int childset_add(struct child *child, enum child_fd which, int fd);
/* Stop watching `fd`.  To close it is not enough, because other processes may have it, too. */
void childset_remove(const struct child *child, int fd);

#endif
