/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_ROOTSOWN_H
#define CONFIG_ROOTSOWN_H

#include "base/error.h"

#include <stdbool.h>

/* May others than root write to it, by its mode or an access list?  Those of root's own
 * group may, as with sudo. */
struct stat;
bool rootsown_is_shared(int fd, const struct stat *st);

/*
 * Open a file that is to be obeyed, for reading, CLOEXEC, O_NONBLOCK.
 *
 * As root, only what root alone can change is obeyed, as sudo and cron do it: the
 * file, each directory on its way, from / on, and each symbolic link there belong
 * to root, and others may not write to the directories; where they may, but each
 * only to what is its own (/tmp, sticky), that will do.  Who may write to the
 * file itself is left to the caller.
 *
 * -1 and `err`: "cannot open: …", or who else could change it.
 */
int rootsown_open(const char *path, struct error *err);

#endif
