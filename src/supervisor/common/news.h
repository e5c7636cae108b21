/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_NEWS_H
#define SUPERVISOR_NEWS_H

#include "base/log.h"
#include "os/place/linering.h"
#include "supervisor/common/part.h"

extern const struct part news_part;

struct carried;

/*
 * Every event is published here once: as a sentence in the log, and as a JSON object for `events`,
 * the history and clients that wait for an outcome.  Events are published in order.  If a worker's
 * output is captured, the event of its exit, and so all later events, wait up to NEWS_PATIENCE for
 * its last lines.
 */
#define NEWS_PATIENCE (1 * SECOND) /* a busy machine needs some */
#define NEWS_LAST_MAX 512

struct news {
	struct news *next;
	char cluster[65];
	struct report report;
	uint64_t serial; /* the worker whose last output must come first; or 0 */
	nsec_t patience; /* until when to wait for that output */
	char last[NEWS_LAST_MAX];
	char explain[640];    /* EXITED: the cause of the exit, or "";
				    ROLLOUT_FAILED: where and why */
	unsigned asked_again; /* ROLLOUT_DONE: kept connections that were closed between requests
				 (drain.h) */
	bool bind_hint;
};

/* How the history and events that wait go through an upgrade (carried.h). */
extern const struct carried carried_history;
extern const struct carried carried_event;
int news_init(struct supervisor *sup, struct error *err);

/* Publish an event of nclust itself: `event` is its name, `format` its sentence. */
void news_say(struct supervisor *sup, enum log_level level, const char *event, const char *format,
	...) __attribute__((format(printf, 4, 5)));

/* Begin the JSON object of an event; the caller completes and closes it. */
struct json_writer;
void news_begin(struct json_writer *w, struct buffer *out, const char *event);

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
 * may cause 8 events a second; if it causes more, 8 in two seconds, then in four, up to 64.  At the
 * end of each such span the number of events that were left out is published.
 */
#define NEWS_SPARED 8
#define NEWS_SPAN_MOST 6
bool news_spares(struct child *child);

/* Called before the report of an exit, or of a rollout that failed with WHY_BEFORE or
 * WHY_START_TIMEOUT: set its cause, or NULL, and the serial of the worker whose last output to wait for, or 0. */
void news_expect(struct supervisor *sup, const char *cause, uint64_t serial);
/* Find the event that waits for the last output of that worker, or NULL; publish it when its output
 * has been added. */
struct news *news_awaiting(const struct supervisor *sup, uint64_t serial);
void news_answered(struct supervisor *sup, struct news *n);
/* The logger has died: no event waits for its answer any more. */
void news_stop_waiting(struct supervisor *sup);
bool news_pending(const struct supervisor *sup);

/* Is this exit a failure that a user should look into? */
bool news_is_failure(const struct report *report);

/* "killed by SIGSEGV", "exit 1", "SIGKILL, out of memory".  Returns `to`. */
const char *news_ending_text(char to[64], const struct ending *ending);

/* The history: JSON objects, one a line, oldest first, in a file without a name
 * (os/place/linering.h) that goes through upgrades and that the keeper holds.  linering_read() says
 * what `from` is. */
int news_history(const struct supervisor *sup, uint64_t from, struct linering_text *lines);
/* Is the line a whole event?  Other processes that have the file could have written to it. */
bool news_is_whole(const char *json, size_t len);
#define NEWS_START "{\"time\":" /* each event begins with this */

/* The id of the history at the keeper, and its descriptor; -1: there is no history yet. */
#define NEWS_HISTORY UINT64_MAX
int news_history_fd(const struct supervisor *sup);
/* Go on with the history of an earlier nclust.  False: `fd` is no history, or nclust has begun its
 * own; the descriptor stays the caller's. */
bool news_take_history(struct supervisor *sup, int fd);

#endif
