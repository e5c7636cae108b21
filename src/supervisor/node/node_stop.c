/* SPDX-License-Identifier: MIT */
#include "supervisor/node/node_inside.h"

#include "os/clock.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/service.h"

/*
 * A worker that is asked to disconnect closes its servers and its idle
 * connections; a request that arrives on one of these at that moment is lost.
 * So it is drained first, like any other worker, and asked in place of its stop
 * signal.  It closes its servers, finishes its requests, closes the channel and
 * exits.  A worker that has more to do (a timer, a database, a server of its
 * own) does not exit: it gets its stop signal a moment after it has closed the
 * channel, or a moment after it was asked.
 */
#define PATIENCE (500 * MSEC)

static bool is_reachable(const struct node_worker *w)
{
	return w != NULL && w->online &&
		(w->use_count > 0 || (w->child->kept.adopted && w->child->listening.uses != 0)) &&
		w->child->channel != NULL && w->child->channel->io.fd != -1;
}

/* Ask it once; it may be leaving by itself.  False: it cannot be asked. */
static bool ask_to_leave(struct node_worker *w)
{
	struct buffer line;
	struct nodeipc_writer to = node_writer(w, &line);

	if (w->leaving)
		return true;
	nodeipc_put_disconnect(&to, node_next_seq(w));
	if (node_send(w, &line, -1) == -1)
		return false;
	w->leaving = true;
	return true;
}

static void be_due(struct node_worker *w)
{
	w->signal_at = nsec_add(clock_now(), PATIENCE);
	node_arm(w->child->service->node, w->signal_at);
}

bool node_may_leave(const struct child *child)
{
	return is_reachable(child->node) && child->node->stopping < NODE_STOPS;
}

bool node_leave(struct child *child)
{
	if (!node_may_leave(child) || !ask_to_leave(child->node))
		return false;
	child->node->stopping = NODE_LEAVES;
	return true;
}

/* Does this signal begin a stop in which the worker has time to drain? */
static bool begins_stop(const struct child *child, int signal)
{
	const struct cluster_settings *s = child_settings(child);

	return s != NULL && signal == s->stop[0].signal && s->drain_timeout > 0 &&
		(s->drain == DRAIN_AUTO || s->drain == DRAIN_QUIET);
}

bool node_on_stop(struct child *child, int signal)
{
	struct node_worker *w = child->node;

	if (w == NULL)
		return false;
	if (!node_may_leave(child) || !begins_stop(child, signal) || !ask_to_leave(w)) {
		w->stopping = NODE_SIGNALLED;
		return false;
	}
	w->stopping = NODE_STOPS;
	w->signal = signal;
	be_due(w);
	return true;
}

void node_stop_ended(struct node_worker *w)
{
	if (w->stopping == NODE_STOPS || w->stopping == NODE_LEAVES)
		be_due(w);
}

void node_stop_due(struct node_worker *w, nsec_t now)
{
	const enum node_stopping before = w->stopping;

	if (w->signal_at == 0)
		return;
	if (w->signal_at > now) {
		node_arm(w->child->service->node, w->signal_at);
		return;
	}
	w->signal_at = 0;
	if (before == NODE_STOPS) {
		w->stopping = NODE_SIGNALLED;
		child_stop(w->child, w->signal);
	} else if (before == NODE_LEAVES) {
		w->stopping = NODE_SIGNALLED;
		child_tell(w->child, EVENT_DRAINED, WHY_ITSELF); /* the core asks for the signal */
	}
}
