/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_NODECOMMAND_H
#define SUPERVISOR_NODECOMMAND_H

#include "supervisor/common/state.h"

/*
 * Does a command run a script that can be a worker of Node's cluster?  This is
 * judged by its words, by the name of the program to which links lead, and by
 * that file's first line.  In doubt it is no: a wrong yes breaks a program.
 *
 * It is no for a command that takes code from elsewhere than a script (-e, -p,
 * -i, a debugger), runs others as its children (--test, --watch, --run) or only
 * looks (-c); and for launchers (npm, pm2 …), which would swallow the channel.
 */

/* By words alone.  `program`: the file that is run, without links; `first`: its
 * first line, if it is a script, else NULL. */
enum node_runtime nodecommand_of(const char *program, const char *first, char *const *argv);

/* Does a shell's command line (sh -c '…') run Node somewhere?  Used if the user
 * has asked for a channel. */
enum node_runtime nodecommand_in_shell(char *const *argv);

/* The same of the command of a recipe; looks at its file. */
enum node_runtime nodecommand_look(const struct recipe *r);

#endif
