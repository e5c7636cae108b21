/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The client side: `nclust VERB`.  One row per verb (commands.c): name,
 * arguments, usage, help, and the function that runs it.
 */

/* The names of all verbs, NULL-terminated. */
const char *const *cli_verbs(void);

/* Run a verb: argv[0] is its name, one of the above.  Returns the exit status. */
int cli_main(int argc, char **argv);
