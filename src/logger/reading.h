/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_READING_H
#define LOGGER_READING_H

#include "logger/cluster.h"
#include "logger/keep.h"
#include "logger/offload.h"
#include "logger/remember.h"
#include "logger/source.h"
#include "logger/stream.h"
#include "protocol/logwire.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The logger as it runs (logger.c), and how it reads the pipes of its workers: each pipe with
 * data gets a share of a turn of the loop, the data are cut into lines, and the lines go to the
 * sinks of the pipe's cluster.  Pipes of a cluster that is not read now are not watched.
 */
enum stage { RUNNING, DRAINING, FLUSHING };

struct logger {
	struct ev_loop *loop;
	struct ev_io channel;
	struct ev_io answers; /* the channel again, while it takes no more */
	/*
	 * Pipes with data, by an epoll set of our own.  The supervisor has the
	 * pipes open too, so that closing ours does not take them out of a set,
	 * and libev relies on that: a closed one would go on being reported, and
	 * libev would build its set anew each time.
	 */
	struct ev_io readable;
	struct ev_prepare turn;
	struct ev_periodic far;
	struct ev_timer deadline;
	enum stage stage;
	enum logwire_sink sink;
	bool colour;
	struct stream streams[2];
	struct source_table sources;
	unsigned pipes; /* open */
	unsigned held;  /* of these, open by a process that a dead worker left */
	struct source *due;
	struct source **due_end;
	struct keep keep;
	struct source_pipe *reading;
	struct memories memories;
	struct offload offload;
	struct clusters clusters;
	unsigned width;    /* of the longest name before a line */
	bool has_others;   /* workers may have other users */
	bool look_at_size; /* look up the size of our terminal */
	bool is_sized;     /* the workers' terminals have a size */
	int over;          /* the channel, when the supervisor has closed it */
};

/* The stream for a pipe's lines with prefixes, or copies. */
struct stream *reading_stream_of(const struct logger *logger, const struct source_pipe *pipe);
/* Is the pipe copied?  To a terminal lines go instead, whose control bytes are escaped. */
bool reading_is_copied(const struct logger *logger, const struct source_pipe *pipe);

/* Read that descriptor from now on; -1 and errno. */
int reading_watch(const struct logger *logger, struct source_pipe *pipe, int fd);
void reading_on_readable(struct ev_loop *loop, ev_io *watcher, int revents);
/* May the cluster's pipes be read now? */
bool reading_is_on(const struct cluster *c);
/* Watch the cluster's unwatched pipes again, in the order in which they were. */
void reading_resume(void *owner, struct cluster *c);
/* Read one turn's share. false: no more data now, or ever. */
bool reading_pipe(struct logger *logger, struct source_pipe *pipe);
/* Note data that stay in the pipe because a sink is full: they may be the last words. */
void reading_peek(struct logger *logger, struct source_pipe *pipe);
/* A pipe is at its end: close it. */
void reading_end(struct logger *logger, struct source_pipe *pipe);

/* A call for that pipe hangs. */
void reading_note_hang(struct logger *logger, struct source_pipe *pipe);
/* A call for which the loop has not waited has returned. */
void reading_goes_on(void *owner, const struct offload_call *call);

void reading_free(struct logger *logger, struct source *source);
void reading_forget_if_over(struct logger *logger, struct source *source);

#endif
