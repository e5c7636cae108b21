/* SPDX-License-Identifier: MIT */
#ifndef OS_OTHEREND_H
#define OS_OTHEREND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Who has the other end of a connection of ours, on this machine?  Behind a
 * shared listener that is whoever was free.  The kernel is asked for that one
 * socket by its addresses (sock_diag(7), an exact look, not a dump), and its
 * inode is looked for among the descriptors of those who come into question.
 */

/* The inode of its other end.  0: nobody has accepted it (yet), or it is gone,
 * or it cannot be told. */
uint64_t otherend_inode(int fd);
/* Can it be told at all?  By asking for our own end, which is there. */
bool otherend_works(int fd);

/*
 * Which of `count` inodes (at most 32; 0: none) does this process have, or, with
 * `deep`, another of its tree?  Bit n for inodes[n].  *denied: somebody could not
 * be looked at (else untouched).
 */
uint32_t otherend_held(pid_t pid, bool deep, const uint64_t *inodes,
	size_t count, bool *denied);

#endif
