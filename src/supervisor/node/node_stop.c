/* SPDX-License-Identifier: MIT */
#include "supervisor/node/node_inside.h"

#include "os/clock.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/service.h"

/*
 * A worker that is asked to disconnect closes its servers and its idle
 * connections; a request that arrives on one of these at that moment is lost.
 * So nclust first drains the worker from outside, like any other: it gets no
 * new connections, and those of HTTP/1 are ended when they are quiet.  Then
 * it is asked.  It closes its servers, finishes its requests, closes the
 * channel and exits.  A worker that has more to do (a timer, a database, a
 * server of its own) does not exit: it gets its stop signal a moment after it
 * has closed the channel.  A worker whose clients stay (WebSockets) is asked
 * when half of the time is over, so that it can close them.
 */
#define AFTER_END (500 * MSEC)
#define BY_ITSELF (500 * MSEC)

static bool is_reachable(const struct node_worker *w)
{
	return w != NULL && w->online &&
		(w->use_count > 0 || (w->child->kept.adopted && w->child->listening.uses != 0)) &&
		w->child->channel != NULL && w->child->channel->io.fd != -1;
}

/* Ask it once; it may be leaving by itself.  False: it cannot be asked. */
static bool tell_to_leave(struct node_worker *w)
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

static void be_due(struct node_worker *w, nsec_t wait)
{
	w->signal_at = nsec_add(clock_now(), wait);
	node_arm(w->child->service->node, w->signal_at);
}

static bool has_only_rr(const struct node_worker *w)
{
	for (size_t i = 0; i < w->use_count; i++)
		if (!w->uses[i].server->rr)
			return false;
	return w->use_count > 0;
}

bool node_lives_on(const struct child *child)
{
	return child->node != NULL && child->node->stopping == NODE_DRAINS;
}

bool node_is_away(const struct child *child)
{
	const struct node_worker *w = child->node;

	return w != NULL &&
		(w->stopping == NODE_PRESSED || (w->stopping == NODE_DRAINS && has_only_rr(w)));
}

bool node_is_given(const struct child *child)
{
	return child->node != NULL && child->node->connections > 0;
}

void node_on_drain(struct child *child, nsec_t span)
{
	struct node_worker *w = child->node;

	if (!is_reachable(w) || w->stopping != NODE_RUNS)
		return;
	w->stopping = NODE_DRAINS;
	be_due(w, span / 2);
}

bool node_drain_unseen(struct child *child)
{
	struct node_worker *w = child->node;

	if (!is_reachable(w) || (!node_lives_on(child) && !node_is_away(child)) ||
		!tell_to_leave(w))
		return false;
	w->stopping = NODE_PRESSED;
	w->signal_at = 0;
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
	if ((w->stopping != NODE_RUNS && w->stopping != NODE_DRAINS) || !is_reachable(w) ||
		!begins_stop(child, signal) || !tell_to_leave(w)) {
		w->stopping = NODE_SIGNALLED;
		w->signal_at = 0;
		return false;
	}
	w->stopping = NODE_STOPS;
	w->signal = signal;
	be_due(w, BY_ITSELF);
	return true;
}

void node_stop_ended(struct node_worker *w)
{
	if (w->stopping == NODE_STOPS || w->stopping == NODE_PRESSED)
		be_due(w, AFTER_END);
}

void node_stop_due(struct node_worker *w, nsec_t now)
{
	const struct channel *c = w->child->channel;
	bool ended = c == NULL || c->io.fd == -1;

	if (w->signal_at == 0)
		return;
	if (w->signal_at > now) {
		node_arm(w->child->service->node, w->signal_at);
		return;
	}
	w->signal_at = 0;
	if (w->stopping == NODE_DRAINS) {
		if (!ended && tell_to_leave(w))
			w->stopping = NODE_PRESSED;
	} else if (w->stopping == NODE_STOPS) {
		w->stopping = NODE_SIGNALLED;
		child_stop(w->child, w->signal);
	} else {
		w->stopping = NODE_SIGNALLED;
		child_tell(w->child, EVENT_DRAINED, WHY_ITSELF); /* the core asks for the signal */
	}
}
