/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_SUPERVISOR_H
#define SUPERVISOR_SUPERVISOR_H

#include "config/settings.h"

/*
 * The shell around the core: it owns the loop, the sockets, the workers and
 * the control clients, feeds events to the clusters and carries out their
 * actions.  Runs until everything has ended; takes ownership of `settings`.
 * argc and argv: the command line, for reload.  Returns the exit status.
 */
int supervisor_main(struct settings *settings, int argc, char **argv);

#endif
