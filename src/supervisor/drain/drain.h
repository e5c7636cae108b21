/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"
#include "supervisor/common/state.h"

void drain_on_prepare(struct child *child, struct birth *birth);
void drain_on_stop(struct child *child, int signal, nsec_t span);
void drain_on_dying(struct child *child);
void drain_on_gone(struct child *child);
void drain_on_adopt(struct child *child, struct worker_fds *fds);
void drain_on_choose(struct service *service);
void drain_on_go_on(struct supervisor *sup);
void drain_on_shutdown(struct supervisor *sup);

/*
 * Stops a worker without losing a request, with no help from the worker.  nclust watches the
 * worker's connections from outside; when no request is in flight, it freezes the worker's
 * processes (SIGSTOP) and looks again.  If there is still no request, the core gets EVENT_DRAINED
 * and sends the stop signal; otherwise nclust continues the worker until the next look.
 * drain/quiet.h has the rules.
 *
 * Meanwhile the worker gets no new connections: nclust removes the shared socket from the worker's
 * epoll sets (epoll(7)).  A worker that waits in accept(2) or poll(2) keeps the socket, and the
 * worker's successors get a socket of their own.
 *
 * A drain belongs to its child and ends with the child, or with the child's stop signal.  nclust
 * continues every process that a drain has frozen.
 */

/* Continue all frozen workers; their drains resume a little later. */
void drain_settle(struct supervisor *sup);

/* ---- the courier ---- */

/* Starts the courier, if it does not run.  False: it cannot be started, as was logged, or not yet. */
bool courier_is_there(struct supervisor *sup);
struct courier_order;
/* Orders the courier, which is there, to answer at these sockets (protocol/courier.h), with `page`.
 * False: it has not read all orders before. */
bool courier_order(struct supervisor *sup, const struct courier_order *order, const char *page,
	const int *fds, size_t count);

/* ---- host ---- */

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

/* ---- steer ---- */

/*
 * Keeps new connections away from workers that are to be drained and that nclust cannot take off
 * their socket.  All other workers, old and new, share one socket.
 *
 * Each TCP listener of such a worker gets a second socket at its address, for the new generation of
 * a rollout or for the successor of that one worker.  Which socket a worker has is said by its lane
 * (sockets/group.h); who else has it is counted at each look.  Each socket gets new connections in
 * proportion to its ready workers, so that no client waits for a generation that is only half
 * there.  A socket gets none while one of its workers does not become quiet; the last workers of a
 * socket get none at all.  An old socket is closed after its last worker, once its queue has been
 * empty for a while.
 *
 * With `balance = rr` or `random` each slot has sockets of its own from the start, so that the
 * kernel chooses a worker for each new connection (steer_open.c).
 *
 * With `surge = all` the new generation has a second socket in any case.  The old socket alone gets
 * new connections until the new generation is complete, which then alone gets them: no client who
 * has seen the new release is sent back.
 *
 * All workers share unix sockets, sockets that nclust was given, and sockets of several clusters;
 * UDP sockets, too, unless each slot has its own.
 */
void steer_on_report(struct service *service, const struct report *r);
void steer_on_drop(struct service *service);

/* Gives a worker that will start the lane for its generation and slot. */
void steer_choose_lane(struct child *child);
void steer_left(struct child *child); /* a worker is gone */
void steer_on_connects(struct child *child, int trap);
void steer_on_uses(struct child *child, struct listener *l, enum listener_use use);

/* Wakes other workers that share a socket of this lane.  Called when a worker of the lane has ended
 * or was withdrawn, because the kernel may have woken that worker alone for a connection. */
void steer_wake_others(const struct service *service, unsigned lane);

/* Do the worker's listeners get no new connections?  The drain asks. */
bool steer_is_away(const struct child *child);
/* Stops giving new connections to sockets with draining workers, at once. */
void steer_mute(struct child *child);
/* Called when a worker may say goodbye to its clients: they connect again at once, and must not
 * reach an old worker in a rollout, which would send them away once more. */
void steer_goodbye(struct child *child);
/* False: a queue that only this worker can take from is not empty. */
bool steer_may_stop(const struct child *child);

/* The service has taken over listeners and workers, with their lanes. */
void steer_on_adopted(struct service *service);

/* Settings that need no rollout are in force. */
void steer_on_reloaded(struct service *service);

/*
 * `balance = auto`: workers share a socket.  One of them may have most of the load, as happens with
 * servers that wait by EPOLLEXCLUSIVE, because the kernel wakes the same worker again and again:
 * then the status advises `balance = rr`.  The evidence is the CPU time that each worker has used
 * since it was ready.  The kernel counts that anyway, so no process is woken.
 */
void imbalance_on_status(struct json_writer *w, const struct service *service);

/* Has a listener of the service several sockets? */
bool steer_is_busy(const struct service *service);
/* Must an upgrade wait?  Not for several sockets that a rollout has left that failed midway. */
bool steer_is_rolling(const struct service *service);
