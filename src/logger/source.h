/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_SOURCE_H
#define LOGGER_SOURCE_H

#include "logger/lines.h"
#include "logger/tail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One worker's output: its pipes and its last words.  It lives from the first
 * pipe until the worker has ended, its last words are told and all its pipes
 * are at their end, which may be much later, where something it left behind
 * holds them open.
 */
struct source_pipe {
	struct source *source;
	int fd;      /* -1: there is none, or it was at its end */
	bool hangs;  /* who reads it does (logger/relay.h) */
	bool passes; /* … and what that has got is still to be written */
	struct lines lines;
};

/* The sources of one cluster. */
struct source_group {
	struct source_group *next;
	char cluster[65];
	unsigned count;
	uint64_t copied_at;
	unsigned hanging; /* pipes */
	bool told;        /* that one does */
	bool unread;      /* too many do */
};

struct source {
	struct source *next_due; /* of those whose last words are to be told */
	uint64_t worker;
	uint32_t slot;
	const char *cluster; /* the group's */
	struct source_group *group;
	uint64_t copied_at; /* when it last had its turn */
	bool ended;
	bool due;
	bool quiet;  /* only its last lines are kept */
	bool copied; /* it goes on as it is, but to a terminal */
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

struct source *source_find(const struct source_table *table, uint64_t worker);
/* The one of this worker, or a new one; NULL: out of memory. */
struct source *source_get(struct source_table *table, uint64_t worker,
	uint32_t slot, const char *cluster);
void source_free(struct source_table *table, struct source *source);

bool source_is_open(const struct source *source);

/* "web.2 | " or, where a line goes on, "web.2 + "; with a colour by slot. */
#define SOURCE_PREFIX 112
size_t source_prefix(const struct source *source, char to[SOURCE_PREFIX],
	bool goes_on, bool colour);

#endif
