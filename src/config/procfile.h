/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_PROCFILE_H
#define CONFIG_PROCFILE_H

#include "config/origin.h"

/*
 * A Procfile, as foreman and its kin read it: each line "name: command" is a
 * cluster.  It is run in the directory of the file, with the variables of the
 * file .env there, and with PORT: 5000, or what PORT says in .env or in our own
 * environment, and 100 more for each further line.  A command that needs a shell
 * gets one.  "release: command" is run once before all of them, as their `before`.
 */

/* Is it one by its name: Procfile, Procfile.dev, dev.Procfile? */
bool procfile_is(const char *path);
/* Its directory: heap, or NULL.  The path is absolute. */
char *procfile_directory(const char *path);

/* Add the clusters of its bytes; there is a byte more than `len`.  Mistakes are
 * told with their lines. */
void procfile_parse(
	struct settings *s, const char *path, char *data, size_t len, struct faults *faults);

/* "web=2,worker=1": how many of which; those that are not named stay as they
 * are, `all` is for all of them, and a cluster with 0 is left out.  -1 and `err`. */
int procfile_form(struct settings *s, const char *formation, struct error *err);

/* All settings are there: give PORT to clusters that know no other.  -1: out of
 * memory. */
int procfile_finish(struct settings *s);

#endif
