/* SPDX-License-Identifier: MIT */
#ifndef OS_OPEN_FOR_H
#define OS_OPEN_FOR_H

/*
 * Open a file whose content will be given to user `uid` (-1:
 * to ourselves), for reading, CLOEXEC, O_NONBLOCK.  -1 and errno.
 *
 * Where we are root and the user is not, a link in a directory of his could
 * lead to what only root can read.  So the path then has no symbolic links
 * (else ELOOP), or the file is the user's own.
 */
int open_for(long uid, const char *path);

#endif
