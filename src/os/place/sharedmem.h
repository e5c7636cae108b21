/* SPDX-License-Identifier: MIT */
#ifndef OS_SHAREDMEM_H
#define OS_SHAREDMEM_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Memory for several processes, in a file without a name (memfd_create(2)).  Its
 * size is sealed, because a mapping of a part that was cut off would raise
 * SIGBUS; each process that has the descriptor can write.  Pages are zero, and
 * are allocated when they are first written to.
 */
struct sharedmem_facts {
	uint64_t size; /* whole pages */
	uint64_t used; /* bytes in pages that are allocated */
	uint64_t page;
	uint64_t dev; /* dev and ino identify the segment while a process has it */
	uint64_t ino;
};

/*
 * Make a segment of at least `size` bytes.  `huge`: in huge pages of the kernel's
 * usual size, all reserved here, so that no worker dies for lack of one.  `mode`:
 * which of the users that can open the file may write.  CLOEXEC; the caller's.
 * -1 and `err`: the machine has not enough memory, now or at all.
 */
int sharedmem_make(const char *name, uint64_t size, bool huge, mode_t mode, struct error *err);

/* -1 and errno; EINVAL: no such segment, or its size could be changed. */
int sharedmem_look(int fd, struct sharedmem_facts *facts);

/* Device and inode in one word, as a key of existing segments. */
static inline uint64_t sharedmem_id(uint64_t dev, uint64_t ino)
{
	return dev << 48 ^ ino;
}

/* Could a descriptor with this target in /proc be a segment? */
bool sharedmem_is_target(const char *target);

#endif
