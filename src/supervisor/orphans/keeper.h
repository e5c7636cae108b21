/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_KEEPER_H
#define SUPERVISOR_KEEPER_H

#include "protocol/logwire.h"
#include "supervisor/common/state.h"

/* With `orphans = keep` the logger is also the keeper (logger/keep.h): it holds
 * duplicates of the descriptors that must outlive nclust. */
bool keeper_wanted(const struct supervisor *sup);
/* Make the logger the keeper and send it what it does not hold: the workers'
 * descriptors now, listeners and segments when this turn ends.  A `fresh` logger
 * has just been started and holds none. */
void keeper_greet(struct supervisor *sup, bool fresh);
/* nclust was asked to stop: ask the keeper to exit, too. */
void keeper_leave(struct supervisor *sup);

void keeper_hold_child(struct child *child);
void keeper_drop_child(const struct child *child);
/* Hold a socket, by its cookie, or a segment, by its sharedmem_id().  *held
 * becomes that id, by which it is dropped; a different one is dropped first. */
void keeper_hold(
	struct supervisor *sup, enum logwire_what what, uint64_t id, int fd, uint64_t *held);
void keeper_drop(struct supervisor *sup, enum logwire_what what, uint64_t *held);

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
	int channel;    /* to the keeper, which is our logger now; or -1 */
	pid_t pid;      /* the keeper's */
	bool copies;    /* it knows LOGWIRE_COPY */
	bool remembers; /* LOGWIRE_CAN_REMEMBER */
	bool routes;    /* it knows LOGWIRE_ROUTE */
	int socket;     /* on which the keeper can be called */
};
/* Get all descriptors from the keeper of an earlier nclust.  -1 and `err`;
 * err->sys is ENOENT or ECONNREFUSED if there is no keeper. */
int keeper_call(struct supervisor *sup, struct givens *givens, struct error *err);
/* Let the keeper close the sockets and segments of those that nobody took. */
void keeper_drop_rest(struct supervisor *sup, const struct givens *givens);
/* Ask a keeper to exit, without taking what it holds; wait for it, bounded. */
void keeper_dismiss(struct supervisor *sup);
void givens_fini(struct givens *givens);
/* Take one of the descriptors; -1: it was not given, or `given` is NULL.  The
 * caller owns it. */
int given_take(struct given *given, enum logwire_which which);
struct given *givens_find(struct givens *givens, enum logwire_what what, uint64_t id);

#endif
