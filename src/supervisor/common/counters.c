/* SPDX-License-Identifier: MIT */
#include "supervisor/common/counters.h"

#include "base/scope.h"
#include "os/clock.h"
#include "protocol/json.h"
#include "supervisor/common/news.h"

#define LINES_MOST UINT64_C(1000000000)

static const char *const exits[COUNTED_EXITS] = {
	[COUNTED_SUCCESS] = "success",
	[COUNTED_FAILURE] = "failure",
	[COUNTED_SIGNAL] = "signal",
	[COUNTED_OUT_OF_MEMORY] = "out_of_memory",
	[COUNTED_SPAWN] = "spawn",
	[COUNTED_UNKNOWN] = "unknown",
	[COUNTED_STOPPED] = "stopped",
	[COUNTED_REPLACED] = "replaced",
	[COUNTED_START_TIMEOUT] = "start_timeout",
	[COUNTED_UNHEALTHY] = "unhealthy",
	[COUNTED_OUTGROWN] = "outgrown",
};

static const char *const rollouts[COUNTED_ROLLOUTS] = {
	[COUNTED_DONE] = "done",
	[COUNTED_FAILED] = "failed",
	[COUNTED_SUPERSEDED] = "superseded",
};

/* ---- counting ---- */

static void end_rollout(struct counters *t, enum counted_rollout how)
{
	t->rollouts[how]++;
	if (t->rollout_since != 0)
		t->rollout_time += clock_now() - t->rollout_since;
	t->rollout_since = 0;
}

static void counters_on_report(struct service *service, const struct report *r)
{
	struct counters *t = &service->counters;

	switch (r->kind) {
	case REPORT_STARTED:
		t->started++;
		break;
	case REPORT_READY:
		t->ready++;
		t->ready_time += r->age != NSEC_NEVER ? r->age : 0;
		break;
	case REPORT_EXITED:
		t->exits[news_counted(service, r)]++;
		break;
	case REPORT_ROLLOUT_STARTED:
		t->rollout_since = clock_now();
		break;
	case REPORT_ROLLOUT_DONE:
		if (!r->back) /* the way back was counted as COUNTED_FAILED before */
			end_rollout(t, COUNTED_DONE);
		break;
	case REPORT_ROLLOUT_FAILED:
		end_rollout(t, COUNTED_FAILED);
		break;
	case REPORT_ROLLOUT_SUPERSEDED:
		end_rollout(t, COUNTED_SUPERSEDED);
		break;
	default:
		break;
	}
}

void counters_note_drained(struct service *service, nsec_t took, bool forced)
{
	service->counters.drained++;
	service->counters.drains_forced += forced;
	service->counters.drain_time += took;
}

void counters_note_hung(struct service *service)
{
	service->counters.hangs++;
}

void counters_note_lines(struct service *service, uint64_t lines, bool lost)
{
	struct counters *t = &service->counters;
	uint64_t *count = lost ? &t->log_lines_dropped : &t->log_lines;

	/* a broken logger may say any number */
	if (lines > LINES_MOST)
		lines = LINES_MOST;
	if (*count < INT64_MAX / 2)
		*count += lines;
}

/* ---- showing ---- */

static void put_all(struct json_writer *w, const char *key, const char *const *names,
	const uint64_t *counts, size_t n)
{
	json_key(w, key);
	json_open_object(w);
	for (size_t i = 0; i < n; i++)
		json_put_int(w, names[i], (int64_t)counts[i]);
	json_close_object(w);
}

static void counters_on_status(struct json_writer *w, const struct service *service)
{
	const struct counters *t = &service->counters;

	json_key(w, "counters");
	json_open_object(w);
	json_put_int(w, "started", (int64_t)t->started);
	json_put_int(w, "ready", (int64_t)t->ready);
	json_put_real(w, "ready_seconds", nsec_seconds(t->ready_time), 3);
	put_all(w, "exits", exits, t->exits, COUNT_OF(exits));
	put_all(w, "rollouts", rollouts, t->rollouts, COUNT_OF(rollouts));
	json_put_real(w, "rollout_seconds", nsec_seconds(t->rollout_time), 3);
	json_put_int(w, "drained", (int64_t)t->drained);
	json_put_int(w, "drains_forced", (int64_t)t->drains_forced);
	json_put_real(w, "drain_seconds", nsec_seconds(t->drain_time), 3);
	json_put_int(w, "hangs", (int64_t)t->hangs);
	json_put_int(w, "log_lines", (int64_t)t->log_lines);
	json_put_int(w, "log_lines_dropped", (int64_t)t->log_lines_dropped);
	json_close_object(w);
}

const struct part counters_part = {
	.name = "counters",
	.report = counters_on_report,
	.status = counters_on_status,
};
