/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "base/text.h"
#include "os/clock.h"
#include "supervisor/health/health.h"
#include "supervisor/health/internal.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/service.h"

#include <string.h>

/* `ready = tcp`, `http:/path` and `exec:CMD`: each worker is probed from its start until a probe
 * succeeds, often at first and every second in the end. */

/* The next probe comes after a fifth of the time since a worker was last started or seen ready. */
#define WAIT_LEAST (25 * MSEC)
#define WAIT_MOST (1 * SECOND)
#define WAIT_PART 5

/* The probe that this worker has to pass; NULL: none, or not now: a spare that is held in its
 * listen(2) answers nobody. */
static const struct probe *probe_of(const struct child *child)
{
	const struct cluster_settings *s;

	if (child->health == NULL || !child->health->proving ||
		child_view(child).state == SLOT_SPARE)
		return NULL;
	s = child_settings(child);
	return s != NULL && s->ready == READY_PROBE ? &s->ready_probe : NULL;
}

static bool has_probe(const struct child *child)
{
	return probe_of(child) != NULL;
}

static const struct probe *probe_to_send(const struct child *child)
{
	return child->life.paused ? NULL : probe_of(child);
}

static void note_answer(struct child *child, bool well, const char *why)
{
	struct health *h = child->health;

	if (h == NULL || !h->proving)
		return;
	if (well) {
		h->proving = false;
		child->service->asks.of[ASKS_READY]->since = clock_now();
		*h->last = '\0';
		child_tell(child, EVENT_PROVED, WHY_ITSELF);
		return;
	}
	if (strcmp(h->last, why) == 0)
		return;
	text_copy(h->last, sizeof(h->last), why);
	log_worker(child, LOG_INFO, "worker %d is not ready yet: %s", (int)child->pid, why);
}

static void run_command(struct probe_batch *v, struct child *child, nsec_t now, nsec_t wait)
{
	struct health *h = child->health;
	struct error err;

	if (h->helper != NULL || child->life.paused || now < h->tried_at + wait ||
		v->running >= HEALTH_EXEC_AT_ONCE)
		return;
	h->tried_at = now;
	if (health_exec(child, v, probe_of(child), &err) == -1)
		note_answer(child, false, err.text);
}

/* Opens as many connections as there are workers: an awake idle worker wakes no other. */
static void open_batch(struct probe_batch *v, const struct child *first, unsigned alive)
{
	struct child *child;
	struct error err;

	if (batch_is_busy(v) && batch_is_at(v, first))
		return;
	v->in_lane = true;
	v->lane = first->traffic.lane;
	if (batch_fire(v, check_target_of(first), child_settings(first), probe_of(first), alive,
		    &err) == 0)
		return;
	for_each_child (child, children_of(v->monitor.service))
		if (has_probe(child))
			note_answer(child, false, err.text);
}

static void probe_workers(struct monitor *a, nsec_t now)
{
	struct probe_batch *v = (struct probe_batch *)a;
	struct child_walk walk = children_of(a->service);
	const struct child *first = NULL; /* to be asked by a connection */
	struct child *child;
	unsigned alive = 0;
	unsigned proving = 0;
	nsec_t wait = (now - a->since) / WAIT_PART;

	if (wait < WAIT_LEAST)
		wait = WAIT_LEAST;
	wait = nsec_min(wait, WAIT_MOST);
	for (; (child = child_next(&walk)) != NULL; alive++) {
		if (!has_probe(child))
			continue;
		proving++;
		if (probe_of(child)->kind == PROBE_EXEC)
			run_command(v, child, now, wait);
		else
			first = batch_next(v, first, child);
	}
	if (first != NULL)
		open_batch(v, first, alive);
	if (proving > 0)
		monitor_arm(a, wait);
	else
		batch_stop(v);
}

const struct monitor_kind prove_kind = {
	.size = sizeof(struct probe_batch),
	.first = WAIT_LEAST,
	.wants = has_probe,
	.step = probe_workers,
	.probe = probe_to_send,
	.answered = note_answer,
};

void health_prove(struct child *child)
{
	const struct cluster_settings *s = child_settings(child);

	if (s == NULL || s->ready != READY_PROBE)
		return;
	if (health_of(child) == NULL || monitor_of(child->service, ASKS_READY) == NULL) {
		log_worker(child, LOG_WARN, "out of memory: it cannot be asked if it is ready");
		return;
	}
	child->health->proving = true;
	monitor_begin(child->service, child, ASKS_READY);
}
