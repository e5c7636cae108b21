/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_RENAME_H
#define SUPERVISOR_RENAME_H

#include "supervisor/common/state.h"

/*
 * A cluster that a reload finds under another name is the same one: it keeps its
 * workers, sockets, slots and numbers.  It is known by an address that both
 * listen on, else by settings that its workers could have been born with; one
 * that is as like to another is none.  The name in its settings stays that of
 * the file they come from: what differs from the cluster's is yet to be rolled.
 */
struct renaming {
	struct service *service;
	char *name; /* heap: the one that is not in place */
};

struct renamings {
	struct renaming *list; /* heap */
	size_t count;
};

/* Whose name is not among the new settings, and whose it is there.  0, or -1:
 * out of memory. */
int rename_find(struct renamings *r, const struct supervisor *sup,
	const struct settings *new);
/* Put the other names in place; again: back. */
void rename_swap(const struct renamings *r);
/* They are in place for good: those who know a cluster by its name are told. */
void rename_tell(const struct renamings *r);
void rename_fini(struct renamings *r);

#endif
