/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_STREAM_H
#define LOGGER_STREAM_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * stdout or stderr, to which sinks write by turns (logger/sink.h).  Writing never blocks.
 * The descriptor is watched only while it is full.  The struct must not move in memory.
 */
#define STREAM_ENOUGH ((size_t)32 * 1024) /* is written at once */

struct sink;

struct stream {
	struct ev_loop *loop;
	struct ev_io writable;
	int fd;
	bool is_ours; /* the descriptor is ours, to be closed */
	bool is_socket;
	bool is_pipe;
	bool is_terminal;      /* control bytes are escaped */
	bool can_block;        /* the descriptor could not be opened anew */
	bool is_full;          /* it took no more */
	bool is_dead;          /* its reader is gone, and the log says so */
	size_t batch;          /* bytes written at once */
	size_t batch_if_empty; /* bytes written at once to an empty pipe */
	size_t holds;          /* capacity of a pipe */
	size_t pieces;         /* written since it was empty, and no whole pages */

	struct sink *turns; /* sinks that have output */
	struct sink *last_turn;
	struct sink *mid;  /* the sink whose line is half written: it goes on first */
	bool is_copied_to; /* workers are copied to it, every second turn */
	bool copies_next;  /* the next turn is a copy's */
};

/* Write to the file of `original` (which stays the caller's), by a descriptor of our
 * own where that can be opened, so that no other process's becomes non-blocking. */
void stream_open(struct stream *s, struct ev_loop *loop, int original);
void stream_close(struct stream *s);
/* Write some of the data; 0: nothing now; -1 and errno.  `as_is`: the data are no
 * lines, which messages of other processes must not tear. */
ssize_t stream_write(struct stream *s, const char *data, size_t len, bool as_is);
/* So many bytes would be taken whole; 0: none now; SIZE_MAX: all, as by a file. */
size_t stream_room(struct stream *s);

#endif
