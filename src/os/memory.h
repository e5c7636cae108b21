/* SPDX-License-Identifier: MIT */
#ifndef OS_MEMORY_H
#define OS_MEMORY_H

/*
 * Give back what only the start has needed: freed heap, the depths of the stack,
 * and pages of the code and the constants of the program and its libraries, which
 * the kernel maps again (from its cache) where they are still used.  For a process
 * that has a long quiet life before it.
 */
void memory_settle(void);

#endif
