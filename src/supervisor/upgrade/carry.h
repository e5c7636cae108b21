/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CARRY_H
#define SUPERVISOR_CARRY_H

#include "supervisor/common/carried.h"

/*
 * All that a running nclust is, as one state (protocol/handover.h), and back:
 * how it goes on as another binary, in the same process.  What the state says
 * of each struct is written in the room of that struct (common/carried.h); of
 * the settings, the core and the descriptors it is written here.
 */

/* Everything, into c->out.  Changes nothing.  `lasting`: the descriptors shall
 * be known again.  -1 and `err`; to be freed (carry_fini) in either case. */
int carry_save(struct carry_writer *c, struct supervisor *sup, bool lasting,
	const struct carry_binary *binary, struct error *err);

/*
 * Make *sup of a state, in memory: nothing is opened, watched or changed.
 * -1 and `err`: it cannot be done, and what was made is of no use but to be
 * forgotten by an exec.
 */
int carry_load(struct carry_reader *r, struct supervisor *sup, const void *data,
	size_t len, struct error *err);
/* References and uses that the reader holds are given back. */
void carry_release(struct carry_reader *r);

/* Is each descriptor of ours, and each worker, what the state says? */
int carry_verify(const struct carry_reader *r, struct error *err);
/* In a list of descriptors, for each. */
#define CARRY_DESCRIPTOR_SIZE 24
/* May they go through an exec?  0, or -1 and errno. */
int carry_keep_descriptors(const char *descriptors, size_t count, bool keep);
/* The n-th of them. */
int carry_descriptor(const char *descriptors, size_t n);

/* What this folder puts into the state. */
extern const struct carried carried_supervisor; /* a group of its own */
extern const struct carried carried_settings;   /* of the instance */
extern const struct carried carried_core;       /* of a cluster */
extern const struct carried carried_binary;
extern const struct carried carried_cluster; /* one of the settings */
extern const struct carried carried_instance;

#endif
