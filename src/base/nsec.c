/* SPDX-License-Identifier: MIT */
#include "base/nsec.h"

nsec_t nsec_add(nsec_t a, nsec_t b)
{
	return a > NSEC_NEVER - b ? NSEC_NEVER : a + b;
}
