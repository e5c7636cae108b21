/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "os/clock.h"
#include "supervisor/health/health.h"
#include "supervisor/health/internal.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/service.h"

/*
 * A spare that listens, on a socket to which no client comes (intercept/spare_gate.c), is checked
 * like other workers: at first without a pause, so that it has compiled, loaded and connected to
 * what its first answers need before it serves; then as often as workers that serve.
 */

/* A JVM is as quick after 20 requests as after 800. */
#define ENOUGH 50
/* Time before the next step, if there is no result. */
#define PAUSE (20 * MSEC)

static const struct probe *probe_of(const struct child *child)
{
	const struct cluster_settings *s = child_settings(child);

	/* a worker that is held in listen(2) of another address cannot answer */
	return s != NULL && s->check.kind == PROBE_HTTP && child->trap.spare_listens &&
			child->trap.gate_count == 0 && !child->life.paused &&
			child_view(child).state == SLOT_SPARE
		? &s->check
		: NULL;
}

static bool is_warmed(const struct child *child)
{
	return probe_of(child) != NULL;
}

static nsec_t next_check_at(const struct child *child)
{
	const struct health *h = child->health;

	if (h == NULL)
		return 0;
	return h->warm < ENOUGH && h->failures == 0
		? h->warm_at
		: nsec_add(h->warm_at, child_settings(child)->check_interval);
}

static const struct probe *probe_to_send(const struct child *child)
{
	const struct probe *probe = probe_of(child);

	return probe != NULL && next_check_at(child) <= clock_now() ? probe : NULL;
}

static void note_answer(struct child *child, bool well, const char *why)
{
	struct health *h = health_of(child);

	if (h == NULL || !is_warmed(child))
		return;
	h->warm_at = clock_now();
	monitor_arm(child->service->asks.of[ASKS_WARM], 0);
	if (!well) {
		check_failed(child, why);
		return;
	}
	check_passed(child);
	if (h->warm < ENOUGH && ++h->warm == ENOUGH)
		log_worker(child, LOG_INFO, "spare worker %d is warm", (int)child->pid);
}

static void warm_spares(struct monitor *a, nsec_t now)
{
	struct probe_batch *v = (struct probe_batch *)a;
	const struct child *first = NULL;
	const struct child *child;
	nsec_t next = NSEC_NEVER;
	struct error err;

	for_each_child (child, children_of(a->service)) {
		if (!is_warmed(child))
			continue;
		if (next_check_at(child) > now) {
			next = nsec_min(next, next_check_at(child));
			continue;
		}
		next = nsec_min(next, now + PAUSE);
		first = batch_next(v, first, child);
	}
	if (first != NULL) /* if it fails, no address or no worker can be asked */
		(void)batch_fire(
			v, check_target_of(first), child_settings(first), probe_of(first), 0, &err);
	if (next != NSEC_NEVER)
		monitor_arm(a, next - now);
	else
		batch_stop(v);
}

const struct monitor_kind warm_kind = {
	.size = sizeof(struct probe_batch),
	.wants = is_warmed,
	.step = warm_spares,
	.probe = probe_to_send,
	.answered = note_answer,
};
