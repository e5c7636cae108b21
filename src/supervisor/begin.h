/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_BEGIN_H
#define SUPERVISOR_BEGIN_H

#include "supervisor/common/state.h"

/* What the two ways to begin have in common: a start (supervisor.c), and to
 * resume in the place of another nclust (resume.c). */

/* Initialise *sup: nothing is open yet. */
void supervisor_blank(struct supervisor *sup, int argc, char **argv);
int supervisor_loop_init(struct supervisor *sup, struct error *err);
/* Run until all has ended, then clean up.  Returns the exit status. */
int supervisor_run(struct supervisor *sup);

#endif
