/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "base/text.h"
#include "supervisor/workers/child.h"
#include "supervisor/health/internal.h"
#include "supervisor/health/health.h"
#include "supervisor/common/news.h"
#include "supervisor/workers/service.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/sockets.h"

#include <inttypes.h>

/*
 * `stall`: a ready worker has stalled if it has requests that it has not read or not answered, or
 * clients in a socket of its own, and has made no progress for that time: no byte moved on any
 * connection, and it used no more CPU time than housekeeping takes.  nclust looks from outside at
 * all of its processes, four times in that time, and at the same time for requests that hang
 * (internal.h).
 */
#define LOOKS 4 /* in the time of `stall` */
#define WAIT_LEAST (250 * MSEC)
/* A timer that ticks in a program is no progress: allow 1/HOUSEKEEPING of the time, and one unit of
 * /proc's clock. */
#define HOUSEKEEPING 100
#define CPU_UNIT (10 * MSEC)
static nsec_t stall_of(const struct child *child)
{
	const struct cluster_settings *s = child_settings(child);

	return s != NULL ? s->stall : 0;
}

/* ---- judging it ---- */

static void note_progress(
	struct health *h, const struct snapshot *snapshot, uint64_t print, nsec_t now)
{
	h->progress_at = now;
	h->progress_cpu = snapshot->cpu;
	h->progress_print = print;
}

static void report_stall(struct child *child, nsec_t time)
{
	char age[16];

	child->health->progress_at = 0; /* begin anew: the worker may have to stay */
	news_say_worker(child, LOG_WARN, "stalled",
		"worker %d has requests waiting and has made no progress for "
		"%s",
		(int)child->pid, text_age(age, time));
	child_tell(child, EVENT_UNWELL, WHY_STALL);
}

static void warn_refused(struct service *service)
{
	if (once_say(service->said, ONCE_STALL_UNSEEN))
		news_say_of(service, LOG_WARN, "stall-refused",
			"nclust may not look at its workers' connections, so 'stall' "
			"cannot be seen");
}

/* Do clients wait in a socket that only this worker takes from? */
static bool has_queue(const struct child *child)
{
	const struct listener *l;

	for_each_listener (l, listeners_of(child->service, LISTENERS_IN_FORCE)) {
		const struct listener_socket *own = group_own(l, child->traffic.lane);

		if (l->slots > 1 && own != NULL && group_has_queue(l, own))
			return true;
	}
	return false;
}

static void judge_progress(struct child *child, nsec_t now)
{
	struct health *h = health_of(child);
	struct snapshot snapshot = {.cpu = 0};
	uint64_t print;
	bool waits;

	if (h == NULL)
		return;
	if (!health_is_ready(child)) {
		h->progress_at = 0;
		return;
	}
	snapshot_processes(&snapshot, child);
	if (h->progress_at == 0 || snapshot.traced ||
		snapshot.cpu > h->progress_cpu + CPU_UNIT + (now - h->progress_at) / HOUSEKEEPING) {
		note_progress(h, &snapshot, 0, now);
		return;
	}
	snapshot_connections(&snapshot, child);
	print = snapshot_print(&snapshot);
	waits = snapshot_any_waits(&snapshot, child) || has_queue(child);
	if (snapshot.all.refused)
		warn_refused(child->service);
	snapshot_free(&snapshot);
	if (!waits || print != h->progress_print)
		note_progress(h, &snapshot, print, now);
	else if (now - h->progress_at >= stall_of(child))
		report_stall(child, now - h->progress_at);
}

/* ---- looking ---- */

static bool is_watched(const struct child *child)
{
	return stall_of(child) != 0 || hang_patience(child) != 0;
}

static nsec_t look_at_worker(struct child *child, nsec_t now)
{
	struct service *service = child->service;
	uint32_t slot = child->slot;
	uint64_t worker = child->worker;
	nsec_t stall = stall_of(child);
	nsec_t patience = hang_patience(child);
	nsec_t wait = NSEC_NEVER;

	if (stall != 0)
		wait = stall / LOOKS;
	if (patience != 0) {
		wait = nsec_min(wait, patience / HANG_LOOKS);
		hang_look(child, now);
		/* the core may have ended the worker */
		child = child_find(service, slot, worker);
	}
	if (stall != 0 && child != NULL)
		judge_progress(child, now);
	return wait;
}

static void forget_progress(struct child *child)
{
	if (child->health == NULL)
		return;
	child->health->progress_at = 0;
	child->health->hang_cookie = 0;
}

const struct monitor_kind stall_kind = {
	.size = sizeof(struct monitor),
	.first = WAIT_LEAST,
	.wants = is_watched,
	.look = look_at_worker,
	.forget = forget_progress,
};
