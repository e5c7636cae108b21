/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/log.h"
#include "os/look/look.h"
#include "os/place/sharedmem.h"
#include "supervisor/common/moment.h"
#include "supervisor/common/state.h"

void news_on_dying(struct child *child);
void news_on_report(struct service *service, const struct report *report);
void news_on_shutdown(struct supervisor *sup);

struct carried;

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
				 (drain.h) */
	unsigned guessed;     /* ROLLOUT_DONE: answers that paused, and were perhaps cut */
	unsigned busy;        /* ROLLOUT_DONE: connections still busy when a drain ended by force */
	unsigned killed;      /* ROLLOUT_DONE: workers that outlived their stop-timeout */
	char killed_text[NEWS_KILLED];
	bool unlimited; /* limits of a control group are not in force */
	bool bind_hint;
	const char *path; /* while it is published: a unix path that another worker has bound */
};

/* Which setting had workers of the cluster killed in their stop: "killed after ...". */
void news_killed(char to[NEWS_KILLED], const struct service *service);

/* How the history goes through an upgrade (carried.h). */
extern const struct carried carried_history;
int news_init(struct supervisor *sup, struct error *err);

/* Publish an event of nclust itself: `event` is its name, `format` its sentence. */
void news_say(struct supervisor *sup, enum log_level level, const char *event, const char *format,
	...) __attribute__((format(printf, 4, 5)));

/* Begin the JSON object of an event; the caller completes and closes it. */
void news_begin(struct json_writer *w, struct buffer *out, const char *event, enum log_level level);

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

/* Is this exit a failure that a user should look into?  As what is it counted?  `service` NULL: its
 * cluster is gone. */
bool news_is_failure(const struct report *report);
enum counted_exit news_counted(const struct service *service, const struct report *report);

/* "killed by SIGSEGV", "exit 1", "SIGKILL, out of memory".  Returns `to`. */
const char *news_ending_text(char to[64], const struct ending *ending);
/* " (its checks failed)": why nclust has ended a worker that failed; or "". */
const char *news_why_text(const struct report *r);

/* Set the event's cause where the cluster knows it; append the sentence of the log, with the name
 * of its cluster or slot, and its JSON object. */
void news_explain(const struct service *service, struct news *n);
void news_put_sentence(struct buffer *out, const struct news *n);
void news_put_record(struct buffer *out, const struct service *service, const struct news *n,
	const char *sentence);
enum log_level news_level(const struct report *report); /* how important the event is */

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

/* ---- counters ---- */

/*
 * Counts what has happened in a cluster (struct counters of common/state.h), for the `counters` of a
 * status.  Most of that comes as reports of the core; rooms count the rest.
 *
 * A new counter needs: a member in common/state.h; a line that counts it, and one in
 * news_on_status(); a PLAIN() row in workers/carry_workers.c, or an upgrade begins it at 0; and a
 * row of families[] in web/metrics.c for the page of metrics.
 */
void counters_note_report(struct service *service, const struct report *r);
void news_on_status(struct json_writer *w, const struct service *service);

/* ---- trouble ---- */

/* Why a cluster does not run as it should, for `status`: how the last worker of each slot ended
 * unexpectedly, how many starts failed in a row, and why the last restart failed.  It is collected
 * from events, and goes through an upgrade. */

/* How a worker ended unexpectedly.  The texts are heap. */
struct trouble_end {
	uint32_t slot;
	uint64_t worker;
	nsec_t at; /* when the worker ended */
	nsec_t age;
	char *text;   /* such as "exit 1" */
	char *cause;  /* why, if nclust knows it; or NULL */
	char *output; /* the worker's last output; or NULL */
};

struct trouble {
	struct trouble_end *ends; /* heap: the last of each slot */
	size_t end_count;
	uint32_t last;  /* the slot whose worker ended last */
	unsigned tries; /* workers that never became ready, since the last worker did */
	char *restart;  /* heap: why the last restart failed; or NULL */
	nsec_t restart_at;
	unsigned restart_id;
	char *check; /* heap: that no worker passes the check; or NULL */
};

/* Take what this event says; its last output is known by now. */
void trouble_on_news(struct service *service, const struct news *n);

/* How that worker ended unexpectedly; NULL: it did not. */
const struct trouble_end *trouble_of(const struct service *service, uint32_t slot, uint64_t worker);

/* Write members of a status: "trouble" and "failed_restart" of a cluster; "last_failure" of a
 * slot. */
void trouble_put(struct json_writer *w, const struct service *service, nsec_t now);
/* Has the file other settings, which no rollout is bringing and a restart would not try again? */
bool trouble_needs_reload(const struct service *service);
void trouble_put_slot(
	struct json_writer *w, const struct service *service, uint32_t slot, nsec_t now);

/* The worker could not bind the port: log that once, and keep it as the cause of the worker's end.
 * `hint` says what a user can do, or which process has the port ("" or NULL: find out). */
void trouble_cannot_bind(struct child *child, int type, unsigned port, const char *what, int error,
	const char *hint);

/* May the worker of this exit have failed because it binds a port that nclust holds and does not
 * hand over? */
bool trouble_holds_port(const struct service *service, const struct report *r);

/* A worker wrote that an address is in use, and ended; nclust has not seen which address: guess the
 * cause. */
void trouble_guess_in_use(const struct service *service, uint64_t worker, char *to, size_t size);

/* A unix path that another worker of the cluster has bound; NULL: none. */
const char *trouble_path(const struct service *service, uint64_t worker);

/* The process that has the port, or what of nclust itself; "": not known. */
void trouble_find_holder(char who[HOLDER_TEXT], int type, unsigned port);

/* Set the cause to report when the worker ends, or forget it. */
void trouble_set_cause(struct child *child, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void trouble_forget_cause(struct child *child);

/* No worker seems to be able to pass the check, as `text` says; "": a worker has passed.  True:
 * this is new. */
bool trouble_set_check(struct service *service, const char *text);

extern const struct carried carried_trouble; /* of a cluster */
/* What the last failure of the cluster was, in short; NULL: none is known. */
const char *trouble_last(const struct service *service);
void trouble_free(struct service *service);

/* What to do if a second copy of a program can never become ready beside the first. */
#define TROUBLE_ONE_COPY \
	"if only one copy can run at a time: workers = 1, surge = 0, " \
	"max-unavailable = 1"

/* What to do with a program that ends, with success, at the end of its standard input. */
#define TROUBLE_INPUT \
	"if it ends with its standard input: that is /dev/null; to keep one open: " \
	"sh -c 'tail -f /dev/null | exec COMMAND'"

/* The first advice where that copy has bound a unix path. */
#define TROUBLE_SHARE_PATH "'-l unix:%s' if the program takes LISTEN_FDS"

/* What to do if a worker listens elsewhere because it finds that its port is open. */
#define TROUBLE_PROBES \
	"if it connects to its port first, to see if that is free: workers = 1, " \
	"intercept = off, ipc = off, surge = 0, max-unavailable = 1"

/* What to do with a program of Node that forks, or hears its workers. */
#define TROUBLE_OWN_PRIMARY \
	"nclust is the primary of Node's cluster module, and runs no code of one; to let the " \
	"program be its own: workers = 1, ipc = off"

/* The cause if a worker binds an address that nclust holds. */
#define TROUBLE_BINDS_ITSELF \
	"it binds the address itself, but nclust holds that: let it take its socket from " \
	"LISTEN_FDS, or as descriptor 3; a port is also shared with 'intercept = on'"
