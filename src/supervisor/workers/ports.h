/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_PORTS_H
#define SUPERVISOR_PORTS_H

#include "supervisor/common/carried.h"

/*
 * The addresses that workers of a cluster listen on.  A worker that replaces
 * one of an older generation is ready, by listening, when it listens on all of
 * the old one's addresses.
 *
 * A unix path counts only when two workers have listened on it.  One that
 * differs from copy to copy is private to its worker.
 */
#define PORTS_MAX 64 /* a bit each in listening.ports */

/* The worker listens on that address.  `named`: a setting says so; `shared`: a
 * unix path is no secret of this worker.  Has another worker listened there, too? */
bool ports_note(struct child *child, const char *text, bool named, bool shared);
/* The bit in listening.ports of those that listen there; 0: nobody has. */
uint64_t ports_bit(const struct service *service, const struct listener *l);
/* The worker has called listen(2) there: all of its generation know. */
void ports_tell(struct child *child, uint64_t bit);
/* Has the worker not, where one of its generation has? */
static inline bool ports_lacks(const struct child *child, uint64_t bit)
{
	return (child->listening.mates & ~child->listening.ports & bit) != 0;
}
/* The worker has closed it. */
void ports_forget(struct child *child, const struct listener *l);
/* Did it come to listen there only after it was ready, later than `stable-after`? */
bool ports_is_late(const struct child *child, const struct listener *l);
/* Is there a TCP address of others, not of their late ones, that it does not listen
 * on? */
bool ports_lacks_one(const struct child *child);
/* It listens on an address of its own, which is not known. */
void ports_note_own(struct child *child);

/* Was any worker seen to listen on TCP, also one that is gone? */
bool ports_any_tcp(const struct service *service);

/* Does it listen on anything that counts?  `guess`: a unix path does, of which
 * it is not known yet whether it is private. */
bool ports_any(const struct child *child, bool guess);

/* A worker was started: note the addresses of the worker that it replaces, and of those
 * of its generation. */
void ports_expect(struct child *child);
/* Must it listen on such an address? */
bool ports_expects(const struct child *child);
/* The first of them that it does not listen on yet; NULL: it listens on all. */
const char *ports_missing(const struct child *child);

/* The worker of that slot is ready: the next one is compared with it. */
void ports_on_ready(const struct child *child);

/* How ports go through an upgrade, in the group of their cluster. */
extern const struct carried carried_ports;
void ports_free(struct service *service);

#endif
