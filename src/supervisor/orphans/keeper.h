/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_KEEPER_H
#define SUPERVISOR_KEEPER_H

#include "protocol/logwire.h"
#include "supervisor/common/state.h"

/* With `orphans = keep` the logger is also the keeper (logger/keep.h): it holds
 * duplicates of the descriptors that must outlive nclust. */
bool keeper_wanted(const struct supervisor *sup);
/* Make the logger the keeper and send it all descriptors that it does not hold.
 * A `fresh` logger has just been started and holds none. */
void keeper_greet(struct supervisor *sup, bool fresh);
/* nclust was asked to stop: ask the keeper to exit, too. */
void keeper_leave(struct supervisor *sup);

void keeper_hold_child(struct child *child);
void keeper_drop_child(const struct child *child);
void keeper_hold_listener(struct supervisor *sup, struct listener *l);
/* Hold any socket; *held becomes its cookie, by which it is dropped. */
void keeper_hold_socket(struct supervisor *sup, int fd, uint64_t *held);
void keeper_drop_socket(struct supervisor *sup, uint64_t *held);

void keeper_hold_segment(struct supervisor *sup, struct segment *s);
void keeper_drop_segment(struct supervisor *sup, struct segment *s);

/* What the keeper gave back for one worker, listener or segment. */
struct given {
	enum logwire_what what;
	uint32_t which;
	uint64_t id;
	int fds[LOGWIRE_FDS_MAX];
};
struct givens {
	struct given *list; /* heap, sorted; givens_fini() closes the rest */
	size_t count;
	int channel; /* to the keeper, which is our logger now; or -1 */
	pid_t pid;   /* the keeper's */
	bool copies; /* it knows LOGWIRE_COPY */
	int socket;  /* on which the keeper can be called */
};
/* Get all descriptors from the keeper of an earlier nclust.  -1 and `err`;
 * err->sys is ENOENT or ECONNREFUSED if there is no keeper. */
int keeper_call(
	struct supervisor *sup, struct givens *givens, struct error *err);
/* Ask a keeper to exit, without taking what it holds; wait for it, bounded. */
void keeper_dismiss(struct supervisor *sup);
void givens_fini(struct givens *givens);
/* Take one of the descriptors; -1: it was not given.  The caller owns it. */
int given_take(struct given *given, enum logwire_which which);
struct given *givens_find(
	struct givens *givens, enum logwire_what what, uint64_t id);

#endif
