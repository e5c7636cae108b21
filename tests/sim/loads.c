/* SPDX-License-Identifier: MIT */
#include "world.h"

#include "core/autoscale.h"
#include "core/slot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * `workers = MIN..MAX` in fake worlds: a cluster, its clients, and others on the
 * machine.  Clients come in bursts, in a sawtooth or evenly; workers take long to
 * start, and some loads kill them.  Then the load stays as it is for long, and has
 * to find enough workers; then there is none.
 */
#define MOST 200
#define BACKLOG 1000.
#define EVEN_FOR (60 * MINUTE)
#define QUIET_FOR (80 * MINUTE)

enum shape { SHAPE_EVEN, SHAPE_BURSTS, SHAPE_SAW, SHAPES };

struct site {
	uint64_t seed;
	uint64_t random;
	bool verbose;
	struct autoscale scale;
	nsec_t now;

	/* the world */
	unsigned cpus;
	double rate;   /* requests a second that a worker answers */
	double cpu;    /* CPU time that it uses for it meanwhile, 0 to 1 */
	double others; /* CPUs that other programs want */
	double kills;  /* chance a second that a worker dies */
	nsec_t start;  /* time that a worker takes for it */
	nsec_t period;
	enum shape shape;
	double load; /* requests a second, at most */
	double queue;
	double came;    /* requests a second at this moment */
	unsigned stuck; /* connections that no worker ever accepts */

	unsigned wanted;
	nsec_t ready_at[MOST];
	bool held;
	bool spares;
	nsec_t came_at; /* the first client since the last look; or 0 */
	nsec_t measured_at;
	nsec_t up_at; /* the last steps */
	nsec_t down_at;
	unsigned ups;
};

static void complain(const struct site *s, const char *what)
{
	fprintf(stderr,
		"seed %" PRIu64 ": autoscale at %.1f s: %s (%u of %u..%u "
		"workers, %.0f waiting, %.1f requests/s, %.1f each)\n",
		s->seed, nsec_seconds(s->now), what, s->wanted, s->scale.least, s->scale.most,
		s->queue, s->came, s->rate);
	exit(1);
}

static uint64_t below(struct site *s, uint64_t n)
{
	return random_next(&s->random) % n;
}

static double chance(struct site *s)
{
	return (double)below(s, 1U << 30) / (double)(1U << 30);
}

/* ---- the world ---- */

static unsigned ready(const struct site *s)
{
	unsigned count = 0;

	for (unsigned i = 0; i < s->wanted; i++)
		count += s->ready_at[i] <= s->now;
	return count;
}

/* How much of what its workers want of the CPUs do they get? */
static double share(const struct site *s, unsigned workers)
{
	double wanted = workers * s->cpu + s->others;

	return wanted > s->cpus ? s->cpus / wanted : 1.;
}

static double capacity(const struct site *s, unsigned workers)
{
	return workers * s->rate * share(s, workers);
}

static double requests(const struct site *s)
{
	double at = (double)(s->now % s->period) / (double)s->period;

	if (s->shape == SHAPE_SAW)
		return s->load * at;
	if (s->shape == SHAPE_BURSTS)
		return at < .2 ? s->load : s->load / 20;
	return s->load;
}

static void pass(struct site *s, nsec_t span)
{
	double seconds = nsec_seconds(span);
	double served = capacity(s, ready(s));

	s->now += span;
	s->came = requests(s);
	s->queue += (s->came - served) * seconds;
	if (s->queue < 0)
		s->queue = 0;
	if (s->queue > BACKLOG)
		s->queue = BACKLOG;
	for (unsigned i = 0; s->kills > 0 && i < s->wanted; i++)
		if (s->ready_at[i] <= s->now && chance(s) < s->kills * seconds)
			s->ready_at[i] = s->now + s->start + (nsec_t)below(s, 2 * SECOND);
	if (below(s, 50) == 0)
		s->held = below(s, 4) == 0;
}

static struct load look(struct site *s)
{
	struct load l = {.now = s->now,
		.wanted = s->wanted,
		.cpus = s->cpus,
		.came_at = s->came_at,
		.spare = s->spares && chance(s) < .5};
	double most;
	double use;

	l.ready = ready(s);
	l.held = s->held;
	most = capacity(s, l.ready);
	use = most > 0 ? s->came / most : 0;
	if (use > 1 || (most > 0 && s->queue > 0))
		use = 1;
	l.waiting = (unsigned)(s->queue + .99);
	/* at this moment somebody may be about to be accepted */
	if (l.waiting == 0 && chance(s) < use * use / 2)
		l.waiting = 1;
	l.full = s->queue >= BACKLOG;
	l.waiting += s->stuck;
	/* half of those that come are seen to */
	l.in_use = chance(s) < s->came / 2 && l.ready > 0;
	if (s->now - s->measured_at < 9 * SCALE_LOOK / 10)
		return l;
	s->measured_at = s->now;
	l.measured = true;
	l.busy = (unsigned)(1000 * use * s->cpu * share(s, l.ready));
	l.pressure = (unsigned)(1000 * (1 - share(s, l.ready)));
	return l;
}

/* ---- what must hold ---- */

static void check(struct site *s, const struct load *l, const struct scale_step *step)
{
	bool up = step->wanted > s->wanted;

	if (step->wanted == s->wanted)
		complain(s, "a step that is none");
	if (step->wanted < s->scale.least || step->wanted > s->scale.most)
		complain(s, "outside of its limits");
	if (s->held && s->wanted > 0)
		complain(s, "a step while it is held");
	if (up && l->ready < s->wanted && s->up_at != 0 && s->now - s->up_at < 30 * SECOND)
		complain(s, "more before the last ones could become ready");
	if (!up && step->why != SCALE_IDLE && s->up_at != 0 && s->now - s->up_at < SCALE_COOL)
		complain(s, "down soon after up");
	if (up && step->wanted > 2 * s->wanted && s->wanted > 0)
		complain(s, "more than twice as many at once");
	if (!up && step->wanted == 0 && step->why != SCALE_IDLE)
		complain(s, "none, but not for being idle");
	*(up ? &s->up_at : &s->down_at) = s->now;
	s->ups += up;
}

static void live(struct site *s, nsec_t span)
{
	nsec_t end = s->now + span;

	while (s->now < end) {
		nsec_t wait = autoscale_wait(&s->scale, s->wanted);
		struct load l;
		struct scale_step step = {0};

		/* a client wakes it: as soon as there is one */
		if (wait == NSEC_NEVER)
			wait = s->came > 0 ? 10 * MSEC : SCALE_LOOK;
		s->came_at = 0;
		/* and may be seen at once by those who are awake, too */
		if (wait == SCALE_LOOK && s->came > 0 && below(s, 8) == 0) {
			pass(s, (nsec_t)below(s, SCALE_LOOK));
			s->came_at = s->now;
			wait = SCALE_LOOK_FIRST;
		}
		pass(s, wait);
		l = look(s);
		if (!autoscale_look(&s->scale, &l, &step))
			continue;
		if (s->verbose)
			printf("%10.1f s: %u -> %u, why %d (%u)\n", nsec_seconds(s->now), s->wanted,
				step.wanted, (int)step.why, step.measure);
		check(s, &l, &step);
		for (unsigned i = s->wanted; i < step.wanted; i++)
			s->ready_at[i] = s->now + s->start;
		s->wanted = step.wanted;
	}
}

static bool is_enough(const struct site *s)
{
	return capacity(s, s->wanted) > s->load || s->wanted == s->scale.most ||
		s->wanted * s->cpu >= s->cpus;
}

static void make(struct site *s, uint64_t seed)
{
	unsigned least;
	unsigned most;

	*s = (struct site){.seed = seed, .random = seed, .now = SECOND};
	least = (unsigned)below(s, 5);
	most = least + (unsigned)below(s, below(s, 2) != 0 ? 8 : MOST - least);
	autoscale_limits(&s->scale, least, most, (nsec_t)(1 + below(s, 600)) * SECOND);
	s->cpus = 1U << below(s, 6);
	s->rate = 1. + (double)below(s, 500);
	s->cpu = below(s, 2) != 0 ? 1. : chance(s) / 4;
	s->others = below(s, 3) == 0 ? chance(s) * s->cpus : 0;
	s->kills = below(s, 4) == 0 ? chance(s) / 2 : 0;
	s->start = (nsec_t)below(s, below(s, 2) != 0 ? SECOND : 40 * SECOND);
	s->period = (nsec_t)(10 + below(s, 600)) * SECOND;
	s->shape = (enum shape)below(s, SHAPES);
	s->load = s->rate * chance(s) * (s->scale.most + 1);
	s->stuck = below(s, 4) == 0 ? (unsigned)below(s, 3) : 0;
	s->wanted = s->scale.least;
	s->spares = below(s, 4) == 0;
}

void loads_run(uint64_t seed, bool verbose)
{
	struct site s;

	make(&s, seed);
	s.verbose = verbose;
	live(&s, 20 * MINUTE);
	s.shape = SHAPE_EVEN;
	live(&s, EVEN_FOR / 2);
	s.ups = 0;
	live(&s, EVEN_FOR / 2);
	/* it may just be trying if fewer would do */
	if (s.kills == 0 && s.now - s.down_at > MINUTE && !is_enough(&s))
		complain(&s, "not enough for a load that stays as it is");
	if (s.kills == 0 && s.ups > 12)
		complain(&s, "it never settles");
	s.load = s.came = 0;
	s.kills = 0;
	live(&s, QUIET_FOR);
	/* one that nobody accepts holds a worker, and no more */
	if (s.wanted != s.scale.least && (s.stuck == 0 || s.wanted > 1))
		complain(&s, "too many when nothing is to be done");
	s.load = s.rate / 10;
	s.came = s.load;
	live(&s, MINUTE);
	if (s.wanted == 0)
		complain(&s, "none for a client");
}
