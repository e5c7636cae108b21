/* SPDX-License-Identifier: MIT */
#ifndef OS_RUNDIR_H
#define OS_RUNDIR_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * The runtime directory (INTERFACE.md section 6): where it is, and that it is
 * ours.  Checked by descriptor: owner root or us, nobody else may write, no
 * symlink; everything below is reached by *at() calls.
 *
 * Where it may be: os/place/rundir_place.h.
 */

/* An instance's place, held while it runs. */
struct rundir {
	char path[4096]; /* …/NAME */
	int dir;         /* O_PATH | O_DIRECTORY of …/NAME */
	int notify_dir;  /* of …/NAME/notify */
	int lock;        /* the lock, held */
};

/*
 * Make and check the directories (0755, NAME 0711, notify 0711) and take the
 * lock, retried for 1 s.  Somebody else has it: err->status EX_UNAVAILABLE-like
 * 75, and the sentence says which pid.  `group` (-1: none): the control group.
 * 0; -1 and `err`; 1 and `err`: there is no place for one, and `r` has none.
 */
int rundir_open(struct rundir *r, const char *wanted, const char *name,
	long group, struct error *err);
/*
 * Somebody may have removed parts of it: make, check and lock anew what is
 * missing; what is still there stays.  Somebody else who has taken the name
 * meanwhile is an error; `r` is as it was then.
 */
int rundir_renew(struct rundir *r, struct error *err);
/* Remove the sockets in notify/ that nobody has; NULL: all. */
void rundir_empty_notify(const struct rundir *r,
	bool (*is_used)(const char *name, const void *context),
	const void *context);
/* Has an earlier instance of this name left a state (os/place/statefile.h)?  If that
 * cannot be told, yes. */
bool rundir_has_state(const struct rundir *r);
/* Remove what we made (notify/, control, state, lock, NAME) and let go. */
void rundir_close(struct rundir *r);
/* Let go, and leave all as it is. */
void rundir_leave(struct rundir *r);

/* For clients: the directory of an existing instance, checked the same way
 * (owner root or us).  The O_PATH descriptor, or -1: err->status 69 where it
 * does not exist. */
int rundir_find(const char *wanted, const char *name, struct error *err);

/* Names of all instances that have a control socket, sorted; heap list and
 * heap strings.  Returns how many, or -1. */
long rundir_list(const char *wanted, char ***names, struct error *err);

/* Write a pid file by temporary name and rename; the directory must be ours
 * or root's.  -1 and `err`. */
int rundir_write_pidfile(const char *path, pid_t pid, struct error *err);

#endif
