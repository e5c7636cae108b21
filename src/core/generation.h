/* SPDX-License-Identifier: MIT */
#ifndef CORE_GENERATION_H
#define CORE_GENERATION_H

#include "config/settings.h"
#include "core/action.h"

#include <stdbool.h>

/*
 * A generation is the number and the settings that workers were started by.
 * It is remembered for as long as one of its workers lives, it is in force,
 * or a rollout goes to it; so few at a time that a list is the quickest.
 */
struct generation {
	unsigned number;
	unsigned workers;                  /* alive */
	unsigned starting;                 /* of these, and others wait for them (line.h) */
	unsigned serving;                  /* of these: ready or leaving by themselves */
	unsigned beside;                   /* of these: beside an old one that stays yet */
	unsigned command;                  /* which of the cluster's commands, counted up */
	bool says_ready;                   /* READY=1 was seen from this command */
	bool listens;                      /* it was seen to listen */
	bool graceful;                     /* it answers what is in flight at its stop */
	bool ungated;                      /* one could not be held back as a spare */
	bool silent;                       /* one gave no sign of being ready, but lived */
	enum why rejected;                 /* its starting workers go; WHY_ITSELF: no */
	struct cluster_settings *settings; /* a reference of its own */
};

struct generations {
	struct generation *list; /* by number, ascending */
	unsigned count;
	unsigned cap;
};

int generations_reserve(struct generations *g, unsigned count); /* 0 or -1 */
void generations_fini(struct generations *g);

/* The settings' reference is handed over.  The number is the highest yet. */
struct generation *generations_add(
	struct generations *g, unsigned number, struct cluster_settings *settings);

/* NULL if there is none.  Good until the list is changed. */
struct generation *generations_find(const struct generations *g, unsigned number);

/* The oldest with workers that is newer than `number`; 0: none. */
unsigned generations_next(const struct generations *g, unsigned number);

/* Put other settings in the place of `old`, wherever they are. */
void generations_replace(struct generations *g, const struct cluster_settings *old,
	struct cluster_settings *settings);

/* What a worker of this one has shown of its command; all of it know. */
enum lesson { LESSON_SAYS_READY, LESSON_LISTENS, LESSON_GRACEFUL, LESSON_SILENT, LESSON_UNGATED };
void generations_learn(struct generations *g, unsigned number, enum lesson lesson);
void generation_forget_lessons(struct generation *g);

/* Forget those without workers, but for two. */
void generations_forget(struct generations *g, unsigned keep, unsigned keep_too);

#endif
