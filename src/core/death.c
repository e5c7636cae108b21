/* SPDX-License-Identifier: MIT */
#include "core/death.h"

#include "base/error.h"
#include "core/canary.h"
#include "core/internal.h"
#include "core/rollout.h"

#include <errno.h>

/* What follows from the death of a worker, which child_main_exited() of
 * supervisor/workers/child.c hears of first. */

/* A thread of the kernel (oom_reaper) frees the memory of a process that the OOM
 * killer ended, also after the process's exit was reported.  Until then the cgroup
 * is full, and memory for a starting worker would cost another process its life. */
#define AFTER_OOM (50 * MSEC)

static bool is_success(const struct cluster_settings *settings, const struct ending *ending)
{
	return ending->kind == ENDING_EXIT && ending->code >= 0 &&
		cluster_is_success(settings, (unsigned)ending->code);
}

/* How long it was at work: for ever, if it is done, as after so many requests or jobs. */
static nsec_t worked_for(const struct worker *dead, const struct cluster_settings *settings,
	const struct ending *ending, nsec_t now)
{
	nsec_t age = now - dead->born;

	if (!worker_was_ready(dead))
		return now - dead->gate_at;
	if (dead->why == WHY_ITSELF && is_success(settings, ending) && age >= SECOND &&
		age >= settings->stable_after)
		return NSEC_NEVER;
	return now - dead->ready_at;
}

/* Does the restart policy leave the slot empty after this death? */
static bool has_ended(const struct cluster_settings *settings, const struct worker *dead,
	const struct ending *ending)
{
	if (settings->restart == RESTART_ALWAYS)
		return false;
	if (dead->why == WHY_ITSELF && is_success(settings, ending))
		return true;
	if (settings->restart == RESTART_ON_FAILURE)
		return false;
	return ending->kind != ENDING_SPAWN || ending->permanent;
}

/* Has it done its work?  That is no failure, and the next job may come soon. */
static bool has_done(const struct cluster_settings *settings, const struct worker *dead,
	const struct ending *ending)
{
	return ending->done && dead->why == WHY_ITSELF && is_success(settings, ending) &&
		settings->restart == RESTART_ALWAYS && settings->spare == 0 &&
		(settings->ready == READY_AUTO || settings->ready == READY_ALIVE) &&
		(dead->state == WORKER_STARTING || dead->state == WORKER_READY);
}

/* Its work is as good a sign as readiness. */
static nsec_t note_done(struct cluster *c, uint32_t i, const struct worker *dead, bool was_main)
{
	struct slot *s = &c->slots[i];
	const struct generation *g = cluster_find_generation(c, dead->generation);

	if (g->settings->ready == READY_AUTO)
		generations_learn(&c->generations, dead->generation, LESSON_SILENT);
	c->ever_ready = c->lived = true;
	s->early = 0;
	slot_did(c, s, dead->generation);
	if (!was_main) {
		if (rollout_has_turned(c, s) && !canary_is_held(c, s))
			slot_stop(c, i, &s->main, WHY_ROLL);
		return NSEC_NEVER;
	}
	s->restarts++;
	s->retry = c->now;
	if (c->now - dead->born < SECOND)
		s->retry = nsec_add(c->now, g->settings->restart_pause);
	return s->retry - c->now;
}

static int exit_status(const struct ending *ending)
{
	int status = 1;

	if (ending->kind == ENDING_EXIT)
		status = ending->code;
	else if (ending->kind == ENDING_SIGNAL)
		status = 128 + ending->code;
	else if (ending->kind == ENDING_SPAWN && ending->permanent)
		status = ending->exit_status;
	return status == 0 ? 1 : status;
}

static void end_slot(struct cluster *c, uint32_t i, bool well, const struct ending *ending)
{
	struct slot *s = &c->slots[i];

	s->ended = well ? SLOT_ENDED_WELL : SLOT_ENDED_BADLY;
	c->ended++;
	if (!well && c->status == 0)
		c->status = exit_status(ending);
}

/* Does another worker of the slot take the place?  A held worker does so once it is
 * ready. */
static bool has_successor(const struct cluster *c, const struct slot *s)
{
	if (slot_is_rejected(c, &s->other))
		return false;
	return worker_is_serving(&s->other) ||
		((worker_is_coming(&s->other) || s->other.state == WORKER_SPARE) &&
			!canary_is_held(c, s));
}

/* Backoff is for a program that cannot start.  So that a program that can is not
 * missing altogether, one slot starts at once where no worker is at work: so many
 * times, and then once in this time, which costs a loop of crashes nothing. */
#define RESCUES 16
#define RESCUE_AGAIN (5 * SECOND)

/* Is no worker at work (a starting one may yet die), and a rescue left?  It is used up then. */
static bool is_rescued(struct cluster *c)
{
	nsec_t since = c->rescues_from > c->now ? c->rescues_from : c->now;

	if (c->ready > 0 || c->spares > 0 || since - c->now > (RESCUES - 1) * RESCUE_AGAIN)
		return false;
	c->rescues_from = nsec_add(since, RESCUE_AGAIN);
	return true;
}

static bool is_shortage(const struct ending *ending)
{
	return ending->kind == ENDING_SPAWN &&
		(error_is_shortage(ending->code) || ending->code == EAGAIN);
}

/*
 * After the death of a worker: decide when the slot is filled again, and return
 * how long that takes (NSEC_NEVER: another worker or event decides).
 */
static nsec_t plan_next(struct cluster *c, uint32_t i, const struct worker *dead, bool was_main,
	const struct ending *ending)
{
	struct slot *s = &c->slots[i];
	const struct cluster_settings *settings =
		cluster_find_generation(c, dead->generation)->settings;
	nsec_t wait;

	if (!cluster_wants(c, i))
		return NSEC_NEVER;
	if (has_done(settings, dead, ending))
		return note_done(c, i, dead, was_main);
	if (!why_is_no_failure(dead->why))
		slot_did(c, s, 0);
	if (!was_main)
		return s->gate != GATE_SHUT && !worker_was_ready(dead) &&
				worker_is_serving(&s->main)
			? gate_note_failure(c, s, dead)
			: NSEC_NEVER;
	if (why_is_no_failure(dead->why)) {
		s->retry = c->now;
		return 0;
	}
	if (has_successor(c, s))
		return 0;
	if (has_ended(settings, dead, ending)) {
		if (worker_is_coming(&s->other) || s->other.state == WORKER_SPARE) {
			canary_let_go(c, s);
			return 0;
		}
		end_slot(c, i, dead->why == WHY_ITSELF && is_success(settings, ending), ending);
		return NSEC_NEVER;
	}
	if (is_shortage(ending))
		wait = backoff_of_shortage(settings, c->count, &c->random);
	else
		wait = backoff_next(&s->backoff, settings,
			worker_was_ready(dead) || dead->gate_at > 0,
			worked_for(dead, settings, ending, c->now), &c->random);
	if (wait > 0 && worker_was_ready(dead) && is_rescued(c))
		wait = 0;
	if (wait == 0 && ending->out_of_memory)
		wait = AFTER_OOM;
	s->retry = nsec_add(c->now, wait);
	s->restarts++;
	return wait;
}

/* One more unasked death: too many in too short a time? */
static void count_death(struct cluster *c)
{
	const struct cluster_settings *settings = cluster_settings(c);
	unsigned limit = settings->give_up_count;
	struct report *report;
	nsec_t first;

	c->died[c->deaths++ % GIVE_UP_MAX] = c->now;
	if (limit == 0 || c->stopping || c->deaths < limit)
		return;
	if (limit > GIVE_UP_MAX)
		limit = GIVE_UP_MAX;
	first = c->died[(c->deaths - limit) % GIVE_UP_MAX];
	if (c->now - first > settings->give_up_window)
		return;
	report = actions_report(c->out, REPORT_GAVE_UP, 0, 0);
	report->count = limit;
	report->span = settings->give_up_window;
	cluster_give_up(c, 1);
}

static bool is_hopeless(
	const struct cluster *c, const struct worker *dead, const struct ending *ending)
{
	return ending->kind == ENDING_SPAWN && ending->permanent && !c->lived &&
		dead->generation == c->generation;
}

/* The consequences of a death beyond its slot.  The death of a worker beside another
 * one that has the place is no reason to give up. */
static void weigh_death(struct cluster *c, uint32_t i, const struct worker *dead,
	const struct ending *ending, bool beside)
{
	const struct slot *s = &c->slots[i];

	if (why_is_no_failure(dead->why) || !cluster_wants(c, i) ||
		has_done(cluster_find_generation(c, dead->generation)->settings, dead, ending))
		return;
	if (is_hopeless(c, dead, ending)) {
		cluster_give_up(c, ending->exit_status);
		return;
	}
	if (rollout_fails_with(c, dead) && s->ended != SLOT_ENDED_WELL)
		rollout_fail(c, i, dead, ending, dead->why);
	if (s->ended == SLOT_GOES_ON && !beside)
		count_death(c);
}

static void note_death(struct cluster *c, uint32_t i, const struct worker *dead,
	const struct ending *ending, nsec_t wait)
{
	struct slot *s = &c->slots[i];
	struct report *report = worker_report(c->out, REPORT_EXITED, i, dead, c->now);

	report->generation = dead->generation;
	report->was_ready = worker_was_ready(dead);
	if (report->was_ready)
		report->ready_for = c->now - dead->ready_at;
	report->ending = *ending;
	report->wait = wait;
	report->ending.done =
		has_done(cluster_find_generation(c, dead->generation)->settings, dead, ending);
	if (!report->was_ready && dead->why != WHY_STOP && s->early < UINT8_MAX &&
		!report->ending.done)
		s->early++;
	report->early = s->early;
	s->last = *ending;
	s->last_why = dead->why;
	s->last_age = report->age;
	s->lived = report->was_ready || report->ending.done || dead->why != WHY_ITSELF
		? 0
		: report->age;
}

void slot_bury(struct cluster *c, uint32_t i, struct worker *w, enum worker_event event,
	const struct ending *ending)
{
	struct slot *s = &c->slots[i];
	const struct worker dead = *w;
	bool was_main = w == &s->main;
	bool beside = !was_main && s->main.state != WORKER_NONE;
	enum slot_end ended_before = s->ended;
	nsec_t wait;

	if (!slot_tell(c, i, w, event, NULL))
		return;
	wait = plan_next(c, i, &dead, was_main, ending);
	if (ending->kind != ENDING_NONE)
		note_death(c, i, &dead, ending, wait);
	if (s->ended != ended_before)
		(void)actions_report(c->out, REPORT_SLOT_ENDED, i, 0);
	if (c->rollout.at_end || !rollout_has_turned(c, s))
		rollout_wake(c);
	weigh_death(c, i, &dead, ending, beside);
}
