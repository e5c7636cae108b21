/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CHANNEL_H
#define SUPERVISOR_CHANNEL_H

#include "protocol/lineup.h"
#include "supervisor/messages/queue.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/part.h"
#include "supervisor/workers/environment.h"

/*
 * The message channel of a worker: a pair of stream sockets, a line a message,
 * both ways.  One per child, made before it is born and closed when it is
 * reaped.  What the lines mean is their speaker's business (channel_speaker).
 *
 * All that a worker could grow is bounded: a line (1 MiB; the rest of a longer
 * one is skipped), what it does not read (1 MiB; then it loses what is meant for
 * it, and nobody else anything), descriptors in the queue, and bytes a turn.
 * Memory is given back whenever there is nothing to hold.
 */
#define CHANNEL_LINE_MAX (1024U * 1024)
#define CHANNEL_QUEUE_MAX (1024U * 1024)
/* Beyond that, what the protocol itself needs to say. */
#define CHANNEL_QUEUE_MUST (2U * 1024 * 1024)

struct channel {
	struct child *child;
	enum channel_kind kind;
	ev_io io;         /* its fd: our end; -1: the worker has closed it */
	int passed;       /* came, and nobody has taken it yet; or -1 */
	bool passed_lost; /* one came that we had no room for */
	bool stuck;       /* it does not read, and loses messages */
	bool stuck_told;
	nsec_t told_at;
	bool overlong_told;
	bool dirty; /* in the list of those that have something to send */
	struct channel *next_dirty;
	struct lineup in;
	struct queue out;
	uint64_t received;     /* messages from it */
	uint64_t sent;         /* messages put into its queue */
	uint64_t dropped;      /* those that it had no room for, … */
	uint64_t dropped_told; /* … as was told */
	uint64_t invalid;      /* those from it that were no JSON */
	uint64_t skipped;      /* lines of its own that were too long */
	unsigned fanout;       /* so many got the last message from it */
	nsec_t hold_until;     /* no descriptors are sent before that; or 0 */
};

/* Who makes sense of the lines of a kind: a room says so in its part. */
struct channel_speaker {
	enum channel_kind kind;
	/* A line has come, without its '\n'; the bytes are valid for the call.
	 * A descriptor that came with it: channel_take_passed(). */
	void (*on_line)(struct channel *c, const char *line, size_t len);
	/* The worker has closed it, or is dead: nothing more comes.  All lines
	 * before that were heard.  c->io.fd is -1. */
	void (*on_end)(struct channel *c);
};

extern const struct part messages_part;

/*
 * Queue a line (without '\n') for the worker; it is sent at the end of the turn.
 * `fd` goes with it and is owned from then on, if 0 is returned; or it is -1.
 * -1: the worker has no channel any more (EPIPE), does not read (ENOBUFS; counted
 * and told), or there is no memory (ENOMEM).  `must`: of the protocol's own, no
 * message of a user: it is not counted, and has room where those have none.
 */
int channel_send(
	struct channel *c, const char *line, size_t len, int fd, bool must);
/* The same of a message in parts; no descriptor. */
struct channel_part {
	const char *data;
	size_t len;
};
int channel_send_parts(
	struct channel *c, const struct channel_part *pieces, size_t count);

/* The descriptor that came last, which is the caller's then; -1: none came (or
 * it was lost: c->passed_lost, which this clears). */
int channel_take_passed(struct channel *c, bool *lost);

/* End it from our side: the worker hears the end.  on_end() is not called. */
void channel_shut(struct channel *c);

void channels_init(struct supervisor *sup);
/* Once a turn: send what was queued. */
void channels_flush(struct supervisor *sup);

/* How it goes through an upgrade, and a descriptor in its queue. */
extern const struct carried carried_channel;
extern const struct carried carried_mark;
/* An upgrade: the channel of a child that was carried; NULL: no memory. */
void *channel_carried(struct carry_reader *r, void *child);

#endif
