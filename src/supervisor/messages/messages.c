/* SPDX-License-Identifier: MIT */
#include "supervisor/messages/messages.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "config/natsurl.h"
#include "os/fdpass.h"
#include "protocol/json.h"
#include "supervisor/common/registry.h"
#include "supervisor/messages/broker.h"
#include "supervisor/messages/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_open(const struct child *child)
{
	return child != NULL && child->channel != NULL && child->channel->io.fd != -1;
}

/* ---- relaying ---- */

/* Writes `{"from":{"cluster":"web","slot":1},"message":`, with the host if other machines have
 * workers of that cluster, too; names need no escapes. */
static size_t put_origin(char *to, size_t size, const struct child *from)
{
	struct buffer b = {.data = to, .cap = size, .limit = size};

	buffer_string(&b, "{\"from\":{\"cluster\":\"");
	buffer_string(&b, from->service->name);
	buffer_string(&b, "\",\"slot\":");
	buffer_number(&b, from->slot, 10);
	if (from->service->broker != NULL) {
		buffer_string(&b, ",\"host\":\"");
		buffer_string(&b, from->service->broker->host);
		buffer_string(&b, "\"");
	}
	buffer_string(&b, "},\"message\":");
	return b.len;
}

static void relay_to(
	const struct service *to, const struct child *from, const char *line, size_t len)
{
	char origin[256] uninitialized;
	const struct queue_part pieces[] = {
		{origin, put_origin(origin, sizeof(origin), from)},
		{line, len},
		{"}", 1},
	};
	const struct child *child;

	for_each_child (child, children_of(to))
		if (child != from && is_open(child))
			(void)channel_send_parts(
				child->channel, pieces, COUNT_OF(pieces), -1, false);
	if (from->service->broker != NULL && to == from->service)
		broker_send(to->broker, origin + 1, pieces[0].len - 1, line, len);
}

static void relay_message(struct channel *c, const char *line, size_t len)
{
	const struct service *service = c->child->service;
	const char *target = cluster_settings(service->core)->relay;

	if (target == NULL)
		return;
	if (strcmp(target, "others") != 0 && !natsurl_is(target))
		service = service_named(service->sup, target);
	if (service != NULL) /* NULL: a reload has just dropped it */
		relay_to(service, c->child, line, len);
}

/* ---- what workers send ---- */

void messages_from(struct channel *c, const char *line, size_t len)
{
	bool valid;

	line = jsonvalue_trim(line, &len);
	if (len == 0)
		return;
	c->received++;
	valid = jsonvalue_check(line, len);
	if (valid)
		relay_message(c, line, len);
	else if (c->invalid++ == 0)
		log_worker(c->child, LOG_WARN,
			"a message that is not one value of JSON is not relayed");
	messages_show(c, line, len, valid);
}

/* ---- messages from outside ---- */

bool messages_possible(const struct service *service)
{
	const struct child *child;

	for_each_child (child, children_of(service))
		if (is_open(child))
			return true;
	return false;
}

/* The worker that has the slot: a successor only once it is ready. */
static struct child *find_holder(const struct service *service, uint32_t slot, bool ready_only)
{
	struct slot_view view;
	struct child *child;

	cluster_view_slot(service->core, slot, &view);
	if (view.workers == 0 || (ready_only && view.state != SLOT_READY))
		return NULL;
	child = child_find(service, slot, view.worker[0].id);
	return is_open(child) ? child : NULL;
}

static unsigned send_next(struct service *service, const char *line, size_t len)
{
	uint32_t slots = cluster_slots(service->core);

	for (uint32_t i = 0; i < slots; i++) {
		uint32_t slot = (service->message_turn + i) % slots;
		const struct child *child = find_holder(service, slot, true);

		if (child == NULL || channel_send(child->channel, line, len, -1, false) == -1)
			continue; /* the next worker then */
		service->message_turn = slot + 1;
		return 1;
	}
	return 0;
}

unsigned messages_send(struct service *service, uint32_t slot, bool all, const char *line,
	size_t len, unsigned *asked)
{
	const struct child *child;
	unsigned reached = 0;

	*asked = 1;
	if (slot == SLOT_ALL && !all)
		return send_next(service, line, len);
	*asked = 0;
	for_each_child (child, children_of(service)) {
		if (!is_open(child) ||
			(slot != SLOT_ALL && child != find_holder(service, slot, false)))
			continue;
		++*asked;
		reached += channel_send(child->channel, line, len, -1, false) == 0;
	}
	return reached;
}

/* ---- queue ---- */

/* Makes room for `len` more bytes.  -1: the queue would have more than `limit` (ENOBUFS), or there
 * is no memory. */
static int queue_reserve(struct queue *q, size_t len, size_t limit)
{
	if (queue_len(q) + len > limit) {
		errno = ENOBUFS;
		return -1;
	}
	return buffer_reserve(&q->bytes, len);
}

/* Lets a descriptor be sent with the byte at that place, which is after those of all others.  -1:
 * the descriptor stays the caller's. */
static int queue_mark(struct queue *q, size_t at, int fd)
{
	if (q->mark_count >= QUEUE_MARKS_MAX || at > queue_len(q) ||
		(q->mark_count > 0 && at <= q->marks[q->mark_count - 1].at)) {
		errno = ENOBUFS;
		return -1;
	}
	if (q->marks == NULL)
		q->marks = calloc(QUEUE_MARKS_MAX, sizeof(*q->marks));
	if (q->marks == NULL)
		return -1;
	q->marks[q->mark_count++] = (struct queue_mark){at, fd};
	return 0;
}

int queue_put(struct queue *q, const struct queue_part *pieces, size_t count, int fd, size_t limit)
{
	size_t len = 1;
	char *to;

	for (size_t i = 0; i < count; i++)
		len += pieces[i].len;
	if (queue_reserve(q, len, limit) == -1 ||
		(fd != -1 && queue_mark(q, queue_len(q), fd) == -1))
		return -1;
	to = q->bytes.data + q->bytes.len;
	for (size_t i = 0; i < count; i++)
		to = mempcpy(to, pieces[i].data, pieces[i].len);
	*to = '\n';
	q->bytes.len += len;
	return 0;
}

size_t queue_piece(const struct queue *q, const char **data, int *fd)
{
	size_t len = queue_len(q);
	size_t next = 0;

	*fd = -1;
	*data = NULL;
	if (len == 0)
		return 0;
	*data = q->bytes.data;
	if (q->mark_count > 0 && q->marks[0].at == 0)
		*fd = q->marks[next++].fd;
	if (next < q->mark_count)
		len = q->marks[next].at;
	return len;
}

void queue_sent(struct queue *q, size_t len)
{
	size_t gone = 0;

	if (len == 0)
		return;
	if (q->mark_count > 0 && q->marks[0].at == 0) {
		fd_close(&q->marks[0].fd);
		gone = 1;
	}
	for (size_t i = gone; i < q->mark_count; i++)
		q->marks[i - gone] = (struct queue_mark){q->marks[i].at - len, q->marks[i].fd};
	q->mark_count -= gone;
	q->in_line = q->bytes.data[len - 1] != '\n';
	buffer_consume(&q->bytes, len);
	if (queue_len(q) == 0)
		queue_clear(q);
}

int queue_send(struct queue *q, int to)
{
	const char *data;
	size_t len;
	int fd;

	while ((len = queue_piece(q, &data, &fd)) > 0) {
		ssize_t sent = fdpass_write(to, data, len, fd);

		if (sent <= 0)
			return sent == -1 && errno == EAGAIN ? 0 : -1;
		queue_sent(q, (size_t)sent);
	}
	return 1;
}

size_t queue_lines(const struct queue *q)
{
	return text_lines(q->bytes.data, q->bytes.len);
}

size_t queue_rest(const struct queue *q)
{
	const char *end =
		q->in_line && queue_len(q) > 0 ? memchr(q->bytes.data, '\n', queue_len(q)) : NULL;

	return end != NULL ? (size_t)(end - q->bytes.data) + 1 : 0;
}

void queue_clear(struct queue *q)
{
	bool in_line = q->in_line;

	for (size_t i = 0; i < q->mark_count; i++)
		fd_close(&q->marks[i].fd);
	free(q->marks);
	buffer_fini(&q->bytes);
	*q = (struct queue){.in_line = in_line};
}

/* ---- carry channels ---- */

/* How a worker's channel goes through an upgrade, with what waits in it. */

/* The most bytes of all queues together that an upgrade carries, because the state is bounded.
 * Messages beyond that are lost. */
#define QUEUED_MOST (32U * 1024 * 1024)

/* clang-format off */
static const struct plain_row channel_rows[] = {
	PLAIN_ENUM(1, channel, kind, CHANNEL_KINDS - 1),
	PLAIN(2, channel, io.fd, FD),
	PLAIN(7, channel, received, UNSIGNED),
	PLAIN(8, channel, sent, UNSIGNED),
	PLAIN(9, channel, dropped, UNSIGNED),
	PLAIN(10, channel, dropped_known, UNSIGNED),
	PLAIN(11, channel, skipped, UNSIGNED),
	PLAIN(12, channel, in.skipping, BOOL),
	PLAIN(13, channel, in.skipped, UNSIGNED),
	PLAIN(14, channel, out.in_line, BOOL),
	PLAIN(15, channel, invalid, UNSIGNED),
	PLAIN(17, channel, stuck_at, SIGNED), /* 3 to 5 are gone; 6 and 16 are facts of child.said */
};

static const struct plain_row broker_rows[] = {
	PLAIN(1, broker, setup, HEAP),
	PLAIN(2, broker, life.job.pid, SIGNED),
	PLAIN(3, broker, life.job.pidfd, FD),
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

/* Of a queue for which there is no room, the rest of a line alone is carried. */
static void put_queue(struct carry_writer *c, const struct queue *q)
{
	size_t len = queue_len(q);

	if (c->queued + len > QUEUED_MOST)
		len = queue_rest(q);
	if (len == 0)
		return;
	c->queued += len;
	handover_put_bytes(&c->w, CARRY_OUT, q->bytes.data, len);
	for (size_t i = 0; i < q->mark_count && q->marks[i].at < len; i++)
		carry_put_one(c, CARRY_MARK, &carried_mark, &q->marks[i]);
}

/* Carries the beginning of a line.  Beyond the limit nothing is carried, and the rest of that line
 * is then skipped. */
static void put_part_line(struct carry_writer *c, const struct buffer *in)
{
	size_t len = c->queued + in->len <= QUEUED_MOST ? in->len : 0;

	if (in->len == 0)
		return;
	c->queued += len;
	handover_put_bytes(&c->w, CARRY_IN, in->data, len);
}

static void put_channel(struct carry_writer *c, const void *of)
{
	const struct channel *channel = of;

	put_part_line(c, &channel->in.part);
	put_queue(c, &channel->out);
}

static int take_lines(struct line_reader *in, struct queue *out, const struct handover_field *f)
{
	if (f->type != HANDOVER_BYTES || (f->tag != CARRY_IN && f->tag != CARRY_OUT))
		return 0;
	if (f->tag == CARRY_IN)
		in->skipping |= f->len == 0;
	else if (queue_reserve(out, f->len, CHANNEL_QUEUE_MUST) == -1)
		return -1;
	return buffer_append(f->tag == CARRY_IN ? &in->part : &out->bytes, f->data, f->len) == 0
		? 1
		: -1;
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

	return f->tag == CARRY_MARK ? take_mark(r, &c->out, f) : take_lines(&c->in, &c->out, f);
}

static int channel_done(struct carry_reader *r UNUSED, void *to)
{
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

	put_part_line(c, &b->in.part);
	put_queue(c, &b->out);
}

static int take_of_broker(struct carry_reader *r UNUSED, void *to, const struct handover_field *f)
{
	struct broker *b = to;

	return take_lines(&b->in, &b->out, f);
}

const struct carried carried_broker = {
	.called = "the messages for other machines",
	CARRIED_ROWS(broker_rows, broker),
	.make = broker_carried,
	.put = put_broker,
	.take = take_of_broker,
};
