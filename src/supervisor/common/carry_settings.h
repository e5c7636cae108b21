/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CARRY_SETTINGS_H
#define SUPERVISOR_CARRY_SETTINGS_H

#include "supervisor/common/carried.h"

/* Settings as bytes, and back, with the users and groups that were looked up for them. */

extern const struct carried carried_cluster; /* settings of a cluster */
extern const struct carried carried_instance;

/* Write settings without any other state into c->out.  -1: out of memory; call carry_fini() in
 * either case. */
int settings_write(struct carry_writer *c, struct settings *s);
/* Read what settings_write() has written.  The caller owns the settings; NULL and `err`. */
struct settings *settings_read(const void *data, size_t len, struct error *err);

/* A copy of a cluster's settings, with one reference, the caller's; NULL and `err`. */
struct cluster_settings *settings_copy(const struct cluster_settings *of, struct error *err);

#endif
