/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_OUTLET_H
#define LOGGER_OUTLET_H

#include "base/buffer.h"
#include "logger/offload.h"
#include "protocol/logwire.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A file, a FIFO or the socket of a log daemon that the supervisor opens for us,
 * since we have no rights.  It is asked for (LOGWIRE_ASK), and until the descriptor
 * comes, or while it takes nothing, lines wait in a buffer of bounded size.
 *
 * A file gets blocks of whole lines, a daemon a datagram for each line.  When a file
 * is full it goes on until another one comes, and then changes between two lines.
 * write(2) of a file is made by a thread (logger/offload.h), because its disk may hang.
 *
 * One that has taken too little for OUTLET_PATIENCE drops what comes, counts the
 * lines, and tells the number in their place when it has taken what waited.
 */
#define OUTLET_HIGH ((size_t)128 * 1024) /* it is full */
#define OUTLET_PATIENCE 1.0
#define OUTLET_TAKES ((size_t)1024 * 1024) /* in that time, or it drops */
/* All of them have so much memory together, of which a cluster gets half of what the
 * others leave; and when that is used up, each still has this. */
#define OUTLETS_MOST ((size_t)16 * 1024 * 1024)
#define OUTLET_LEAST ((size_t)16 * 1024)

struct routes;
struct routing;

struct outlet {
	struct outlet *next;
	struct routes *routes;
	struct routing *of; /* the cluster's */
	const char *name;   /* for messages: what it was given as */
	uint32_t index;     /* in the list of the cluster */
	uint32_t slot;
	enum logwire_to kind;
	uint64_t size_max; /* 0: never */
	ev_tstamp age_max; /* 0: never */
	int fd;
	int next_fd; /* to be used from the next line on; or -1 */
	uint64_t next_dev;
	uint64_t next_inode; /* 0: it is no file */
	uint64_t next_size;
	uint64_t next_born; /* 0: not known */
	bool rotates;       /* … and then the old one is complete */
	bool is_file;       /* a regular one */
	uint64_t dev;
	uint64_t inode;
	uint64_t size;
	ev_tstamp born;
	bool asked;
	ev_tstamp ask_again;   /* not before */
	ev_tstamp write_again; /* if `sys` */
	ev_io writable;        /* active: it takes no more now */
	bool writes;           /* a thread writes `out` */
	ev_tstamp written_at;  /* when it began to */
	bool leaving;          /* to be freed when all is written */
	int sys;               /* why it takes nothing; 0: it is slow */
	struct buffer in;      /* what is put … */
	struct buffer out;     /* … and goes here when all of this is written */
	size_t head;           /* so much of that is */
	size_t memory;         /* of both, as counted in routes->memory */
	uint64_t author;       /* of what was put last … */
	bool mid_line;         /* … which does not end with a newline */
	bool mid_written;      /* the same of what was written */
	size_t late;           /* bytes written since next_fd came */
	ev_tstamp full_since;  /* 0: it is not */
	size_t taken;          /* since then */
	ev_tstamp hurry;       /* until then nobody waits for it */
	bool dropping;
	const char *why; /* … since then */
	unsigned long dropped;
	unsigned failures; /* to open it, in a row */
	ev_tstamp told;    /* that it drops */
};

struct outlet *outlet_new(struct routes *routes, struct routing *of, uint32_t index, uint32_t slot,
	enum logwire_to kind, const char *name);
void outlet_free(struct outlet *o);
/* Ask for a descriptor, unless that was done. */
void outlet_ask(struct outlet *o, enum logwire_ask what);
/* It has come (taken, and -1 then), or not. */
void outlet_opened(struct outlet *o, const struct logwire_packet *p, int *fd);

/* A block of `author`'s: whole lines, or a piece of a long one. */
void outlet_put(struct outlet *o, uint64_t author, const char *data, size_t len);
/* One line, as a daemon wants it. */
void outlet_send(struct outlet *o, const char *data, size_t len);
/* Write what waits. */
void outlet_flush(struct outlet *o);
/* A write has returned. */
void outlet_goes_on(struct outlet *o, const struct offload_call *call);
/* Each second while it is in need: true, it is still. */
bool outlet_look(struct outlet *o);

size_t outlet_waiting(const struct outlet *o);
/* Should nobody read more for it now? */
bool outlet_is_full(struct outlet *o);

#endif
