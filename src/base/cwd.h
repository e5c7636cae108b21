/* SPDX-License-Identifier: MIT */
#ifndef BASE_CWD_H
#define BASE_CWD_H

/*
 * The working directory by the name that its user gave it: $PWD, if that leads
 * there.  A shell keeps a symbolic link in $PWD ("cd current"), which may lead
 * elsewhere tomorrow, while getcwd(2) names today's directory for ever.
 */

/* Heap; NULL: no name leads there, or out of memory. */
char *cwd_name(void);
/* That name with `path` behind it, unless `path` is absolute. */
char *cwd_whole(const char *path);

#endif
