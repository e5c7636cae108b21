/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Between supervisor and logger: packets on a SOCK_SEQPACKET pair, native
 * byte order (both ends are the same binary).  Every packet is one of these
 * structs, whole; anything else is refused.
 */
enum logwire_kind {
	/* supervisor -> logger */
	LOGWIRE_ADD = 1, /* a worker's output; the read ends come along, and then
			    the file (os/place/sharedmem.h) in which to keep its
			    latest lines, if there is one */
	LOGWIRE_ENDED,   /* this worker is dead: read what is there, answer
			    with LOGWIRE_LAST, go on until EOF (bounded).
			    `quiet`: it had been ready */
	LOGWIRE_SINK,    /* about nclust's terminal: colours, or another size */
	/* logger -> supervisor */
	LOGWIRE_LAST,  /* the last output of a dead worker */
	LOGWIRE_HELLO, /* it runs; of the keeper to a supervisor that has called:
			  the keeper's listening socket comes along */
	/* with `orphans = keep` (logger/keep.h); supervisor -> logger */
	LOGWIRE_KEEP,   /* outlive the supervisor; a listening socket where the
			   next one calls, and its directory come along */
	LOGWIRE_LEAVE,  /* and from now on no more */
	LOGWIRE_OUTPUT, /* new stdout and stderr come along */
	LOGWIRE_DROP,   /* what is held by that name */
	/* both ways: descriptors to be held, `which` says what they are; one
	 * that the receiver has already takes the place of it */
	LOGWIRE_HOLD,
	LOGWIRE_GIVEN, /* logger -> supervisor: that was all */
	/* logger -> supervisor: so many lines (`worker`) of this cluster were lost
	 * since the last of these */
	LOGWIRE_DROPPED = 13,
	LOGWIRE_LINES, /* the same of lines that were read; an earlier nclust
			  ignores it */
	/* sinks of a cluster; supervisor -> logger */
	LOGWIRE_ROUTE = 32, /* one of them: `which` of `slot`.  `what` is its
			       kind, `worker` its size, `stream` its age in
			       seconds, `quiet` says that it is by slot,
			       `address_in_use` its facility, `flag` what it
			       gets and how; `text` is what it was given as.  The last one puts all in force;
			       `slot` 0: there are none */
	LOGWIRE_OPENED,     /* what was asked for comes along, with its inode,
			       size, birth and device in `text`; or nothing, and
			       `stream` is the errno; `what`: enum logwire_ask */
	LOGWIRE_REOPEN,     /* ask for all files of this cluster again */
	/* logger -> supervisor */
	LOGWIRE_ASK, /* `which` sink, of `slot`, `what` of it; `worker` is the
			inode of the file that is written, `sink` says since
			which LOGWIRE_ROUTE, and the answer says the same */
};

enum logwire_ask {
	LOGWIRE_ASK_OPEN,
	LOGWIRE_ASK_ROTATE,  /* that file is full: rename it, open another */
	LOGWIRE_ASK_ROTATED, /* nothing writes any more to that file, renamed;
				`text`: what it was given as */
};

/* Kinds of sinks. */
enum logwire_to {
	LOGWIRE_TO_PREFIX,
	LOGWIRE_TO_JSON,
	LOGWIRE_TO_FILE,
	LOGWIRE_TO_JOURNAL,
	LOGWIRE_TO_SYSLOG,
};
#define LOGWIRE_OLD_SYSLOG 256U /* in `address_in_use`: RFC 3164 */
/* In `flag` of LOGWIRE_ADD. */
enum logwire_add { LOGWIRE_OWN = 1, LOGWIRE_TALKS = 2 };
/* In `flag` of LOGWIRE_ROUTE. */
enum logwire_route { LOGWIRE_TIMED = 1, LOGWIRE_NO_STDOUT = 2, LOGWIRE_NO_STDERR = 4 };
#define LOGWIRE_ROUTES_MAX 8U

/* Kinds of descriptors that the keeper holds.  `worker` is their name. */
enum logwire_what {
	LOGWIRE_A_LISTENER, /* SO_COOKIE */
	LOGWIRE_A_WORKER,   /* serial */
	LOGWIRE_A_SEGMENT,  /* of shared memory: device and inode; or the
			       supervisor's events: UINT64_MAX */
};

/* The descriptors of one name, in this order. */
enum logwire_which {
	LOGWIRE_SOCKET = 1, /* of a listener */
	LOGWIRE_PIDFD = 2,
	LOGWIRE_NOTIFY = 4,
	LOGWIRE_TRAP = 8,
	LOGWIRE_STDOUT = 16, /* on the way back alone */
	LOGWIRE_STDERR = 32,
	LOGWIRE_CHANNEL = 64, /* of messages */
	LOGWIRE_MEMORY = 128, /* of a segment */
};
#define LOGWIRE_KEEPER "keeper" /* its socket, in the runtime directory */
#define LOGWIRE_FDS_MAX 7

enum logwire_sink {
	LOGWIRE_DISCARD, /* no nclust says that any more */
	LOGWIRE_PREFIX,  /* LOGWIRE_SINK: always */
	LOGWIRE_COPY,    /* LOGWIRE_ADD: its bytes go there as they are */
};

struct logwire_packet {
	uint32_t kind;
	uint32_t slot;
	uint64_t worker;
	uint32_t stream; /* 1: stdout, 2: stderr; LOGWIRE_ADD: 3: both */
	uint32_t sink;
	uint32_t flag;           /* LOGWIRE_SINK: colours for a terminal;
				    LOGWIRE_ADD: the worker has nclust's own user,
				    or reads the terminal */
	uint32_t quiet;          /* LOGWIRE_ADD: keep only its last lines */
	uint32_t address_in_use; /* LOGWIRE_LAST: it complained of that */
	uint32_t what;           /* LOGWIRE_HOLD, LOGWIRE_DROP;
				    LOGWIRE_ADD: the worker's pid, or 0 */
	uint32_t which;          /* LOGWIRE_ADD: its generation */
	char cluster[65];        /* NUL-terminated */
	char text[512];          /* LOGWIRE_LAST: last lines, cut, joined by " / ",
				NUL-terminated; "" if there was nothing */
};

/* How many descriptors a packet has with this `which`. */
unsigned logwire_count(uint32_t which);

/* Check a packet that was received (length, kind, NULs). false: refuse it. */
bool logwire_check(const struct logwire_packet *p, size_t len);

/* ---- logline ---- */

/*
 * A line of a worker's output, as the logger keeps it for `nclust logs`:
 *
 *	1795167360.123 1 4711 |its bytes, but for the newline
 *
 * which is the time in seconds since 1970, the stream (1: stdout, 2: stderr), the
 * worker's pid, and what follows.  A line that begins with the kind has all of
 * that from the line before, because most come together.  The logger has fewer rights
 * than the processes that read the lines: these must expect anything else there, too.
 */
enum logline_kind {
	LOGLINE_BEGINS = '|',
	LOGLINE_GOES_ON = '+', /* it continues the piece before */
	LOGLINE_LEFT_OUT = '~' /* so many lines were not kept: a number */
};

struct logline {
	int64_t ms; /* since 1970 */
	unsigned stream;
	int pid;
	enum logline_kind kind;
	const char *text; /* may hold any byte but a newline */
	size_t len;
};

/* What stands before the kind; its length. */
#define LOGLINE_HEAD 48
size_t logline_head(char to[LOGLINE_HEAD], int64_t ms, unsigned stream, int pid);

/* Take a line, given without its newline; `text` borrows from it.  *l is the line
 * before, or all zeros.  false: it is none. */
bool logline_parse(struct logline *l, const char *line, size_t len);
