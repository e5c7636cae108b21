/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_LOGS_H
#define SUPERVISOR_LOGS_H

#include "supervisor/common/part.h"

/*
 * The sinks of clusters (`log = file:PATH`): the logger is told which there are,
 * and asks for a descriptor of each, since it has no rights.  A process of its
 * own opens and renames files, because a directory may be on a disk that does not
 * answer, and sends the descriptor to the logger itself.  nclust never has the
 * descriptor, as even close(2) of it may hang.
 */

/* The cluster's files were renamed by others: open them anew. */
void logs_reopen(struct service *service);

extern const struct part logs_part;

#endif
