/* SPDX-License-Identifier: MIT */
#ifndef OS_SANDBOX_H
#define OS_SANDBOX_H

#include "base/error.h"

#include <sys/types.h>

/*
 * Bind this process to its descriptors: a seccomp(2) filter lets it read, write,
 * wait, accept on its sockets, say how TCP sends, and ask for memory that is not
 * executable.  All other calls, such as to open a file, make a socket, start or
 * signal a process, fail with EPERM.  For a process with one thread, which
 * gets no_new_privs.  The filter cannot be removed.  0, or -1 and `err`.
 */
int sandbox_enter(struct error *err);
/* For a role that needs no rights: privilege_shed(), and sandbox_enter().  Under a
 * sanitizer, whose end no filter lets pass, privilege_shed() alone. */
int sandbox_role(uid_t user);

#endif
