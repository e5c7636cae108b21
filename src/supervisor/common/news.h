/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/log.h"
#include "os/look/look.h"
#include "os/place/sharedmem.h"
#include "supervisor/common/moment.h"

void news_on_dying(struct child *child);
void news_on_report(struct service *service, const struct report *report);
void news_on_shutdown(struct supervisor *sup);

/*
 * Every event is published here once: as a sentence in the log, and as a JSON object for `events`,
 * the history and clients that wait for an outcome.  Events are published in order.  If a worker's
 * output is captured, the event of its exit, and so all later events, wait up to NEWS_PATIENCE for
 * its last lines.
 */
#define NEWS_PATIENCE (5 * SECOND) /* a logger on a busy machine needs some */
#define NEWS_LAST_MAX 512

#define NEWS_KILLED 96
struct news {
	struct news *next;
	char cluster[65];
	struct report report;
	uint64_t serial; /* the worker whose last output must come first; or 0 */
	nsec_t patience; /* until when to wait for that output */
	char last[NEWS_LAST_MAX];
	char explain[640];    /* EXITED: the cause of the exit, or "";
				    ROLLOUT_FAILED: where and why */
	unsigned handed_on;   /* ROLLOUT_DONE: requests that new workers got in place of old ones */
	unsigned asked_again; /* ROLLOUT_DONE: kept connections that were closed between requests
				 (hand_on.h) */
	unsigned guessed;     /* ROLLOUT_DONE: answers that paused, and were perhaps cut */
	unsigned busy;        /* ROLLOUT_DONE: connections still busy when a drain ended by force */
	unsigned killed;      /* ROLLOUT_DONE: workers that outlived their stop-timeout */
	char killed_text[NEWS_KILLED];
	bool unlimited; /* limits of a control group are not in force */
	bool bind_hint;
	const char *path; /* while it is published: a unix path that another worker has bound */
};

/* How the history goes through an upgrade (carried.h). */
extern const struct carried carried_history;
int news_init(struct supervisor *sup, struct error *err);

/* Publish an event of nclust itself: `event` is its name, `format` its sentence. */
void news_say(struct supervisor *sup, enum log_level level, const char *event, const char *format,
	...) __attribute__((format(printf, 4, 5)));

/* Publish an event of a slot without a worker, or of a cluster (SLOT_ALL).  Its name is put before
 * the sentence. */
void news_say_slot(struct service *service, uint32_t slot, enum log_level level, const char *event,
	const char *format, ...) __attribute__((format(printf, 5, 6)));
#define news_say_of(service, ...) news_say_slot((service), SLOT_ALL, __VA_ARGS__)

/* Publish an event of a worker, with numbers as members of the JSON object. */
struct news_number {
	const char *name;
	double value;
};
void news_say_numbers(const struct child *child, enum log_level level, const char *event,
	const struct news_number *numbers, size_t count, const char *format, ...)
	__attribute__((format(printf, 6, 7)));
#define news_say_worker(child, level, event, ...) \
	news_say_numbers((child), (level), (event), NULL, 0, __VA_ARGS__)

/*
 * Ask this before each event or log line that a worker can cause as often as it likes: may it be
 * published?  So a worker cannot fill the log, or push other events out of the history.  A worker
 * may cause 8 events in a minute.  The number of those that were left out is published with the
 * first of a later minute, or at the worker's end.
 */
#define NEWS_SPARED 8
bool news_spares(struct child *child);

/* Called before the report of an exit, or of a rollout that failed with WHY_BEFORE: set its cause,
 * or NULL, and the serial of the worker whose last output to wait for, or 0. */
void news_expect(struct supervisor *sup, const char *cause, uint64_t serial);
const char *news_expected(const struct supervisor *sup);
/* The same of a rollout that failed with WHY_START_TIMEOUT, which may come in between. */
void news_expect_late(struct supervisor *sup, const char *cause);
/* The last output of that worker, which may complain that an address is in use, and may have read
 * /dev/null: publish the event that waits for it. */
void news_last_output(struct supervisor *sup, uint64_t serial, const char *text,
	bool address_in_use, bool read_null);
/* The logger has died: no event waits for its answer any more. */
void news_stop_waiting(struct supervisor *sup);
bool news_pending(const struct supervisor *sup);

/* The history: JSON objects, one a line, oldest first, in a file without a name
 * (os/place/sharedmem.h) that goes through upgrades and that the keeper holds. */
int news_history(const struct supervisor *sup, struct linering_text *lines);
/* Is the line a whole event?  Other processes that have the file could have written to it. */
bool news_is_whole(const char *json, size_t len);
#define NEWS_START "{\"time\":" /* each event begins with this */

/* The id of the history at the keeper, and its descriptor; -1: there is no history yet. */
#define NEWS_HISTORY UINT64_MAX
int news_history_fd(const struct supervisor *sup);
/* Go on with the history of an earlier nclust.  False: `fd` is no history, or nclust has begun its
 * own; the descriptor stays the caller's. */
bool news_take_history(struct supervisor *sup, int fd);
