/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/*
 * Files and directories that only root and our own user can replace or change, as sudo
 * and cron demand it.  Each directory on the way, from / on, each symbolic link there
 * and the file itself belong to one of the two.  Other users may not write to the
 * directories, unless these are sticky, as /tmp is.  All descriptors are CLOEXEC.  -1
 * and `err`: "cannot open: ...", or the user who could change something.
 */

/* Is the id one of our user namespace's?  `map` is its file in /proc, with lines "inside
 * outside count"; *count: of the line that has the id, UINT32_MAX where there is no
 * namespace.  Without /proc, as if there were none. */
bool trusted_id_is_mapped(const char *map, unsigned long id, unsigned long *count);

/* May users other than the owner write to the file, by its mode or an access list?
 * Members of root's group do not count, as with sudo. */
bool trusted_is_shared(int fd, const struct stat *st);

/* What to try where that directory is shared: not to close one like /tmp to all others, nor to
 * change a volume that is mounted read-only, as a ConfigMap of Kubernetes is. */
const char *trusted_advice(int fd, const struct stat *dir, bool sticky_will_do);

/* Open a file whose content nclust obeys, for reading, O_NONBLOCK.  The way to the file is
 * checked only as root.  The caller checks whether other users may write to the file itself. */
int trusted_open(const char *path, struct error *err);

/* Read such a file whole: a regular file of at most `most` bytes, to which no other
 * user may write if we are root.  The text belongs to the caller, and ends with a
 * NUL that is not counted.  NULL and `err`.  The call blocks for as long as the disk
 * does not answer.  `st` may be NULL. */
char *trusted_read(const char *path, size_t most, size_t *len, struct stat *st, struct error *err);

/* Open a directory by its absolute path, O_PATH.  It is no symbolic link, and other users
 * may not write to it, sticky or not.  A missing directory is made with `mode`, unless
 * that is 0.  -1 and `err`; err->sys is ENOENT if a directory is missing. */
int trusted_directory(const char *path, mode_t mode, struct error *err);
/* The same for the directory `name` in another one.  `path` is for the message. */
int trusted_enter(int dirfd, const char *name, mode_t mode, const char *path, struct error *err);

/* Can only root and our own user make the way to the directory of `path` lead elsewhere?  The
 * directory itself may be another user's.  -1 and `err`; err->sys 0: another user can. */
int trusted_way(const char *path, struct error *err);

/* The whole content of a regular file, with a NUL after it; it belongs to the
 * caller.  NULL and errno; EFBIG: no regular file, or more than `most` bytes. */
char *read_whole(int fd, size_t most, size_t *len);

/* ---- cwd ---- */

/*
 * The working directory by the name that its user gave it: $PWD, if that leads
 * there.  A shell keeps a symbolic link in $PWD ("cd current"), which may lead
 * elsewhere tomorrow, while getcwd(2) names today's directory for ever.
 */

/* Heap; NULL: no name leads there, or out of memory. */
char *cwd_name(void);
/* That name with `path` behind it, unless `path` is absolute. */
char *cwd_whole(const char *path);
