/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HELPER_H
#define SUPERVISOR_HELPER_H

#include "os/pidfd.h"
#include "supervisor/common/carried.h"

/*
 * A helper is a short-lived process that runs beside the workers of a cluster:
 * a hook, or an `exec:` check.  It has what they have and no more (user, group,
 * directory, limits, environment), no listener, a session of its own, and a
 * time after which its whole group is killed; what is left of the group when it
 * ends is killed too.  It dies with nclust, and runs on through an upgrade.
 */

/* How it ended; `late`: it was killed, as its time was over. */
typedef void helper_over(void *owner, const struct pidfd_end *end, bool late);

struct helper {
	struct helper *next; /* of those that run */
	struct supervisor *sup;
	pid_t pid;
	int pidfd;
	nsec_t due; /* its time is over then */
	ev_io exit;
	ev_timer patience;
	bool late;
	helper_over *over; /* NULL: nobody wants to know */
	void *owner;
};

struct helper_plan {
	struct service *service;
	const struct recipe *recipe;
	const struct strings *command;
	const struct buffer *facts; /* "K=V", each with its NUL: they stand
				       before the recipe's environment */
	bool silent;                /* output to /dev/null; else it is ours */
	nsec_t patience;
	helper_over *over; /* told once; the helper is gone then */
	void *owner;
};

/* NULL and `err`: it could not be started, and nobody is told.  The exec is
 * waited for, as that of a worker. */
struct helper *helper_start(const struct helper_plan *plan, struct error *err);
/* Its owner is about to go: it is killed, and nobody will be told. */
void helper_forget(struct helper *h);

/* How it goes through an upgrade: those that nobody waits for any more, and one in
 * the group of its owner. */
extern const struct carried carried_ending;
extern const struct carried carried_helper;
/* One that was carried, to be filled; NULL: out of memory. */
void *helper_carried(struct carry_reader *r, void *owner);
/* Is each a child of ours?  -1 and `err`. */
int helpers_verify(const struct supervisor *sup, struct error *err);
/* It has an owner again, who is told. */
void helper_claim(struct helper *h, helper_over *over, void *owner);
/* All that were carried are watched from now on. */
void helpers_resume(struct supervisor *sup);

/* Is it one of those?  And: it has ended. */
struct helper *helper_by_pid(const struct supervisor *sup, pid_t pid);
void helper_ended(struct helper *h);

/* NCLUST_NAME, NCLUST_CLUSTER, NCLUST_SOCKET: what all are told. */
void helper_facts(struct buffer *facts, const struct service *service);
/* One more, each byte as it is. */
void helper_fact(struct buffer *facts, const char *key, const char *value);
void helper_number(struct buffer *facts, const char *key, uint64_t n);

/* nclust ends: kill the rest; their owners are told. */
void helpers_free(struct supervisor *sup);

#endif
