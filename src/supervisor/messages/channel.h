/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CHANNEL_H
#define SUPERVISOR_CHANNEL_H

#include "protocol/line_reader.h"
#include "supervisor/messages/queue.h"
#include "supervisor/common/allowance.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/part.h"
#include "supervisor/workers/environment.h"

/*
 * The message channel of a worker: a pair of stream sockets, one message a line, both ways.  Each
 * child has one, made before its start and closed when it is reaped; a room that understands the
 * lines of a kind of channels is their speaker (channel_speaker).
 *
 * All that a worker can make grow is bounded: a line (1 MiB; the rest of a longer line is skipped),
 * unread output (1 MiB; a worker that does not read loses only its own messages), descriptors in
 * the queue, bytes a turn, the time that the messages of all channels take in a turn, and the time
 * that its own take (allowance.h).  An empty channel holds no memory.
 */
#define CHANNEL_LINE_MAX (1024U * 1024)
#define CHANNEL_QUEUE_MAX (1024U * 1024)
/* The limit for lines that the protocol itself needs. */
#define CHANNEL_QUEUE_MUST (2U * 1024 * 1024)

struct channel {
	struct child *child;
	enum channel_kind kind;
	ev_io io;         /* its fd: nclust's end; -1: the worker has closed its end */
	int passed;       /* a received descriptor that no line has taken; or -1 */
	bool passed_lost; /* a descriptor came for which there was no room */
	bool stuck;       /* the worker does not read, and loses messages */
	nsec_t stuck_at;  /* when that was reported last; or 0 */
	bool dirty;       /* it is in the list of channels with something to send */
	struct channel *next_dirty;
	struct line_reader in;
	struct queue out;
	uint64_t received;          /* messages from the worker */
	uint64_t sent;              /* messages put into the worker's queue */
	uint64_t dropped;           /* messages for which its queue had no room */
	uint64_t dropped_known;     /* how many of them were logged */
	uint64_t invalid;           /* messages from the worker that were no JSON */
	uint64_t skipped;           /* lines from the worker that were too long */
	unsigned fanout;            /* how many workers got its last message */
	struct allowance allowance; /* for its messages */
	unsigned lines;             /* of the last read */
	unsigned answers;           /* of these lines, answers to what nclust has sent */
	bool last;                  /* the worker is dead, and these are its last lines */
	nsec_t hold_until;          /* nothing is sent before that; or 0 */
};

/* Handles the lines of one kind of channel: a room names it in its part. */
struct channel_speaker {
	enum channel_kind kind;
	/* A line has come, without its '\n'; the bytes are valid for the call.
	 * channel_take_passed() returns a descriptor that came with it. */
	void (*on_line)(struct channel *c, const char *line, size_t len);
	/* The worker has closed the channel, or is dead: on_line() was called for all lines, and
	 * c->io.fd is -1. */
	void (*on_end)(struct channel *c);
};

extern const struct part messages_part;

/*
 * Queues a line (without '\n'; channel_send_parts(): in parts) for the worker; it is sent at the
 * end of the turn.  `fd`, or -1, goes with the line; if 0 is returned, the channel owns it.  -1:
 * the worker has no channel any more (EPIPE), does not read (ENOBUFS; counted and logged), or there
 * is no memory (ENOMEM).  `must`: the protocol needs the line, which is not counted, and has room
 * where messages have none.
 */
int channel_send(struct channel *c, const char *line, size_t len, int fd, bool must);
int channel_send_parts(
	struct channel *c, const struct queue_part *pieces, size_t count, int fd, bool must);

/* Returns the descriptor that came last, which is then the caller's; -1: none came (or it was lost:
 * *lost, from c->passed_lost, which this clears). */
int channel_take_passed(struct channel *c, bool *lost);

void channels_init(struct supervisor *sup);
/* Once a turn: sends what was queued. */
void channels_flush(struct supervisor *sup);

/* How a channel, and a descriptor in its queue, go through an upgrade. */
extern const struct carried carried_channel;
extern const struct carried carried_mark;
/* Makes the channel of a child, which an upgrade fills; NULL: no memory. */
void *channel_carried(struct carry_reader *r, void *child);

#endif
