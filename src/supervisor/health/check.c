/* SPDX-License-Identifier: MIT */
#include "supervisor/health/check.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "os/look/awaits.h"
#include "os/clock.h"
#include "supervisor/common/timer.h"
#include "supervisor/health/away.h"
#include "supervisor/workers/child.h"
#include "supervisor/health/health.h"
#include "supervisor/common/news.h"
#include "supervisor/workers/service.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The most volleys of a round: TRIES, and one more per WORKERS_A_TRY
 * workers. */
#define TRIES 8
#define WORKERS_A_TRY 8
#define WAIT_LEAST (1 * MSEC)
#define WAIT_PAUSED (1 * SECOND)
#define LATE (500 * MSEC)
/* A busy machine may give a healthy worker no CPU for some of that time. */
#define AWAY_LEAST (1 * SECOND)
/* The most time in a turn for looking at workers that take nothing. */
#define SLICE (2 * MSEC)

struct checker {
	struct volley volley;
	ev_timer step;
	nsec_t due;
	unsigned round;
	nsec_t round_at;
	unsigned tries;   /* in it */
	unsigned running; /* exec */
	bool nobody_told;
};

/* What this one is asked, or NULL. */
static const struct probe *probe_of(const struct child *child)
{
	const struct cluster_settings *s = child_settings(child);

	return s != NULL && s->check.kind != PROBE_NONE &&
			health_is_ready(child)
		? &s->check
		: NULL;
}

static bool is_answered(const struct child *child)
{
	return child->health != NULL &&
		child->health->round == child->service->asks.checker->round;
}

static bool wants(struct child *child)
{
	const struct probe *probe = probe_of(child);

	return probe != NULL && !is_answered(child) &&
		health_same_probe(
			probe, child->service->asks.checker->volley.probe);
}

/* ---- results ---- */

static void note_failure(struct child *child, const char *why)
{
	const struct cluster_settings *s = child_settings(child);
	struct health *h = child->health;
	char text[96];

	h->failed++;
	h->failures++;
	(void)text_copy(h->last, sizeof(h->last), why);
	log_info("%s.%" PRIu32 ": worker %d failed a check, %s: %s",
		child->service->name, child->slot, (int)child->pid,
		health_probe_text(text, &s->check), why);
	if (h->failures < s->check_failures)
		return;
	/* counted anew: it may have to stay, if its successor fails */
	news_say(child->service->sup, LOG_WARN, "check-failed",
		"%s.%" PRIu32 ": worker %d failed %u checks in a row, %s: %s",
		child->service->name, child->slot, (int)child->pid, h->failures,
		health_probe_text(text, &s->check), why);
	h->failures = 0;
	child_tell(child, EVENT_UNWELL, WHY_CHECK);
}

/* It has not waited for a connection, at any look. */
static void note_away(struct child *child, nsec_t time)
{
	struct health *h = child->health;
	char age[16];
	char threads[512];

	h->failed++;
	h->failures = 0;
	(void)snprintf(h->last, sizeof(h->last),
		"took no connection, and did nothing else, for %s",
		text_age(age, time));
	news_say(child->service->sup, LOG_WARN, "check-failed",
		"%s.%" PRIu32 ": worker %d %s: %s", child->service->name,
		child->slot, (int)child->pid, h->last,
		awaits_threads_text(child->pid, threads, sizeof(threads)));
	child_tell(child, EVENT_UNWELL, WHY_CHECK);
}

static void answered(struct child *child, bool well, const char *why)
{
	struct checker *c = child->service->asks.checker;
	struct health *h = health_of(child);

	c->nobody_told = false;
	if (h == NULL || probe_of(child) == NULL)
		return;
	h->round = c->round;
	if (!well) {
		note_failure(child, why);
		return;
	}
	h->ok++;
	h->failures = 0;
}

/* ---- a step ---- */

struct look {
	struct checker *checker;
	unsigned checked; /* ready workers that are */
	unsigned left;    /* who have not answered in this round */
	unsigned alive;
	bool paused;        /* some are stopped, by job control */
	struct child *exec; /* the first one left that a command is run for … */
	struct child *ask; /* … and to whom a connection is to go */
	nsec_t interval;   /* the shortest */
	nsec_t patience;   /* the shortest time in which a worker fails */
	nsec_t timeout;
	bool suspects; /* one may be away */
	struct aim aim;
	nsec_t until; /* the end of this turn's time for looking at workers */
};

static void look_at(struct child *child, void *context)
{
	struct look *look = context;
	const struct probe *probe = probe_of(child);
	const struct cluster_settings *s;
	struct child **first;

	look->alive++;
	look->paused |= child->life.paused;
	if (probe == NULL)
		return;
	s = child_settings(child);
	look->checked++;
	look->interval = nsec_min(look->interval, s->check_interval);
	look->timeout = nsec_min(look->timeout, s->check_timeout);
	look->patience = nsec_min(look->patience,
		(nsec_t)s->check_failures * s->check_interval +
			s->check_timeout);
	if (is_answered(child))
		return;
	look->left++;
	look->suspects |= away_is_suspect(child);
	first = probe->kind == PROBE_EXEC ? &look->exec : &look->ask;
	if (*first == NULL &&
		(child->health == NULL || child->health->helper == NULL))
		*first = child;
}

static void look_at_all(struct checker *c, struct look *look)
{
	*look = (struct look){
		.checker = c,
		.interval = NSEC_NEVER,
		.patience = NSEC_NEVER,
		.timeout = NSEC_NEVER,
	};
	children_each(c->volley.service->sup, c->volley.service, look_at, look);
}

static void fail_one(struct child *child, void *text)
{
	const struct probe *probe = probe_of(child);
	struct health *h = probe != NULL ? health_of(child) : NULL;

	if (h == NULL || probe->kind == PROBE_EXEC)
		return;
	h->failed++;
	h->failures = 0;
	(void)text_copy(h->last, sizeof(h->last), text);
	child_tell(child, EVENT_UNWELL, WHY_CHECK);
}

/* What was asked is in the queue: they are all at work, or all hung. */
static void judge_silence(
	struct checker *c, const struct look *look, nsec_t now)
{
	struct service *service = c->volley.service;
	nsec_t waited = now - c->volley.quiet_since;
	char age[16];
	char text[96] = "nobody took a connection for ";

	if (!volley_waits(&c->volley) || waited < look->timeout)
		return;
	(void)text_age(age, waited);
	if (!c->nobody_told) {
		c->nobody_told = true;
		news_say(service->sup, LOG_WARN, "check-untaken",
			"%s: no worker has taken a check's connection for %s: "
			"all are busy, or hung",
			service->name, age);
	}
	if (waited < look->patience)
		return;
	volley_stop(&c->volley);
	c->nobody_told = false;
	news_say(service->sup, LOG_WARN, "check-failed",
		"%s: no worker has taken a check's connection for %s: all have "
		"failed",
		service->name, age);
	(void)text_copy(text + strlen(text), sizeof(text) - strlen(text), age);
	children_each(service->sup, service, fail_one, text);
}

/* One that has not answered in this round. */
static void look_if_away(struct child *child, void *context)
{
	struct look *look = context;
	struct checker *c = look->checker;
	const struct probe *probe = probe_of(child);
	const struct cluster_settings *s;
	nsec_t patience;

	if (probe == NULL || probe->kind == PROBE_EXEC || is_answered(child) ||
		volley_asks(&c->volley, child)) {
		away_forget(child);
		return;
	}
	if (health_of(child) == NULL || child->health->seen == c->round ||
		clock_now() > look->until)
		return;
	s = child_settings(child);
	patience = (nsec_t)s->check_failures * s->check_interval;
	if (patience < AWAY_LEAST)
		patience = AWAY_LEAST;
	if (away_look(child, look->aim.listener, patience))
		note_away(child, patience);
	else if (!away_is_suspect(child))
		child->health->seen = c->round;
}

static void look_for_away(struct checker *c, struct look *look)
{
	struct service *service = c->volley.service;
	struct error err;

	if (aim_at(&look->aim, service, &err) == -1)
		return;
	look->until = clock_now() + SLICE;
	children_each(service->sup, service, look_if_away, look);
}

static void forget_away(struct child *child, void *unused)
{
	(void)unused;
	away_forget(child);
}

static void run(struct checker *c, struct child *child)
{
	const struct cluster_settings *s = child_settings(child);
	struct error err;

	if (c->running >= HEALTH_EXEC_AT_ONCE ||
		health_exec(child, &s->check, s->check_timeout, &c->running,
			answered, &err) == 0)
		return;
	/* nclust could not ask: that is no fault of the worker's */
	log_warn("%s.%" PRIu32 ": cannot be checked: %s", child->service->name,
		child->slot, err.text);
	if (child->health != NULL)
		child->health->round = c->round;
}

static void fire(struct checker *c, const struct look *look)
{
	const struct cluster_settings *s = child_settings(look->ask);
	unsigned most = TRIES + look->checked / WORKERS_A_TRY;
	struct error err;

	if (volley_is_busy(&c->volley) || c->tries >= most)
		return;
	/* then as many as there are workers: one that is awake wakes no other */
	if (volley_fire(&c->volley, s, &s->check,
		    c->tries == 0 ? look->left : look->alive, &err) == -1 &&
		c->tries == 0)
		log_debug("%s: cannot be checked: %s", c->volley.service->name,
			err.text);
	c->tries++;
}

static nsec_t gap(const struct look *look)
{
	unsigned steps = look->exec != NULL
		? look->checked + 1
		: TRIES + look->checked / WORKERS_A_TRY + 1;
	nsec_t time = look->interval / steps;

	if (look->suspects)
		time = nsec_min(time, look->patience / AWAY_LOOKS);
	return time > WAIT_LEAST ? time : WAIT_LEAST;
}

static void arm(struct checker *c, nsec_t at, nsec_t now)
{
	c->due = at > now ? at : now;
	timer_arm(c->volley.service->sup->loop, &c->step, c->due - now);
}

static void on_step(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct checker *c = timer->data;
	nsec_t now = clock_now();
	struct look look;
	nsec_t end;

	(void)loop;
	(void)revents;
	if (now > c->due + LATE) { /* nclust itself stood still */
		volley_stop(&c->volley);
		children_each(c->volley.service->sup, c->volley.service,
			forget_away, NULL);
	}
	look_at_all(c, &look);
	judge_silence(c, &look, now);
	if (!volley_waits(&c->volley) &&
		now >= nsec_add(c->round_at, look.interval)) {
		c->round++;
		c->round_at = now;
		c->tries = 0;
	} else { /* they have had a chance in this round */
		look_for_away(c, &look);
	}
	look_at_all(c, &look); /* some may be gone, all are to be asked anew */
	if (look.checked == 0) {
		volley_stop(&c->volley);
		if (look.paused)
			arm(c, now + WAIT_PAUSED, now);
		return;
	}
	if (look.exec != NULL)
		run(c, look.exec);
	else if (look.ask != NULL)
		fire(c, &look);
	end = nsec_add(c->round_at, look.interval);
	if (look.left > 0 || volley_waits(&c->volley)) {
		nsec_t next = now + gap(&look);

		end = end > now ? nsec_min(end, next) : next;
	}
	arm(c, end, now);
}

/* ---- life ---- */

static struct checker *checker_of(struct service *service)
{
	struct checker *c = service->asks.checker;

	if (c != NULL)
		return c;
	c = malloc(sizeof(*c));
	if (c == NULL)
		return NULL;
	*c = (struct checker){.round = 1, .round_at = clock_now()};
	volley_init(&c->volley, service);
	c->volley.wants = wants;
	c->volley.answered = answered;
	ev_init(&c->step, on_step);
	c->step.data = c;
	service->asks.checker = c;
	return c;
}

static void note_wanted(struct child *child, void *context)
{
	const struct cluster_settings *s = child_settings(child);

	*(bool *)context |= s != NULL && s->check.kind != PROBE_NONE;
}

void check_begin(struct service *service)
{
	bool wanted = false;
	struct checker *c;

	children_each(service->sup, service, note_wanted, &wanted);
	c = wanted ? checker_of(service) : service->asks.checker;
	if (c == NULL)
		return;
	arm(c, 0, clock_now());
}

void check_carried(struct child *child)
{
	struct checker *c = checker_of(child->service);

	if (c != NULL)
		health_exec_carried(child, &c->running, answered);
}

void check_let_go(struct service *service, uint32_t slot, uint64_t worker)
{
	if (service->asks.checker != NULL)
		volley_let_go(&service->asks.checker->volley, slot, worker);
}

size_t check_ports(const struct service *service, uint16_t ports[VOLLEY_MAX])
{
	return service->asks.checker != NULL
		? volley_ports(&service->asks.checker->volley, ports)
		: 0;
}

void check_free(struct service *service)
{
	struct checker *c = service->asks.checker;

	if (c == NULL)
		return;
	volley_stop(&c->volley);
	ev_timer_stop(service->sup->loop, &c->step);
	free(c);
	service->asks.checker = NULL;
}
