/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"

/*
 * Watch the files that match patterns (base/glob.h), by inotify(7), for a process
 * that does nothing else: it waits for changes as long as it lives.  The watch
 * reads names and times and opens no file, so a file's owner does not matter.
 * Directories that are made later are watched, too.  Symbolic links are followed
 * only in the names before a pattern's first wildcard.
 */
struct watchtree_plan {
	const char *base;      /* absolute: the project's directory */
	char *const *patterns; /* ended by NULL */
	nsec_t since;          /* report also what changed after this time
				  of clock_wall(); or 0 */
	/* Files have changed: `path` is that which did last, relative to the base where it is
	 * below that; or "files", which are gone. */
	void (*changed)(void *data, const char *path);
	/* A sentence about something that cannot be watched; all else is watched. */
	void (*warn)(void *data, const char *text);
	void *data;
};

/* Returns only if nothing can be watched: -1, after warn(). */
int watchtree_run(const struct watchtree_plan *plan);
