/* SPDX-License-Identifier: MIT */
#include "fleet.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define LB_SEES_IN (3 * SECOND) /* that a host is gone, or there again */
#define LASTS_AT_MOST (100 * HOUR)

_Noreturn void fleet_complain(const struct fleet *f, const char *what)
{
	fprintf(stderr, "fleet: at %.3f s: %s\n", nsec_seconds(f->now), what);
	exit(1);
}

/* ---- the world ---- */

static struct cluster_settings *make_settings(const struct plan *plan)
{
	struct cluster_settings *s = calloc(1, sizeof(*s));

	if (s == NULL)
		abort();
	s->refs = 1;
	s->ready = READY_NOTIFY;
	s->start_timeout = MINUTE;
	s->stop_count = 1;
	s->stop[0] = (struct stop_step){SIGTERM, 30 * SECOND};
	s->backoff_min = 100 * MSEC;
	s->backoff_max = 30 * SECOND;
	s->backoff_jitter = 20;
	s->stable_after = SECOND;
	s->success_exit[0] = 1;
	s->surge = plan->surge;
	s->drain = DRAIN_QUIET;
	s->drain_timeout = 30 * SECOND;
	s->old_generations = 2;
	s->start_at_once = 4;
	return s;
}

/* The next host that dies, one that lives and is not cut off. */
static void plan_death(struct fleet *f)
{
	if (f->plan.dying > 0)
		ahead_add(f, f->now + ahead_life(f, HOUR / f->plan.dying),
			(struct thing){.kind = THING_DIES,
				.host = (unsigned)ahead_span(f, 0, (nsec_t)f->plan.hosts - 1)});
}

static void go(struct fleet *f, struct host *h, bool *how, bool gone)
{
	if (*how == gone)
		return;
	traffic_leave(f, h);
	*how = gone;
	traffic_join(f, h);
	if (gone)
		deployer_lost(f, h);
	ahead_add(f, f->now + LB_SEES_IN,
		(struct thing){.kind = THING_SEEN, .host = (unsigned)(h - f->hosts)});
}

static void see(struct fleet *f, struct host *h)
{
	traffic_leave(f, h);
	h->known_gone = !host_answers(h);
	traffic_join(f, h);
}

/* One rack. */
static void cut(struct fleet *f, unsigned first, bool gone)
{
	for (unsigned i = 0; i < f->plan.cut; i++)
		go(f, &f->hosts[(first + i) % f->plan.hosts],
			&f->hosts[(first + i) % f->plan.hosts].cut, gone);
	if (gone)
		ahead_add(f, f->now + f->plan.cut_for,
			(struct thing){.kind = THING_HEALS, .host = first});
}

static void open_fleet(struct fleet *f)
{
	f->hosts = calloc(f->plan.hosts, sizeof(*f->hosts));
	if (f->hosts == NULL)
		abort();
	f->settings = make_settings(&f->plan);
	for (unsigned i = 0; i < f->plan.hosts; i++)
		host_init(f, &f->hosts[i]);
	for (unsigned i = 0; i < f->plan.dead; i++) {
		unsigned n = (unsigned)ahead_span(f, 0, (nsec_t)f->plan.hosts - 1);

		go(f, &f->hosts[n], &f->hosts[n].down, true);
		see(f, &f->hosts[n]);
	}
	plan_death(f);
	if (f->plan.cut > 0)
		ahead_add(f, f->now + f->plan.cut_at,
			(struct thing){.kind = THING_CUT,
				.host = (unsigned)ahead_span(f, 0, (nsec_t)f->plan.hosts - 1)});
	if (f->minutes != NULL)
		ahead_add(f, f->now, (struct thing){.kind = THING_MINUTE});
	f->result.least = 1;
}

/* What is counted on the way adds up, and who can has gone back. */
static void check_end(struct fleet *f)
{
	int serving = f->serving;

	for (unsigned i = 0; i < f->plan.hosts; i++) {
		const struct host *h = &f->hosts[i];

		if (f->stopped && host_answers(h) && h->new_release)
			fleet_complain(f, "a host keeps the bad release");
		if (!h->out && !h->known_gone && host_answers(h))
			serving -= h->ready;
	}
	if (serving != 0)
		fleet_complain(f, "the workers that serve do not add up");
}

static void close_fleet(struct fleet *f)
{
	check_end(f);
	for (unsigned i = 0; i < f->plan.hosts; i++)
		host_fini(f, &f->hosts[i]);
	cluster_settings_unref(f->settings);
	free(f->hosts);
	free(f->things);
}

/* ---- time passes ---- */

static void tell_minute(struct fleet *f)
{
	double all = (double)f->plan.hosts * f->plan.workers;

	fprintf(f->minutes,
		"%6.0f min %5u hosts %7.2f %% capacity %7.3f %% bad %8.3f s "
		"refused\n",
		nsec_seconds(f->now) / 60, f->result.replaced, 100 * f->serving / all,
		100 * f->bad / all, f->result.refused_seconds);
	ahead_add(f, f->now + MINUTE, (struct thing){.kind = THING_MINUTE});
}

static void happen(struct fleet *f, const struct thing *thing)
{
	struct host *h = &f->hosts[thing->host];

	switch (thing->kind) {
	case THING_EVENT:
		host_event(f, h, thing);
		break;
	case THING_TICK:
		host_tick(f, h);
		break;
	case THING_DIES:
		if (!f->over)
			go(f, h, &h->down, true);
		plan_death(f);
		break;
	case THING_CUT:
	case THING_HEALS:
		cut(f, thing->host, thing->kind == THING_CUT);
		break;
	case THING_SEEN:
		see(f, h);
		break;
	case THING_MINUTE:
		tell_minute(f);
		break;
	default:
		deployer_thing(f, thing);
		break;
	}
	if (f->over && f->first_answer && f->going_back == 0 && f->bad == 0 &&
		f->result.clean == 0 && f->stopped)
		f->result.clean = f->now;
}

struct result fleet_run(const struct plan *plan, uint64_t seed, FILE *minutes)
{
	struct fleet f = {.plan = *plan, .random = seed, .minutes = minutes};

	open_fleet(&f);
	deployer_begin(&f);
	while (!deployer_is_done(&f)) {
		struct thing thing;

		if (f.thing_count == 0 || f.now > LASTS_AT_MOST)
			fleet_complain(&f, "the roll never ends");
		thing = ahead_take(&f);
		traffic_pass(&f, thing.at);
		happen(&f, &thing);
	}
	close_fleet(&f);
	return f.result;
}
