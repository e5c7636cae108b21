/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"
#include "supervisor/sockets/previous.h"

/* ---- keeper ---- */

/* With `orphans = keep` the logger is also the keeper (logger/keep.h): it holds duplicates of the
 * descriptors that must outlive nclust. */
bool keeper_wanted(const struct supervisor *sup);
/* Make the logger the keeper and send it the descriptors that it does not hold: of workers now, of
 * listeners and segments when this turn ends.  A `fresh` logger holds none. */
void keeper_greet(struct supervisor *sup, bool fresh);
/* nclust is about to end: ask the keeper to exit, too. */
void keeper_leave(struct supervisor *sup);

void keeper_hold_child(struct child *child);
void keeper_drop_child(const struct child *child);
/* Let the keeper hold `fd`: a socket, whose id is its cookie, or a segment, by its sharedmem_id().
 * *keeper_id becomes the id; if it was another id, the keeper drops that first. */
void keeper_hold(
	struct supervisor *sup, enum logwire_what what, uint64_t id, int fd, uint64_t *keeper_id);
void keeper_drop(struct supervisor *sup, enum logwire_what what, uint64_t *keeper_id);

/* Get all descriptors from the keeper of an earlier nclust.  -1 and `err`; err->sys is ENOENT or
 * ECONNREFUSED if there is no keeper. */
int keeper_call(struct supervisor *sup, struct fd_store *store, struct error *err);
/* Let the keeper drop the sockets and segments that nclust has not taken. */
void keeper_drop_rest(struct supervisor *sup, const struct fd_store *store);
/* Ask the keeper of an earlier nclust to exit, with all that it holds; wait for that, at most
 * PATIENCE. */
void keeper_dismiss(struct supervisor *sup);
void fd_store_fini(struct fd_store *store);
/* ---- orphan state ---- */

void orphan_state_fini(struct orphan_state *e);
/* Append an element of zeros, of `size` bytes, to one of the lists above, whose pointer is *list.
 * NULL: out of memory, or too many. */
void *orphan_state_add(void *list, size_t *count, size_t size);

/* -1: out of memory. */
int orphan_state_encode(struct buffer *out, const struct orphan_state *e);
/* -1 and `err`: then *e is empty. */
int orphan_state_decode(struct orphan_state *e, const void *data, size_t size, struct error *err);

/* ---- what an earlier nclust left ---- */

/* Read the serial of a worker from its environment.  The environment can be forged, so only a
 * process of `user` (uid + 1; 0: any user of workers) is believed.  1; 0: the process is no worker
 * of this instance, or must not be read; -1 and errno: not known. */
int remains_serial(struct supervisor *sup, pid_t pid, uint32_t user, uint64_t *serial);
/* End workers that are not taken over, and their leftovers: SIGTERM, then SIGKILL, in at most three
 * seconds for each search.  Returns their number. */
unsigned remains_end(struct supervisor *sup, struct previous *h);
/* The pid of any process that looks like a worker of this instance, or 0. */
pid_t remains_find(struct supervisor *sup);
