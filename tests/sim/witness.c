/* SPDX-License-Identifier: MIT */
#include "world.h"

#include "core/worker.h"

#include <inttypes.h>

/* From the first stop signal to the end, when every step takes its time. */
static nsec_t stop_takes(const struct cluster_settings *s)
{
	nsec_t sum = 10 * SECOND + 2 * s->drain_timeout;

	for (unsigned i = 0; i < s->stop_count; i++)
		sum += s->stop[i].timeout;
	return sum;
}

struct process *witness_process(struct world *w, uint64_t worker)
{
	if (worker == 0 || worker > w->last_worker)
		world_complain(w, "there is no worker %" PRIu64, worker);
	return &w->processes[worker];
}

/* ---- a process comes and goes ---- */

void witness_goes(struct world *w, struct process *p)
{
	if (!p->going)
		w->places[p->slot].staying--;
	if (p->ready && !p->leaving && !p->going)
		w->ready--;
	p->going = true;
}

void witness_bury(struct world *w, uint64_t worker)
{
	struct process *p = &w->processes[worker];
	struct place *place = &w->places[p->slot];

	trials_note_end(w, worker);
	witness_goes(w, p);
	p->life = LIFE_OVER;
	place->alive--;
	w->alive--;
	if (place->workers[0] == worker)
		place->workers[0] = place->workers[1];
	place->workers[1] = 0;
}

const struct process *witness_mate(const struct world *w, uint64_t worker)
{
	const struct place *place = &w->places[w->processes[worker].slot];

	if (place->alive < 2)
		return NULL;
	return &w->processes[place->workers[place->workers[0] == worker]];
}

static void be_asked(struct world *w, const struct action *a, const struct event *cause)
{
	struct place *place = &w->places[a->slot];
	struct process *p;

	if (a->worker != w->last_worker + 1)
		world_complain(w, "worker ids do not grow one by one");
	if (++w->last_worker >= PROCESSES_MAX)
		world_complain(w, "too many processes");
	p = &w->processes[a->worker];
	*p = (struct process){
		.slot = a->slot,
		.generation = a->generation,
		.settings = a->settings,
		.command = world_plan_of(w, a->settings)->command,
		.life = LIFE_ASKED,
		.proven_at = NSEC_NEVER,
		.ready_by = NSEC_NEVER,
		.gone_by = NSEC_NEVER,
	};
	if (place->alive == 2)
		world_complain(w, "a third worker for slot %u", a->slot);
	place->workers[place->alive++] = a->worker;
	trials_note_birth(w, p, witness_mate(w, a->worker), cause);
	place->staying++;
	place->refill_by = NSEC_NEVER;
	place->exact = false;
	place->ended = false;
	place->unsure = false;
	w->alive++;
}

/* ---- events, as they go in ---- */

bool witness_has_to_listen(const struct world *w, const struct process *p)
{
	return p->mode == READY_AUTO && w->known[p->command].listens;
}

void witness_starts(const struct world *w, struct process *p)
{
	const struct cluster_settings *s = p->settings;
	const struct known *known = &w->known[p->command];

	p->mode = s->ready;
	p->opens &= s->ready == READY_AUTO && !known->silent;
	/* a slot that has left the cluster has forgotten how long its last one lived */
	p->vague = w->places[p->slot].lived > 0;
	p->fails_at = p->ready_by = world_patient(w) + s->start_timeout;
	if (s->ready == READY_ALIVE ||
		(s->ready == READY_AUTO && !known->says_ready && !known->listens))
		p->proven_at = world_patient(w) + (p->opens ? s->start_timeout : s->ready_alive);
	if (p->proven_at < p->fails_at && s->ready == READY_AUTO)
		p->proven_at = nsec_min(p->proven_at + w->places[p->slot].lived, p->fails_at);
	if (p->proven_at != NSEC_NEVER && p->ready_by < p->proven_at)
		p->ready_by = p->proven_at;
}

/* It opens no port, or cannot. */
static void note_port(const struct world *w, struct process *p, const struct event *e)
{
	nsec_t left = p->proven_at - world_patient(w);

	if (p->proven_at == NSEC_NEVER)
		return;
	if (e->kind == EVENT_REFUSED && p->settings->ready == READY_AUTO)
		p->proven_at = NSEC_NEVER;
	else if (e->kind == EVENT_IDLE && p->opens && left > 0)
		p->proven_at = world_patient(w);
}

static void note_spawned(const struct world *w, struct process *p, const struct event *e)
{
	p->life = LIFE_ALIVE;
	p->opens = e->opens;
	p->born = w->now;
	witness_starts(w, p);
}

static void note_extend(const struct world *w, struct process *p, const struct event *e)
{
	nsec_t until = world_patient(w) + e->span;

	if (p->going && !p->killed && !p->draining && p->gone_by < until)
		p->gone_by = until;
	if (!p->going && !p->ready && p->ready_by < until)
		p->ready_by = until;
	if (!p->going && !p->ready && p->fails_at < until)
		p->fails_at = until;
}

/* Is this event of its own the sign that its mode waits for? */
static bool is_sign(const struct world *w, const struct process *p, enum event_kind kind)
{
	enum ready_mode mode = p->settings->ready;

	if (kind == EVENT_PROVED)
		return mode == READY_PROBE;
	if (kind == EVENT_READY)
		return mode == READY_AUTO || mode == READY_NOTIFY;
	return kind == EVENT_LISTENING &&
		(mode == READY_LISTEN || (mode == READY_AUTO && !w->known[p->command].says_ready));
}

static void note_sign(struct world *w, const struct process *p, const struct event *e)
{
	if (e->kind == EVENT_READY)
		w->known[p->command].says_ready = true;
	else if (e->kind == EVENT_LISTENING)
		w->known[p->command].listens = true;
	if (!p->going && is_sign(w, p, e->kind))
		w->has_to_be = e->worker;
}

static void note_of_worker(struct world *w, const struct event *e)
{
	struct process *p = witness_process(w, e->worker);

	if (p->life == LIFE_OVER)
		return;
	switch (e->kind) {
	case EVENT_SPAWNED:
		note_spawned(w, p, e);
		break;
	case EVENT_READY:
	case EVENT_LISTENING:
	case EVENT_PROVED:
		note_sign(w, p, e);
		break;
	case EVENT_ALIVE:
	case EVENT_WATCHDOG:
	case EVENT_UNWELL:
	case EVENT_OUTGROWN:
		trials_note_event(w, e);
		break;
	case EVENT_LEAVING:
		if (p->ready && !p->leaving && !p->going) {
			w->ready--;
			p->leaving = true;
		}
		break;
	case EVENT_EXTEND:
		note_extend(w, p, e);
		break;
	case EVENT_REFUSED:
	case EVENT_IDLE:
		note_port(w, p, e);
		break;
	case EVENT_DRAINED:
		if (p->draining)
			p->gone_by = world_patient(w);
		break;
	case EVENT_BUSY: /* that is but an order */
		break;
	default: /* it has ended */
		witness_bury(w, e->worker);
		break;
	}
}

static void note_stop(struct world *w, const struct event *e)
{
	if (w->ended)
		return;
	w->stops++;
	w->stopping = true;
	w->stop_by = NSEC_NEVER; /* until it is seen who runs */
	if (e->at_once || w->stops > 1)
		w->at_once = true;
}

static void revive(struct world *w)
{
	w->stopping = w->at_once = w->ended = w->failed = false;
	w->gave_up = w->may_give_up = false;
	w->lived = false;
	w->stops = 0;
	w->stop_by = NSEC_NEVER;
	w->death_count = 0;
	w->done = 0;
	for (uint32_t i = 0; i < SLOTS_MAX; i++) {
		struct place *place = &w->places[i];

		place->ended = place->forgiven = false;
		place->failures = 0;
		place->refill_by = NSEC_NEVER;
		place->exact = false;
	}
}

void witness_event(struct world *w, const struct event *e)
{
	struct slot_view view;

	w->in_force.generation = cluster_generation(w->cluster);
	w->in_force.settings = cluster_settings(w->cluster);
	w->has_to_be = 0;
	w->was_beside = false;
	if (e->worker != 0 && e->worker <= w->last_worker) {
		cluster_view_slot(w->cluster, e->slot, &view);
		w->was_beside = view.workers == 2 && view.worker[1].id == e->worker;
	}
	switch (e->kind) {
	case EVENT_TICK:
	case EVENT_ALONE:
		break;
	case EVENT_STOP:
		note_stop(w, e);
		break;
	case EVENT_SCALE:
		if (w->stopping && !w->ended)
			break;
		if (w->ended && e->scale.wanted > 0)
			revive(w);
		w->disturbed = true;
		w->wanted = e->scale.wanted;
		trials_note_scale(w);
		break;
	case EVENT_ROLL:
		if (w->ended)
			revive(w);
		break;
	case EVENT_SETTINGS:
		w->shuffled = w->disturbed = true;
		w->late.rollout = 0;
		break;
	case EVENT_LATE:
		w->lost += e->span;
		break;
	case EVENT_PREPARED:
		break;
	default:
		note_of_worker(w, e);
		break;
	}
}

/* Workers follow new settings that come without a rollout: what was in force
 * a moment ago has no holder any more but the world. */
void witness_settings(struct world *w, const struct cluster_settings *now)
{
	for (uint64_t id = 1; id <= w->last_worker; id++) {
		struct process *p = &w->processes[id];

		if (p->life == LIFE_OVER || p->settings->refs != 1)
			continue;
		p->other_mode |= p->settings->ready != now->ready;
		p->settings = now;
	}
}

/* ---- reports ---- */

/* It has given no sign: has it lived for long enough, and does that do? */
static void check_proof(const struct world *w, const struct process *p)
{
	if (p->proven_at == NSEC_NEVER)
		world_complain(w, "it has to say that it is ready");
	if (world_patient(w) < p->proven_at && !p->vague)
		world_complain(w, "it is not proven yet");
	if (!p->other_mode && witness_has_to_listen(w, p))
		world_complain(w, "it has to listen");
}

static void note_becomes_ready(struct world *w, const struct report *r, const struct event *cause)
{
	struct process *p = witness_process(w, r->worker);
	const struct process *mate = witness_mate(w, r->worker);

	if (p->life != LIFE_ALIVE || p->ready || p->going)
		world_complain(w, "such a worker cannot become ready");
	if (cause->worker == r->worker && is_sign(w, p, cause->kind)) {
		w->signs[cause->kind == EVENT_READY           ? SIGN_SAID
				: cause->kind == EVENT_PROVED ? SIGN_PROVED
							      : SIGN_LISTENS]++;
	} else {
		check_proof(w, p);
		w->signs[SIGN_LIVES]++;
		w->known[p->command].silent |= p->settings->ready == READY_AUTO;
	}
	if (mate == NULL || mate->going)
		w->places[p->slot].refill_by = NSEC_NEVER; /* it is there */
	p->ready = true;
	p->ready_since = world_patient(w);
	trials_expect_beat(w, p);
	w->ready++;
	w->lived = true;
}

/* By our own doing no more may be missing than was allowed. */
static void note_stopping(struct world *w, const struct report *r)
{
	struct process *p = witness_process(w, r->worker);
	struct rollout_view rollout;
	struct slot_view slot;
	unsigned ended = 0;

	bool again = p->why != WHY_ITSELF; /* told as it began to drain */

	p->why = r->why;
	if (!again)
		trials_note_goes(w, r);
	if (again || r->why != WHY_ROLL || !p->ready || p->leaving)
		return;
	rollout = cluster_view_rollout(w->cluster);
	cluster_view_slot(w->cluster, r->slot, &slot);
	if (slot.worker[0].id != r->worker && slot.worker[0].state == SLOT_READY)
		return;
	if (w->places[r->slot].ended) /* nobody is missing there */
		return;
	for (uint32_t i = 0; i < w->wanted; i++)
		ended += w->places[i].ended;
	if (rollout.under_way &&
		cluster_ready(w->cluster) + ended + trials_unavailable(w, rollout.settings) <
			w->wanted)
		world_complain(w, "the rollout leaves too few ready");
}

static void note_step(struct world *w, const struct report *r)
{
	struct slot_view view;

	cluster_view_slot(w->cluster, r->slot, &view);
	w->places[r->slot].stepped = r->rollout;
	w->places[r->slot].forgiven = false;
	w->places[r->slot].failures = 0;
	if (w->places[r->slot].ended)
		return;
	if (w->places[r->slot].alive > 1)
		world_complain(w, "a step is over with the old one there");
}

/* But that in force, from which there is no way back. */
static void reject(struct world *w, unsigned generation)
{
	if (generation == cluster_generation(w->cluster))
		return;
	for (uint64_t id = 1; id <= w->last_worker; id++)
		w->processes[id].rejected |= w->processes[id].generation == generation;
}

/* Does one serve in the place of its slot, by a rollout that has failed? */
static bool serves_rejected(const struct world *w)
{
	for (uint64_t id = 1; id <= w->last_worker; id++)
		if (w->processes[id].life == LIFE_ALIVE && w->processes[id].ready &&
			!w->processes[id].going && w->processes[id].rejected &&
			w->places[w->processes[id].slot].refill_by == NSEC_NEVER &&
			witness_mate(w, id) == NULL)
			return true;
	return false;
}

static void note_rollout(struct world *w, const struct report *r)
{
	struct rollout_view view = cluster_view_rollout(w->cluster);

	switch (r->kind) {
	case REPORT_ROLLOUT_STARTED:
		if (w->rollout != 0)
			world_complain(w, "two rollouts at a time");
		w->rollout = r->rollout;
		w->rollout_to = r->generation;
		w->goes_back = view.going_back;
		w->late.rollout = 0;
		break;
	case REPORT_ROLLOUT_STEP:
		note_step(w, r);
		break;
	case REPORT_ROLLOUT_DONE:
		w->outcome[r->rollout % 64] = r->rollout;
		w->rollout = 0;
		late_note_done(w, r);
		w->done = r->rollout;
		break;
	default:
		if (r->kind == REPORT_ROLLOUT_FAILED)
			w->failed_last = r->rollout;
		if (r->kind == REPORT_ROLLOUT_FAILED && r->worker != 0 && w->rollout != r->rollout)
			late_note_failed(w, r);
		w->outcome[r->rollout % 64] = r->rollout;
		w->disturbed = true;
		if (r->kind == REPORT_ROLLOUT_FAILED && w->rollout != 0 &&
			w->asked_settings[w->rollout % 64] == NULL)
			w->went_back_badly = true;
		if (w->rollout == r->rollout || r->worker != 0)
			reject(w, w->rollout_to);
		if (w->rollout == r->rollout && !w->goes_back && r->kind == REPORT_ROLLOUT_FAILED &&
			r->why != WHY_STOP)
			w->must_go_back |= serves_rejected(w);
		if (w->rollout == r->rollout)
			w->rollout = 0;
		break;
	}
}

static void note_start_timeout(struct world *w, const struct report *r)
{
	struct process *p = witness_process(w, r->worker);

	p->timed_out = true;
	if (world_patient(w) < p->fails_at)
		world_complain(w, "it had time to start yet");
	if (p->mode == READY_ALIVE && !p->other_mode)
		world_complain(w, "it has lived for long enough");
}

static void note_ended(struct world *w)
{
	if (w->ended)
		world_complain(w, "the end is told twice");
	if (w->alive > 0)
		world_complain(w, "it says that it has ended, and runs");
	if (w->stops > 0 && !w->failed && cluster_exit_status(w->cluster) != 0)
		world_complain(w, "ended as asked, with a status");
	if (w->failed && cluster_exit_status(w->cluster) == 0)
		world_complain(w, "it failed, with success");
	w->ended = true;
	w->stopping = true;
}

static void note_report(struct world *w, const struct report *r, const struct action *next,
	const struct event *cause)
{
	switch (r->kind) {
	case REPORT_READY:
		note_becomes_ready(w, r, cause);
		break;
	case REPORT_EXITED:
		deaths_note_exit(w, r, next);
		break;
	case REPORT_DRAINING:
	case REPORT_STOPPING:
		note_stopping(w, r);
		break;
	case REPORT_START_TIMEOUT:
		note_start_timeout(w, r);
		break;
	case REPORT_UNKILLABLE:
		deaths_note_unkillable(w, r, next);
		break;
	case REPORT_UNWELL:
	case REPORT_OUTGROWN:
		trials_note_unfit(w, r, cause);
		break;
	case REPORT_BAKING:
	case REPORT_BAKED:
		trials_note_baking(w, r);
		break;
	case REPORT_SLOT_ENDED:
		w->places[r->slot].ended = true;
		break;
	case REPORT_GAVE_UP:
		if (!w->may_give_up)
			world_complain(w, "it gave up without need");
		break;
	case REPORT_STATE:
		if (r->state == CLUSTER_FAILED)
			w->failed = w->stopping = true;
		break;
	case REPORT_ENDED:
		note_ended(w);
		break;
	case REPORT_SURPRISE:
		world_complain(w, "the core is surprised");
	case REPORT_ROLLOUT_STARTED:
	case REPORT_ROLLOUT_STEP:
	case REPORT_ROLLOUT_DONE:
	case REPORT_ROLLOUT_FAILED:
	case REPORT_ROLLOUT_SUPERSEDED:
		note_rollout(w, r);
		break;
	default:
		break;
	}
}

static void note_spawn(struct world *w, const struct action *a, const struct event *cause)
{
	struct rollout_view view;
	bool was_in_force = w->done_in_call > 0 && a->generation == w->late.generation;

	if (w->stopping)
		world_complain(w, "a spawn after the stop has begun");
	if (cause->kind != EVENT_TICK)
		world_complain(w, "a spawn without a tick");
	if (a->settings->refs < 2)
		world_complain(w, "settings that nobody holds");
	view = cluster_view_rollout(w->cluster);
	if (!was_in_force && a->settings != cluster_settings(w->cluster) &&
		a->settings != w->in_force.settings &&
		(!view.under_way || a->settings != view.settings))
		world_complain(w, "a spawn by settings of long ago");
	if (!was_in_force && a->generation != cluster_generation(w->cluster) &&
		a->generation != w->in_force.generation &&
		(w->rollout == 0 || a->generation != w->rollout_to) &&
		(!view.under_way || a->generation != view.to))
		world_complain(w, "a spawn of a generation of long ago");
	if (w->places[a->slot].exact && w->now < w->places[a->slot].refill_by &&
		a->generation == w->in_force.generation)
		world_complain(w, "slot %u is filled too early", a->slot);
	if (view.unprepared && a->generation == view.to)
		world_complain(w, "a spawn before the rollout is prepared");
	be_asked(w, a, cause);
	starts_note_spawn(w, a->generation);
}

void witness_action(struct world *w, const struct action *a, const struct action *next,
	const struct event *cause)
{
	if (w->ended && a->kind != ACTION_REPORT)
		world_complain(w, "it acts after its end");
	switch (a->kind) {
	case ACTION_SPAWN:
		note_spawn(w, a, cause);
		break;
	case ACTION_SIGNAL:
		stops_note_signal(w, a, cause);
		break;
	case ACTION_KILL:
		stops_note_kill(w, a);
		break;
	case ACTION_DRAIN:
		stops_note_drain(w, a);
		break;
	case ACTION_RELEASE:
		world_complain(w, "a spare that nobody asked for");
	case ACTION_REPORT:
		note_report(w, &a->report, next, cause);
		break;
	}
}

/* ---- when an event has been dealt with ---- */

/* What the latest rollout that is done went to is in force. */
static void check_in_force(const struct world *w)
{
	const struct cluster_settings *asked = w->asked_settings[w->done % 64];

	if (w->done != 0 && asked != NULL && !w->shuffled && asked != cluster_settings(w->cluster))
		world_complain(w, "other settings are in force than asked for");
}

static void check_counters(struct world *w)
{
	const char *wrong = NULL;

	if (w->wanted < 50 || w->checks++ % 64 == 0)
		wrong = cluster_check(w->cluster);
	if (wrong != NULL)
		world_complain(w, "%s", wrong);
	if (cluster_alive(w->cluster) != w->alive)
		world_complain(
			w, "%u are alive, it believes %u", w->alive, cluster_alive(w->cluster));
	if (cluster_ready(w->cluster) != w->ready)
		world_complain(
			w, "%u are ready, it believes %u", w->ready, cluster_ready(w->cluster));
	if (cluster_wanted(w->cluster) != w->wanted)
		world_complain(w, "%u are wanted", w->wanted);
}

/* Slots that are gone begin anew when they come back. */
static void forget_slots(struct world *w)
{
	for (uint32_t i = cluster_slots(w->cluster); i < w->slots; i++) {
		if (w->places[i].alive > 0)
			world_complain(w, "a slot is forgotten");
		w->places[i] = (struct place){.refill_by = NSEC_NEVER};
	}
	w->slots = cluster_slots(w->cluster);
}

static void set_stop_bound(struct world *w)
{
	nsec_t most = 0;

	if (!w->stopping || w->ended || w->stop_by != NSEC_NEVER)
		return;
	for (unsigned i = 0; i < w->plan_count; i++) {
		nsec_t takes = stop_takes(w->plans[i].settings);

		most = takes > most ? takes : most;
	}
	/* what a worker may be granted by EXTEND, and ticks that come late */
	w->stop_by = world_patient(w) + most + 4 * SECOND;
}

void witness_after(struct world *w, const struct event *event, const struct actions *out)
{
	unsigned spawns = 0;

	for (unsigned i = 0; i < out->count; i++)
		spawns += out->list[i].kind == ACTION_SPAWN;
	if (spawns > SPAWNS_AT_ONCE)
		world_complain(w, "%u spawns in one call", spawns);
	if (event->kind != EVENT_TICK)
		w->ticks_in_a_row = 0;
	else if (++w->ticks_in_a_row > 100 + 4 * SLOTS_MAX)
		world_complain(w, "it wants to be called for ever");
	if (w->has_to_be != 0 && !w->processes[w->has_to_be].ready)
		world_complain(w, "it has shown that it is ready, in vain");
	deaths_check(w);
	late_check(w);
	set_stop_bound(w);
	forget_slots(w);
	check_counters(w);
	check_in_force(w);
}

void witness_settled(struct world *w)
{
	w->ticks_in_a_row = 0;
	if (w->stopping && !w->ended && world_patient(w) > w->stop_by)
		world_complain(w, "the stop takes too long");
	if (w->stopping && !w->ended && w->alive == 0)
		world_complain(w, "nothing runs, and the end is not told");
	places_check(w);
}
