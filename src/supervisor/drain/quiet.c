/* SPDX-License-Identifier: MIT */
#include "supervisor/drain/quiet.h"

#include <netinet/tcp.h>

bool quiet_is_open(const struct connection *c)
{
	return c->state == TCP_ESTABLISHED || c->state == TCP_CLOSE_WAIT;
}

static bool is_silent_for(const struct connection *c, uint32_t time)
{
	const uint32_t gap = time + c->rtt / 1000;

	return c->sent_ago >= gap && c->received_ago >= gap;
}

static bool is_silent(const struct connection *c)
{
	return is_silent_for(c, QUIET_GAP_MS);
}

/* An answer whose last piece left so long after the request came may go on after a pause as long:
 * tokens of a language model, events of a page. */
static bool is_paused(const struct connection *c)
{
	return c->received_ago > c->sent_ago && c->sent_ago < c->received_ago - c->sent_ago;
}

/* Has something left since the look before; and has nothing come meanwhile, or one
 * request, when all before it was answered for sure? */
static bool is_answered_since(const struct connection *c, const struct quiet_memory *before)
{
	uint32_t came;

	if (before == NULL || c->segments_out == before->segments_out)
		return false;
	came = c->segments_in - before->segments_in;
	return came == 0 || (came == 1 && before->quiet);
}

/* Each segment that comes is acknowledged in time: by a segment without data, or by
 * an answer. */
static bool is_acked_by_answer(
	const struct connection *c, const struct quiet_memory *now, unsigned tick)
{
	uint32_t slack = QUIET_ACK_TICKS * tick;
	/* Has no segment without data left since before the last one came?  Without an earlier
	 * look: the kernel acknowledges the first segment of a connection at once by a segment of
	 * its own (tcp_event_data_recv() of the kernel's net/ipv4/tcp_input.c), so one in all means
	 * that no later one left. */
	bool without = c->acks_out == 0 || (c->acks_out == 1 && c->segments_in > 1) ||
		now->acks_before == c->acks_out;

	if (slack < QUIET_ACK_SLACK)
		slack = QUIET_ACK_SLACK;
	return without && c->rtt < QUIET_ACK && c->received_ago >= (QUIET_ACK + slack) / 1000;
}

/*
 * Something was sent, and something was received, both within one jiffy: which
 * was the last?  On a LAN nearly all connections are like this.  True: the
 * answer, for sure.
 */
static bool is_tie_answered(const struct connection *c, const struct quiet_memory *before,
	unsigned tick, const struct quiet_memory *now)
{
	/* the thread that answers waits for the next request */
	if (c->awaited)
		return true;
	/* a request after our answer would have carried its ACK */
	if (c->unacked > 0)
		return true;
	/* an ACK without data came after the last request */
	if (c->ack_ago < c->received_ago &&
		(c->prompt || c->received_ago - c->ack_ago < QUIET_PROBE_MS))
		return true;
	/* a delayed ACK that no answer has carried ends that mode; for a request in
	 * several segments it may leave at once, and the mode goes on */
	if (c->prompt && c->segments_in <= 2 && is_silent(c))
		return true;
	return is_answered_since(c, before) || is_acked_by_answer(c, now, tick);
}

static bool is_answered(const struct connection *c, const struct quiet_memory *before,
	unsigned tick, bool late, bool slow, struct quiet_memory *now)
{
	if (c->segments_out == 0)
		return false; /* times of what never happened are those of the connection's birth */
	if (before != NULL && before->answered && before->segments_in == c->segments_in)
		return true;
	if (c->sent_ago != c->received_ago)
		return c->sent_ago < c->received_ago;
	if (is_tie_answered(c, before, tick, now))
		return true;
	now->tied = is_silent(c);
	/* a request of one segment would have ended the mode, others are rarely so slow */
	return now->tied && (late || (c->prompt && !slow && is_silent_for(c, QUIET_UNSEEN_MS)));
}

static bool is_tcp_quiet(const struct connection *c, const struct quiet_memory *before,
	unsigned tick, bool late, bool slow, struct quiet_memory *now)
{
	/* a connection over which nothing has come is about to ask */
	now->answered = c->segments_in == 0 ||
		(c->queue == 0 && is_answered(c, before, tick, late, slow, now));
	if (!now->answered || c->queue > 0 || c->unsent > 0)
		return false;
	/* in the end a connection with requests all the time counts as answered in
	 * between; one whose request was long ago, and that still speaks, does not */
	now->guessed = late && is_paused(c) && !now->frames;
	return (is_silent(c) && (late || !is_paused(c))) ||
		(late && c->segments_in > 0 &&
			c->received_ago <
				(now->spoke && !now->rested ? QUIET_BUSY_MS : QUIET_GAP_MS));
}

static uint32_t acks_before(const struct connection *c, const struct quiet_memory *before)
{
	if (before == NULL)
		return UINT32_MAX;
	return before->segments_in != c->segments_in ? before->acks_out : before->acks_before;
}

/*
 * Two looks prove that an answer is whole: at the first the worker has read all that had come, or
 * one request alone lies unread; at the second it has read just that, and has sent an answer.
 * A request acknowledges what its client has received before, so if all is read, what is not
 * acknowledged is part of the answer, too.
 */
static void mark_answer(
	const struct connection *c, const struct quiet_memory *before, struct quiet_memory *now)
{
	const uint64_t read = c->bytes_in - c->queue;
	bool again = false;

	if (c->kind != CONNECTION_TCP)
		return;
	if (before != NULL && before->marked &&
		(before->read == read || before->read == c->bytes_in)) {
		now->marked = true;
		now->again = before->again;
		now->read = before->read;
		now->sent = before->sent;
		if (!(c->whole || c->asks) || before->read == c->bytes_in ||
			quiet_is_between(c, now))
			return;
		again = c->bytes_out > before->sent;
	}
	now->marked = c->queue == 0 || c->whole || c->asks;
	now->again = again;
	now->read = c->bytes_in;
	now->sent = c->queue == 0 ? c->bytes_acked : c->bytes_out;
}

bool quiet_is_between(const struct connection *c, const struct quiet_memory *now)
{
	const uint64_t read = c->bytes_in - c->queue;

	if (c->kind != CONNECTION_TCP)
		return now->answer_waits;
	return c->state == TCP_ESTABLISHED &&
		((read == 0 && c->bytes_out == 0) ||
			(now->marked && now->read == read &&
				c->bytes_out > now->sent + (now->again ? 0 : QUIET_INTERIM)));
}

bool quiet_connection(const struct connection *c, const struct quiet_memory *before,
	uint32_t since_ms, unsigned tick, bool late, bool slow, struct quiet_memory *now)
{
	bool still = c->queue == 0 && c->unsent == 0;

	*now = (struct quiet_memory){
		.cookie = c->cookie,
		.segments_in = c->segments_in,
		.segments_out = c->segments_out,
		.acks_out = c->acks_out,
		.acks_before = acks_before(c, before),
		.was_served = c->queue == 0 || (before != NULL && before->was_served),
		.spoke = before != NULL &&
			(before->spoke || c->queue > 0 || before->segments_in != c->segments_in),
		.rested = before != NULL && (before->rested || (before->quiet && !late)),
		.http = c->http || (before != NULL && before->http),
		.frames = c->frames || (before != NULL && before->frames),
		.asks = (c->frames && c->queue > QUIET_HEARTBEAT) ||
			(before != NULL && before->asks),
		.handed = before != NULL && before->handed,
		.held = before != NULL && before->held,
		.lost = before != NULL && before->lost,
	};
	mark_answer(c, before, now);
	/* else they may be the rest of a body */
	now->unknown =
		(c->unknown && quiet_is_between(c, now)) || (before != NULL && before->unknown);
	if (c->kind != CONNECTION_TCP) {
		/* whether an answer is to come is unknown */
		if (still && before != NULL)
			now->for_ms = before->for_ms + since_ms;
		now->quiet = still && now->for_ms >= (late ? QUIET_GAP_MS : QUIET_UNSEEN_MS);
	} else if (quiet_is_open(c)) {
		now->quiet = is_tcp_quiet(c, before, tick, late, slow, now);
	} else {
		now->quiet = still;
	}
	return now->quiet;
}

bool quiet_stays(const struct connection *c, const struct quiet_memory *before, bool waited,
	const struct quiet_memory *now)
{
	if (now->quiet)
		return true;
	return c->kind == CONNECTION_TCP && c->queue == 0 && c->unsent == 0 &&
		(waited ||
			(before != NULL && before->quiet && before->segments_in == c->segments_in));
}

const struct quiet_memory *quiet_find(
	const struct quiet_memory *list, size_t count, size_t *at, uint64_t cookie)
{
	while (*at < count && list[*at].cookie < cookie)
		++*at;
	return *at < count && list[*at].cookie == cookie ? &list[*at] : NULL;
}
