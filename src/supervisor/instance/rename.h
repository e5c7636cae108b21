/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_RENAME_H
#define SUPERVISOR_RENAME_H

#include "supervisor/common/state.h"

/*
 * A cluster that a reload finds under another name keeps its workers, sockets,
 * slots and numbers.  It is recognised by an address that both listen on, else by
 * equal settings of workers; a match that is not unique does not count.  The
 * settings keep the name of the file that they come from: if that is not the
 * cluster's name, a rollout to the new name is still to come.
 */
struct renaming {
	struct service *service;
	char *name; /* heap: the name that is not in use at the moment */
};

struct renamings {
	struct renaming *list; /* heap */
	size_t count;
};

/* Find the clusters that have another name in the new settings.  -1: out of
 * memory. */
int rename_find(struct renamings *r, const struct supervisor *sup, const struct settings *new);
/* Swap old and new names; a second call restores the old names. */
void rename_swap(const struct renamings *r);
/* The new names are final: call the `renamed` hooks. */
void rename_tell(const struct renamings *r);
void rename_fini(struct renamings *r);

#endif
