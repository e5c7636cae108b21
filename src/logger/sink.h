/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "protocol/logwire.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/types.h>

/*
 * Where output goes: stdout or stderr, which all clusters share; or, of one cluster, a file, a
 * FIFO or the socket of a log daemon that the supervisor opens for us, since the logger has no
 * rights.  Output that is not taken yet waits in a buffer of bounded size.
 *
 * While too much waits, the pipes whose output goes there are not read, but only as long as
 * SINK_TAKES is taken in each second.  After that the sink drops output, counts the lines, and
 * writes their number in their place when all that waited is written.  Workers that write little
 * neither wait nor lose lines meanwhile, up to SINK_HIGH of them all, so that a flood costs its own
 * lines alone.  A write that fails (a full disk) is tried again each second; the workers do not wait
 * for a stream that fails.  Bytes that are copied are no lines: their worker waits for the reader,
 * however long that takes.
 *
 * A stream gets whole lines; a file gets blocks of whole lines; a daemon gets a datagram for each
 * line.
 */
#define SINK_HIGH ((size_t)128 * 1024)  /* too much */
#define SINK_ENOUGH ((size_t)32 * 1024) /* is written at once */
#define SINK_PATIENCE 1.0
#define SINK_TAKES ((size_t)1024 * 1024)
struct clusters;
struct cluster;
struct route;

enum sink_kind { SINK_STREAM, SINK_FILE, SINK_DAEMON };

/* What is known of stdout or stderr. */
struct stream {
	bool is_socket;
	bool is_pipe;
	bool is_terminal;        /* control bytes are escaped */
	bool can_block;          /* the descriptor could not be opened anew */
	bool is_dead;            /* its reader is gone, and the log says so */
	struct source_pipe *mid; /* what was copied last, of it, ends within a line; or NULL */
};

/* A file, with the facts that the supervisor's child has found. */
struct sink_file {
	int fd;         /* -1: none */
	uint64_t inode; /* 0: not a regular file */
	uint64_t dev;
	uint64_t size;
	ev_tstamp born; /* 0: unknown */
	uint64_t place; /* a hash of its path as it was opened */
};

struct sink {
	struct sink *next;
	struct clusters *all;
	enum sink_kind kind;
	struct sink_file file; /* what is written to now */
	ev_io writable;        /* active: it takes no more now */

	struct buffer in;  /* output is put here */
	struct buffer out; /* and is moved here when `out` is written */
	size_t head;       /* bytes of `out` that are written */
	uint64_t author;   /* worker of the output that was put last */
	bool mid_line;     /* that output does not end with a newline */
	bool mid_written;  /* what was written last does not either */

	ev_tstamp full_since; /* 0: the sink is not full */
	size_t taken;         /* bytes written since full_since */
	ev_tstamp hurry;      /* until then the workers do not wait for it */
	int sys;              /* errno of the last write or opening; 0: success */
	ev_tstamp try_again;  /* with `sys`: time of the next try */
	bool dropping;
	size_t spared;   /* bytes taken of workers that write little, since full_since */
	const char *why; /* the reason for dropping lines */
	unsigned long dropped;

	struct stream stream; /* of a stream */

	/* of a file or a daemon */
	struct cluster *of;
	struct route *route; /* NULL: none, to be freed when all is written */
	uint32_t slot;
	ev_tstamp drop_at;  /* when the log last said that lines are dropped */
	ev_tstamp asked_at; /* when the supervisor was asked for a descriptor; 0: it has answered */
	ev_tstamp ask_again;    /* time before which it is not asked again */
	ev_tstamp moved_at;     /* when the file was first seen to be no more at its path; or 0 */
	unsigned failures;      /* to open it, in a row */
	struct sink_file later; /* to be used from the next line on */
	bool rotates;           /* the old file is complete when `later` is used */
	bool writes;            /* a thread writes `out` */
	ev_tstamp writes_since;
};

void sink_init(struct sink *o, struct clusters *all, enum sink_kind kind);
struct sink *sink_new(struct clusters *all, struct cluster *of, struct route *route, uint32_t slot);
/* Count and tell what is lost with it; also while a thread writes `out`. */
void sink_tell_end(struct sink *o);
void sink_close(struct sink *o);
void sink_free(struct sink *o);

/* What is put at once, and taken whole or lost: a line or a piece of one, formatted for a daemon, or
 * bytes to be copied. */
struct sink_text {
	struct cluster *of;
	uint64_t author; /* of several in one file; another one's unfinished line is ended */
	const char *before;
	size_t before_len;
	const char *text;
	size_t len;
	bool newline; /* is put behind it */
	bool escapes; /* it is shown on a terminal */
};

void sink_put(struct sink *o, const struct sink_text *t);

/* Write what waits. */
void sink_flush(struct sink *o);
size_t sink_waiting(const struct sink *o);
/* Should those wait whose output goes there? */
bool sink_is_full(struct sink *o);
/* Is the sink to be looked after each 0.25 s, since it waits for something? */
bool sink_needs_look(const struct sink *o);

/* Ask the supervisor for a descriptor. */
void sink_ask(struct sink *o, enum logwire_ask what);
/* The answer: the descriptor, which is taken (-1 then); or -1: it cannot be opened. */
void sink_opened(struct sink *o, const struct logwire_packet *p, int *fd);

/* ---- stream ---- */

/* Write to the file of `original`, by another descriptor where that can be opened, so that no other
 * process's becomes non-blocking; else by that one, which is closed with the sink. */
void stream_open(struct sink *o, int original);
/* How much may be read now to be copied there, up to OFFLOAD_DATA: no more than it takes at once, but
 * for a worker that has ended. */
size_t stream_room(struct sink *o, bool has_ended);
