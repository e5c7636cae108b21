/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_LOGIN_H
#define CONFIG_LOGIN_H

#include "config/settings.h"

/*
 * What the user database tells of a cluster's user: the name, the home and the
 * supplementary groups.  It is asked when the settings are read and never later,
 * because a directory service may hang.
 */

enum { LOGIN_NOBODY = 65534 }; /* the group of a uid that is in no database */

/* Look up c->uid, with c->gid as the first group (-1: the user's own).  A uid
 * without an entry has only that group.  -1: out of memory. */
int login_find(struct cluster_settings *c);
void login_clear(struct cluster_settings *c);

#endif
