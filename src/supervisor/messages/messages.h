/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "protocol/line_reader.h"
#include "protocol/natswire.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/moment.h"
#include "supervisor/common/role.h"
#include "supervisor/workers/recipe.h"

struct channel;

/* ---- queue ---- */

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
	struct buffer bytes;      /* not sent yet */
	bool in_line;             /* the first of them is not the first of a line */
	struct queue_mark *marks; /* heap, QUEUE_MARKS_MAX, in order; or NULL */
	size_t mark_count;
};

/* So many descriptors wait at most. */
#define QUEUE_MARKS_MAX 64

static inline size_t queue_len(const struct queue *q)
{
	return q->bytes.len;
}

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
/* Sends what a socket takes.  1: all; 0: the socket is full; -1 and errno. */
int queue_send(struct queue *q, int to);
/* The length of the rest of a line that was sent in part. */
size_t queue_rest(const struct queue *q);

/* Counts the lines in the queue, with a line that is sent in part. */
size_t queue_lines(const struct queue *q);
void queue_clear(struct queue *q); /* closes the descriptors */

/* ---- channel ---- */

/* How a channel, and a descriptor in its queue, go through an upgrade. */
extern const struct carried carried_channel;
extern const struct carried carried_mark;

/* ---- messages ---- */

/*
 * Messages between workers, and to and from them: what a channel carries beside its protocol.  A
 * message is one JSON value on a line.  nclust passes its bytes on as they are and never parses
 * them into values, because no library here takes all that programs may send.
 */

/* A worker has sent this line (without its '\n'), on a channel of any kind: counts it, shows it to
 * clients that follow events, and relays it as `relay` says. */
void messages_from(struct channel *c, const char *line, size_t len);

/* Sends a message from outside, one JSON value on one line: to the worker of a slot, to the next
 * ready worker in turn (SLOT_ALL), or to `all`, also those that start or stop.  Returns how many
 * workers have it in their queues; *asked: for how many it was meant. */
unsigned messages_send(struct service *service, uint32_t slot, bool all, const char *line,
	size_t len, unsigned *asked);
/* Has any worker of the service a channel? */
bool messages_possible(const struct service *service);

/* Shows a message to clients that follow events; `valid`: it is JSON. */
void messages_show(const struct channel *c, const char *line, size_t len, bool valid);

/* ---- broker ---- */

/* How a broker goes through an upgrade, while its process runs on. */
extern const struct carried carried_broker;
