/* SPDX-License-Identifier: MIT */
#pragma once

#include "config/settings.h"
#include "supervisor/common/state.h"

/*
 * The shell around the core: it owns the loop, the sockets, the workers and
 * the control clients, feeds events to the clusters and carries out their
 * actions.  Runs until everything has ended; takes ownership of `settings`.
 * argc and argv: the command line, for reload.  Returns the exit status.
 */
int supervisor_main(struct settings *settings, int argc, char **argv);

/* ---- begin ---- */

/* What the two ways to begin have in common: a start (supervisor.c), and to
 * resume in the place of another nclust (resume.c). */

/* Initialise *sup: nothing is open yet. */
void supervisor_blank(struct supervisor *sup, int argc, char **argv);
int supervisor_loop_init(struct supervisor *sup, struct error *err);
/* Run until all has ended, then clean up.  Returns the exit status. */
int supervisor_run(struct supervisor *sup);
