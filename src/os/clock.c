/* SPDX-License-Identifier: MIT */
#include "os/clock.h"

#include <time.h>

nsec_t clock_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail on Linux */
	return (nsec_t)t.tv_sec * SECOND + t.tv_nsec;
}

double clock_wall(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
