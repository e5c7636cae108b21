/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_SINK_H
#define LOGGER_SINK_H

#include "base/buffer.h"
#include "logger/lanes.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Where lines go: stdout or stderr.  Writing never blocks and never fails for
 * the caller.  What the reader does not take yet waits in a bounded queue, and
 * behind that in lanes (logger/lanes.h), from which clusters and workers have
 * equal turns.  The caller waits while there is too much, but only as long as the
 * reader takes SINK_TAKES a second.  Then, when these are full, lines are dropped
 * and counted, and the count is written, as a line among the others.  The same happens
 * when a write fails (a full disk), with the reason.
 *
 * Who copies bytes asks for the room there is, and waits where there is none.
 *
 * A sink watches its descriptor only while it is full.  It must not move in
 * memory.
 */
#define SINK_QUEUE_MAX (256U * 1024)
#define SINK_LANES_MAX (512U * 1024) /* what one read of short lines becomes */
#define SINK_TAKES (1024U * 1024)

struct sink {
	struct ev_loop *loop;
	struct ev_io writable;
	int fd;
	bool is_ours; /* a descriptor of its own, to be closed */
	bool is_socket;
	bool is_pipe;
	bool is_terminal;  /* control bytes are escaped */
	bool can_block;    /* it could not be opened anew */
	bool full;         /* it took no more; wait until it is writable */
	bool is_copied_to; /* with turns for those who do */
	bool copy_is_next; /* from the lanes; who copies has the next turn */
	bool mid_line;     /* what was written last is a line without its end */
	bool torn;         /* … and the rest of it was lost */
	bool is_dead;      /* nobody will ever read it, and it was told */
	bool drops_rest;   /* nobody waits until it has taken all */
	struct ev_timer patience;
	size_t taken;          /* in this second */
	ev_tstamp hurry;       /* until then nobody waits again */
	int sys;               /* why the last lines were dropped; 0: slow */
	size_t holds;          /* a pipe, so many bytes */
	size_t pieces;         /* written there that were no whole pages, since it was empty */
	size_t batch;          /* so much is written at once */
	size_t batch_if_empty; /* … to a pipe in which nothing is */
	size_t head;           /* written already of the queue */
	unsigned long dropped; /* lines, not told yet */
	unsigned long telling; /* … and those told by the notice in the queue */
	size_t notice;         /* where that stands */
	size_t notice_end;
	struct drops *drops; /* or NULL: counts them by cluster, too */
	struct buffer queue;
	struct lanes lanes; /* what is to follow it */
};

/* Write to what `original` (stays the caller's) is, by a descriptor of our
 * own where that can be had, so that nobody else's becomes non-blocking. */
void sink_open(struct sink *sink, struct ev_loop *loop, int original);
void sink_close(struct sink *sink);
/* Count what is lost by cluster, too. */
void sink_count(struct sink *sink, struct drops *drops);
/* Whose line it is, and what stands before it. */
struct sink_mark {
	const char *cluster;
	uint64_t worker;
	const char *before;
	size_t before_len;
};
/* One line; it leaves with sink_flush(), or earlier when much has come
 * together. */
void sink_put(struct sink *sink, const struct sink_mark *mark, const char *text, size_t len);
/* Should nobody read more lines for it now? */
bool sink_is_behind(struct sink *sink);
/* So many bytes would be taken now; 0: it is to be waited for.  What waits in the queue
 * goes first. */
size_t sink_room(struct sink *sink);
/* Bytes as they are, which are no more than that. */
void sink_copy(struct sink *sink, const char *data, size_t len);
void sink_flush(struct sink *sink);
/* The same, by turns with those who copy: each time before the loop waits. */
void sink_turn(struct sink *sink);
bool sink_is_empty(const struct sink *sink);

#endif
