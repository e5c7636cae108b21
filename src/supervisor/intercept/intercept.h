/* SPDX-License-Identifier: MIT */
#pragma once

#include "os/look/remote.h"
#include "os/spawn/seccomp.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/moment.h"
#include "supervisor/common/state.h"

/*
 * Takes over the port of a server that binds by itself: seccomp traps bind(2) and listen(2) of each
 * worker and its descendants until nclust has answered.  This file receives the calls, bounds their
 * cost, and reports where trapping is not possible; takeover.c and listens.c answer them.
 */

void intercept_on_prepare(struct child *child, struct birth *birth);
void intercept_on_born(struct child *child, struct birth *birth);
void intercept_on_gone(struct child *child);
void intercept_on_adopt(struct child *child, struct worker_fds *fds);
void startwait_on_status(struct json_writer *w, const struct child *child);
void intercept_on_go_on(struct supervisor *sup);
void intercept_on_verb(struct supervisor *sup, const struct verb_step *verb);

/* Call it after looking at a thread of the worker: if the look was late, the worker's calls are
 * left to the kernel from now on. */
void intercept_check_late(struct child *child, const struct remote *r);
/* Kills a worker that hangs with its trap, which nclust must not touch any more. */
void intercept_kill_hung(struct child *child);
/* Charges the worker for what was done since allowance_begin(). */
void intercept_charge(struct child *child, nsec_t begun);
/* Sets *by, the time of the next look at the worker, to after `wait`. intercept_is_due(): is it
 * time?  If not yet, sets the timer.  `by` 0: no look. */
void intercept_look_after(struct child *child, nsec_t *by, nsec_t wait);
bool intercept_is_due(struct child *child, nsec_t by);
/* The worker's trap is readable. */
void intercept_hear(struct child *child);
void serves_hear(struct child *child);
void intercept_init(struct supervisor *sup);

/* ---- takeover ---- */

/*
 * Answers a worker's trapped bind(2).
 *
 * For a TCP port nclust binds in place of the worker: with a duplicate of the worker's socket,
 * which it keeps, and with its own copy of the address, so that the worker cannot change either
 * meanwhile.  A worker that later binds the same address gets the kept socket in place of its own.
 * All other binds are left to the kernel, as if they were not trapped.
 *
 * nclust binds only what the user has named, or what the worker could bind itself.  After each look
 * at the worker it checks that the call still waits; otherwise its pid may already belong to
 * another process.
 */
void takeover_bind(struct child *child, const struct seccomp_notice *notice, struct remote *remote);

/* Do workers share this address, which the thread binds (`share-ports`, `listen`)? */
bool takeover_shares(const struct child *child, const struct socket_key *key, pid_t tid);
/* Is the thread one of a daemon's that the worker has started: in a session of its own, and below the
 * worker no more?  What that binds is no worker's, and from now on it lives as long as the cluster. */
bool takeover_is_daemons(const struct child *child, pid_t tid);

/* A worker of Node's cluster module asks for that address, which no listener has, instead of
 * binding it: binds it as above.  `again`: SO_REUSEADDR, which a TCP socket has in any case.  NULL:
 * *error, an errno(3), is the answer to the worker. */
struct listener *takeover_open(
	struct child *child, const struct socket_key *key, bool again, int *error);
/* Logs that a worker has opened that address. */
void takeover_log(struct child *c, const struct listener *l);

/* ---- listens ---- */

/*
 * A worker's trapped listen(2).  nclust calls listen(2) on the socket that it keeps.
 * For a server that knows no readiness protocol the call also means that it is ready, once a process
 * of it waits for clients: the one that listens may be a master whose processes fail to load.
 *
 * A worker that replaces one of an older generation is ready when it listens on all addresses of
 * that one (child.h); any other when it listens on all addresses of its cluster, or a second after
 * its first listen.
 */
/* The worker listens on `l`, as another room has learned; NULL: on a socket that nclust does not
 * hold. */
void listens_note(struct child *child, struct listener *l);
/* False: nclust's own listen(2) has taken too long, and the worker waits for an answer still;
 * `last`: not so, the call fails (ETIMEDOUT). */
bool listens_call(
	struct child *child, const struct seccomp_notice *notice, struct remote *r, bool last);

/* The worker has bound.  If the socket listens already, some servers do not call listen(2) (haproxy
 * asks SO_ACCEPTCONN).  So a worker is also ready when it is seen to wait for connections, in
 * accept(2) or by epoll. */
void listens_bound(struct child *child, pid_t thread);

/* The worker was released, or calls bind(2) on a UDP socket (`bound`): is it ready by that, or by
 * what it has bound before?  By UDP alone only if no worker listens. */
void listens_look(struct child *child, bool bound);

/* A worker was started: notes the addresses on which it has to listen. */
void listens_born(struct child *child);

/* Was the worker passed sockets?  It may use them as they are, and never listen. */
bool listens_is_passed(const struct child *child);

/* Has the worker shown that it is ready, unless it is a master whose processes do not serve yet? */
bool listens_is_held(const struct child *child);

/* After adoption: turns the worker's recorded listeners into its addresses. */
void listens_recall(struct child *child);

/* One that is ready without a port: is that right? */
void listens_on_report(struct service *service, const struct report *r);

/* Goes on waiting for a worker that came through an upgrade. */
void listens_resume(struct child *child);
void listens_init(struct supervisor *sup);

/* ---- spare gate ---- */

/*
 * `spare`: a worker whose cluster has spares waits in its first listen(2), or bind(2) of UDP, until
 * the core says that it is to serve (core/internal.h).
 */

/* Must the worker wait before it serves? */
bool spare_gate_is_shut(const struct child *child);
/* The worker waits at its gate: the core decides, and may release it before this returns. */
void spare_gate_report(struct child *child);

/* Holds that call of listen(2), for this listener (NULL: a unix socket's, or a bind(2) of UDP),
 * without an answer.  False: answer the call, because the worker is to serve, or because no client
 * comes to its socket, so that it can be checked before it serves (health/check.c). */
bool spare_gate_keep(struct child *child, struct listener *l, const struct seccomp_notice *notice);

void intercept_on_release(struct child *child);
/* Sends the stop signal; then the held calls fail, so that the worker handles the signal. */
bool intercept_on_stop(struct child *child, int signal);
/* The calls that are held go through an upgrade. */
extern const struct carried carried_gate;
