/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_KEEPER_H
#define SUPERVISOR_KEEPER_H

#include "protocol/logwire.h"
#include "supervisor/common/state.h"

/*
 * The logger as keeper (logger/keep.h), seen from here: with `orphans = keep` it
 * is told of all that must outlive us.
 */
bool keeper_wanted(const struct supervisor *sup);
/* The logger is one: it gets all that is to be held, and if it is a `fresh` one
 * that which another had, too. */
void keeper_greet(struct supervisor *sup, bool fresh);
/* We end as asked: it shall, too. */
void keeper_leave(struct supervisor *sup);

void keeper_hold_child(struct child *child);
void keeper_drop_child(const struct child *child);
void keeper_hold_listener(struct supervisor *sup, struct listener *l);
/* The same of any socket; *held is the cookie that it is held by. */
void keeper_hold_socket(struct supervisor *sup, int fd, uint64_t *held);
void keeper_drop_socket(struct supervisor *sup, uint64_t *held);

void keeper_hold_segment(struct supervisor *sup, struct segment *s);
void keeper_drop_segment(struct supervisor *sup, struct segment *s);

/* One descriptor or more that came back. */
struct given {
	enum logwire_what what;
	uint32_t which;
	uint64_t id;
	int fds[LOGWIRE_FDS_MAX];
};
struct givens {
	struct given *list; /* heap, in order; what is not taken is closed */
	size_t count;
	int channel; /* to the keeper, which is a logger from now on; or -1 */
	pid_t pid;   /* its */
	bool copies; /* it knows LOGWIRE_COPY */
	int socket;  /* where it was called */
};
/* Call the keeper of an earlier nclust.  0, or -1 and `err`; err->sys ENOENT or
 * ECONNREFUSED: there is none. */
int keeper_call(
	struct supervisor *sup, struct givens *givens, struct error *err);
/* Send it away, with all that it holds; waits until it is gone, bounded. */
void keeper_dismiss(struct supervisor *sup);
void givens_fini(struct givens *givens);
/* Take one of the descriptors of what was given; -1: it is not there. */
int given_take(struct given *given, enum logwire_which which);
struct given *givens_find(
	struct givens *givens, enum logwire_what what, uint64_t id);

#endif
