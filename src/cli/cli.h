/* SPDX-License-Identifier: MIT */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/buffer.h"

/*
 * The client side: nclust VERB ….  One row per verb (commands.c): name,
 * arguments, usage, help, what it does.
 */

/* The names of all verbs, NULL-terminated; constant storage. */
const char *const *cli_verbs(void);

/* Run one.  argv[0] is the verb.  Returns the exit status. */
int cli_main(int argc, char **argv);

/* What `nclust`, `nclust help` and `nclust --help` show: options and verbs. */
int cli_describe_help(struct buffer *out);

#endif
