/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HOST_H
#define SUPERVISOR_HOST_H

#include "supervisor/common/state.h"

/*
 * The whole host out of the load balancer, and back (nclust drain, nclust undrain).
 *
 * While it is drained, /readyz and the agent say so, and nothing else changes: workers
 * serve whatever still comes.  A drain is over when each load balancer that has been
 * asking has asked again since, and no connection is in use for a second.  The end of
 * a drain is over when they have asked again, too, and each cluster is ready: else the
 * next host could be drained before this one gets anything.  That takes nothing of
 * nclust's time while nobody waits for it.
 */
#define HOST_PATIENCE (60 * SECOND)

/* Begin; what a look at `turn` tells is in host_outcome().  0: no memory. */
unsigned host_drain(struct supervisor *sup, nsec_t patience);
unsigned host_undrain(struct supervisor *sup, nsec_t patience);

/* What became of it. */
enum host_outcome {
	HOST_WAITS,
	HOST_DONE,
	HOST_LATE,    /* its time is over */
	HOST_REVOKED, /* the contrary was asked for meanwhile */
};
enum host_outcome host_outcome(const struct supervisor *sup, unsigned turn, const char **text);

/* Load balancers ask whether they may send here: "agent 10.0.0.1,http 10.0.0.2". */
void host_asked(struct supervisor *sup, const char *askers);

/* Write the member of a status. */
struct json_writer;
void host_put(struct json_writer *w, const struct supervisor *sup);

void host_go_on(struct supervisor *sup); /* after an upgrade */
void host_end(struct supervisor *sup);

#endif
