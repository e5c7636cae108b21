/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_SINK_H
#define LOGGER_SINK_H

#include "base/buffer.h"
#include "logger/offload.h"
#include "logger/stream.h"
#include "protocol/logwire.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Where output of one cluster goes: stdout or stderr, which it shares with others; or a
 * file, a FIFO or the socket of a log daemon that the supervisor opens for us, since we
 * have no rights.  What is not taken yet waits in a buffer of bounded size.
 *
 * While too much waits, the cluster's pipes are not read, but only as long as SINK_TAKES
 * is taken in each second.  After that the sink drops what comes, counts the lines, and
 * writes their number in their place when all that waited is written.  Meanwhile it still
 * takes SINK_HIGH of workers that write little, so that a flood costs its own lines alone.
 * A write that fails (a full disk) is tried again each second; the workers do not wait for
 * a stream that fails.  Bytes that are copied are no lines: their worker waits for the
 * reader, however long that takes.
 *
 * A stream gets whole lines, and its sinks write by turns; a file gets blocks of whole
 * lines; a daemon gets a datagram for each line.
 */
#define SINK_HIGH ((size_t)128 * 1024) /* too much */
#define SINK_PATIENCE 1.0
#define SINK_TAKES ((size_t)1024 * 1024)
/* The memory of all sinks together, of which a cluster gets half of what the others
 * leave; and what each sink has even when that is used up. */
#define SINKS_MOST ((size_t)16 * 1024 * 1024)
#define SINK_LEAST ((size_t)16 * 1024)

struct clusters;
struct cluster;

enum sink_kind {
	SINK_PREFIX = LOGWIRE_TO_PREFIX,
	SINK_JSON = LOGWIRE_TO_JSON,
	SINK_FILE = LOGWIRE_TO_FILE,
	SINK_JOURNAL = LOGWIRE_TO_JOURNAL,
	SINK_SYSLOG = LOGWIRE_TO_SYSLOG,
	SINK_COPY, /* to a stream, as it is */
};

/* A file as the supervisor's child has found it. */
struct sink_file {
	int fd;         /* -1: there is none */
	uint64_t inode; /* 0: it is no regular file */
	uint64_t dev;
	uint64_t size;
	ev_tstamp born; /* 0: not known */
};

struct sink {
	struct sink *next;
	struct clusters *all;
	struct cluster *of;
	enum sink_kind kind;
	const char *name; /* for messages: as the settings say it */
	uint32_t index;   /* in the list of the cluster */
	uint32_t slot;    /* of a stream: which one it is */
	bool leaving;     /* to be freed when all is written */

	struct buffer in;  /* what is put … */
	struct buffer out; /* … and goes here when all of this is written */
	size_t head;       /* so much of that is */
	size_t memory;     /* of both, as counted in all->memory */
	uint64_t author;   /* of what was put last … */
	bool mid_line;     /* … which does not end with a newline */
	bool mid_written;  /* the same of what was written */

	ev_tstamp full_since; /* 0: it is not */
	size_t taken;         /* since then */
	ev_tstamp hurry;      /* until then the workers do not wait for it */
	int sys;              /* errno of the last write or opening; 0: none */
	ev_tstamp try_again;  /* if `sys` */
	bool dropping;
	size_t spared;   /* bytes of workers that write little, taken since then */
	const char *why; /* why it drops */
	unsigned long dropped;
	ev_tstamp told; /* when the log last said that it drops */

	struct stream *stream; /* NULL: a file or a daemon, which has what follows these */
	struct sink *next_turn;
	bool has_turn;

	struct sink_file file;
	ev_io writable; /* active: it takes no more now */
	bool asked;
	ev_tstamp ask_again; /* not before */
	unsigned failures;   /* to open it, in a row */

	struct sink_file later; /* to be used from the next line on */
	size_t late;            /* bytes written since that came */
	bool rotates;           /* … and then the old one is complete */
	bool writes;            /* a thread writes `out` */
	ev_tstamp writes_since;
	uint64_t size_max; /* 0: never */
	ev_tstamp age_max; /* 0: never */
};

/* `stream`: NULL for a file or a daemon. */
struct sink *sink_new(struct clusters *all, struct cluster *of, enum sink_kind kind, uint32_t slot,
	struct stream *stream);
void sink_free(struct sink *o);

/* A block of `author`'s: whole lines, or a piece of a long one. */
void sink_put(struct sink *o, uint64_t author, const char *data, size_t len);
/* One line, as a daemon wants it. */
void sink_send(struct sink *o, const char *data, size_t len);
/* A line for a stream, with its prefix. */
void sink_line(struct sink *o, const char *before, size_t before_len, const char *text, size_t len);
/* So much of `most` may be read now to be copied to it at once. */
size_t sink_room(struct sink *o, size_t most);
void sink_copy(struct sink *o, const char *data, size_t len);

/* Write what waits. */
void sink_flush(struct sink *o);
size_t sink_waiting(const struct sink *o);
/* Should nothing be read for it now? */
bool sink_is_full(struct sink *o);
/* Look after it, each 0.25 s since clusters_need().  false: that is not needed any more. */
bool sink_look(struct sink *o);

/* Write what waits for a stream; or for each time before the loop waits its share. */
void sinks_flush(struct stream *s);
void sinks_turn(struct stream *s);
/* If something still waits the loop comes back as soon as the stream takes it. */
void sinks_watch(struct stream *s);

/* ---- of its own descriptor (sink_file.c) ---- */

/* Ask for a descriptor, unless that was done. */
void sink_ask(struct sink *o, enum logwire_ask what);
/* The answer: the descriptor, which is taken (and -1 then); or -1: it cannot be opened. */
void sink_opened(struct sink *o, const struct logwire_packet *p, int *fd);
/* A write has returned. */
void sink_goes_on(struct sink *o, const struct offload_call *call);

/* ---- between the engine (sink.c) and the writer of files (sink_file.c) ---- */

ev_tstamp sink_now(const struct sink *o);
/* Is there something in `out`? */
bool sink_has_more(struct sink *o);
/* So much of that is written. */
void sink_note_taken(struct sink *o, size_t len);
/* A write has failed with that errno. */
void sink_fail(struct sink *o, int error);

/* May something be written now?  A descriptor that is missing is asked for. */
bool sink_file_is_ready(struct sink *o);
void sink_file_write(struct sink *o);
/* It waits for the next file. */
bool sink_file_is_put_off(const struct sink *o);
void sink_file_close(struct sink *o);

#endif
