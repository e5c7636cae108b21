/* SPDX-License-Identifier: MIT */
#ifndef BASE_TURN_H
#define BASE_TURN_H

#include "base/nsec.h"

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

#endif
