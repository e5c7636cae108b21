/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Does this process have the capability (CAP_...) in its effective set? */
bool privilege_has(int capability);
enum { NOBODY = 65534 }; /* uid and gid of the kernel's overflow user */
/* Give up everything for a role that needs no rights: root becomes this uid and gid,
 * no groups, no capabilities, no_new_privs.  -1 and `err`. */
int privilege_shed(uid_t uid, struct error *err);
/* Fill descriptors 0-2 with /dev/null where closed.  Returns 0 or -1. */
int privilege_fill_standard(void);
/* That, and all others CLOEXEC, default dispositions, SIGPIPE and SIGXFSZ ignored.  Returns 0 or -1. */
int privilege_clean_start(struct error *err);
/* Let orphans below this process become its children.  A fork does not inherit that
 * (prctl(2), PR_SET_CHILD_SUBREAPER).  Returns 0 or -1. */
int privilege_become_subreaper(struct error *err);

/* ---- capset ---- */

/*
 * The capability sets of this process, by capget(2), capset(2) and prctl(2);
 * bit n is CAP_n.  No allocation: also used between clone and exec.  All
 * return 0, or -1 and errno.
 */
struct capset {
	uint64_t effective;
	uint64_t permitted;
	uint64_t inheritable;
};
int capset_get(struct capset *set);
int capset_put(const struct capset *set);
/* Take all but `keep` out of the bounding set. */
int capset_bound(uint64_t keep);
/* Make exactly the capabilities `keep` ambient; they must be inheritable and permitted. */
int capset_ambient(uint64_t keep);

/* ---- sandbox ---- */

/*
 * Bind this process to its descriptors: a seccomp(2) filter lets it read, write,
 * wait, accept on its sockets, disconnect them, say how TCP sends, and ask for memory
 * that is not executable.  All other calls, such as to open a file, make a socket, start or
 * signal a process, fail with EPERM.  For a process with one thread, which
 * gets no_new_privs.  The filter cannot be removed.  0, or -1 and `err`.
 */
int sandbox_enter(struct error *err);
/* For a role that needs no rights: privilege_shed(), and sandbox_enter().  Under a
 * sanitizer, whose end no filter lets pass, privilege_shed() alone. */
int sandbox_role(uid_t user);
