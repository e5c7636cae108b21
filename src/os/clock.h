/* SPDX-License-Identifier: MIT */
#ifndef OS_CLOCK_H
#define OS_CLOCK_H

#include "base/nsec.h"

#include <stdint.h>

/* CLOCK_MONOTONIC: does not jump, stands still in suspend. */
nsec_t clock_now(void);
/* CLOCK_BOOTTIME in clock ticks, as a process's start is told (process.h). */
uint64_t clock_ticks(void);
/* CLOCK_REALTIME, seconds and more since 1970; only to show to people. */
double clock_wall(void);
/* The CPU time that this thread has used, and the children that it awaited. */
nsec_t clock_worked(void);

#endif
