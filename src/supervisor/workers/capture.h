/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CAPTURE_H
#define SUPERVISOR_CAPTURE_H

#include "protocol/logwire.h"
#include "supervisor/common/state.h"

/* The logger, a process of its own (logger/logger.h): started when the first
 * worker's output is to be captured, started again when it dies.  The read
 * ends of the workers' pipes are kept here too, so its death loses no line. */
void logger_init(struct supervisor *sup);
/* After an upgrade: watch the logger again, or start it if it did not run. */
void logger_resume(struct supervisor *sup);
void logger_fini(struct supervisor *sup); /* lets it drain and exit */

/* Is the output of this service's next worker captured? */
bool capture_wanted(const struct service *service);
/* Where stdout and stderr of a new worker go: pipes (the read ends stay in
 * `child`), /dev/null, or -1 for ours. */
void capture_open(struct service *service, struct child *child, int output[2]);
/* Open the pipes of an adopted worker again, if no keeper has given them. */
void capture_reopen(struct child *child);
void capture_close(struct supervisor *sup, int output[2]);
/* Close the read ends. */
void capture_drop(struct child *child);
/* Hand the read ends to the logger. */
void capture_hand_over(struct service *service, const struct child *child);
/* Ask for the last output of a dead worker; false: no answer will come. */
bool capture_ask_last(const struct child *child);

/* Send the logger a packet with descriptors; false: none runs, or it hangs. */
bool logger_send(
	struct supervisor *sup, const struct logwire_packet *p, const int *fds, size_t count);
/* Start the logger now, if it does not run: it is to be the keeper. */
void logger_begin(struct supervisor *sup);
/* Use the logger of an earlier nclust; takes over the channel.  -1 and errno:
 * it is gone. */
int logger_take_over(struct supervisor *sup, int channel, pid_t pid);
/* Make it write where nclust does. */
void logger_redirect(struct supervisor *sup);

/* The terminal may have another size: those of the workers get it, too. */
void logger_resize(struct supervisor *sup);

#endif
