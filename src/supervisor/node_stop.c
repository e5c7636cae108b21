/* SPDX-License-Identifier: MIT */
#include "supervisor/node_inside.h"

#include "base/scope.h"
#include "os/clock.h"
#include "supervisor/child.h"
#include "supervisor/drain.h"
#include "supervisor/service.h"

#include <string.h>

/*
 * A worker that is told to disconnect closes its servers, waits for their
 * connections, closes the channel and ends.  One that has more to do than that
 * (a timer, a database, a server of its own) does not end: it gets its stop
 * signal a moment after the channel is closed.  And one whose clients do not
 * leave (keep-alive under load, WebSockets) is drained from outside, as any
 * program: by now no new ones come to it.
 */
#define AFTER_END (500 * MSEC)
#define BY_ITSELF (500 * MSEC)

static bool is_reachable(const struct node_worker *w)
{
	return w != NULL && w->online &&
		(w->use_count > 0 ||
			(w->child->adopted && w->child->uses != 0)) &&
		w->child->channel != NULL && w->child->channel->io.fd != -1;
}

static bool disconnect(struct node_worker *w)
{
	struct buffer line;
	struct nodeipc_writer to = node_writer(w, &line);

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

bool node_is_away(const struct child *child)
{
	return child->node != NULL &&
		(child->node->stopping == NODE_DRAINS ||
			child->node->stopping == NODE_PRESSED);
}

bool node_drain(struct child *child, nsec_t span)
{
	struct node_worker *w = child->node;

	if (!is_reachable(w) || w->stopping != NODE_RUNS || !disconnect(w))
		return false;
	w->stopping = NODE_DRAINS;
	w->drain_until = nsec_add(clock_now(), span);
	be_due(w, BY_ITSELF);
	return true;
}

/* Is it the one by which a stop begins, and may it take its time? */
static bool begins_stop(const struct child *child, int signal)
{
	const struct cluster_settings *s = child_settings(child);

	return s != NULL && signal == s->stop[0].signal &&
		s->drain_timeout > 0 &&
		(s->drain == DRAIN_AUTO || s->drain == DRAIN_QUIET);
}

bool node_stop(struct child *child, int signal)
{
	struct node_worker *w = child->node;

	if (w == NULL)
		return false;
	if (w->stopping != NODE_RUNS || !is_reachable(w) ||
		!begins_stop(child, signal) || !disconnect(w)) {
		w->stopping = NODE_SIGNALLED;
		w->signal_at = 0;
		return false;
	}
	/* it is known to answer what is in flight after that signal */
	w->stopping = NODE_STOPS;
	w->signal = signal;
	be_due(w, BY_ITSELF);
	return true;
}

void node_stop_ended(struct node_worker *w)
{
	if (w->stopping != NODE_RUNS && w->stopping != NODE_SIGNALLED)
		be_due(w, AFTER_END);
}

static void tell_drained(struct child *child)
{
	struct event event = {
		.kind = EVENT_DRAINED,
		.slot = child->slot,
		.worker = child->worker,
	};

	service_tell(child->service, &event);
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
	if (w->stopping == NODE_DRAINS && !ended) {
		w->stopping = NODE_PRESSED;
		if (w->child->drain == NULL) /* since an upgrade */
			drain_begin(w->child, w->drain_until - now);
	} else if (w->stopping == NODE_STOPS) {
		w->stopping = NODE_SIGNALLED;
		drain_stop(w->child, w->signal);
	} else {
		w->stopping = NODE_SIGNALLED;
		tell_drained(w->child); /* the core asks for the signal */
	}
}
