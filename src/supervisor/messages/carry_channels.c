/* SPDX-License-Identifier: MIT */
#include "supervisor/messages/messages.h"

#include <string.h>

/* How a worker's channel goes through an upgrade, with what waits in it. */

/* The most bytes of all queues together that an upgrade carries, because the state is bounded.
 * Messages beyond that are lost. */
#define QUEUED_MOST (32U * 1024 * 1024)

/* clang-format off */
static const struct plain_row channel_rows[] = {
	PLAIN_ENUM(1, channel, kind, CHANNEL_KINDS - 1),
	PLAIN(2, channel, io.fd, FD),
	PLAIN(3, channel, passed, FD),
	PLAIN(4, channel, passed_lost, BOOL),
	PLAIN(5, channel, stuck, BOOL),
	PLAIN(7, channel, received, UNSIGNED),
	PLAIN(8, channel, sent, UNSIGNED),
	PLAIN(9, channel, dropped, UNSIGNED),
	PLAIN(10, channel, dropped_known, UNSIGNED),
	PLAIN(11, channel, skipped, UNSIGNED),
	PLAIN(12, channel, in.skipping, BOOL),
	PLAIN(13, channel, in.skipped, UNSIGNED),
	PLAIN(14, channel, out.in_line, BOOL),
	PLAIN(15, channel, invalid, UNSIGNED),
	PLAIN(17, channel, stuck_at, SIGNED), /* 6 and 16 are facts of child.said now */
};

static const struct plain_row broker_rows[] = {
	PLAIN(1, broker, setup, HEAP),
	PLAIN(2, broker, life.job.pid, SIGNED),
	PLAIN(3, broker, life.job.pidfd, PIDFD),
	PLAIN(4, broker, io.fd, FD),
	PLAIN(5, broker, up, BOOL),
	PLAIN(7, broker, in.skipping, BOOL),
	PLAIN(8, broker, out.in_line, BOOL),
	PLAIN(9, broker, id, TEXT),
	PLAIN(10, broker, most, UNSIGNED),
	PLAIN(11, broker, sent, UNSIGNED),
	PLAIN(12, broker, received, UNSIGNED),
	PLAIN(13, broker, dropped, UNSIGNED),
	PLAIN(14, broker, dropped_known, UNSIGNED),
	PLAIN(15, broker, large, UNSIGNED),
	PLAIN(16, broker, missed, UNSIGNED),
	PLAIN(17, broker, invalid, UNSIGNED),
	PLAIN(18, broker, other, UNSIGNED), /* 6 is a fact of service.said now */
};

static const struct plain_row mark_rows[] = {
	PLAIN(1, queue_mark, at, UNSIGNED),
	PLAIN_MUST(2, queue_mark, fd, FD),
};
/* clang-format on */

const struct carried carried_mark = {
	.called = "a worker's channel",
	CARRIED_ROWS(mark_rows, queue_mark),
};

/* The rest of a line that was sent in part, which is always carried. */
static size_t rest_of_line(const struct queue *q)
{
	const char *from;
	const char *end;

	if (!q->in_line || queue_len(q) == 0)
		return 0;
	from = q->bytes.data + q->from;
	end = memchr(from, '\n', queue_len(q));
	return end != NULL ? (size_t)(end - from) + 1 : 0;
}

static void put_queue(struct carry_writer *c, const struct queue *q, size_t len)
{
	if (len == 0)
		return;
	c->queued += len;
	handover_put_bytes(&c->w, CARRY_OUT, q->bytes.data + q->from, len);
	for (size_t i = 0; i < q->mark_count && q->marks[i].at < len; i++)
		carry_put_one(c, CARRY_MARK, &carried_mark, &q->marks[i]);
}

/* Carries the beginning of a line.  Beyond the limit nothing is carried, and the rest of that line
 * is then skipped. */
static void put_part_line(struct carry_writer *c, const struct buffer *in)
{
	size_t len = c->queued + in->len <= QUEUED_MOST ? in->len : 0;

	c->queued += len;
	handover_put_bytes(&c->w, CARRY_IN, in->data, len);
}

static void put_channel(struct carry_writer *c, const void *of)
{
	const struct channel *channel = of;
	size_t len = queue_len(&channel->out);

	if (c->queued + len > QUEUED_MOST)
		len = rest_of_line(&channel->out);
	if (channel->in.part.len > 0)
		put_part_line(c, &channel->in.part);
	if (line_reader_waits(&channel->in)) {
		c->queued += channel->in.left;
		handover_put_bytes(&c->w, CARRY_DATA, channel->in.at, channel->in.left);
	}
	put_queue(c, &channel->out, len);
}

static int take_part_line(struct line_reader *l, const struct handover_field *f)
{
	l->skipping |= f->len == 0;
	return buffer_append(&l->part, f->data, f->len) == 0 ? 1 : -1;
}

/* Takes what was read and not handled yet. */
static int take_unhandled(struct line_reader *l, const struct handover_field *f)
{
	if (line_reader_waits(l))
		return -1;
	line_reader_begin(l, f->data, f->len);
	return line_reader_keep(l) ? 1 : -1;
}

static int take_queued(struct queue *q, const struct handover_field *f)
{
	if (queue_reserve(q, f->len, CHANNEL_QUEUE_MUST) == -1)
		return -1;
	return buffer_append(&q->bytes, f->data, f->len) == 0 ? 1 : -1;
}

static int take_mark(struct carry_reader *r, struct queue *q, const struct handover_field *f)
{
	struct queue_mark mark;

	if (carry_get_one(r, &carried_mark, &mark, f) == -1)
		return -1;
	return queue_mark(q, mark.at, mark.fd) == 0 ? 1 : -1;
}

static int take_of_channel(struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct channel *c = to;

	if (f->tag == CARRY_IN && f->type == HANDOVER_BYTES)
		return take_part_line(&c->in, f);
	if (f->tag == CARRY_DATA && f->type == HANDOVER_BYTES)
		return take_unhandled(&c->in, f);
	if (f->tag == CARRY_OUT && f->type == HANDOVER_BYTES)
		return take_queued(&c->out, f);
	return f->tag == CARRY_MARK ? take_mark(r, &c->out, f) : 0;
}

static int channel_done(struct carry_reader *r, void *to)
{
	(void)r;
	return ((struct channel *)to)->kind != CHANNEL_NONE ? 0 : -1;
}

const struct carried carried_channel = {
	.called = "a worker's channel",
	CARRIED_ROWS(channel_rows, channel),
	.make = channel_carried,
	.put = put_channel,
	.take = take_of_channel,
	.done = channel_done,
};

static void put_broker(struct carry_writer *c, const void *of)
{
	const struct broker *b = of;

	if (b->in.part.len > 0)
		put_part_line(c, &b->in.part);
	put_queue(c, &b->out,
		c->queued + queue_len(&b->out) > QUEUED_MOST ? rest_of_line(&b->out)
							     : queue_len(&b->out));
}

static int take_of_broker(struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct broker *b = to;

	(void)r;
	if (f->tag == CARRY_IN && f->type == HANDOVER_BYTES)
		return take_part_line(&b->in, f);
	return f->tag == CARRY_OUT && f->type == HANDOVER_BYTES ? take_queued(&b->out, f) : 0;
}

const struct carried carried_broker = {
	.called = "the messages for other machines",
	CARRIED_ROWS(broker_rows, broker),
	.make = broker_carried,
	.put = put_broker,
	.take = take_of_broker,
};
