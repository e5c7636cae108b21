/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_QUEUE_H
#define SUPERVISOR_QUEUE_H

#include "base/buffer.h"

/*
 * A queue of lines to be sent on a stream, for channels and brokers.  A line is queued whole or not
 * at all; it may carry a descriptor, which the queue then owns and sends with the line's first
 * byte.  A queued line is never dropped: queue_put() fails if there is no room.  An empty queue
 * holds no memory.
 */
struct queue_mark {
	size_t at; /* where the line begins, from the first unsent byte */
	int fd;
};

struct queue {
	struct buffer bytes;
	size_t from;              /* the first byte that is not sent */
	bool in_line;             /* the first unsent byte is not the first of a line */
	struct queue_mark *marks; /* heap, in order */
	size_t mark_count;
	size_t mark_cap;
};

/* So many descriptors wait at most. */
#define QUEUE_MARKS_MAX 64

static inline size_t queue_len(const struct queue *q)
{
	return q->bytes.len - q->from;
}

/* Makes room for `len` more bytes.  -1: the queue would have more than `limit` (ENOBUFS), or there
 * is no memory. */
int queue_reserve(struct queue *q, size_t len, size_t limit);

/* Lets a descriptor be sent with the byte at that place, which is after those of all others.  -1:
 * the descriptor stays the caller's. */
int queue_mark(struct queue *q, size_t at, int fd);

/* Appends a line, which may be in parts, and its '\n', with a descriptor or -1.  -1: no room, and
 * the descriptor stays the caller's. */
struct queue_part {
	const char *data;
	size_t len;
};
int queue_put(struct queue *q, const struct queue_part *pieces, size_t count, int fd, size_t limit);

/* Returns the length of the bytes to send in one piece: up to the next descriptor or the end.  *fd
 * is to be sent with the first of them, or is -1. 0: the queue is empty. */
size_t queue_piece(const struct queue *q, const char **data, int *fd);
/* Removes `len` bytes that were sent; closes the descriptor sent with them. */
void queue_sent(struct queue *q, size_t len);

/* Counts the lines in the queue, with a line that is sent in part. */
size_t queue_lines(const struct queue *q);
void queue_clear(struct queue *q); /* closes the descriptors */

#endif
