/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "logger/cluster.h"
#include "os/place/sharedmem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- lines ---- */

struct source;

/*
 * Cuts the bytes of a pipe into lines.  Whole lines are handed on from where they
 * were read; only a line that has no newline yet is kept, up to a limit.  A line
 * over LINES_MAX is handed on in pieces, cut between characters where it is
 * UTF-8; put together they are the line, byte for byte.
 */
#define LINES_MAX ((size_t)8192)
#define LINES_WHOLE ((size_t)256 * 1024) /* kept of a line at most */

struct line {
	const struct source *of; /* `worker` 0: a line of nclust's own */
	bool is_stderr;
	const char *text; /* without its newline; may contain NULs */
	size_t len;
	bool goes_on;  /* it continues the piece before */
	bool ends;     /* the next piece does not continue it */
	bool newline;  /* it ends by a newline */
	size_t behind; /* how many bytes were read after it */
};

typedef void lines_take(void *context, const struct line *line);

/* ---- tail ---- */

/*
 * The last words of a worker, cleaned (no escape sequences, no control bytes), for the sentence
 * about its death: the line that explains the death, if there is one near the end, else a few
 * lines; and whether the worker complained that an address is in use.
 *
 * A line explains that is not indented and says error, exception, panic, fatal,
 * refused, denied, cannot, failed or in use.  The latest counts, but for a line
 * that says "error:" or the like ("OSError:", "panic:"), which only another such
 * line replaces: below a stack trace there are lines that explain less.  Of
 * several such lines among the last ones, not parted by a stack trace, the first
 * explains why a program cannot start, and those below say that it cannot.
 */
#define TAIL_TEXT 512 /* with the NUL; the oldest lines leave first */
#define TAIL_LINES 5
#define TAIL_NEAR ((size_t)8192)

/* The line that explains, or the last lines joined by " / "; "" if there were none.  `text`: the
 * latest lines of its slot, as they are kept for `nclust logs` (protocol/logwire.h).  `started`:
 * the worker had, so that of several lines the last one explains.  Returns whether it complained
 * of an address. */
bool tail_tell(const char *text, size_t len, int pid, bool started, char to[TAIL_TEXT]);

/* ---- source ---- */

/*
 * One worker's output: its pipes and its last words.  It lives from the first
 * pipe until the worker has ended, its last words are sent and all its pipes are
 * at their end, which may be much later, if a process that the worker left holds
 * them open.
 */
struct source_pipe {
	struct source *source;
	ev_io readable; /* its fd -1: none, or it was at its end; not active: queued, or hangs */
	struct source_pipe *next; /* in the queue (reading.h) */
	bool hangs;               /* a call for it does (logger/sink.h): none is made */
	double second;            /* when the second began of which `said` counts the bytes */
	size_t said;
	size_t share;       /* to be read at once, as the last read shows how much of it becomes */
	struct buffer part; /* has memory only while a line is incomplete */
	bool cut;           /* the next piece continues a line that was cut */
	size_t left_out;    /* lines that were not kept since one was */
	double redrawn_at;  /* when a line was last shown before its end */
};

struct source {
	struct source *next; /* of all */
	uint64_t worker;
	uint32_t slot;
	uint32_t pid; /* 0: unknown */
	uint32_t generation;
	struct cluster *cluster;
	bool started; /* it was ready once, as it has ended */
	bool ended;
	bool due;                    /* its last words are to be sent */
	bool quiet;                  /* only its last lines are kept */
	bool is_own;                 /* its user is nclust's, and could stop us anyway */
	bool copied;                 /* copied unchanged, unless to a terminal */
	bool talks;                  /* it reads our terminal */
	bool shows;                  /* what it has written of a line is shown at once: a prompt */
	bool edits;                  /* it has taken the terminal's line editing over */
	struct linering ring;        /* of its slot, which others of the slot write to as well */
	struct source_pipe pipes[2]; /* stdout, stderr */
};

struct source *source_find(struct source *list, uint64_t worker);
/* The source of this worker, or a new one; NULL: out of memory. */
struct source *source_get(struct source **list, struct clusters *clusters, uint64_t worker,
	uint32_t slot, const char *cluster);
void source_free(struct source **list, struct source *source);

/* Cut what was read of a pipe into lines.  NULL: no more data comes, or not soon: hand on the
 * unfinished line. */
void source_split(
	struct source_pipe *pipe, const char *data, size_t len, lines_take *take, void *context);

/* What stands before a line: "web.2 | ", or "web.2 + " if it goes on with the one before; with a
 * colour by slot, and blanks up to that width of the name. */
struct source_prefix {
	char text[192];
	size_t len;
	size_t mark; /* index of '|' */
};
void source_prefix(
	struct source_prefix *p, const struct source *source, unsigned width, bool colour);
/* The width of the source's name. */
unsigned source_width(const struct source *source);
