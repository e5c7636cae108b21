/* SPDX-License-Identifier: MIT */
#ifndef OS_PRIVILEGE_H
#define OS_PRIVILEGE_H

#include "base/error.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The supplementary groups of a user (heap, *count), for spawn plans; with no
 * passwd entry for the uid: only gid.  NULL: out of memory. */
gid_t *privilege_groups(long uid, long gid, size_t *count);
/* Does this process have the capability (CAP_...) in its effective set? */
bool privilege_has(int capability);
/* euid or egid differ from the real ones: nclust must not run setuid. */
bool privilege_is_setuid(void);
enum { NOBODY = 65534 }; /* uid and gid of nobody at all */
/* Give up everything for a role that needs nothing: root becomes
 * uid/gid 65534, no groups, no capabilities, no_new_privs.  -1 and `err`. */
int privilege_shed(struct error *err);
/* Prepare ourselves: fill descriptors 0-2 with /dev/null where closed, mark
 * all others CLOEXEC (close_range(2), or by /proc/self/fd), become a child
 * subreaper, default dispositions, SIGPIPE ignored.  Returns 0 or -1. */
int privilege_clean_start(struct error *err);
/* The signals that it leaves ignored, bit n-1 for signal n. */
#define PRIVILEGE_IGNORED (UINT64_C(1) << (SIGPIPE - 1))

#endif
