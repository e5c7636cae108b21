/* SPDX-License-Identifier: MIT */
#pragma once

#include "core/event.h"

/* What a worker has shown of its command: it holds for all of the generation, and of the next. */
enum lesson {
	LESSON_SAYS_READY, /* READY=1 was seen */
	LESSON_LISTENS,    /* a worker was seen to listen */
	LESSON_SILENT,     /* a worker gave no sign of being ready, but lived */
	LESSON_UNGATED,    /* a worker could not be held back as a spare */
	LESSONS,
};

/*
 * The number and the settings of workers that were started together.  A generation is remembered
 * while one of its workers lives, it is in force, or a rollout goes to it or may go back to it; so
 * few at a time that a list is the quickest.
 */
struct generation {
	unsigned number;
	unsigned workers;    /* alive */
	unsigned starting;   /* of these, workers that make others wait (internal.h) */
	unsigned serving;    /* of these: ready or leaving by themselves */
	unsigned beside;     /* of these: beside an old worker that stays yet */
	unsigned command;    /* number of the command among the cluster's */
	bool knows[LESSONS]; /* of the command */
	enum why rejected;   /* why its starting workers go; WHY_ITSELF: they stay */
	struct cluster_settings *settings; /* a reference of its own */
};

struct generations {
	struct generation *list; /* by number, ascending */
	unsigned count;
	unsigned cap;
};

int generations_reserve(struct generations *g, unsigned count); /* 0 or -1 */
void generations_fini(struct generations *g);

/* Add a generation with the highest number yet.  The settings' reference is handed over. */
struct generation *generations_add(
	struct generations *g, unsigned number, struct cluster_settings *settings);

/* NULL: unknown.  The pointer is valid until the list is changed. */
struct generation *generations_find(const struct generations *g, unsigned number);

/* The oldest generation with workers that is newer than `number`; 0: none. */
unsigned generations_next(const struct generations *g, unsigned number);

/* Replace the settings `old`, wherever they are. */
void generations_replace(struct generations *g, const struct cluster_settings *old,
	struct cluster_settings *settings);

void generations_learn(struct generations *g, unsigned number, enum lesson lesson);

/* Forget generations without workers, but for two. */
void generations_forget(struct generations *g, unsigned keep, unsigned keep_too);
