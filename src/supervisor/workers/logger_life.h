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
