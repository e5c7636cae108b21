/* SPDX-License-Identifier: MIT */
#pragma once

#include "config/settings.h"
#include "supervisor/common/state.h"

#include <stdbool.h>

/*
 * The shell around the core: it owns the loop, the sockets, the workers and
 * the control clients, feeds events to the clusters and carries out their
 * actions.  Runs until everything has ended; takes ownership of `settings`.
 * argc and argv: the command line, for reload.  Returns the exit status.
 */
int supervisor_main(struct settings *settings, int argc, char **argv);

/* ---- resume ---- */

/* Resuming in the place of another nclust, which has just executed this binary
 * (upgrade.h): read its state, check it, and only then change anything.  If that
 * fails, execute the other one again. */

/* Was this process executed by an upgrade?  Ask it before all else. */
bool supervisor_is_resumed(void);
int supervisor_resume(int argc, char **argv); /* the exit status */

/* --check-state N: could this binary take over the state in that descriptor of
 * its parent?  Prints a line and returns 0, or prints why not. */
int supervisor_check(const char *descriptor);

/* ---- begin ---- */

/* What the two ways to begin have in common: a start (supervisor.c), and to
 * resume in the place of another nclust (resume.c). */

/* Initialise *sup: nothing is open yet. */
void supervisor_blank(struct supervisor *sup, int argc, char **argv);
int supervisor_loop_init(struct supervisor *sup, struct error *err);
/* Run until all has ended, then clean up.  Returns the exit status. */
int supervisor_run(struct supervisor *sup);

/* ---- signals ---- */

/*
 * Signals come in by a signalfd of nclust's own, with all of them blocked: no handler runs
 * anywhere.  libev's signal and child watchers are not used (its default loop would reap children
 * before nclust looks).
 */

/* Before anything resets dispositions: was SIGHUP ignored (nohup)? */
bool signals_hup_was_ignored(void);
/* Is there a controlling terminal?  SIGHUP with it gone means: stop. */
bool signals_has_terminal(void);
int signals_init(struct supervisor *sup, struct error *err);
void signals_fini(struct supervisor *sup);
