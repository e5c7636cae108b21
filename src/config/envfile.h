/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_ENVFILE_H
#define CONFIG_ENVFILE_H

#include "base/error.h"

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
	unsigned more; /* that it spans beyond its first */
};

/* 1: *entry is "K=V", in the text; 0: there is none any more; -1 and `err`. */
int envfile_next(struct envfile *f, char **entry, struct error *err);

#endif
