/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>

/*
 * Groups for our children, below our own cgroup: one for a cluster (BASE/NAME),
 * and in it one for each worker (BASE/NAME/WORKER).
 *
 * Every path is relative to a descriptor of BASE, which is our own.  Workers may
 * run as any user: what workers can change in their groups is taken for no more
 * than a number, and no symbolic link is followed.
 */
enum cgroup_kind {
	CGROUP_MEMORY,
	CGROUP_CPU,
	CGROUP_PIDS,
	CGROUP_IO,
	CGROUP_KINDS,
};

/* The limits that can be set; 0: no limit. */
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
/* The kinds that the limits need, 1 << enum cgroup_kind each; 0: no limit is set. */
unsigned cgroup_kinds(const struct cgroup_limits *l);

struct cgroup_tree {
	int base;         /* directory; -1: not open */
	unsigned kinds;   /* 1 << enum cgroup_kind each: those that can be limited */
	pid_t launcher;   /* the process that waits for nclust's start; 0: none */
	bool in_own;      /* nclust itself is in a leaf below the base that it has made */
	unsigned enabled; /* kinds that nclust has enabled; it disables them at its end */
};

/*
 * Find our group on the first call, and enable limits of these kinds for groups
 * below it.  The kernel wants processes in leaves alone: if need be, nclust and
 * its descendants move to BASE/`own`.  `root` is "" in earnest; tests give a
 * directory with a copy of /proc and /sys beneath it.  Returns the kinds that can
 * be limited; where some cannot, `err` says why.
 */
unsigned cgroup_tree_open(struct cgroup_tree *t, const char *root, unsigned kinds, const char *own,
	struct error *err);
/* Close the tree; if no groups are left, nclust moves back to the base. */
void cgroup_tree_close(struct cgroup_tree *t, const char *own);
/* Could memory, CPU time and processes be limited?  Changes nothing.  -1 and `err`:
 * no. */
int cgroup_tree_check(const char *root, struct error *err);

/* Make the group of a worker, "NAME/WORKER", without limits, and its cluster's group
 * above it, which may exist, as may the worker's unless it must be `fresh`.  Returns
 * the worker's directory, or -1.  `err` says what failed; its text is "" if nothing
 * did. */
int cgroup_make(const struct cgroup_tree *t, const char *group, bool fresh,
	const struct cgroup_limits *l, struct error *err);
/* Set the limits of a worker; `err` as for cgroup_make().  Call it only after the worker's exec:
 * before that the child shares nclust's memory, and the OOM killer of the group would kill all
 * processes that have this memory. */
void cgroup_limit(
	const struct cgroup_tree *t, int dir, const struct cgroup_limits *l, struct error *err);
/* Open the directory of a worker's group that exists; or -1. */
int cgroup_open(const struct cgroup_tree *t, const char *group);
/* Open cgroup.procs of a group: a process that writes "0" enters, or we write its pid.  -1 and
 * errno. */
int cgroup_procs(int dir);
/* The number after the first `key` (NULL: at the start) in one of the group's files;
 * -1: no such file or key. */
double cgroup_number(int dir, const char *file, const char *key);

/* Kill all processes of the group, and remove it with the groups below it.  False:
 * the group still has processes. */
bool cgroup_end(const struct cgroup_tree *t, const char *group);
/* Remove the groups whose NAME begins with `prefix`, except groups of workers for
 * which `is_used` returns true.  Returns how many groups could not be removed, as they
 * have processes. */
typedef bool cgroup_use(void *context, const char *name, const char *worker);
unsigned cgroup_sweep(
	const struct cgroup_tree *t, const char *prefix, cgroup_use *is_used, void *context);
