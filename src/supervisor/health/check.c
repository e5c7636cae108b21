/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "base/text.h"
#include "base/nsec.h"
#include "os/look/look.h"
#include "os/clock.h"
#include "supervisor/health/internal.h"
#include "supervisor/workers/child.h"
#include "supervisor/health/health.h"
#include "supervisor/common/news.h"
#include "supervisor/workers/service.h"

#include <stdio.h>
#include <string.h>

/*
 * `check`: every ready worker is checked once in a round of `check-interval`.  Commands are run one
 * after the other, spread over the round.  Connections are made in batches (internal.h), several
 * in a round, until each worker has taken one.  A worker that has taken none by chance has not
 * failed.  If no worker takes any for as long as a worker may fail its checks, workers fail that
 * take none of clients either.
 */

/* The most batches of a round: TRIES, and one more per WORKERS_A_TRY workers. */
#define TRIES 8
#define WORKERS_A_TRY 8
#define WAIT_LEAST (1 * MSEC)
#define WAIT_PAUSED (1 * SECOND)
/* A worker is away for at least so long, because a busy machine may give it no CPU. */
#define AWAY_LEAST (1 * SECOND)

struct checker {
	struct probe_batch batch;
	unsigned round; /* from 1 on; 0: none has begun */
	nsec_t round_at;
	unsigned tries;         /* batches in this round */
	nsec_t looks_from;      /* since when workers that take none are searched; or 0 */
	struct child_walk walk; /* where to search on for workers that take none */
	unsigned asked, silent; /* workers searched so far; of these, workers that take none */
};

static struct checker *checker_of(const struct service *service)
{
	return (struct checker *)service->asks.of[ASKS_CHECK];
}

/* The check of this worker; NULL: none now. */
static const struct probe *probe_of(const struct child *child)
{
	const struct cluster_settings *s = child_settings(child);

	return s != NULL && s->check.kind != PROBE_NONE && health_is_ready(child) ? &s->check
										  : NULL;
}

static bool is_answered(const struct child *child)
{
	return child->health != NULL && child->health->round == checker_of(child->service)->round;
}

static const struct probe *probe_to_send(const struct child *child)
{
	return is_answered(child) ? NULL : probe_of(child);
}

/* ---- results ---- */

/* Returns what is known of the worker's check: nothing, if a reload has changed the check. */
static struct asks *check_of(const struct child *child)
{
	struct asks *a = &child->service->asks;
	char text[96];

	(void)health_probe_text(text, &child_settings(child)->check);
	if (strcmp(text, a->check) == 0)
		return a;
	text_copy(a->check, sizeof(a->check), text);
	a->passed = a->blamed = 0;
	(void)trouble_set_check(child->service, "");
	return a;
}

void check_passed(struct child *child)
{
	struct asks *a = check_of(child);

	child->health->ok++;
	child->health->failures = 0;
	if (a->passed < child->generation)
		a->passed = child->generation;
	if (a->blamed <= child->generation)
		(void)trouble_set_check(child->service, "");
}

/* May the check itself be wrong?  If no worker of a generation has ever passed, one worker alone is
 * replaced, because its successors would not pass either. */
static bool is_doubted(const struct child *child)
{
	const struct asks *a = check_of(child);

	return a->passed < child->generation && a->blamed >= child->generation;
}

static void report_doubt(const struct child *child, const char *check)
{
	const char *last = child->health->last;
	char text[512];

	snprintf(text, sizeof(text),
		"no worker of generation %u has ever passed its check (%s: "
		"%s), so no other is replaced for it: is 'check' right?%s",
		child->generation, check, last,
		strncmp(last, "answered", 8) == 0
			? " 'check = http://HOST/path' sets the Host, and "
			  "'check-header' adds header lines"
			: "");
	if (trouble_set_check(child->service, text))
		news_say_of(child->service, LOG_WARN, "check-doubted", "%s", text);
}

static void report_unwell(struct child *child)
{
	struct asks *a = check_of(child);

	/* count anew: the worker has to stay if its successor fails */
	child->health->failures = 0;
	if (is_doubted(child)) {
		report_doubt(child, a->check);
		return;
	}
	if (a->passed < child->generation) {
		a->blamed = child->generation;
		(void)trouble_set_check(child->service, "");
	}
	child_tell(child, EVENT_UNWELL, WHY_CHECK);
}

void check_failed(struct child *child, const char *why)
{
	const struct cluster_settings *s = child_settings(child);
	struct health *h = child->health;
	struct slot_view view;
	char text[96];

	h->failed++;
	h->failures++;
	text_copy(h->last, sizeof(h->last), why);
	log_worker(child, LOG_INFO, "worker %d failed a check, %s: %s", (int)child->pid,
		health_probe_text(text, &s->check), why);
	if (h->failures < s->check_failures)
		return;
	service_view_slot(child->service, child->slot, &view);
	if (view.mend_at == NSEC_NEVER && !is_doubted(child)) /* else the log has it */
		news_say_worker(child, LOG_WARN, "check-failed",
			"worker %d failed %u check%s, %s: %s", (int)child->pid, h->failures,
			h->failures == 1 ? "" : "s in a row", health_probe_text(text, &s->check),
			why);
	report_unwell(child);
}

/* Reports a worker that did not wait for connections at any look (internal.h). */
static void note_away(struct child *child, nsec_t time)
{
	struct health *h = child->health;
	char age[16];
	char threads[512];

	h->failed++;
	snprintf(h->last, sizeof(h->last), "took no connection, and did nothing else, for %s",
		text_age(age, time));
	news_say_worker(child, LOG_WARN, "check-failed", "worker %d %s: %s", (int)child->pid,
		h->last, awaits_threads_text(child->pid, threads, sizeof(threads)));
	report_unwell(child);
}

static void note_answer(struct child *child, bool well, const char *why)
{
	struct checker *c = checker_of(child->service);
	struct health *h = health_of(child);

	once_forget(child->service->said, ONCE_CHECK_UNTAKEN);
	if (h == NULL || probe_of(child) == NULL)
		return;
	h->round = c->round;
	if (!well) {
		check_failed(child, why);
		return;
	}
	check_passed(child);
	not_accepting_forget(child);
}

/* ---- a step ---- */

struct look {
	unsigned checked; /* ready workers with a check */
	unsigned left;    /* of these, not answered in this round */
	unsigned alive;
	bool paused;             /* some are stopped, by job control */
	struct child *exec;      /* the first one left whose check is a command */
	const struct child *ask; /* the worker to ask first by a connection */
	nsec_t interval;         /* the shortest */
	nsec_t patience;         /* the shortest time in which a worker fails */
	nsec_t timeout;
	bool suspects; /* a worker may be away */
};

static void look_at_worker(struct look *look, const struct probe_batch *v, struct child *child)
{
	const struct probe *probe = probe_of(child);
	const struct cluster_settings *s;

	look->alive++;
	look->paused |= child->life.paused;
	if (probe == NULL)
		return;
	s = child_settings(child);
	look->checked++;
	look->interval = nsec_min(look->interval, s->check_interval);
	look->timeout = nsec_min(look->timeout, s->check_timeout);
	look->patience = nsec_min(
		look->patience, (nsec_t)s->check_failures * s->check_interval + s->check_timeout);
	if (is_answered(child))
		return;
	look->left++;
	look->suspects |= not_waiting_is_suspect(child);
	if (child->health != NULL && child->health->helper != NULL)
		return;
	if (probe->kind != PROBE_EXEC)
		look->ask = batch_next(v, look->ask, child);
	else if (look->exec == NULL)
		look->exec = child;
}

static struct look look_at_workers(const struct checker *c)
{
	struct look look = {
		.interval = NSEC_NEVER,
		.patience = NSEC_NEVER,
		.timeout = NSEC_NEVER,
	};
	struct child *child;

	for_each_child (child, children_of(c->batch.monitor.service))
		look_at_worker(&look, &c->batch, child);
	return look;
}

static bool is_asked_here(const struct checker *c, const struct child *child)
{
	const struct probe *probe = probe_of(child);

	return probe != NULL && probe->kind != PROBE_EXEC && batch_is_at(&c->batch, child);
}

static void fail_silent_workers(struct checker *c, const char *text)
{
	struct child *child;

	for_each_child (child, children_of(c->batch.monitor.service)) {
		struct health *h = child->health;

		if (h == NULL || !h->silent || !is_asked_here(c, child))
			continue;
		h->failed++;
		h->silent = false;
		text_copy(h->last, sizeof(h->last), text);
		report_unwell(child);
	}
}

/* Finds workers that take no connection, a slice at a time.  True: all were looked at. */
static bool find_silent_workers(struct checker *c, nsec_t now)
{
	nsec_t from = c->batch.quiet_since;
	nsec_t until = clock_now() + TURN_SPAN;
	struct child *child;

	if (c->looks_from != from) {
		c->walk = children_of(c->batch.monitor.service);
		c->asked = 0;
		c->silent = 0;
	}
	c->looks_from = from;
	while ((child = child_next(&c->walk)) != NULL) {
		if (is_asked_here(c, child)) {
			c->asked++;
			c->silent += not_accepting_for_long(child, from, now);
		}
		if (clock_now() > until)
			return false;
	}
	c->looks_from = 0;
	return true;
}

/* If no worker takes nclust's connections, all are at work, or all hang: fails workers that take
 * none of clients either. */
static void judge_not_accepting(struct checker *c, const struct look *look, nsec_t now)
{
	struct service *service = c->batch.monitor.service;
	nsec_t waited;
	char age[16];
	char all[32] = "all";
	char text[96] = "no worker took a connection for ";

	now = monitor_time(&c->batch.monitor, now);
	waited = now - c->batch.quiet_since;
	if (!batch_waits(&c->batch) || waited < look->timeout)
		return;
	text_age(age, waited);
	if (once_say(service->said, ONCE_CHECK_UNTAKEN))
		news_say_of(service, LOG_WARN, "check-untaken",
			"no worker has taken a check's connection for %s: "
			"all are busy, or hung",
			age);
	if (!find_silent_workers(c, now) || c->silent == 0 || waited < look->patience)
		return;
	batch_stop(&c->batch);
	once_forget(service->said, ONCE_CHECK_UNTAKEN);
	if (c->silent < c->asked)
		snprintf(all, sizeof(all), "%u of %u", c->silent, c->asked);
	news_say_of(service, LOG_WARN, "check-failed",
		"no worker has taken a check's connection for %s: %s have "
		"failed",
		age, all);
	text_copy(text + strlen(text), sizeof(text) - strlen(text), age);
	fail_silent_workers(c, text);
}

/* Is this worker away?  Looks only at a worker that has not answered in this round. */
static void look_if_away(
	struct checker *c, struct child *child, const struct listener *listener, nsec_t until)
{
	const struct probe *probe = probe_of(child);
	const struct cluster_settings *s;
	nsec_t patience;

	if (probe == NULL || probe->kind == PROBE_EXEC || is_answered(child) ||
		batch_asks(&c->batch, child)) {
		not_waiting_forget(child);
		return;
	}
	if (health_of(child) == NULL || child->health->waited_in_round == c->round ||
		clock_now() > until)
		return;
	s = child_settings(child);
	patience = (nsec_t)s->check_failures * s->check_interval;
	if (patience < AWAY_LEAST)
		patience = AWAY_LEAST;
	if (not_waiting_look(
		    child, listener, patience, monitor_time(&c->batch.monitor, clock_now())))
		note_away(child, patience);
	else if (!not_waiting_is_suspect(child))
		child->health->waited_in_round = c->round;
}

static void look_for_away(struct checker *c)
{
	nsec_t until = clock_now() + TURN_SPAN;
	struct child *child;

	for_each_child (child, children_of(c->batch.monitor.service)) {
		const struct listener *l = check_target_of(child);

		if (l != NULL)
			look_if_away(c, child, l, until);
	}
}

static void run_command(struct checker *c, struct child *child)
{
	const struct cluster_settings *s = child_settings(child);
	struct error err;

	if (c->batch.running >= HEALTH_EXEC_AT_ONCE ||
		health_exec(child, &c->batch, &s->check, &err) == 0)
		return;
	/* a check that nclust could not start is no fault of the worker's */
	log_worker(child, LOG_WARN, "cannot be checked: %s", err.text);
	if (child->health != NULL)
		child->health->round = c->round;
}

/* Fails all workers whose check nclust could not send. */
static void fail_all_asked(struct checker *c, const char *why)
{
	struct child *child;

	for_each_child (child, children_of(c->batch.monitor.service))
		if (is_asked_here(c, child) && !is_answered(child))
			note_answer(child, false, why);
}

static void open_batch(struct checker *c, const struct look *look)
{
	const struct cluster_settings *s = child_settings(look->ask);
	unsigned most = TRIES + look->checked / WORKERS_A_TRY;
	struct error err;

	if (batch_is_busy(&c->batch) || c->tries >= most)
		return;
	/* later one for each worker, because an idle worker that is awake wakes no other */
	if (batch_fire(&c->batch, check_target_of(look->ask), s, &s->check,
		    c->tries == 0 ? look->left : look->alive, &err) == -1) {
		if (c->batch.target.strange)
			fail_all_asked(c, err.text);
		else if (c->tries == 0)
			log_debug("%s: cannot be checked: %s", c->batch.monitor.service->name,
				err.text);
	}
	c->tries++;
}

static nsec_t time_to_next(const struct look *look)
{
	unsigned steps =
		look->exec != NULL ? look->checked + 1 : TRIES + look->checked / WORKERS_A_TRY + 1;
	nsec_t time = look->interval / steps;

	if (look->suspects)
		time = nsec_min(time, look->patience / AWAY_LOOKS);
	return time > WAIT_LEAST ? time : WAIT_LEAST;
}

static void check_some(struct monitor *a, nsec_t now)
{
	struct checker *c = (struct checker *)a;
	struct look look = look_at_workers(c);
	nsec_t end;

	judge_not_accepting(c, &look, now);
	if (c->round == 0 ||
		(!batch_waits(&c->batch) && now >= nsec_add(c->round_at, look.interval))) {
		c->round++;
		c->round_at = now;
		c->tries = 0;
	} else { /* all workers had a chance in this round */
		look_for_away(c);
	}
	look = look_at_workers(c); /* workers may be gone, or the round new */
	if (look.checked == 0) {
		batch_stop(&c->batch);
		if (look.paused)
			monitor_arm(a, WAIT_PAUSED);
		return;
	}
	if (look.exec != NULL)
		run_command(c, look.exec);
	else if (look.ask != NULL)
		open_batch(c, &look);
	end = nsec_add(c->round_at, look.interval);
	if (look.left > 0 || batch_waits(&c->batch)) {
		nsec_t next = now + time_to_next(&look);

		end = end > now ? nsec_min(end, next) : next;
	}
	monitor_arm(a, end - now);
}

static bool has_check(const struct child *child)
{
	const struct cluster_settings *s = child_settings(child);

	return s != NULL && s->check.kind != PROBE_NONE;
}

const struct monitor_kind check_kind = {
	.size = sizeof(struct checker),
	.wants = has_check,
	.step = check_some,
	.forget = not_waiting_forget,
	.probe = probe_to_send,
	.answered = note_answer,
};
