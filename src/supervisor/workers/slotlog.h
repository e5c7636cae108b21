/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/state.h"

/* A slotlog has the latest output of the workers of a slot, for `nclust logs`.  The logger writes
 * its file (logger/reading.h), and clients read it.  nclust makes it for the first captured output
 * of the slot, and keeps it as long as the cluster. */

/* The file for this worker's lines; -1: there is none. */
int slotlog_of(const struct child *child);
/* Why lines of the cluster's next worker would not be kept; NULL: they would. */
const char *slotlog_missing(const struct service *service);
void slotlog_free(struct service *service);

/* The slotlog with the next higher number, of all clusters or `only` of one, and of one slot (or
 * SLOT_ALL); NULL: there is no more. */
const struct slotlog *slotlog_after(const struct supervisor *sup, uint64_t number,
	const struct service *only, uint32_t slot, const struct service **of);

/* The id of a slotlog at the keeper; the slot of such an id, or SLOT_ALL if it belongs to another
 * cluster. */
uint64_t slotlog_id(const struct service *service, uint32_t slot);
uint32_t slotlog_slot(const struct service *service, uint64_t id);
/* Go on with the slotlog of an earlier nclust; takes over the descriptor. */
void slotlog_take(struct service *service, uint32_t slot, int fd);

/* ---- ptys ---- */

/*
 * Pseudo-terminals for the workers' output (`pty` in nclust.ini(5)), because many programs write
 * each line at once to a terminal, and 4 KiB at a time elsewhere.  The worker has the slave; nclust
 * and the logger have the master, and only read from it.
 *
 * A hostile worker can hold all locks of the slave.  Two calls on the master wait for these: the
 * last close(2), which hangs up the slave (tty_vhangup() of the kernel), and TIOCSWINSZ.  So a
 * child closes the master (async_close.h), and the logger sets the size, off its loop
 * (logger/sink.h).  read(2) and poll(2) take locks of the master alone (n_tty_poll()).
 */

/* Does stdout (0) or stderr (1) of the worker go to a pseudo-terminal? */
bool ptys_are_wanted(const struct child *child, int stream);
/* Returns the master; the caller owns it and the slave, *write_end.  -1: the error was logged. */
int ptys_open(const struct child *child, int stream, int *write_end);
