/* SPDX-License-Identifier: MIT */
#ifndef OS_SHAREDMEM_H
#define OS_SHAREDMEM_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Memory for several processes, in a file without a name: memfd_create(2), of a
 * size that nobody can change any more (a mapping of what was cut off would be a
 * SIGBUS), writable by whoever has the descriptor.  Its pages are zero, and are
 * had when they are first written to.
 */
struct sharedmem_facts {
	uint64_t size; /* whole pages */
	uint64_t used; /* bytes of them that were had */
	uint64_t page;
	uint64_t dev; /* with the inode, its identity as long as … */
	uint64_t ino; /* … anybody has it */
};

/*
 * At least so many bytes.  `huge`: of huge pages of the kernel's usual size, all
 * reserved here, so that no worker dies for want of one.  CLOEXEC; the caller's.
 * -1 and `err`: what there is would never be enough, or not now.
 */
int sharedmem_make(
	const char *name, uint64_t size, bool huge, struct error *err);

/* -1 and errno; EINVAL: it is none, or its size could be changed. */
int sharedmem_look(int fd, struct sharedmem_facts *facts);

/* Both in one word, for tables of those that are there. */
static inline uint64_t sharedmem_id(uint64_t dev, uint64_t ino)
{
	return dev << 48 ^ ino;
}

/* Of a descriptor's target in /proc: could it be one? */
bool sharedmem_is_target(const char *target);

#endif
