/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CAPTURE_H
#define SUPERVISOR_CAPTURE_H

#include "protocol/logwire.h"
#include "supervisor/common/state.h"

/* Captures the workers' output by the logger, a process of its own (logger/logger.h), which is
 * started for the first captured output, and started again when it dies.  nclust keeps the read
 * ends of the workers' pipes, too, so the logger's death loses no line. */
void logger_init(struct supervisor *sup);
/* After an upgrade: watch the logger again, or start it if it did not run. */
void logger_resume(struct supervisor *sup);
void logger_fini(struct supervisor *sup); /* waits until the logger has written all */

/* Is the output of this service's next worker captured? */
bool capture_wanted(const struct service *service);
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
/* Ask the logger for the last output of a dead worker; false: no answer will come. */
bool capture_ask_last(const struct child *child);

/* Send the logger a packet with descriptors; false: no logger runs, or it hangs. */
bool logger_send(
	struct supervisor *sup, const struct logwire_packet *p, const int *fds, size_t count);
/* Start the logger now, if it does not run. */
void logger_begin(struct supervisor *sup);
/* Use the logger of an earlier nclust; takes over the channel.  -1 and errno: that logger is
 * gone. */
int logger_take_over(struct supervisor *sup, int channel, pid_t pid);
/* Make that logger write where nclust writes. */
void logger_redirect(struct supervisor *sup);

/* The size of the terminal may have changed: pass it on to the workers' pseudo-terminals. */
void logger_resize(struct supervisor *sup);

#endif
