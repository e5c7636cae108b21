/* SPDX-License-Identifier: MIT */
#include "core/quiet.h"

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* What had been received at the look before was answered then, or has been since,
 * and it was one segment at most that came after it: so was this one. */
static bool is_answered_since(
	const struct quiet_facts *f, const struct quiet_memory *before)
{
	uint32_t came;

	if (before == NULL || f->segments_out == before->segments_out)
		return false;
	came = f->segments_in - before->segments_in;
	return came == 0 || (came == 1 && before->answered);
}

/*
 * No segment without data has left since before the last one came.  Of a
 * connection that nobody saw then: the first that comes over it is acknowledged
 * at once by one of its own (tcp_event_data_recv() of the kernel's
 * net/ipv4/tcp_input.c), and there was no other.
 */
static bool is_without_acks(
	const struct quiet_facts *f, const struct quiet_memory *now)
{
	return f->acks_out == 0 || (f->acks_out == 1 && f->segments_in > 1) ||
		(now->saw_before && now->acks_before == f->acks_out);
}

/* Each segment that comes is acknowledged in time, if not by one without data
 * then by an answer. */
static bool is_acked_by_answer(const struct quiet_facts *f,
	const struct quiet_memory *now, unsigned tick)
{
	uint32_t slack = QUIET_ACK_TICKS * tick;

	if (slack < QUIET_ACK_SLACK)
		slack = QUIET_ACK_SLACK;
	return is_without_acks(f, now) && f->rtt < QUIET_ACK &&
		f->received_ago >= (QUIET_ACK + slack) / 1000;
}

/*
 * Something was sent, and something was received, both within one jiffy: which
 * was the last?  On a LAN this is how it is with nearly all.
 */
static bool is_tie_answered(const struct quiet_facts *f,
	const struct quiet_memory *before, unsigned tick,
	const struct quiet_memory *now)
{
	/* a request behind our answer would have carried its ACK */
	if (f->unacked > 0)
		return true;
	/* an ACK without data came behind the last request */
	if (f->ack_ago < f->received_ago)
		return true;
	/* nobody gets our answer and asks again within one jiffy */
	if (f->min_rtt != UINT32_MAX && f->min_rtt > 2 * tick)
		return true;
	return is_answered_since(f, before) ||
		is_acked_by_answer(f, now, tick) ||
		least(f->received_ago, f->sent_ago) >= QUIET_STILL_MS;
}

static bool is_answered(const struct quiet_facts *f,
	const struct quiet_memory *before, unsigned tick,
	const struct quiet_memory *now)
{
	if (f->segments_out == 0)
		return false; /* times of what never was are those of birth */
	if (before != NULL && before->answered &&
		before->segments_in == f->segments_in)
		return true;
	if (f->sent_ago != f->received_ago)
		return f->sent_ago < f->received_ago;
	return is_tie_answered(f, before, tick, now);
}

/* An answer that was long in coming may be one in pieces: then the next one is
 * not far. */
static bool may_go_on(const struct quiet_facts *f)
{
	return f->sent_ago < f->received_ago &&
		f->received_ago - f->sent_ago > QUIET_PROMPT_MS &&
		f->sent_ago < QUIET_GAP_MS;
}

static uint32_t gap_of(const struct quiet_memory *now)
{
	return now->pieces >= QUIET_STREAM_PIECES ? QUIET_STREAM_MS
						  : QUIET_GAP_MS;
}

static bool is_tcp_quiet(const struct quiet_facts *f,
	const struct quiet_memory *before, unsigned tick,
	struct quiet_memory *now)
{
	if (f->segments_in == 0) { /* it has just come, and is about to ask */
		now->answered = true;
		return f->received_ago >= QUIET_GAP_MS;
	}
	/* what it has not read it has not answered */
	now->answered = f->unread == 0 && is_answered(f, before, tick, now);
	if (now->in_pieces && f->sent_ago < gap_of(now))
		return false;
	return now->answered && !may_go_on(f);
}

static void remember_acks(const struct quiet_facts *f,
	const struct quiet_memory *before, struct quiet_memory *now)
{
	bool more = before->segments_in != f->segments_in;

	now->saw_before = more || before->saw_before;
	now->acks_before = more ? before->acks_out : before->acks_before;
}

static void remember_pieces(const struct quiet_facts *f,
	const struct quiet_memory *before, struct quiet_memory *now)
{
	bool asked = before->segments_in != f->segments_in;
	bool more = before->answered && !asked && f->segments_in != 0 &&
		f->segments_out > before->segments_out;

	now->in_pieces = before->in_pieces || more;
	now->pieces = asked ? 0 : before->pieces;
	if (more && now->pieces < QUIET_STREAM_PIECES)
		now->pieces++;
}

bool quiet_connection(const struct quiet_facts *f,
	const struct quiet_memory *before, uint32_t since_ms, unsigned tick,
	struct quiet_memory *now)
{
	bool still = f->unread == 0 && f->unsent == 0;

	*now = (struct quiet_memory){
		.cookie = f->cookie,
		.segments_in = f->segments_in,
		.segments_out = f->segments_out,
		.acks_out = f->acks_out,
	};
	if (before != NULL) {
		remember_acks(f, before, now);
		remember_pieces(f, before, now);
	}
	if (!f->is_tcp) {
		/* whether there is an answer to come, nobody can see */
		if (still && before != NULL)
			now->for_ms = before->for_ms + since_ms;
		now->quiet = still && now->for_ms >= QUIET_GAP_MS;
	} else if (f->is_open) {
		/* the queues say nothing of what was answered before */
		now->quiet = is_tcp_quiet(f, before, tick, now) && still;
	} else {
		now->quiet = still;
	}
	return now->quiet;
}

uint32_t quiet_idle_ms(
	const struct quiet_facts *f, const struct quiet_memory *now)
{
	return f->is_tcp ? least(f->sent_ago, f->received_ago) : now->for_ms;
}

const struct quiet_memory *quiet_find(const struct quiet_memory *list,
	size_t count, size_t *cursor, uint64_t cookie)
{
	for (size_t i = 0; i < count; i++) {
		size_t at = *cursor + i;

		if (at >= count)
			at -= count;
		if (list[at].cookie != cookie)
			continue;
		*cursor = at + 1 < count ? at + 1 : 0;
		return &list[at];
	}
	return NULL;
}
