/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CARRY_SOCKETS_H
#define SUPERVISOR_CARRY_SOCKETS_H

#include "supervisor/common/carried.h"

/*
 * How listeners and shared memory go through an upgrade: each once, before the
 * clusters, which refer to them.
 */
extern const struct carried carried_sockets; /* all, of the instance */
carry_collect carry_collect_sockets;
extern const struct carried carried_listener;
extern const struct carried carried_socket;
extern const struct carried carried_segment;

/* The listeners of a set, as a group of references. */
void carry_put_set(
	struct carry_writer *c, unsigned tag, const struct listener_set *set);
/* And back.  1; -1: it cannot be so, or r->err.  `room`: for more than are in it;
 * 0: for those. */
int carry_get_set(struct carry_reader *r, const struct handover_field *f,
	struct listener_set *set, size_t room);
/* A reference to shared memory (carry_put_index() writes it).  The same. */
int carry_get_memory(struct carry_reader *r, const struct handover_field *f,
	struct segment **segment);

#endif
