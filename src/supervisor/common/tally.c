/* SPDX-License-Identifier: MIT */
#include "supervisor/common/tally.h"

#include "base/scope.h"
#include "os/clock.h"
#include "protocol/json.h"

#define LINES_MOST UINT64_C(1000000000)

static const char *const exits[TALLY_EXITS] = {
	[TALLY_SUCCESS] = "success",
	[TALLY_FAILURE] = "failure",
	[TALLY_SIGNAL] = "signal",
	[TALLY_OUT_OF_MEMORY] = "out_of_memory",
	[TALLY_SPAWN] = "spawn",
	[TALLY_UNKNOWN] = "unknown",
	[TALLY_STOPPED] = "stopped",
	[TALLY_REPLACED] = "replaced",
	[TALLY_START_TIMEOUT] = "start_timeout",
	[TALLY_UNHEALTHY] = "unhealthy",
	[TALLY_OUTGROWN] = "outgrown",
};

static const char *const rollouts[TALLY_ROLLOUTS] = {
	[TALLY_DONE] = "done",
	[TALLY_FAILED] = "failed",
	[TALLY_SUPERSEDED] = "superseded",
};

/* ---- counting ---- */

static enum tally_exit by_itself(const struct service *service, const struct ending *end)
{
	switch (end->kind) {
	case ENDING_EXIT:
		return cluster_is_success(cluster_settings(service->core), (unsigned)end->code)
			? TALLY_SUCCESS
			: TALLY_FAILURE;
	case ENDING_SIGNAL:
		return end->out_of_memory ? TALLY_OUT_OF_MEMORY : TALLY_SIGNAL;
	case ENDING_SPAWN:
		return TALLY_SPAWN;
	case ENDING_NONE:
	case ENDING_UNKNOWN:
		break;
	}
	return TALLY_UNKNOWN;
}

static enum tally_exit reason_of(const struct service *service, const struct report *r)
{
	switch (r->why) {
	case WHY_ITSELF:
		return by_itself(service, &r->ending);
	case WHY_STOP:
		return TALLY_STOPPED;
	case WHY_ROLL:
	case WHY_ROLL_FAILED:
		return TALLY_REPLACED;
	case WHY_START_TIMEOUT:
		return TALLY_START_TIMEOUT;
	case WHY_WATCHDOG:
	case WHY_STALL:
	case WHY_CHECK:
	case WHY_QUEUE:
	case WHY_REQUEST:
	case WHY_SOCKET:
		return TALLY_UNHEALTHY;
	case WHY_MEMORY:
	case WHY_AGE:
	case WHY_SERVED:
		return TALLY_OUTGROWN;
	case WHY_BEFORE: /* no worker has ended */
		break;
	}
	return TALLY_UNKNOWN;
}

static void end_rollout(struct tally *t, enum tally_rollout how)
{
	t->rollouts[how]++;
	if (t->rollout_since != 0)
		t->rollout_time += clock_now() - t->rollout_since;
	t->rollout_since = 0;
}

static void tally_on_report(struct service *service, const struct report *r)
{
	struct tally *t = &service->tally;

	switch (r->kind) {
	case REPORT_STARTED:
		t->started++;
		break;
	case REPORT_READY:
		t->ready++;
		t->ready_time += r->age != NSEC_NEVER ? r->age : 0;
		break;
	case REPORT_EXITED:
		t->exits[reason_of(service, r)]++;
		break;
	case REPORT_ROLLOUT_STARTED:
		t->rollout_since = clock_now();
		break;
	case REPORT_ROLLOUT_DONE:
		if (!r->back) /* the way back was counted as TALLY_FAILED before */
			end_rollout(t, TALLY_DONE);
		break;
	case REPORT_ROLLOUT_FAILED:
		end_rollout(t, TALLY_FAILED);
		break;
	case REPORT_ROLLOUT_SUPERSEDED:
		end_rollout(t, TALLY_SUPERSEDED);
		break;
	default:
		break;
	}
}

void tally_drained(struct service *service, nsec_t took, bool forced)
{
	service->tally.drained++;
	service->tally.drains_forced += forced;
	service->tally.drain_time += took;
}

void tally_hung(struct service *service)
{
	service->tally.hangs++;
}

void tally_lines(struct service *service, uint64_t lines, bool lost)
{
	struct tally *t = &service->tally;
	uint64_t *count = lost ? &t->lines_lost : &t->lines;

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

static void tally_on_status(struct json_writer *w, const struct service *service)
{
	const struct tally *t = &service->tally;

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
	json_put_int(w, "log_lines", (int64_t)t->lines);
	json_put_int(w, "log_lines_dropped", (int64_t)t->lines_lost);
	json_close_object(w);
}

const struct part tally_part = {
	.name = "tally",
	.report = tally_on_report,
	.status = tally_on_status,
};
