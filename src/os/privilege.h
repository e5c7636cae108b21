/* SPDX-License-Identifier: MIT */
#ifndef OS_PRIVILEGE_H
#define OS_PRIVILEGE_H

#include "base/error.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Does this process have the capability (CAP_...) in its effective set? */
bool privilege_has(int capability);
/* euid or egid differ from the real ones: nclust must not run setuid. */
bool privilege_is_setuid(void);
enum { NOBODY = 65534 }; /* uid and gid of the kernel's overflow user */
/* Give up everything for a role that needs no rights: root becomes this uid and gid,
 * no groups, no capabilities, no_new_privs.  -1 and `err`. */
int privilege_shed(uid_t uid, struct error *err);
/* Prepare this process: fill descriptors 0-2 with /dev/null where closed, mark all
 * others CLOEXEC (close_range(2), or by /proc/self/fd), default dispositions,
 * SIGPIPE ignored.  Returns 0 or -1. */
int privilege_clean_start(struct error *err);
/* Let orphans below this process become its children.  A fork does not inherit that
 * (prctl(2), PR_SET_CHILD_SUBREAPER).  Returns 0 or -1. */
int privilege_become_subreaper(struct error *err);
/* The signals that privilege_clean_start() leaves ignored, bit n-1 for signal n. */
#define PRIVILEGE_IGNORED (UINT64_C(1) << (SIGPIPE - 1))

#endif
