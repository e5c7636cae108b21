/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_REREAD_H
#define SUPERVISOR_REREAD_H

#include "supervisor/common/state.h"

/*
 * Reads the configuration anew for a reload, in a process of its own: the file
 * or the user database may be on a server that does not answer.  That process
 * is killed after 5 s, and the loop never waits for it.
 */

/* Begin.  When it is read, `done` is called once: with the settings, which are
 * then its own; or NULL, and the mistakes in lines (`bad`: of the
 * configuration).  While one is under way it is begun again, so that what has
 * changed meanwhile is seen.  -1 and `err`. */
typedef void reread_done(
	struct supervisor *sup, struct settings *settings, const char *mistakes, bool bad);
int reread_begin(struct supervisor *sup, reread_done *done, struct error *err);
/* Kill the process, and call nothing. */
void reread_fini(struct supervisor *sup);
/* Before anything starts: can all that `log` names be opened?  This waits for such a
 * process.  -1 and `err`: it was logged in lines, but for the last one. */
int reread_try_logs(struct supervisor *sup, struct error *err);

#endif
