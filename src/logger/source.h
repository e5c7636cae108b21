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
 * pipe until the worker has ended, its last words are sent and all its pipes are
 * at their end, which may be much later, if a process that the worker left holds
 * them open.
 */
struct source_pipe {
	struct source *source;
	int fd;          /* -1: none, or it was at its end */
	bool is_pty;     /* the end of a terminal, and no pipe */
	bool hangs;      /* a call for it hangs (logger/offload.h) */
	bool is_unread;  /* not watched, as its cluster is not read */
	bool has_waited; /* was not watched, and not read since */
	double debt;     /* bytes read, less QUIET_SAYS (cluster.c) a second */
	double debt_at;  /* when `debt` was updated */
	struct source_pipe *next_unread;
	struct lines lines;
	double redrawn_at;  /* when a line was last shown before its end */
	struct buffer rest; /* a line without its end, for files (cluster.h) */
};

struct memory;

struct source {
	struct source *next_due; /* the next one whose last words are to be sent */
	uint64_t worker;
	uint32_t slot;
	uint32_t pid; /* 0: unknown */
	uint32_t generation;
	struct cluster *cluster;
	bool ended;
	bool due;
	bool quiet;                 /* only its last lines are kept */
	bool copied;                /* copied unchanged, unless to a terminal */
	bool is_safe;               /* its user is nclust's own, who can stop us anyway */
	struct memory *memory;      /* of its slot; NULL: none */
	char before[SOURCE_PREFIX]; /* source_prefix(), made once */
	size_t before_len;
	size_t before_mark; /* index of '|' */
	unsigned before_width;
	bool before_colour;
	struct tail tail;
	struct source_pipe pipes[2]; /* stdout, stderr */
};

/* All sources, sorted by worker: a new one comes last, as ids only grow.  The owner
 * sets the clusters, zeroes the rest, and frees the list. */
struct source_table {
	struct source **list; /* heap */
	size_t count;
	size_t room;
	struct clusters *clusters;
};

struct source *source_find(const struct source_table *table, uint64_t worker);
/* The source of this worker, or a new one; NULL: out of memory. */
struct source *source_get(
	struct source_table *table, uint64_t worker, uint32_t slot, const char *cluster);
/* Clusters have other names now. */
void sources_rename(struct source_table *table);
void source_free(struct source_table *table, struct source *source);

bool source_is_open(const struct source *source);

/* "web.2 | " or, in a continued line, "web.2 + "; with a colour by slot, and blanks
 * up to that width of the name.  *to is the source's. */
size_t source_prefix(
	struct source *source, const char **to, unsigned width, bool goes_on, bool colour);
/* The width of the source's name. */
unsigned source_width(const struct source *source);

#endif
