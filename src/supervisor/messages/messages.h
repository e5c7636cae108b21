/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/text.h"
#include "protocol/line_reader.h"
#include "protocol/natswire.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/job.h"
#include "supervisor/common/moment.h"
#include "supervisor/common/state.h"
#include "supervisor/workers/recipe.h"

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

/*
 * The message channel of a worker: a pair of stream sockets, one message a line, both ways.  Each
 * child has one, made before its start and closed when it is reaped; the lines of Node's are
 * node's (moment_line()).
 *
 * All that a worker can make grow is bounded: a line (1 MiB; the rest of a longer line is skipped),
 * unread output (1 MiB; a worker that does not read loses only its own messages), descriptors in
 * the queue, bytes a turn, and the time that its messages take (timer.h).  An empty channel holds no
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

/* How a channel, and a descriptor in its queue, go through an upgrade. */
extern const struct carried carried_channel;
extern const struct carried carried_mark;
/* Makes the channel of a child, which an upgrade fills; NULL: no memory. */
void *channel_carried(struct carry_reader *r, void *child);

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

/*
 * Messages to and from other machines, for one cluster: `relay = nats://...`.  A process of its own
 * (nats/natsrole.h) talks with the broker; this is nclust's end of the channel to that process.
 *
 * nclust never waits for the process: what it does not take waits in a queue of at most 1 MiB, and
 * more is dropped and counted.  What comes from the process may be anything: nclust counts and
 * drops lines that are no messages.
 */

struct broker {
	struct service *service;
	char *setup; /* heap: the first lines for the process */
	struct role_life life;
	ev_io io;          /* its fd: nclust's end of the channel, or -1 */
	bool up;           /* the process is connected to the broker */
	nsec_t dropped_at; /* when messages that come too fast were logged; or 0 */
	struct line_reader in;
	struct queue out;
	struct buffer head; /* beginning of each message; empty before the first */
	char id[NATSWIRE_ID];
	char host[NATSWIRE_HOST];
	uint64_t most;          /* most bytes that the broker takes in a message */
	uint64_t sent;          /* messages put into the queue */
	uint64_t received;      /* messages from other machines */
	uint64_t dropped;       /* messages for which there was no room */
	uint64_t dropped_known; /* how many of them were logged */
	uint64_t large;         /* of these: larger than the broker takes */
	uint64_t missed;        /* messages that came faster than nclust reads */
	uint64_t invalid;       /* lines from the process that are no messages */
	uint64_t other;         /* of these: messages of another format */
};

/* At the start: begins for the clusters that have a broker. */
void brokers_begin(struct supervisor *sup);

/* Sends a message of a worker to other machines.  `origin`: from `"from":` to the value. */
void broker_send(
	struct broker *b, const char *origin, size_t origin_len, const char *line, size_t len);

void broker_on_go_on(struct supervisor *sup);
void broker_on_reloaded(struct service *service);
void broker_on_shutdown(struct supervisor *sup);
void broker_on_drop(struct service *service);
void broker_on_status(struct json_writer *w, const struct service *service);

/* How a broker goes through an upgrade, while its process runs on. */
extern const struct carried carried_broker;
void *broker_carried(struct carry_reader *r, void *service);
