/* SPDX-License-Identifier: MIT */
#ifndef OS_PTY_H
#define OS_PTY_H

#include <sys/ioctl.h>
#include <sys/types.h>

/*
 * Open a pseudo-terminal of that size for output: bytes written to `*slave` come out
 * of the other end unchanged.  Both ends are the caller's.  The slave cannot be read
 * from, so that no program waits there for input.  Its owner is `uid` (-1: ours), who
 * may open it by its name.  No other process has it yet, so no call in this function
 * waits for another process.  Returns the other end; -1 and errno.
 */
int pty_open(const struct winsize *size, uid_t uid, int *slave);

/* The size of a terminal that other processes may have; all zero if it is unknown.
 * These can make the kernel wait here (tiocgwinsz() copies to a process with the
 * lock), so a child asks (os/vfork.h). */
struct winsize pty_size_of(int terminal);

#endif
