/* SPDX-License-Identifier: MIT */
#ifndef OS_PTY_H
#define OS_PTY_H

#include <sys/ioctl.h>
#include <sys/types.h>

/*
 * Open a pseudo-terminal of that size for output: what is written to `*slave` comes
 * out of the other end as it is, byte for byte.  Both ends are the caller's.  Nobody
 * can read from the slave, so that nobody waits there for input.  Its owner is `uid`
 * (-1: ours), who may open it by its name.  Nobody else has it yet, so that no call
 * in here waits for another process.  Returns the other end; -1 and errno.
 */
int pty_open(const struct winsize *size, uid_t uid, int *slave);

/* The size of a terminal that others may have; all zero if it is not known.  They
 * can make the kernel wait here (tiocgwinsz() copies to a process with the lock), so
 * a child asks (os/vfork.h). */
struct winsize pty_size_of(int terminal);

#endif
