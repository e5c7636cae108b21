/* SPDX-License-Identifier: MIT */
#include "supervisor/health/prove.h"

#include "base/log.h"
#include "base/text.h"
#include "os/clock.h"
#include "supervisor/common/timer.h"
#include "supervisor/workers/child.h"
#include "supervisor/health/health.h"
#include "supervisor/workers/service.h"
#include "supervisor/health/volley.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The next probe comes after a fifth of the time since the worker's start. */
#define WAIT_LEAST (25 * MSEC)
#define WAIT_MOST (1 * SECOND)
#define WAIT_PART 5

struct prover {
	struct volley volley;
	ev_timer step;
	unsigned running; /* exec */
	nsec_t since;     /* the last birth, or proof */
};

/* What this one has to answer to, or NULL. */
static const struct probe *probe_of(const struct child *child)
{
	const struct cluster_settings *s;

	if (child->health == NULL || !child->health->proving)
		return NULL;
	s = child_settings(child);
	return s != NULL && s->ready == READY_PROBE ? &s->ready_probe : NULL;
}

static bool wants(struct child *child)
{
	const struct probe *probe = probe_of(child);

	return probe != NULL && !child->life.paused &&
		health_same_probe(
			probe, child->service->asks.prover->volley.probe);
}

static void answered(struct child *child, bool well, const char *why)
{
	struct health *h = child->health;

	if (h == NULL || !h->proving)
		return;
	if (well) {
		h->proving = false;
		child->service->asks.prover->since = clock_now();
		*h->last = '\0';
		child_tell(child, EVENT_PROVED, WHY_ITSELF);
		return;
	}
	if (strcmp(h->last, why) == 0)
		return;
	(void)text_copy(h->last, sizeof(h->last), why);
	log_info("%s.%" PRIu32 ": worker %d is not ready yet: %s",
		child->service->name, child->slot, (int)child->pid, why);
}

/* ---- a step ---- */

struct look {
	struct prover *prover;
	const struct probe
		*probe; /* of the first that is asked by connection */
	const struct cluster_settings *settings;
	unsigned lane;
	unsigned alive;
	unsigned proving;
	nsec_t now;
	nsec_t wait;
};

static void run(struct child *child, const struct look *look)
{
	const struct cluster_settings *s = child_settings(child);
	struct health *h = child->health;
	struct error err;

	if (h->helper != NULL || child->life.paused ||
		look->now < h->tried_at + look->wait ||
		look->prover->running >= HEALTH_EXEC_AT_ONCE)
		return;
	h->tried_at = look->now;
	if (health_exec(child, &s->ready_probe, s->check_timeout,
		    &look->prover->running, answered, &err) == -1)
		answered(child, false, err.text);
}

static void look_at(struct child *child, void *context)
{
	struct look *look = context;
	const struct probe *probe = probe_of(child);

	look->alive++;
	if (probe == NULL)
		return;
	look->proving++;
	if (probe->kind == PROBE_EXEC) {
		run(child, look);
	} else if (look->probe == NULL) {
		look->probe = probe;
		look->lane = child->traffic.lane;
		look->settings = child_settings(child);
	}
}

static void note_unasked(struct child *child, void *why)
{
	if (probe_of(child) != NULL)
		answered(child, false, why);
}

static void on_step(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct prover *p = timer->data;
	struct service *service = p->volley.service;
	struct look look = {.prover = p, .now = clock_now()};
	struct error err;

	(void)revents;
	look.wait = (look.now - p->since) / WAIT_PART;
	if (look.wait < WAIT_LEAST)
		look.wait = WAIT_LEAST;
	look.wait = nsec_min(look.wait, WAIT_MOST);
	children_each(service->sup, service, look_at, &look);
	if (look.proving == 0) {
		volley_stop(&p->volley);
		return;
	}
	if (!volley_is_busy(&p->volley)) {
		p->volley.in_lane = true;
		p->volley.lane = look.lane;
	}
	/* as many as there are workers: one that is awake wakes no other */
	if (look.probe != NULL && !volley_is_busy(&p->volley) &&
		volley_fire(&p->volley, look.settings, look.probe, look.alive,
			&err) == -1)
		children_each(service->sup, service, note_unasked, err.text);
	timer_arm(loop, timer, look.wait);
}

/* ---- life ---- */

static struct prover *prover_of(struct service *service)
{
	struct prover *p = service->asks.prover;

	if (p != NULL)
		return p;
	p = malloc(sizeof(*p));
	if (p == NULL)
		return NULL;
	*p = (struct prover){.running = 0};
	volley_init(&p->volley, service);
	p->volley.wants = wants;
	p->volley.answered = answered;
	ev_init(&p->step, on_step);
	p->step.data = p;
	service->asks.prover = p;
	return p;
}

void prove_begin(struct service *service)
{
	struct prover *p = service->asks.prover;

	if (p == NULL)
		return;
	p->since = clock_now();
	timer_arm(service->sup->loop, &p->step, WAIT_LEAST);
}

void prove_on_birth(struct child *child)
{
	const struct cluster_settings *s = child_settings(child);

	if (s == NULL || s->ready != READY_PROBE)
		return;
	if (health_of(child) == NULL || prover_of(child->service) == NULL) {
		log_warn("%s.%" PRIu32 ": out of memory: it cannot be asked if "
			 "it is ready",
			child->service->name, child->slot);
		return;
	}
	child->health->proving = true;
	prove_begin(child->service);
}

void prove_carried(struct child *child)
{
	struct prover *p = prover_of(child->service);

	if (p != NULL)
		health_exec_carried(child, &p->running, answered);
}

void prove_let_go(struct service *service, uint32_t slot, uint64_t worker)
{
	if (service->asks.prover != NULL)
		volley_let_go(&service->asks.prover->volley, slot, worker);
}

void prove_free(struct service *service)
{
	struct prover *p = service->asks.prover;

	if (p == NULL)
		return;
	volley_stop(&p->volley);
	ev_timer_stop(service->sup->loop, &p->step);
	free(p);
	service->asks.prover = NULL;
}
