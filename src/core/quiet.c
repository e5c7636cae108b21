/* SPDX-License-Identifier: MIT */
#include "core/quiet.h"

static bool is_silent(const struct quiet_facts *f)
{
	const uint32_t gap = QUIET_GAP_MS + f->rtt / 1000;

	return f->sent_ago >= gap && f->received_ago >= gap;
}

/* Has something left since the look before; and has nothing come meanwhile, or one
 * request, when all before it was answered for sure? */
static bool is_answered_since(const struct quiet_facts *f, const struct quiet_memory *before)
{
	uint32_t came;

	if (before == NULL || f->segments_out == before->segments_out)
		return false;
	came = f->segments_in - before->segments_in;
	return came == 0 || (came == 1 && before->quiet);
}

/*
 * Has no segment without data left since before the last one came?  Without an
 * earlier look: the kernel acknowledges the first segment of a connection at once
 * by a segment of its own (tcp_event_data_recv() of the kernel's
 * net/ipv4/tcp_input.c), so one in all means that no later one left.
 */
static bool is_without_acks(const struct quiet_facts *f, const struct quiet_memory *now)
{
	return f->acks_out == 0 || (f->acks_out == 1 && f->segments_in > 1) ||
		now->acks_before == f->acks_out;
}

/* Each segment that comes is acknowledged in time: by a segment without data, or by
 * an answer. */
static bool is_acked_by_answer(
	const struct quiet_facts *f, const struct quiet_memory *now, unsigned tick)
{
	uint32_t slack = QUIET_ACK_TICKS * tick;

	if (slack < QUIET_ACK_SLACK)
		slack = QUIET_ACK_SLACK;
	return is_without_acks(f, now) && f->rtt < QUIET_ACK &&
		f->received_ago >= (QUIET_ACK + slack) / 1000;
}

/*
 * Something was sent, and something was received, both within one jiffy: which
 * was the last?  On a LAN nearly all connections are like this.  True: the
 * answer, for sure.
 */
static bool is_tie_answered(const struct quiet_facts *f, const struct quiet_memory *before,
	unsigned tick, const struct quiet_memory *now)
{
	/* a request after our answer would have carried its ACK */
	if (f->unacked > 0)
		return true;
	/* an ACK without data came after the last request */
	if (f->ack_ago < f->received_ago &&
		(f->prompt || f->received_ago - f->ack_ago < QUIET_PROBE_MS))
		return true;
	/* a delayed ACK that no answer has carried ends that mode; for a request in
	 * several segments it may leave at once, and the mode goes on */
	if (f->prompt && f->segments_in <= 2 && is_silent(f))
		return true;
	return is_answered_since(f, before) || is_acked_by_answer(f, now, tick);
}

static bool is_answered(const struct quiet_facts *f, const struct quiet_memory *before,
	unsigned tick, bool late, const struct quiet_memory *now)
{
	if (f->segments_out == 0)
		return false; /* times of what never happened are those of the connection's birth */
	if (before != NULL && before->answered && before->segments_in == f->segments_in)
		return true;
	if (f->sent_ago != f->received_ago)
		return f->sent_ago < f->received_ago;
	return is_tie_answered(f, before, tick, now) || (late && is_silent(f));
}

static bool is_tcp_quiet(const struct quiet_facts *f, const struct quiet_memory *before,
	unsigned tick, bool late, struct quiet_memory *now)
{
	/* a connection over which nothing has come is about to ask */
	now->answered =
		f->segments_in == 0 || (f->unread == 0 && is_answered(f, before, tick, late, now));
	if (!now->answered || f->unread > 0 || f->unsent > 0)
		return false;
	/* in the end a connection with requests all the time counts as answered in
	 * between; one whose request was long ago, and that still speaks, does not */
	return is_silent(f) ||
		(late && f->segments_in > 0 &&
			f->received_ago <
				(now->spoke && !now->rested ? QUIET_BUSY_MS : QUIET_GAP_MS));
}

static uint32_t acks_before(const struct quiet_facts *f, const struct quiet_memory *before)
{
	if (before == NULL)
		return UINT32_MAX;
	return before->segments_in != f->segments_in ? before->acks_out : before->acks_before;
}

static bool is_answered_unread(const struct quiet_facts *f, const struct quiet_memory *before)
{
	return before->unread > 0 && f->unread >= before->unread &&
		f->segments_in == before->segments_in && f->segments_out != before->segments_out;
}

/* Does the client wait for an answer?  Then what lies unread by now is no next request. */
static bool is_waited_for(const struct quiet_facts *f, const struct quiet_memory *before)
{
	if (f->unread == 0)
		return f->received_ago < f->sent_ago;
	return before != NULL && before->waits && before->segments_out == f->segments_out;
}

bool quiet_asks_anew(const struct quiet_facts *f, const struct quiet_memory *now)
{
	return f->unread > 0 && f->unsent == 0 && f->unacked == 0 && !now->pipelines &&
		!now->waits && now->was_served &&
		(!f->is_tcp || (f->is_open && f->segments_out > 0));
}

bool quiet_connection(const struct quiet_facts *f, const struct quiet_memory *before,
	uint32_t since_ms, unsigned tick, bool late, struct quiet_memory *now)
{
	bool still = f->unread == 0 && f->unsent == 0;

	*now = (struct quiet_memory){
		.cookie = f->cookie,
		.segments_in = f->segments_in,
		.segments_out = f->segments_out,
		.acks_out = f->acks_out,
		.acks_before = acks_before(f, before),
		.unread = f->unread,
		.was_served = f->unread == 0 ||
			(before != NULL &&
				(before->was_served || before->segments_out != f->segments_out)),
		.pipelines = before != NULL && (before->pipelines || is_answered_unread(f, before)),
		.waits = f->is_tcp && is_waited_for(f, before),
		.spoke = before != NULL &&
			(before->spoke || f->unread > 0 || before->segments_in != f->segments_in),
		.rested = before != NULL && (before->rested || (before->quiet && !late)),
		.http = f->http || (before != NULL && before->http),
		.frames = f->frames || (before != NULL && before->frames),
		.unknown = f->unknown || (before != NULL && before->unknown),
	};
	if (!f->is_tcp) {
		/* whether an answer is to come is unknown */
		if (still && before != NULL)
			now->for_ms = before->for_ms + since_ms;
		now->quiet = still && now->for_ms >= (late ? QUIET_GAP_MS : QUIET_UNSEEN_MS);
	} else if (f->is_open) {
		now->quiet = is_tcp_quiet(f, before, tick, late, now);
	} else {
		now->quiet = still;
	}
	return now->quiet;
}

bool quiet_stays(const struct quiet_facts *f, const struct quiet_memory *before, bool waited,
	const struct quiet_memory *now)
{
	if (now->quiet)
		return true;
	return f->is_tcp && f->unread == 0 && f->unsent == 0 &&
		(waited ||
			(before != NULL && before->quiet && before->segments_in == f->segments_in));
}

const struct quiet_memory *quiet_find(
	const struct quiet_memory *list, size_t count, size_t *at, uint64_t cookie)
{
	while (*at < count && list[*at].cookie < cookie)
		++*at;
	return *at < count && list[*at].cookie == cookie ? &list[*at] : NULL;
}
