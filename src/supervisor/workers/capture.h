/* SPDX-License-Identifier: MIT */
#pragma once

#include "protocol/logwire.h"
#include "supervisor/common/state.h"

/* Captures the workers' output by the logger, a process of its own (logger/logger.h), which is
 * started for the first captured output, and started again when it dies.  nclust keeps the read
 * ends of the workers' pipes, too, so the logger's death loses no line. */
void logger_init(struct supervisor *sup);
/* After an upgrade: watch the logger again, or start it if it did not run. */
void logger_resume(struct supervisor *sup);
void logger_fini(struct supervisor *sup); /* waits until the logger has written all */

/* Is the output of this worker captured?  NULL: of the next worker. */
bool capture_wanted(const struct service *service, const struct child *child);
/* The same, however few descriptors there are. */
bool capture_asked(const struct service *service, const struct child *child);
/* Is its output written nowhere? */
bool capture_goes_nowhere(const struct service *service, const struct child *child);
/* Choose stdout and stderr of a new worker: the write ends of pipes (the read ends stay in
 * `child`), /dev/null, or -1: nclust's own. */
void capture_open(struct service *service, struct child *child, int output[2]);
/* Open the pipes of an adopted worker again that the keeper has not returned. */
void capture_reopen(struct child *child);
void capture_close(struct supervisor *sup, int output[2]);
/* Close the read ends of its output. */
void capture_drop(struct child *child);
/* Hand the read ends of its output to the logger. */
void capture_hand_over(struct service *service, const struct child *child);
/* Is output of the worker unread because nobody reads nclust's own, to which it is copied? */
bool capture_is_stuck(const struct child *child);
/* Ask the logger for the last output of a dead worker; false: no answer will come. */
bool capture_ask_last(const struct child *child);

/* Send the logger a packet with descriptors; false: no logger runs, or it hangs. */
bool logger_send(
	struct supervisor *sup, const struct logwire_packet *p, const int *fds, size_t count);
/* Start the logger if it does not run; the first one after the workers of this turn.  -1: it cannot
 * be started. */
int logger_start_soon(struct service *service);
/* Start the first logger now, if logger_start_soon() has put that off. */
void logger_start_put_off(struct supervisor *sup);
/* Start the logger now, if it does not run. */
void logger_begin(struct supervisor *sup);
/* Use the logger of an earlier nclust; takes over the channel.  -1 and errno: that logger is
 * gone. */
int logger_take_over(struct supervisor *sup, int channel, pid_t pid);
/* Make that logger write where nclust writes. */
void logger_redirect(struct supervisor *sup);

/* Tell the logger about nclust's terminal: it passes the size on to the workers' pseudo-terminals. */
void logger_tell_terminal(struct supervisor *sup);

/* ---- slotlog ---- */

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
 * child closes the master (foreign.h), and the logger sets the size, off its loop
 * (logger/sink.h).  read(2) and poll(2) take locks of the master alone (n_tty_poll()).
 */

/* Does stdout (0) or stderr (1) of the worker go to a pseudo-terminal? */
bool ptys_are_wanted(const struct child *child, int stream);
/* Returns the master; the caller owns it and the slave, *write_end.  -1: the error was logged. */
int ptys_open(const struct child *child, int stream, int *write_end);
