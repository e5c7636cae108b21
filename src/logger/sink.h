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
 * is taken in each second.  Then the sink drops what comes, counts the lines, and tells
 * the number in their place when it has taken what waited.  Of workers that say little it
 * still takes SINK_HIGH, so that one that floods costs its own lines.  A write that fails
 * (a full disk) is tried again each second; for a stream nobody waits meanwhile.  Bytes
 * that are copied are no lines: who writes them waits for their reader, however long that
 * takes.
 *
 * By its writer (stream, file, daemon) a sink gives whole lines, by turns with those of
 * the same stream; blocks of whole lines; or a datagram for each line.
 */
#define SINK_HIGH ((size_t)128 * 1024) /* too much */
#define SINK_PATIENCE 1.0
#define SINK_TAKES ((size_t)1024 * 1024)
/* All of them have so much memory together, of which a cluster gets half of what the
 * others leave; and when that is used up, each still has this. */
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
	const char *name; /* for messages: what it was given as */
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
	ev_tstamp hurry;      /* until then nobody waits for it */
	int sys;              /* why it takes nothing; 0: it is slow */
	ev_tstamp try_again;  /* if `sys` */
	bool dropping;
	size_t spared;   /* bytes of workers that say little, taken since then */
	const char *why; /* it drops */
	unsigned long dropped;
	ev_tstamp told; /* that it drops */

	struct stream *stream; /* or NULL, and it has what follows */
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

/* `stream`: NULL, it is none. */
struct sink *sink_new(struct clusters *all, struct cluster *of, enum sink_kind kind, uint32_t slot,
	struct stream *stream);
void sink_free(struct sink *o);

/* A block of `author`'s: whole lines, or a piece of a long one. */
void sink_put(struct sink *o, uint64_t author, const char *data, size_t len);
/* One line, as a daemon wants it. */
void sink_send(struct sink *o, const char *data, size_t len);
/* One for a stream, with what stands before it. */
void sink_line(struct sink *o, const char *before, size_t before_len, const char *text, size_t len);
/* So much may be read for it now, to be copied at once. */
size_t sink_room(struct sink *o, size_t most);
void sink_copy(struct sink *o, const char *data, size_t len);

/* Write what waits. */
void sink_flush(struct sink *o);
size_t sink_waiting(const struct sink *o);
/* Should nobody read more for it now? */
bool sink_is_full(struct sink *o);
/* Each 0.25 s while it is in need: true, it is still. */
bool sink_look(struct sink *o);

/* Write what waits for a stream; or for each time before the loop waits its share. */
void sinks_flush(struct stream *s);
void sinks_turn(struct stream *s);
/* Does something still wait that it may take?  Then the loop comes back at once. */
void sinks_watch(struct stream *s);

/* ---- of its own descriptor (sink_file.c) ---- */

/* Ask for a descriptor, unless that was done. */
void sink_ask(struct sink *o, enum logwire_ask what);
/* It has come (taken, and -1 then), or not. */
void sink_opened(struct sink *o, const struct logwire_packet *p, int *fd);
/* A write has returned. */
void sink_goes_on(struct sink *o, const struct offload_call *call);

/* ---- between the engine (sink.c) and the writer of files (sink_file.c) ---- */

ev_tstamp sink_now(const struct sink *o);
/* Is there something in `out`? */
bool sink_has_more(struct sink *o);
/* It has taken so much of that. */
void sink_note_taken(struct sink *o, size_t len);
/* It takes nothing, because of that. */
void sink_fail(struct sink *o, int error);

/* May some be written now, and is there something?  What is needed is asked for. */
bool sink_file_is_ready(struct sink *o);
void sink_file_write(struct sink *o);
/* It waits for the next file. */
bool sink_file_is_put_off(const struct sink *o);
void sink_file_close(struct sink *o);

#endif
