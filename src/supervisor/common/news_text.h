/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/news.h"

/* Which setting had workers of the cluster killed in their stop: "killed after ...". */
void news_killed(char to[NEWS_KILLED], const struct service *service);

/* Begin the JSON object of an event; the caller completes and closes it. */
void news_begin(struct json_writer *w, struct buffer *out, const char *event, enum log_level level);

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
