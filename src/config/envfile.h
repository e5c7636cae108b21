/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_ENVFILE_H
#define CONFIG_ENVFILE_H

/* Files of more bytes are refused. */
#define ENV_FILE_MAX (1024L * 1024L)

/*
 * A line of a file of variables, without its end: "K=V", quotes around V taken off,
 * and an "export" before K, as in files that a shell reads, too; '#' and ';' begin a
 * comment.  It is changed in place.  1: *entry is "K=V", in the line; 0: there is
 * none; -1: it is neither.
 */
int envfile_line(char *line, char **entry);

#endif
