/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

/*
 * The runtime directory.  It is checked by descriptor:
 * owned by root or us, not writable by others, no symlink; files below are
 * reached by *at() calls.
 *
 * Possible places: see below.
 */

/* An instance's place, held while it runs. */
struct rundir {
	char path[4096]; /* PLACE/NAME */
	int dir;         /* O_PATH | O_DIRECTORY of PLACE/NAME */
	int notify_dir;  /* descriptor of PLACE/NAME/notify */
	int lock;        /* descriptor of PLACE/NAME/lock, locked */
};

/*
 * Make and check the directories (0755, NAME 0711, notify 0711) and take the
 * lock, retried for 1 s.  If another process has the lock, err->status is 75 and
 * the text says its pid.  0; -1 and `err`; 1 and `err`: the machine has no place
 * for a runtime directory, and `r` has none.
 */
int rundir_open(struct rundir *r, const char *wanted, const char *name, struct error *err);
/* Make, check and lock anew the parts of the directory that somebody has removed,
 * and leave the rest.  If the place itself is gone, as $XDG_RUNTIME_DIR is after a
 * logout, take the next one, where clients and another start look as well.  -1 and
 * `err`, with `r` unchanged: among others, another nclust has taken the name
 * meanwhile. */
int rundir_renew(struct rundir *r, const char *wanted, struct error *err);
/* Remove the sockets in notify/ for which `is_used` returns false; NULL: all. */
void rundir_empty_notify(const struct rundir *r,
	bool (*is_used)(const char *name, const void *context), const void *context);
/* Has an earlier instance of this name left a state (os/place/statefile.h)?  In
 * doubt: yes. */
bool rundir_has_state(const struct rundir *r);
/* Remove what nclust made (notify/, control, state, lock, NAME) and close `r`.  -1:
 * NAME cannot be removed, because another process holds its directory. */
int rundir_close(struct rundir *r);
/* Close `r`, and leave all files as they are. */
void rundir_leave(struct rundir *r);

/* For clients: the directory of an existing instance, checked the same way (owner
 * root or us).  Returns the O_PATH descriptor, or -1: err->status 69 where it does
 * not exist. */
int rundir_find(const char *wanted, const char *name, struct error *err);

/* Names of all instances whose directory has that socket or file ("control": they run; "ended":
 * they have left last words, in a file that their next start removes), sorted; heap list and heap
 * strings.  Returns how many, or -1. */
long rundir_list(const char *wanted, const char *file, char ***names, struct error *err);

/* Open a plain file of ours in a directory, to which nobody else has rights; with O_CREAT
 * it is made so.  CLOEXEC.  -1 and `err`. */
int rundir_open_file(int dirfd, const char *name, int flags, struct stat *st, struct error *err);
/* Replace a file in a directory as a whole, or not at all: it is written under the
 * `temporary` name and renamed.  -1 and errno. */
int rundir_replace(int dirfd, const char *temporary, const char *name, mode_t mode,
	const void *data, size_t size);
/* Write a pid file by temporary name and rename; the directory must be ours
 * or root's.  -1 and `err`. */
int rundir_write_pidfile(const char *path, pid_t pid, struct error *err);
/* -1: the file stays, because another process holds the directory. */
int rundir_remove_pidfile(const char *path);
