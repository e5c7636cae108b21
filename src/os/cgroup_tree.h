/* SPDX-License-Identifier: MIT */
#ifndef OS_CGROUP_TREE_H
#define OS_CGROUP_TREE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Groups for our children, below the cgroup that we are in: one for a cluster
 * (BASE/NAME), and in it one for each worker (BASE/NAME/WORKER).  This is for
 * cgroup v2 alone.
 *
 * Everything goes by descriptor from BASE on, which is our own.  Workers may run
 * as any user: what they can change in their groups is taken for no more than a
 * number, and no symbolic link is followed.
 */
enum cgroup_kind {
	CGROUP_MEMORY,
	CGROUP_CPU,
	CGROUP_PIDS,
	CGROUP_IO,
	CGROUP_KINDS,
};

/* What is asked for; 0: no limit. */
enum cgroup_limit {
	CGROUP_MEMORY_MAX, /* of a worker; bytes */
	CGROUP_MEMORY_HIGH,
	CGROUP_CPU_MAX, /* per cent of a CPU */
	CGROUP_PIDS_MAX,
	CGROUP_CPU_WEIGHT, /* of the cluster; 1..10000, usually 100 */
	CGROUP_IO_WEIGHT,
	CGROUP_LIMITS,
};
struct cgroup_limits {
	uint64_t of[CGROUP_LIMITS];
};
/* The kinds that they need, 1 << enum cgroup_kind each; 0: there are none. */
unsigned cgroup_kinds(const struct cgroup_limits *l);

struct cgroup_tree {
	int base;       /* directory; -1: not open */
	unsigned kinds; /* that it can limit */
	pid_t launcher; /* waits for our start; 0: none does */
	enum {
		CGROUP_IN_BASE,
		CGROUP_IN_OWN,  /* a leaf below it that nclust has made */
		CGROUP_IN_LEAF, /* … that systemd has */
	} place;                /* where we are */
	unsigned enabled;       /* kinds, by us: they go when we leave */
};

/*
 * Find our group on the first call, and make it ready for groups below it with
 * limits of these kinds.  The kernel wants processes in leaves alone: if need be, we
 * and our descendants move to BASE/`own`.  `root` is "" in earnest; tests give a
 * directory with a copy of /proc and /sys beneath it.  Which of the kinds can be
 * limited; where some cannot, `err` says why.
 */
unsigned cgroup_tree_open(struct cgroup_tree *t, const char *root, unsigned kinds, const char *own,
	struct error *err);
/* Close it; without any groups left, we go back to where we were. */
void cgroup_tree_close(struct cgroup_tree *t, const char *own);
/* Could it be done, for memory, CPU time and processes?  Changes nothing.  -1 and
 * `err`. */
int cgroup_tree_check(const char *root, struct error *err);

/* Make the group of a worker, "NAME/WORKER", without limits, and that of its
 * cluster above it, which may exist; the worker's may unless it must be `fresh`.
 * Its directory, or -1.  `err` says what could not be done; its text is "" if
 * there is nothing of the kind. */
int cgroup_make(const struct cgroup_tree *t, const char *group, bool fresh,
	const struct cgroup_limits *l, struct error *err);
/* Set the limits of a worker; `err` as before.  Not before its exec: until then it
 * has our memory, and a kernel that finds too little for it kills all that have it. */
void cgroup_limit(
	const struct cgroup_tree *t, int dir, const struct cgroup_limits *l, struct error *err);
/* The directory of a worker's group that exists; or -1. */
int cgroup_open(const struct cgroup_tree *t, const char *group);
/* Where a process writes "0", or we its pid, to get in.  -1 and errno. */
int cgroup_procs(int dir);
/* The number after the first `key` (NULL: at the start) in one of the group's
 * files; -1: there is none. */
double cgroup_number(int dir, const char *file, const char *key);

/* Is the process in the group of that name, or below it?  1 or 0; -1: cannot be
 * told. */
int cgroup_has(pid_t pid, const char *group);

/* Kill all in the group, and remove it with what is below it.  False: it still has
 * processes.  Since Linux 5.14 these end; before it is a part of them, and each
 * cgroup_sweep() kills more. */
bool cgroup_end(const struct cgroup_tree *t, const char *group);
/* Remove the groups whose NAME begins with `prefix`, but for the workers' that
 * `is_used`; kills nothing in those that cgroup_end() was not called for.  How many
 * could not be removed. */
typedef bool cgroup_use(void *context, const char *name, const char *worker);
unsigned cgroup_sweep(
	const struct cgroup_tree *t, const char *prefix, cgroup_use *is_used, void *context);

#endif
