/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

/*
 * The addresses that workers of a cluster listen on.  With readiness by listening, a worker of a
 * new generation is ready when it listens on all addresses that the worker which it replaces opened
 * within 10 s of its first one, and has not closed.
 *
 * A unix path counts only when two workers have listened on it, because a path that differs from
 * copy to copy is private to its worker.
 */

/* The worker listens on that address.  `named`: by a setting; `shared`: the unix path is not
 * private.  Returns whether other workers have listened on it, or share it.  "": an unknown
 * address. */
bool ports_note(struct child *child, const char *text, bool named, bool shared);
/* The bit of this address in listening.ports; 0: no worker has listened there. */
uint64_t ports_bit(const struct service *service, const struct listener *l);
/* The worker has called listen(2) on that address: note it for all workers of its generation. */
void ports_tell(struct child *child, uint64_t bit);
/* Has another worker of the generation called listen(2) there, but not this worker? */
static inline bool ports_lacks(const struct child *child, uint64_t bit)
{
	return (child->listening.of_generation & ~child->listening.ports & bit) != 0;
}
/* The worker has closed the listener. */
void ports_forget(struct child *child, const struct listener *l);
/* Do other workers listen on a TCP address on which this worker does not?  Late addresses do not
 * count. */
bool ports_lacks_one(const struct child *child);

/* Did any worker, even if it is gone, listen on TCP? */
bool ports_any_tcp(const struct service *service);

/* Does the worker listen on an address that counts?  `guess`: a unix path counts as long as it is
 * not known to be private. */
bool ports_any(const struct child *child, bool guess);

/* A worker was started: note the addresses of the worker that it replaces, and of workers of its
 * generation. */
void ports_expect(struct child *child);
/* Must the worker listen on an address of an older generation's worker that it replaces? */
bool ports_expects(const struct child *child);
/* Does it listen on a port that words of its settings name, and those of the worker before do not?  Such a
 * word overrules what a file of the program's names. */
bool ports_named_anew(const struct child *child);
/* A port of the worker before, of the same generation, where clients wait in vain: no worker has
 * it, nor has this one another port of that worker's.  NULL: there is none. */
struct listener *ports_deserted(const struct child *child);
/* The first address of either kind on which it does not listen yet; NULL: it listens on all. */
const char *ports_missing(const struct child *child);

/* The worker is ready: its successor is compared with it. */
void ports_on_ready(const struct child *child);

/* How addresses go through an upgrade, in the group of their cluster. */
extern const struct carried carried_ports;
void ports_free(struct service *service);
