/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/state.h"

/*
 * Does a command run a script that can be a worker of Node's cluster module?  The answer depends on
 * the command's words, on the program that links lead to, and on that file's first line.  In doubt
 * it is NODE_NONE, because a wrong answer would break a program.
 *
 * NODE_NONE also stands for commands without a script (-e, -p, -i, a debugger), commands that run
 * other programs as children (--test, --watch, --run) or only check (-c), and launchers such as npm
 * and pm2, which would not pass the channel on.
 */

/* `program` is the file that is run, without links; `first` its first line if it is a script, else
 * NULL. */
enum node_runtime nodecommand_of(const char *program, const char *first, char *const *argv);

/* Is there a Node command in the line of `sh -c`?  Used if the user has asked for a channel. */
enum node_runtime nodecommand_in_shell(char *const *argv);

/* nodecommand_of() for a recipe's command; reads the program's file. */
enum node_runtime nodecommand_look(const struct recipe *r);
