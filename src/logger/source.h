/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_SOURCE_H
#define LOGGER_SOURCE_H

#include "logger/lines.h"
#include "logger/tail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOURCE_PREFIX 192

/*
 * One worker's output: its pipes and its last words.  It lives from the first
 * pipe until the worker has ended, its last words are told and all its pipes
 * are at their end, which may be much later, where something it left behind
 * holds them open.
 */
struct source_pipe {
	struct source *source;
	int fd;      /* -1: there is none, or it was at its end */
	bool is_pty; /* the end of a terminal, and no pipe */
	bool hangs;  /* a call for it does (logger/offload.h) */
	struct lines lines;
	double redrawn_at;  /* when a line of it was last shown before its end */
	struct buffer rest; /* a line without its end, for files (route.h) */
};

struct memory;

/* The sources of one cluster. */
struct source_group {
	struct source_group *next;
	char cluster[65];
	unsigned count;
	uint64_t read_at;
	unsigned hanging;        /* pipes */
	bool told;               /* that one does */
	bool unread;             /* too many do */
	bool paused;             /* a sink of theirs is full */
	struct drops_of *counts; /* of their lines; or NULL */
	struct routing *routing; /* where their output goes (route.h); or NULL */
};

struct source {
	struct source *next_due; /* of those whose last words are to be told */
	uint64_t worker;
	uint32_t slot;
	uint32_t pid; /* 0: not known */
	uint32_t generation;
	const char *cluster; /* the group's */
	struct source_group *group;
	uint64_t read_at; /* when it last had its turn */
	bool ended;
	bool due;
	bool quiet;                 /* only its last lines are kept */
	bool copied;                /* it goes on as it is, but to a terminal */
	bool is_safe;               /* it has nclust's own user, which can stop us anyway */
	struct memory *memory;      /* of its slot; NULL: none */
	char before[SOURCE_PREFIX]; /* source_prefix(), made once */
	size_t before_len;
	size_t before_mark; /* where '|' is */
	unsigned before_width;
	bool before_colour;
	struct tail tail;
	struct source_pipe pipes[2]; /* stdout, stderr */
};

/* All of them, sorted by worker: a new one comes last, as ids only grow.  The
 * owner zeroes it, and frees the list. */
struct source_table {
	struct source **list; /* heap */
	size_t count;
	size_t room;
	struct source_group *groups; /* heap; gone with their last source */
};

/* Where a worker stands in the list, or would stand. */
size_t source_place(const struct source_table *table, uint64_t worker);
struct source *source_find(const struct source_table *table, uint64_t worker);
/* The one of this worker, or a new one; NULL: out of memory. */
struct source *source_get(
	struct source_table *table, uint64_t worker, uint32_t slot, const char *cluster);
/* That cluster has another name now.  What had that before has the old one. */
void sources_rename(struct source_table *table, const char *from, const char *to);
void source_free(struct source_table *table, struct source *source);

bool source_is_open(const struct source *source);

/* "web.2 | " or, where a line goes on, "web.2 + "; with a colour by slot, and
 * blanks up to that width of the name.  *to is the source's. */
size_t source_prefix(
	struct source *source, const char **to, unsigned width, bool goes_on, bool colour);
/* The width of its name. */
unsigned source_width(const struct source *source);

#endif
