/* SPDX-License-Identifier: MIT */
#ifndef OS_CAPSET_H
#define OS_CAPSET_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The capability sets of this process, by capget(2), capset(2) and prctl(2);
 * bit n is CAP_n.  No allocation: also used between clone and exec.  All
 * return 0, or -1 and errno.
 */
struct capset {
	uint64_t effective;
	uint64_t permitted;
	uint64_t inheritable;
};
int capset_get(struct capset *set);
int capset_put(const struct capset *set);
/* Take all but `keep` out of the bounding set. */
int capset_bound(uint64_t keep);
/* Make exactly the capabilities `keep` ambient; they must be inheritable and permitted. */
int capset_ambient(uint64_t keep);

#endif
