/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/*
 * Times and durations, in nanoseconds.  A point in time is one of
 * CLOCK_MONOTONIC (os/clock.h): it never jumps and stands still in suspend.
 */
typedef int64_t nsec_t;

#define NSEC_NEVER INT64_MAX
#define USEC ((nsec_t)1000)
#define MSEC (1000 * USEC)
#define SECOND (1000 * MSEC)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

/* The sum, NSEC_NEVER where it would overflow.  Neither may be negative. */
static inline nsec_t nsec_add(nsec_t a, nsec_t b)
{
	return a > NSEC_NEVER - b ? NSEC_NEVER : a + b;
}

static inline nsec_t nsec_min(nsec_t a, nsec_t b)
{
	return a < b ? a : b;
}

static inline double nsec_seconds(nsec_t t)
{
	return (double)t / (double)SECOND;
}

/* ---- turn ---- */

/*
 * The most that one descriptor, one queue or one walk gets in a turn of an event loop, so
 * that all others have their turn: so many things, or so long after the first.  The rest
 * is for the next turn.
 */
#define TURN_ITEMS 64
#define TURN_SPAN (2 * MSEC)

/* What has looked at something rests so many times as long as that took: looks that go on for
 * ever take at most 5 % of the time. */
#define TURN_REST 20
