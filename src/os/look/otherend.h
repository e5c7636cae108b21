/* SPDX-License-Identifier: MIT */
#ifndef OS_OTHEREND_H
#define OS_OTHEREND_H

#include "base/nsec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Find the process that has the other end of our connection, on this machine.
 * Behind a shared listener any free worker may have accepted it.  The kernel is
 * asked for that socket by its addresses (sock_diag(7), an exact look, not a
 * dump), and its inode is searched among the descriptors of the candidates.
 */

/* The inode of the other end.  0: it is not accepted yet, is gone, or cannot be
 * found. */
uint64_t otherend_inode(int fd);
/* Does the kernel answer at all?  Tried with our own end, which exists. */
bool otherend_works(int fd);

/* Where a look at a process goes on; {0}: at the beginning. */
struct otherend_place {
	size_t process; /* of its tree */
	int fd;
	unsigned seen; /* descriptors of that process */
};

/* Which of `count` inodes (at most 32; 0: none) does this process have, or,
 * with `deep`, another of its tree?  Bit n for inodes[n].  A tree can have millions of
 * descriptors: when `until` is over, this look ends, and the next one with the same
 * `place` goes on; that is {0} after the last one.  *denied becomes true if nclust may
 * not look at one of them. */
uint32_t otherend_held(pid_t pid, bool deep, const uint64_t *inodes, size_t count, nsec_t until,
	struct otherend_place *place, bool *denied);

#endif
