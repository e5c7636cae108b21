/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/messages/messages.h"

/*
 * The message channel of a worker: a pair of stream sockets, one message a line, both ways.  Each
 * child has one, made before its start and closed when it is reaped; the lines of Node's are
 * node's (moment_line()).
 *
 * All that a worker can make grow is bounded: a line (1 MiB; the rest of a longer line is skipped),
 * unread output (1 MiB; a worker that does not read loses only its own messages), descriptors in
 * the queue, bytes a turn, and the time that its messages take (common/allowance.h).  An empty channel holds no
 * memory.
 */
#define CHANNEL_LINE_MAX (1024U * 1024)
#define CHANNEL_QUEUE_MAX (1024U * 1024)
/* The limit for lines that the protocol itself needs. */
#define CHANNEL_QUEUE_MUST (2U * 1024 * 1024)

struct channel {
	struct child *child;
	enum channel_kind kind;
	ev_io io;        /* its fd: nclust's end; -1: the worker has closed its end */
	nsec_t stuck_at; /* when that was reported last; or 0 */
	struct line_reader in;
	struct queue out;
	uint64_t received;      /* messages from the worker */
	uint64_t sent;          /* messages put into the worker's queue */
	uint64_t dropped;       /* messages for which its queue had no room */
	uint64_t dropped_known; /* how many of them were logged */
	uint64_t invalid;       /* messages from the worker that were no JSON */
	uint64_t skipped;       /* lines from the worker that were too long */
	unsigned lines;         /* of the last read */
	unsigned answers;       /* of these lines, answers to what nclust has sent */
	bool last;              /* the worker is dead, and these are its last lines */
};

int messages_on_prepare(struct child *child, struct birth *birth, struct error *err);
void messages_on_born(struct child *child);
void messages_on_dying(struct child *child);
void messages_on_gone(struct child *child);
void messages_on_adopt(struct child *child, struct worker_fds *fds);
void messages_on_go_on(struct supervisor *sup);

/*
 * Queues a line (without '\n'; channel_send_parts(): in parts) for the worker; it is sent in the
 * next turn.  `fd`, or -1, goes with the line; if 0 is returned, the channel owns it.  -1:
 * the worker has no channel any more (EPIPE), does not read (ENOBUFS; counted and logged), or there
 * is no memory (ENOMEM).  `must`: the protocol needs the line, which is not counted, and has room
 * where messages have none.
 */
int channel_send(struct channel *c, const char *line, size_t len, int fd, bool must);
int channel_send_parts(
	struct channel *c, const struct queue_part *pieces, size_t count, int fd, bool must);

/* Makes the channel of a child, which an upgrade fills; NULL: no memory. */
void *channel_carried(struct carry_reader *r, void *child);
