/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_STREAM_H
#define LOGGER_STREAM_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * stdout or stderr, to which sinks write by turns (logger/sink.h).  Writing never
 * blocks.  Its descriptor is watched only while it is full.  It must not move in memory.
 */
#define STREAM_ENOUGH ((size_t)32 * 1024) /* is written at once */

struct sink;

struct stream {
	struct ev_loop *loop;
	struct ev_io writable;
	int fd;
	bool is_ours; /* a descriptor of its own, to be closed */
	bool is_socket;
	bool is_pipe;
	bool is_terminal;      /* control bytes are escaped */
	bool can_block;        /* it could not be opened anew */
	bool is_full;          /* it took no more */
	bool is_dead;          /* nobody reads it any more, and the log says so */
	size_t batch;          /* so much is written at once */
	size_t batch_if_empty; /* … to a pipe in which nothing is */
	size_t holds;          /* a pipe, so many bytes */
	size_t pieces;         /* written there that were no whole pages, since it was empty */

	struct sink *turns; /* that have something to write */
	struct sink *last_turn;
	struct sink *mid;  /* a part of its line is written: it goes on first */
	bool is_copied_to; /* workers are copied to it, in each second turn … */
	bool copies_next;  /* … such as the next one */
};

/* Write to what `original` (stays the caller's) is, by a descriptor of our
 * own where that can be had, so that nobody else's becomes non-blocking. */
void stream_open(struct stream *s, struct ev_loop *loop, int original);
void stream_close(struct stream *s);
/* Some of that; 0: nothing now; -1 and errno.  `as_is`: they are no lines, which are not to
 * be torn by what others write to the same pipe. */
ssize_t stream_write(struct stream *s, const char *data, size_t len, bool as_is);
/* So many bytes would be taken whole; 0: nothing now; SIZE_MAX: all, as by a file. */
size_t stream_room(struct stream *s);

#endif
