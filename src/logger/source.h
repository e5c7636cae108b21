/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_SOURCE_H
#define LOGGER_SOURCE_H

#include "logger/cluster.h"
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
	int fd;          /* -1: there is none, or it was at its end */
	bool is_pty;     /* the end of a terminal, and no pipe */
	bool hangs;      /* a call for it does (logger/offload.h) */
	bool is_unread;  /* it is not watched while its cluster is not read */
	bool has_waited; /* it was not watched, and was not read since */
	double debt;     /* bytes read of it, less QUIET_SAYS (cluster.c) a second … */
	double debt_at;  /* … until then */
	struct source_pipe *next_unread;
	struct lines lines;
	double redrawn_at;  /* when a line of it was last shown before its end */
	struct buffer rest; /* a line without its end, for files (cluster.h) */
};

struct memory;

struct source {
	struct source *next_due; /* of those whose last words are to be told */
	uint64_t worker;
	uint32_t slot;
	uint32_t pid; /* 0: not known */
	uint32_t generation;
	struct cluster *cluster;
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
 * owner sets the clusters, zeroes the rest, and frees the list. */
struct source_table {
	struct source **list; /* heap */
	size_t count;
	size_t room;
	struct clusters *clusters;
};

struct source *source_find(const struct source_table *table, uint64_t worker);
/* The one of this worker, or a new one; NULL: out of memory. */
struct source *source_get(
	struct source_table *table, uint64_t worker, uint32_t slot, const char *cluster);
/* Clusters have other names now. */
void sources_rename(struct source_table *table);
void source_free(struct source_table *table, struct source *source);

bool source_is_open(const struct source *source);

/* "web.2 | " or, where a line goes on, "web.2 + "; with a colour by slot, and
 * blanks up to that width of the name.  *to is the source's. */
size_t source_prefix(
	struct source *source, const char **to, unsigned width, bool goes_on, bool colour);
/* The width of its name. */
unsigned source_width(const struct source *source);

#endif
