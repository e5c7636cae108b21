/* SPDX-License-Identifier: MIT */
#include "supervisor/common/carried.h"

/* The version of the state.  Tests build variants: an nclust of a later version (VARIANT_NEXT), an
 * nclust that cannot read this state (VARIANT_ALIEN), and some that fail at the worst moment
 * (VARIANT_FAULT). */
#ifndef NCLUST_VERSION
#define NCLUST_VERSION "unknown"
#endif

#define STATE_MAJOR 1
#define STATE_MINOR 1

const struct carry_variant carry_variant = {
#if defined(VARIANT_ALIEN)
	.version = {STATE_MAJOR + 1, 0},
	.program = NCLUST_VERSION "+alien",
#elif defined(VARIANT_NEXT)
	.version = {STATE_MAJOR, STATE_MINOR + 1},
	.program = NCLUST_VERSION "+next",
	.more = true,
	.less = true,
#else
	.version = {STATE_MAJOR, STATE_MINOR},
	.program = NCLUST_VERSION,
#endif
#if defined(VARIANT_FAULT)
	.fault = VARIANT_FAULT,
#endif
};
