/* SPDX-License-Identifier: MIT */
#ifndef BASE_CWD_H
#define BASE_CWD_H

/*
 * The working directory by the name that its user gave it: $PWD, where that
 * leads there.  A shell keeps a symbolic link in it ("cd current"), which may
 * lead elsewhere tomorrow, while getcwd(2) names today's directory for ever.
 */

/* Heap; NULL: no name leads there, or there is no memory. */
char *cwd_name(void);
/* The same with `path` after it, unless that is absolute. */
char *cwd_whole(const char *path);

#endif
