/* SPDX-License-Identifier: MIT */
#ifndef BASE_TRUSTED_H
#define BASE_TRUSTED_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/*
 * Files and directories that only root and we ourselves can replace or change, as
 * sudo and cron demand it: each directory on the way, from / on, each symbolic link
 * there and the file itself belong to one of the two, and others may not write to the
 * directories; where they may, but each only to what is its own (/tmp, sticky), that
 * will do.  All descriptors are CLOEXEC.  -1 and `err`: "cannot open: ...", or who else
 * could change it.
 */

/* May others than the owner write to it, by its mode or an access list?  Those of root's
 * own group may, as with sudo. */
bool trusted_is_shared(int fd, const struct stat *st);

/* Open a file that is to be obeyed, for reading, O_NONBLOCK.  Only root is so careful;
 * who may write to the file itself is left to the caller. */
int trusted_open(const char *path, struct error *err);

/* Read such a file whole: a regular one of at most `most` bytes, to which nobody else
 * may write if we are root.  It ends with a NUL that is not counted, and belongs to the
 * caller.  NULL and `err`; a disk that does not answer keeps this call for as long as it
 * likes.  `st` may be NULL. */
char *trusted_read(const char *path, size_t most, size_t *len, struct stat *st, struct error *err);

/* Open a directory by its absolute path, O_PATH.  The last part is no link, and others may
 * not write to it, sticky or not.  With a `mode`, a missing last part is made so.  -1 and
 * `err`; err->sys is ENOENT where something is missing. */
int trusted_directory(const char *path, mode_t mode, struct error *err);
/* A directory below one: made with `mode`, unless that is 0, and opened and checked the
 * same.  `path` is for the message. */
int trusted_enter(int dirfd, const char *name, mode_t mode, const char *path, struct error *err);

/* May the directory of `path` be anybody's, but nobody else leads the way to it
 * elsewhere?  -1 and `err`; err->sys 0: somebody can. */
int trusted_way(const char *path, struct error *err);

/* The whole of a regular file, read from its beginning, with a NUL after it; the
 * caller's.  NULL and errno: EFBIG: it is no regular file, or has more than `most` bytes. */
char *read_whole(int fd, size_t most, size_t *len);

#endif
