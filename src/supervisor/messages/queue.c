/* SPDX-License-Identifier: MIT */
#include "supervisor/messages/messages.h"

#include "base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int queue_reserve(struct queue *q, size_t len, size_t limit)
{
	if (queue_len(q) + len > limit) {
		errno = ENOBUFS;
		return -1;
	}
	/* use the room of what was sent before taking more memory */
	if (q->bytes.len + len > q->bytes.cap && q->from > q->bytes.cap / 2) {
		buffer_consume(&q->bytes, q->from);
		q->from = 0;
	}
	return buffer_reserve(&q->bytes, len);
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
	*data = q->bytes.data + q->from;
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
	q->in_line = q->bytes.data[q->from + len - 1] != '\n';
	q->from += len;
	if (queue_len(q) == 0)
		queue_clear(q);
}

size_t queue_lines(const struct queue *q)
{
	size_t count = 0;

	for (size_t at = q->from; at < q->bytes.len; at++)
		count += q->bytes.data[at] == '\n';
	return count;
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
