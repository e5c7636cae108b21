/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

/* The state of a running nclust as bytes (protocol/handover.h), and back: after an upgrade another
 * binary goes on with it, in the same process.  Each room describes its own structs
 * (common/carried.h); the core and the descriptors are described here. */

/* Write the state into c->out; this changes nothing.  -1 and `err`; call carry_fini() in either
 * case. */
int carry_save(struct carry_writer *c, struct supervisor *sup, const struct carry_binary *binary,
	struct error *err);

/* Fill *sup from a state, in memory alone: nothing is opened, watched or changed.  -1 and `err`:
 * memory is not freed, because the caller exits or calls execve(2). */
int carry_load(struct carry_reader *r, struct supervisor *sup, const void *data, size_t len,
	struct error *err);
/* Release the references and uses that the reader has. */
void carry_release(struct carry_reader *r);

/* Is each worker what the state says? */
int carry_verify(const struct supervisor *sup, struct error *err);

/* What the room upgrade puts into the state. */
extern const struct carried carried_supervisor; /* a group of its own */
extern const struct carried carried_binary;
