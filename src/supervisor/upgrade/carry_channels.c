/* SPDX-License-Identifier: MIT */
#include "supervisor/upgrade/carry.h"

#include "supervisor/messages/channel.h"

#include <errno.h>
#include <string.h>

/* The state is bounded.  What waits for workers that do not read is so only
 * each for itself: beyond this, it is lost by an upgrade. */
#define QUEUED_MOST (32U * 1024 * 1024)

/* A line that was sent in part is carried to its end all the same. */
static size_t rest_of_line(const struct queue *q)
{
	const char *from;
	const char *end;

	if (!q->in_line || queue_len(q) == 0)
		return 0;
	from = q->data + q->from;
	end = memchr(from, '\n', queue_len(q));
	return end != NULL ? (size_t)(end - from) + 1 : 0;
}

static void put_queue(struct carry_writer *c, const struct queue *q, size_t len)
{
	if (len == 0)
		return;
	c->queued += len;
	handover_put_bytes(&c->w, CARRY_OUT, q->data + q->from, len);
	for (size_t i = 0; i < q->mark_count && q->marks[i].at < len; i++) {
		handover_open(&c->w, CARRY_MARK);
		carry_put(c, PLAIN_MARK, &q->marks[i]);
		handover_close(&c->w);
	}
}

/* Nothing, in place of too much: the line is skipped. */
static void put_half(struct carry_writer *c, const struct buffer *in)
{
	size_t len = c->queued + in->len <= QUEUED_MOST ? in->len : 0;

	c->queued += len;
	handover_put_bytes(&c->w, CARRY_IN, in->data, len);
}

void carry_put_channel(struct carry_writer *c, const struct channel *channel)
{
	const struct queue *q = &channel->out;
	const struct buffer *in = &channel->in.part;
	size_t len = queue_len(q);

	if (c->queued + len > QUEUED_MOST)
		len = rest_of_line(q);
	handover_open(&c->w, CARRY_CHANNEL);
	carry_put(c, PLAIN_CHANNEL, channel);
	if (in->len > 0)
		put_half(c, in);
	put_queue(c, q, len);
	handover_close(&c->w);
}

/* ---- loading ---- */

static int take_in(struct lineup *l, const struct handover_field *f)
{
	l->skipping |= f->len == 0;
	return buffer_append(&l->part, f->data, f->len);
}

static int take_out(struct queue *q, const struct handover_field *f)
{
	char *to = queue_room(q, f->len, CHANNEL_QUEUE_MUST);

	if (to == NULL)
		return -1;
	(void)memcpy(to, f->data, f->len);
	queue_added(q, f->len);
	return 0;
}

static int take_mark(
	struct queue *q, const struct handover_field *f, struct error *err)
{
	struct queue_mark mark;
	struct handover_reader in;
	struct handover_field m;

	carry_clear(PLAIN_MARK, &mark);
	handover_enter(&in, f);
	while (handover_next(&in, &m))
		if (carry_take(PLAIN_MARK, &mark, &m, err) == -1)
			return -1;
	if (mark.fd == -1 || queue_mark(q, mark.at, mark.fd) == -1)
		return carry_bad(err, "a worker's channel");
	return 0;
}

static int take_part(
	struct channel *c, const struct handover_field *m, struct error *err)
{
	int got = 0;

	if (m->tag == CARRY_IN && m->type == HANDOVER_BYTES)
		got = take_in(&c->in, m);
	else if (m->tag == CARRY_OUT && m->type == HANDOVER_BYTES)
		got = take_out(&c->out, m);
	else if (m->tag == CARRY_MARK && m->type == HANDOVER_GROUP)
		return take_mark(&c->out, m, err);
	else
		return carry_take(PLAIN_CHANNEL, c, m, err);
	return got == -1 ? carry_bad(err, "a worker's channel") : 0;
}

int carry_get_channel(
	struct child *child, const struct handover_field *f, struct error *err)
{
	struct channel *c = channel_carried(child);
	struct handover_reader in;
	struct handover_field m;

	if (c == NULL)
		return error_set(err, ENOMEM, "a worker");
	carry_clear(PLAIN_CHANNEL, c);
	handover_enter(&in, f);
	while (handover_next(&in, &m))
		if (take_part(c, &m, err) == -1)
			return -1;
	if (c->kind == CHANNEL_NONE)
		return carry_bad(err, "a worker's channel");
	return 0;
}
