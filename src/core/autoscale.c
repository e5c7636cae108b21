/* SPDX-License-Identifier: MIT */
#include "core/autoscale.h"

/* Clients that have waited so long wait for a worker, not for a moment: one for each worker
 * (QUEUE_STANDS), or fewer (FEW_STAND).  More clients show that sooner, after MANY_STAND at the
 * least; with a spare, which need not be started, a mistake costs less. */
#define QUEUE_STANDS (250 * MSEC)
#define QUEUE_STANDS_SPARE (60 * MSEC)
#define MANY_STAND (8 * MSEC)
#define MANY_STAND_SPARE SCALE_LOOK_FIRST
#define FEW_STAND SECOND
#define STUCK_FOR (300 * SECOND)
/* Workers are busy if they use HOT or more at so many looks in a row; the number is then chosen
 * so that each would use AIM.  A worker without which the others use COOL at most is surplus. */
#define HOT 800U
#define HOT_LOOKS 3U
#define AIM 600U
#define COOL 500U
/* A program that waits uses less than this, its timers included. */
#define IDLE 5U
/* With a pressure above this, and twice as many workers as CPUs, more workers gain nothing. */
#define NO_CPU_LEFT 800U
#define PRESSURE_MOST 500U /* the pressure is that of the whole machine */
/* Added workers have so long to become ready before more are added. */
#define START_PATIENCE (30 * SECOND)
#define DOWN_AGAIN (10 * SECOND) /* between two steps down */
#define DOWN_SHARE 8U            /* of the workers, in one step */
/* If more workers are needed so soon after a step down, the step was wrong. */
#define REGRET (60 * SECOND)
#define PATIENCE_LEAST (120 * SECOND)
#define PATIENCE_MOST (3600 * SECOND)

static unsigned least_of(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

const char *scale_why_name(enum scale_why why)
{
	static const char *const names[SCALE_WHYS] = {
		[SCALE_BY_HAND] = "asked",
		[SCALE_QUEUE] = "queue",
		[SCALE_CPU] = "cpu",
		[SCALE_CALM] = "calm",
		[SCALE_IDLE] = "idle",
		[SCALE_CLIENT] = "client",
		[SCALE_LIMITS] = "limits",
		[SCALE_KEPT] = "kept",
		[SCALE_CPUS] = "cpus",
		[SCALE_PORT] = "port",
		[SCALE_SHARES] = "shares",
	};

	return names[why];
}

void autoscale_limits(struct autoscale *a, unsigned least, unsigned most, nsec_t idle_after)
{
	a->most = most > 0 ? most : 1;
	a->least = least_of(least, a->most);
	a->idle_after = idle_after;
}

/* ---- what the load says ---- */

/* What a worker would use if no other process took the CPU from it.  With as many workers as
 * CPUs, or more, they wait for each other, and the pressure says nothing. */
static unsigned demand_of(const struct load *l)
{
	unsigned pressure = least_of(l->pressure, PRESSURE_MOST);

	if (l->ready >= l->cpus)
		return l->busy;
	return (unsigned)((uint64_t)l->busy * 1000 / (1000 - pressure));
}

/* As many clients wait as before the last step and no worker has taken any since, or as many for
 * very long: more workers do not help these clients, as when no worker accepts on their listener. */
static unsigned in_vain(struct autoscale *a, const struct load *l)
{
	if (l->full || l->waiting < a->asked)
		a->asked = 0;
	if (l->full || l->ready < l->wanted || l->waiting != a->level) {
		a->level = l->waiting;
		a->level_since = l->now;
	} else if (l->now - a->level_since >= STUCK_FOR) {
		a->asked = l->waiting;
	}
	return a->asked;
}

/* How long so many clients must wait to count as a queue. */
static nsec_t may_wait(const struct load *l, unsigned waiting)
{
	nsec_t one_each = l->spare ? QUEUE_STANDS_SPARE : QUEUE_STANDS;
	nsec_t least = l->spare ? MANY_STAND_SPARE : MANY_STAND;
	nsec_t span;

	if (waiting == 0 || waiting < l->wanted)
		return FEW_STAND;
	span = one_each * l->wanted / waiting;
	return span > least ? span : least;
}

/* Note since when clients wait, and never less than three quarters of them. */
static void note_queue(struct autoscale *a, const struct load *l)
{
	unsigned waiting = l->waiting - in_vain(a, l);

	a->may_wait = may_wait(l, waiting);
	a->near = waiting > 0 ? SCALE_LOOK_NEAR : 0;
	if (waiting == 0) {
		a->queued_since = 0;
	} else if (a->queued_since == 0) {
		a->queued_since = l->came_at != 0 ? l->came_at : l->now;
		a->queued = waiting;
	} else if (waiting < a->queued - a->queued / 4) {
		a->queued_since = l->now;
		a->queued = waiting;
	}
}

static bool queue_stands(const struct autoscale *a, nsec_t now, nsec_t span)
{
	return a->queued_since != 0 && now - a->queued_since >= span;
}

/* Would so many workers use no more than COOL each? */
static bool would_do(const struct load *l, unsigned count)
{
	return (uint64_t)demand_of(l) * l->ready <= (uint64_t)COOL * count;
}

static void note_use(struct autoscale *a, const struct load *l)
{
	bool queue = queue_stands(a, l->now, SCALE_LOOK_NEAR);

	if (l->measured)
		a->hot = demand_of(l) >= HOT ? a->hot + 1 : 0;
	if (queue || l->ready < l->wanted || l->wanted < 2 ||
		(l->measured && !would_do(l, l->wanted - 1)))
		a->calm_since = 0;
	else if (l->measured && a->calm_since == 0)
		a->calm_since = l->now;
	if (l->waiting > 0 || l->in_use || (l->measured && l->busy >= IDLE))
		a->idle_since = l->now;
	else if (a->idle_since == 0)
		a->idle_since = l->now;
}

/* ---- steps ---- */

/* Was the last step down a mistake?  Then remember the number that was too small,
 * and return to the one before. */
static bool note_regret(struct autoscale *a, const struct load *l)
{
	if (a->down_at == 0 || a->up_at > a->down_at || l->now - a->down_at >= REGRET)
		return false;
	a->patience = nsec_min(2 * a->patience, PATIENCE_MOST);
	if (a->patience < PATIENCE_LEAST)
		a->patience = PATIENCE_LEAST;
	a->too_few = l->wanted;
	a->try_at = l->now + a->patience;
	return a->enough > l->wanted;
}

static bool step_up(
	struct autoscale *a, const struct load *l, unsigned count, struct scale_step *step)
{
	unsigned most = least_of(a->most, 2 * l->wanted);

	if (count <= l->wanted)
		count = l->wanted + 1;
	step->wanted = least_of(count, most);
	if (step->wanted <= l->wanted)
		return false;
	if (note_regret(a, l))
		step->wanted = least_of(step->wanted, a->enough);
	a->up_at = l->now;
	a->queued_since = 0;
	a->calm_since = 0;
	a->hot = 0;
	return true;
}

static bool add_workers(struct autoscale *a, const struct load *l, struct scale_step *step)
{
	unsigned waiting = l->waiting - a->asked;

	if (l->ready == 0 ||
		(l->ready < l->wanted && a->up_at != 0 && l->now - a->up_at < START_PATIENCE)) {
		a->queued_since = 0; /* the new workers are meant for these clients */
		return false;
	}
	if (queue_stands(a, l->now, a->may_wait)) {
		if (l->pressure >= NO_CPU_LEFT && l->ready >= 2 * l->cpus)
			return false;
		step->why = SCALE_QUEUE;
		step->measure = waiting;
		if (!step_up(a, l, l->wanted + waiting, step))
			return false;
		a->asked = l->waiting;
		return true;
	}
	if (a->hot < HOT_LOOKS)
		return false;
	step->why = SCALE_CPU;
	step->measure = demand_of(l) / 10;
	return step_up(
		a, l, (unsigned)(((uint64_t)l->wanted * demand_of(l) + AIM - 1) / AIM), step);
}

static bool remove_workers(struct autoscale *a, const struct load *l, struct scale_step *step)
{
	unsigned floor = a->least > 0 ? a->least : 1;
	unsigned by = l->wanted / DOWN_SHARE;

	if (a->too_few >= floor && l->now < a->try_at)
		floor = a->too_few + 1;
	if (!l->measured || a->calm_since == 0 || l->wanted <= floor ||
		l->now - a->calm_since < SCALE_COOL ||
		(a->down_at != 0 && l->now - a->down_at < DOWN_AGAIN))
		return false;
	step->wanted = by > 1 ? l->wanted - by : l->wanted - 1;
	if (step->wanted < floor || !would_do(l, step->wanted))
		step->wanted = l->wanted - 1;
	step->why = SCALE_CALM;
	step->measure = demand_of(l) / 10;
	if (a->down_at > a->up_at && l->wanted <= a->too_few) {
		a->too_few = 0; /* that number is enough now */
		a->patience = 0;
	}
	a->enough = l->wanted;
	a->down_at = l->now;
	return true;
}

static bool sleep_now(struct autoscale *a, const struct load *l, struct scale_step *step)
{
	if (l->in_use || !autoscale_may_sleep(a, l->now))
		return false;
	*step = (struct scale_step){
		.why = SCALE_IDLE, .measure = (unsigned)(a->idle_after / SECOND)};
	a->idle_since = a->calm_since = a->queued_since = 0;
	a->hot = 0;
	return true;
}

bool autoscale_may_sleep(const struct autoscale *a, nsec_t now)
{
	return a->least == 0 && a->idle_since != 0 && now - a->idle_since >= a->idle_after;
}

static bool decide_step(struct autoscale *a, const struct load *l, struct scale_step *step)
{
	if (l->held)
		return false;
	if (l->wanted < a->least || l->wanted > a->most) {
		*step = (struct scale_step){
			.why = SCALE_LIMITS, .wanted = l->wanted < a->least ? a->least : a->most};
		return true;
	}
	return add_workers(a, l, step) || sleep_now(a, l, step) || remove_workers(a, l, step);
}

bool autoscale_look(struct autoscale *a, const struct load *l, struct scale_step *step)
{
	if (l->wanted == 0 && a->least == 0) {
		if (l->waiting == 0)
			return false;
		*step = (struct scale_step){
			.wanted = 1, .why = SCALE_CLIENT, .measure = l->waiting};
		a->up_at = l->now;
		return true;
	}
	note_queue(a, l);
	note_use(a, l);
	if (decide_step(a, l, step))
		return true;
	/* a queue that stands already needs no nearer look */
	if (a->queued_since != 0 && !queue_stands(a, l->now, a->may_wait))
		a->near = nsec_min(a->near, a->queued_since + a->may_wait - l->now + MSEC / 2);
	return false;
}

nsec_t autoscale_wait(const struct autoscale *a, unsigned wanted)
{
	if (wanted == 0 && a->least == 0)
		return NSEC_NEVER;
	return a->near == 0 || wanted >= a->most ? SCALE_LOOK : a->near;
}
