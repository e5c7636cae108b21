/* SPDX-License-Identifier: MIT */
#include "supervisor/messages/queue.h"

#include "base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_MIN 4096U

/* What was sent makes room before memory does. */
static void close_up(struct queue *q)
{
	(void)memmove(q->data, q->data + q->from, queue_len(q));
	q->to -= q->from;
	q->from = 0;
}

static int grow(struct queue *q, size_t need)
{
	size_t cap = q->cap > 0 ? q->cap : ROOM_MIN;
	char *data;

	while (cap < need)
		cap *= 2;
	data = realloc(q->data, cap);
	if (data == NULL) {
		errno = ENOMEM;
		return -1;
	}
	q->data = data;
	q->cap = cap;
	return 0;
}

char *queue_room(struct queue *q, size_t len, size_t limit)
{
	if (queue_len(q) + len > limit) {
		errno = ENOBUFS;
		return NULL;
	}
	if (q->to + len > q->cap && q->from > q->cap / 2)
		close_up(q);
	if (q->to + len > q->cap && grow(q, q->to + len) == -1)
		return NULL;
	return q->data + q->to;
}

void queue_added(struct queue *q, size_t len)
{
	q->to += len;
}

int queue_mark(struct queue *q, size_t at, int fd)
{
	struct queue_mark *marks = q->marks;
	size_t cap = q->mark_cap > 0 ? 2 * q->mark_cap : 4;

	if (q->mark_count >= QUEUE_MARKS_MAX || at > queue_len(q) ||
		(q->mark_count > 0 && at <= q->marks[q->mark_count - 1].at)) {
		errno = ENOBUFS;
		return -1;
	}
	if (q->mark_count == q->mark_cap) {
		marks = realloc(marks, cap * sizeof(*marks));
		if (marks == NULL) {
			errno = ENOMEM;
			return -1;
		}
		q->marks = marks;
		q->mark_cap = cap;
	}
	marks[q->mark_count++] = (struct queue_mark){at, fd};
	return 0;
}

int queue_put(
	struct queue *q, const char *line, size_t len, int fd, size_t limit)
{
	char *to = queue_room(q, len + 1, limit);

	if (to == NULL || (fd != -1 && queue_mark(q, queue_len(q), fd) == -1))
		return -1;
	(void)memcpy(to, line, len);
	to[len] = '\n';
	queue_added(q, len + 1);
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
	*data = q->data + q->from;
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
		q->marks[i - gone] = (struct queue_mark){
			q->marks[i].at - len, q->marks[i].fd};
	q->mark_count -= gone;
	q->in_line = q->data[q->from + len - 1] != '\n';
	q->from += len;
	if (q->from == q->to)
		queue_clear(q);
}

size_t queue_lines(const struct queue *q)
{
	size_t count = 0;

	for (size_t at = q->from; at < q->to; at++)
		count += q->data[at] == '\n';
	return count;
}

void queue_clear(struct queue *q)
{
	bool in_line = q->in_line;

	for (size_t i = 0; i < q->mark_count; i++)
		fd_close(&q->marks[i].fd);
	free(q->marks);
	free(q->data);
	*q = (struct queue){.in_line = in_line};
}
