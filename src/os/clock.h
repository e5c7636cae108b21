/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"

/* CLOCK_MONOTONIC: does not jump, stands still in suspend. */
nsec_t clock_now(void);
/* CLOCK_REALTIME, in seconds since 1970; only for people to read. */
double clock_wall(void);
/* The CPU time of this thread and of the children that it has waited for. */
nsec_t clock_worked(void);

/* Interrupt a call that waits, every `us` microseconds (less than a second) until clock_alarm(0).
 * For a process of one thread that has called clock_alarm_prepare() (-1 and errno). */
int clock_alarm_prepare(void);
void clock_alarm(int us);
