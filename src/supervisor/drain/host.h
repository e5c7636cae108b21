/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

/*
 * Takes the whole host out of the load balancer, and back (nclust drain, nclust undrain).
 *
 * While the host is drained, /readyz and the agent say so, and nothing else changes: workers serve
 * whatever still comes.  A drain is over when each load balancer that has been asking has asked
 * again since, and no connection is in use for a second.  An undrain is over when each of them has
 * asked again, too, and each cluster is ready: else the next host could be drained before this one
 * gets anything.  All this takes no time of nclust's while no verb waits for it.
 */
#define HOST_PATIENCE (60 * SECOND)

/* Begins a drain or an undrain, whose end moment_verb() tells. */
void host_turn(struct supervisor *sup, bool drained, nsec_t patience);

/* Notes who has asked whether to send clients here: "agent 10.0.0.1,http 10.0.0.2". */
void host_asked(struct supervisor *sup, const char *monitors);

struct json_writer;
void host_put(struct json_writer *w, const struct supervisor *sup);

void host_go_on(struct supervisor *sup); /* after an upgrade */
void host_end(struct supervisor *sup);
