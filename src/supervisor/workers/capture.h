/* SPDX-License-Identifier: MIT */
#pragma once

#include "protocol/logwire.h"
#include "supervisor/common/state.h"

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
