/* SPDX-License-Identifier: MIT */
#pragma once

/* Give back memory that only the start needed: freed heap, unused stack, and pages
 * of code and constants, which the kernel maps again from its cache when they are
 * used.  For a process that will run for long and do little. */
void memory_settle(void);
