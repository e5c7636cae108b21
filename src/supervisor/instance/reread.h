/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

/*
 * Reads the configuration anew for a reload, in a process of its own: the file or
 * the user database may be on a server that does not answer.  That process is
 * killed after 5 s, and the loop never waits for it.
 */

/* Begin to read.  At the end `done` is called once: with the settings, which it
 * takes over; or with NULL, and the mistakes in lines (`bad`: of the configuration).
 * A second call begins again, so that changes made meanwhile are seen.  -1 and
 * `err`. */
typedef void reread_done(
	struct supervisor *sup, struct settings *settings, const char *mistakes, bool bad);
int reread_begin(struct supervisor *sup, reread_done *done, struct error *err);
/* Kill the process; `done` is not called. */
void reread_fini(struct supervisor *sup);
/* Before anything starts: can all files of `log` be opened?  This waits for such a
 * process.  -1 and `err`: mistakes were logged in lines, but for the last one. */
int reread_try_logs(struct supervisor *sup, struct error *err);
