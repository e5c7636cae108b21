/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CARRY_H
#define SUPERVISOR_CARRY_H

#include "supervisor/common/carried.h"

/*
 * The state of a running nclust as bytes (protocol/handover.h), and back: an
 * upgrade continues it in another binary, in the same process.  Each room
 * describes its own structs (common/carried.h); the settings, the core and the
 * descriptors are written here.
 */

/* Write the state into c->out; changes nothing.  `lasting`: note the identity
 * of descriptors.  -1 and `err`; call carry_fini() in either case. */
int carry_save(struct carry_writer *c, struct supervisor *sup, bool lasting,
	const struct carry_binary *binary, struct error *err);

/* Fill *sup from a state, in memory: nothing is opened, watched or changed.  -1
 * and `err`: it failed; what was made is not freed, an exec or exit follows. */
int carry_load(struct carry_reader *r, struct supervisor *sup, const void *data, size_t len,
	struct error *err);
/* Release the references and uses that the reader holds. */
void carry_release(struct carry_reader *r);

/* Is each descriptor of ours, and each worker, what the state says? */
int carry_verify(const struct carry_reader *r, struct error *err);
/* Clear their CLOEXEC flags (`keep`), or set them.  0, or -1 and errno. */
int carry_keep_descriptors(const struct carry_descriptor *list, size_t count, bool keep);

/* What this folder puts into the state. */
extern const struct carried carried_supervisor; /* a group of its own */
extern const struct carried carried_settings;   /* of the instance */
extern const struct carried carried_core;       /* of a cluster */
extern const struct carried carried_binary;

#endif
