/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_NEWS_H
#define SUPERVISOR_NEWS_H

#include "base/log.h"
#include "supervisor/common/part.h"

extern const struct part news_part;

struct carried;

/*
 * Everything worth telling goes through here once: one record, rendered as a
 * sentence for the log and as a JSON object for `events`, the history and the
 * clients that wait for an outcome.  Records are published in order.  Where a
 * worker's output is captured, the record of its exit waits a moment
 * (NEWS_PATIENCE) for the last lines; the records after it wait, too.
 */
#define NEWS_PATIENCE (1 * SECOND) /* a busy machine needs some */
#define NEWS_LAST_MAX 512
#define HISTORY_SIZE (20U * 1024)

struct news {
	struct news *next;
	char cluster[65];
	struct report report;
	uint64_t serial; /* whose last output is waited for; 0: nobody's */
	nsec_t patience; /* until when */
	char last[NEWS_LAST_MAX];
	char explain[640]; /* EXITED: the cause of the exit, or "";
				    ROLLOUT_FAILED: where and why */
	bool bind_hint;
};

/* How it goes through an upgrade (carried.h): all, the history, an event. */
extern const struct carried carried_news;
extern const struct carried carried_history;
extern const struct carried carried_event;
/* One that was waiting to be told; -1: no memory. */
int news_carried(struct supervisor *sup, const struct news *n);
int news_init(struct supervisor *sup, struct error *err);

/* Of nclust itself: event name for machines, sentence for people. */
void news_say(struct supervisor *sup, enum log_level level, const char *event,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The same of a cluster: its name stands before the sentence. */
void news_say_of(struct service *service, enum log_level level,
	const char *event, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* An event that is made elsewhere begins so: the object is open. */
struct json_writer;
void news_begin(struct json_writer *w, struct buffer *out, const char *event);

/* The same of a worker, with figures for machines. */
struct news_number {
	const char *name;
	double value;
};
void news_say_numbers(const struct child *child, enum log_level level,
	const char *event, const struct news_number *numbers, size_t count,
	const char *format, ...) __attribute__((format(printf, 6, 7)));

/* The next EXITED report: its cause, or NULL, and the serial of the worker whose last
 * output was asked for, or 0. */
void news_expect(struct supervisor *sup, const char *cause, uint64_t serial);
/* The same, taken back because that report has to wait (reap.h); heap. */
char *news_expected(struct supervisor *sup, uint64_t *serial);
/* The record that waits for the last output of that worker, or NULL; and it waits no
 * more. */
struct news *news_awaiting(const struct supervisor *sup, uint64_t serial);
void news_answered(struct supervisor *sup, struct news *n);
/* Nobody will answer any more (the logger has died). */
void news_stop_waiting(struct supervisor *sup);
bool news_pending(const struct supervisor *sup);

/* Is this end one that somebody has to look into? */
bool news_is_failure(const struct report *report);

/* "killed by SIGSEGV", "exit 1", "SIGKILL, out of memory".  Returned. */
const char *news_ending_text(char to[64], const struct ending *ending);

/* The history: JSON objects, one a line, oldest first. */
const char *news_history(const struct supervisor *sup, size_t *len);

#endif
