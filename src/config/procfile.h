/* SPDX-License-Identifier: MIT */
#pragma once

#include "config/config.h"

/*
 * A Procfile, as foreman and its kin read it: each line "name: command" is a
 * cluster.  It is run in the directory of the file, with the variables of the
 * file .env there, and with PORT: 5000, or what PORT says in .env or in our own
 * environment, and 100 more for each further line.  A command that needs a shell
 * gets one.  "release: command" is run once before all of them, as their `before`.
 */

/* Is the file a Procfile by its name: Procfile, Procfile.dev, dev.Procfile? */
bool procfile_is(const char *path);
/* The directory of a Procfile: heap, or NULL.  The path is absolute. */
char *procfile_directory(const char *path);

/* Add the clusters of a Procfile's bytes, which have one byte more than `len`.
 * Mistakes are reported with their lines. */
void procfile_parse(
	struct settings *s, const char *path, char *data, size_t len, struct faults *faults);

/* "web=2,worker=1": the number of workers by cluster; clusters that are not named stay
 * unchanged, `all` names all of them, and a cluster with 0 is left out.  `again`: at a
 * reload, names may be gone.  -1 and `err`. */
int procfile_form(struct settings *s, const char *formation, bool again, struct error *err);

/* All settings are there: give PORT to clusters without another one.  -1: out of
 * memory. */
int procfile_finish(struct settings *s);

/* Files of more bytes are refused. */
#define ENV_FILE_MAX (1024L * 1024L)

/*
 * A file of variables: lines K=V, which systemd, compose and dotenv read as well.
 * Blanks around both are left out, and an "export" before K.  V may be in quotes,
 * and span lines then; a comment may follow it.  '#' and ';' begin a line that is a
 * comment.  What the others read in different ways is an error, or means what it
 * means to systemd (EnvironmentFile).
 */
struct envfile {
	char *rest;    /* ends with a NUL; changed in place */
	unsigned line; /* the line of what was read last; 0 at first */
	unsigned more; /* lines of that variable beyond its first */
	bool warns;    /* ENVFILE_WARNING is true of the entry */
};
#define ENVFILE_WARNING \
	"no shell reads this, so the '$' in %.*s stays as it is; single quotes say that it is " \
	"meant"

/* 1: *entry is "K=V", in the text; 0: no more; -1 and `err`. */
int envfile_next(struct envfile *f, char **entry, struct error *err);
