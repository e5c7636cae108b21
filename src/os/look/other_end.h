/* SPDX-License-Identifier: MIT */
#ifndef OS_OTHER_END_H
#define OS_OTHER_END_H

#include "base/nsec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Find the process that has the other end of our connection, on this machine.
 * Behind a shared listener any free worker may have accepted the connection.
 * sock_diag(7) finds the other end's socket by its addresses (an exact look-up,
 * not a dump), and its inode is searched among the descriptors of the candidates.
 */

/* The inode of the other end.  0: the connection is not accepted yet, the other end
 * is gone, or it cannot be found. */
uint64_t other_end_inode(int fd);
/* Does sock_diag(7) answer at all?  Asks for our own end, which exists. */
bool other_end_works(int fd);

/* Where the search in a process continues; {0}: at the beginning. */
struct other_end_place {
	size_t process; /* index in the process's tree */
	int fd;
	unsigned seen; /* descriptors of that process that were looked at */
};

/* Which of `count` inodes (at most 32; 0: none) does this process have, or, with
 * `deep`, another process of its tree?  Bit n for inodes[n].  A tree can have
 * millions of descriptors: at the time `until` this call returns, and the next one
 * with the same `place` continues there; `place` is {0} when the search is complete.
 * *denied becomes true if nclust may not look at one of the processes. */
uint32_t other_end_held(pid_t pid, bool deep, const uint64_t *inodes, size_t count, nsec_t until,
	struct other_end_place *place, bool *denied);

#endif
