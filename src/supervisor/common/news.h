/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_NEWS_H
#define SUPERVISOR_NEWS_H

#include "base/log.h"
#include "os/place/linering.h"
#include "supervisor/common/part.h"

extern const struct part news_part;

struct carried;

/*
 * Every event is published here as one record, rendered as a sentence for the
 * log and as a JSON object for `events`, the history and the clients that wait
 * for an outcome.  Records are published in order.  If a worker's output is
 * captured, the record of its exit waits up to NEWS_PATIENCE for the last
 * lines; the records after it wait, too.
 */
#define NEWS_PATIENCE (1 * SECOND) /* a busy machine needs some */
#define NEWS_LAST_MAX 512

struct news {
	struct news *next;
	char cluster[65];
	struct report report;
	uint64_t serial; /* worker whose last output must come first; or 0 */
	nsec_t patience; /* until when it is waited for */
	char last[NEWS_LAST_MAX];
	char explain[640];    /* EXITED: the cause of the exit, or "";
				    ROLLOUT_FAILED: where and why */
	unsigned asked_again; /* ROLLOUT_DONE: connections (drain.h) */
	bool bind_hint;
};

/* How the history, and an event that waits, go through an upgrade (carried.h). */
extern const struct carried carried_history;
extern const struct carried carried_event;
int news_init(struct supervisor *sup, struct error *err);

/* An event of nclust itself: a name for machines, a sentence for people. */
void news_say(struct supervisor *sup, enum log_level level, const char *event, const char *format,
	...) __attribute__((format(printf, 4, 5)));

/* Begin an event that another room completes: leaves the object open. */
struct json_writer;
void news_begin(struct json_writer *w, struct buffer *out, const char *event);

/* An event of a slot that has no worker, whose name is put before the sentence, or of a
 * cluster. */
void news_say_slot(struct service *service, uint32_t slot, enum log_level level, const char *event,
	const char *format, ...) __attribute__((format(printf, 5, 6)));
#define news_say_of(service, ...) news_say_slot((service), SLOT_ALL, __VA_ARGS__)

/* Of a worker, with figures for machines, or without. */
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
 * Ask this before each event or log line that a worker can cause as often as it
 * likes: may it be published?  A worker must not fill the log, nor push the
 * events of others out of the history.  So 8 in a second are published; if a
 * worker causes more, 8 in two seconds, then in four, up to 64, until it causes
 * less.  The end of each such span reports how many were left out.
 */
#define NEWS_SPARED 8
#define NEWS_SPAN_MOST 6
bool news_spares(struct child *child);

/* Before an EXITED report, or a ROLLOUT_FAILED with WHY_BEFORE: set its cause, or NULL, and the serial of the worker
 * whose last output it waits for, or 0. */
void news_expect(struct supervisor *sup, const char *cause, uint64_t serial);
/* Find the record that waits for the last output of that worker, or NULL;
 * publish it once its output is there. */
struct news *news_awaiting(const struct supervisor *sup, uint64_t serial);
void news_answered(struct supervisor *sup, struct news *n);
/* The logger has died and will not answer: no record waits any more. */
void news_stop_waiting(struct supervisor *sup);
bool news_pending(const struct supervisor *sup);

/* Is this exit a failure, that a user should look into? */
bool news_is_failure(const struct report *report);

/* "killed by SIGSEGV", "exit 1", "SIGKILL, out of memory".  Returned. */
const char *news_ending_text(char to[64], const struct ending *ending);

/*
 * The history: JSON objects, one a line, oldest first, in a file without a name
 * (os/place/linering.h) that an upgrade hands on and that the keeper of
 * `orphans = keep` holds.  linering_read() says what `from` is.
 */
int news_history(const struct supervisor *sup, uint64_t from, struct linering_text *lines);
/* The keeper, say, could have written to it: is it a whole event? */
bool news_is_whole(const char *json, size_t len);
#define NEWS_START "{\"time\":" /* with this each event begins */

/* For the keeper: its name there, and the descriptor; -1: there is none yet. */
#define NEWS_HISTORY UINT64_MAX
int news_history_fd(const struct supervisor *sup);
/* Go on with the history of an earlier nclust.  False: it is none, or there is a
 * newer one; the descriptor stays the caller's. */
bool news_take_history(struct supervisor *sup, int fd);

#endif
