/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A cluster with spares: workers come to the gate and wait there, or are stopped
 * once they are ready where their program never comes to one; they die at any
 * moment, are scaled, rolled and found unwell.  Whenever the core has settled, no
 * spare waits while one that serves is missing, nobody serves who was not released,
 * and in the end all is there: those wanted, and the spares, by the latest
 * settings.
 */
#define LIVES 4000
#define COMMANDS 60

enum stage { GOES_TO_GATE, AT_GATE, RELEASED, SERVES, GOES, GONE };

struct copy {
	uint32_t slot;
	unsigned generation;
	enum stage stage;
	nsec_t due; /* its next step */
	bool dies;  /* that is its end */
	bool leaves;
	bool drains;
};

struct house {
	struct world *w; /* for its random numbers, and to complain */
	struct cluster *c;
	struct copy lives[LIVES];
	uint64_t last;
	unsigned wanted;
	unsigned spare; /* of the latest settings */
	bool gateless;  /* its program takes a socket that listens already */
	bool calm;
	unsigned depth; /* of answers */
};

static void feed(struct house *h, struct event e);

static struct cluster_settings *draw(struct house *h)
{
	struct cluster_settings *s = calloc(1, sizeof(*s));

	if (s == NULL)
		world_complain(h->w, "out of memory");
	s->refs = 1;
	s->ready = READY_LISTEN;
	s->start_timeout = 5 * SECOND;
	s->stop_count = 1;
	s->stop[0] = (struct stop_step){SIGTERM, SECOND};
	s->backoff_min = 50 * MSEC;
	s->backoff_max = SECOND;
	s->surge = (unsigned)world_random(h->w, 3);
	s->max_unavailable = s->surge == 0;
	s->old_generations = 2;
	s->canary = world_chance(h->w, 200);
	s->drain = world_chance(h->w, 500) ? DRAIN_QUIET : DRAIN_OFF;
	s->drain_timeout = SECOND;
	s->start_at_once = (unsigned)world_random(h->w, 4);
	s->spare = (unsigned)world_random(h->w, 4);
	h->spare = s->spare;
	return s;
}

static nsec_t soon(struct house *h, nsec_t most)
{
	return h->w->now + world_span(h->w, 0, most);
}

static unsigned count(const struct house *h, enum stage stage)
{
	unsigned n = 0;

	for (uint64_t id = 1; id <= h->last; id++)
		n += h->lives[id].stage == stage;
	return n;
}

/* ---- what the core asks for ---- */

static void spawn(struct house *h, const struct action *a)
{
	struct copy *l = &h->lives[a->worker];

	if (a->worker != h->last + 1 || a->worker >= LIVES)
		world_complain(h->w, "which worker is that?");
	h->last = a->worker;
	*l = (struct copy){.slot = a->slot, .generation = a->generation};
	l->due = soon(h, 400 * MSEC);
	l->dies = !h->calm && world_chance(h->w, 60);
	feed(h,
		(struct event){.kind = EVENT_SPAWNED,
			.slot = a->slot,
			.worker = a->worker,
			.pid = (pid_t)(1000 + a->worker)});
}

static void release(struct house *h, struct copy *l)
{
	if (l->stage >= GOES)
		return; /* asked to stop meanwhile */
	if (l->stage != AT_GATE)
		world_complain(h->w, "released, and not at the gate");
	l->stage = RELEASED;
	l->due = h->w->now + (world_chance(h->w, 800) ? 0 : 30 * MSEC);
	l->dies = !h->calm && world_chance(h->w, 30);
}

/* After a rollout nobody of before it is left to serve. */
static void check_generation(const struct house *h, unsigned generation)
{
	for (uint64_t id = 1; id <= h->last; id++)
		if (h->lives[id].stage < GOES && h->lives[id].generation != generation)
			world_complain(h->w, "an old one stays");
}

static void carry_out(struct house *h, const struct action *a)
{
	struct copy *l = &h->lives[a->worker];

	switch (a->kind) {
	case ACTION_SPAWN:
		spawn(h, a);
		break;
	case ACTION_DRAIN:
		l->stage = GOES;
		l->drains = true;
		l->due = soon(h, 1500 * MSEC);
		break;
	case ACTION_SIGNAL:
	case ACTION_KILL:
		l->stage = GOES;
		l->drains = false;
		l->due = soon(h, 300 * MSEC);
		break;
	case ACTION_REPORT:
		if (a->report.kind == REPORT_READY && h->lives[a->report.worker].stage != SERVES)
			world_complain(h->w, "ready before its release");
		if (a->report.kind == REPORT_SURPRISE)
			world_complain(h->w, "the core is surprised");
		if (a->report.kind == REPORT_ROLLOUT_DONE && !a->report.back)
			check_generation(h, a->report.generation);
		break;
	default:
		break;
	}
}

/* ---- what has to hold ---- */

static void check(struct house *h)
{
	unsigned serving = count(h, RELEASED) + count(h, SERVES);
	const char *wrong = cluster_check(h->c);

	if (wrong != NULL)
		world_complain(h->w, "spares: %s", wrong);
	for (uint64_t id = 1; id <= h->last; id++)
		serving -= h->lives[id].stage == SERVES && h->lives[id].leaves;
	if (cluster_next_deadline(h->c) <= h->w->now)
		return;
	if (count(h, AT_GATE) > 0 && serving < h->wanted)
		world_complain(h->w, "a spare waits, and %u of %u serve", serving, h->wanted);
}

static void feed(struct house *h, struct event e)
{
	struct actions out;

	e.now = h->w->now;
	cluster_handle(h->c, &e, &out);
	h->depth++;
	if (h->w->verbose)
		printf("%.4f event %d %u/%u\n", nsec_seconds(e.now), e.kind, e.slot,
			(unsigned)e.worker);
	for (unsigned i = 0; i < out.count; i++) {
		if (h->w->verbose)
			printf("    action %d report %s %u/%u\n", out.list[i].kind,
				trace_report_name(out.list[i].report.kind), out.list[i].slot,
				(unsigned)out.list[i].worker);
		carry_out(h, &out.list[i]);
	}
	for (unsigned i = 0; i < out.count; i++) { /* they are answered */
		if (out.list[i].kind == ACTION_RELEASE)
			release(h, &h->lives[out.list[i].worker]);
	}
	if (--h->depth == 0)
		check(h);
}

/* ---- what happens ---- */

static void step(struct house *h, uint64_t id)
{
	struct copy *l = &h->lives[id];
	struct event e = {.slot = l->slot, .worker = id};

	l->due = NSEC_NEVER;
	if (l->stage == GOES && l->drains) {
		e.kind = EVENT_DRAINED;
	} else if (l->dies || l->stage == GOES) {
		l->stage = GONE;
		e.kind = EVENT_EXITED;
		e.ending = (struct ending){ENDING_SIGNAL, .code = SIGKILL};
	} else if (l->stage == GOES_TO_GATE && !h->gateless) {
		l->stage = AT_GATE;
		e.kind = EVENT_GATE;
	} else {
		l->stage = SERVES;
		l->dies = !h->calm && world_chance(h->w, 300);
		l->due = l->dies ? soon(h, 20 * SECOND) : NSEC_NEVER;
		e.kind = EVENT_LISTENING;
	}
	feed(h, e);
}

static void run(struct house *h, nsec_t until)
{
	for (;;) {
		nsec_t at = cluster_next_deadline(h->c);
		uint64_t who = 0;

		for (uint64_t id = 1; id <= h->last; id++)
			if (h->lives[id].stage != GONE && h->lives[id].due < at) {
				at = h->lives[id].due;
				who = id;
			}
		if (at > until)
			break;
		h->w->now = at > h->w->now ? at : h->w->now;
		if (who != 0)
			step(h, who);
		else
			feed(h, (struct event){.kind = EVENT_TICK});
	}
	h->w->now = until;
}

static void scale(struct house *h)
{
	h->wanted = (unsigned)world_random(h->w, 6);
	if (cluster_reserve(h->c, h->wanted + 4) == -1)
		world_complain(h->w, "out of memory");
	feed(h, (struct event){.kind = EVENT_SCALE, .scale.wanted = h->wanted});
}

static void change(struct house *h, enum event_kind kind)
{
	struct event e = {.kind = kind, .slot = SLOT_ALL};

	if (kind == EVENT_SETTINGS || world_chance(h->w, 500))
		e.settings = draw(h);
	feed(h, e);
}

/* Any worker of that stage is told of, or ends. */
static void hit(struct house *h, enum stage stage, enum event_kind kind)
{
	struct event e = {.kind = kind, .why = WHY_CHECK};

	for (uint64_t id = h->last; id > 0 && e.worker == 0; id--)
		if (h->lives[id].stage == stage && world_chance(h->w, 500))
			e.worker = id;
	if (e.worker == 0)
		return;
	e.slot = h->lives[e.worker].slot;
	if (kind == EVENT_LEAVING) {
		h->lives[e.worker].leaves = h->lives[e.worker].dies = true;
		h->lives[e.worker].due = soon(h, 2 * SECOND);
	}
	if (kind == EVENT_EXITED) {
		h->lives[e.worker].stage = GONE;
		e.ending = (struct ending){ENDING_SIGNAL, .code = SIGKILL};
	}
	feed(h, e);
}

static void command(struct house *h)
{
	switch (world_random(h->w, 10)) {
	case 0:
		scale(h);
		break;
	case 1:
	case 2:
		change(h, EVENT_ROLL);
		break;
	case 3:
		change(h, EVENT_SETTINGS);
		break;
	case 4:
		hit(h, SERVES, EVENT_LEAVING);
		break;
	case 5:
		hit(h, SERVES, EVENT_UNWELL);
		break;
	case 6:
		hit(h, AT_GATE, EVENT_EXITED);
		break;
	case 7: /* one that was asked, and has failed */
		hit(h, AT_GATE, EVENT_UNWELL);
		break;
	default:
		hit(h, SERVES, EVENT_EXITED);
		break;
	}
}

static void check_end(struct house *h)
{
	unsigned spares = cluster_spares(h->c);

	if (h->wanted > 0 && !h->gateless && spares != cluster_settings(h->c)->spare)
		world_complain(h->w, "%u spares are wanted", spares);
	if (count(h, SERVES) != h->wanted || count(h, AT_GATE) != spares ||
		cluster_alive(h->c) != h->wanted + spares || cluster_ready(h->c) != h->wanted ||
		!cluster_is_settled(h->c))
		world_complain(h->w, "in the end %u of %u serve, and %u of %u are spares",
			count(h, SERVES), h->wanted, count(h, AT_GATE), spares);
}

void spares_run(uint64_t seed, bool verbose)
{
	static struct house h;
	struct world w = {
		.seed = seed,
		.random = seed * 2654435761U + 1,
		.now = SECOND,
		.verbose = verbose,
	};
	struct cluster_settings *s;

	memset(&h, 0, sizeof(h));
	h.w = &w;
	h.gateless = world_chance(&w, 400);
	s = draw(&h);
	h.wanted = (unsigned)world_random(&w, 5);
	h.c = cluster_new(s, h.wanted, seed);
	cluster_settings_unref(s);
	if (h.c == NULL || cluster_reserve(h.c, 12) == -1)
		world_complain(&w, "out of memory");
	feed(&h, (struct event){.kind = EVENT_TICK});
	for (int i = 0; i < COMMANDS; i++) {
		run(&h, w.now + world_span(&w, 0, 3 * SECOND));
		command(&h);
	}
	h.calm = true;
	run(&h, w.now + 300 * SECOND);
	check_end(&h);
	feed(&h, (struct event){.kind = EVENT_STOP});
	run(&h, w.now + 60 * SECOND);
	if (cluster_alive(h.c) != 0)
		world_complain(&w, "spares: it does not end");
	cluster_free(h.c);
}
