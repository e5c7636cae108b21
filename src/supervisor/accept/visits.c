/* SPDX-License-Identifier: MIT */
#include "supervisor/accept/accept.h"

#include "base/log.h"
#include "base/text.h"
#include "core/worker.h"
#include "os/clock.h"
#include "protocol/json.h"
#include "supervisor/workers/child.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The visits of an `accept` cluster: their slots, deadlines and ends. */

/* The longest wait between two stop signals for a connection's process, so that a script that
 * ignores them does not delay a stop. */
#define STEP_MOST (5 * SECOND)

/* ---- slots ---- */

static struct child *child_at(const struct accepting *a, uint32_t slot)
{
	return a->service->children[slot][0];
}

uint32_t visit_slot(const struct accepting *a)
{
	uint32_t end = a->limit < a->visit_slots ? a->limit : a->visit_slots;

	for (uint32_t i = 0; a->running < a->limit && i < end; i++)
		if (a->visits[i].phase == VISIT_NONE)
			return i;
	return SLOT_ALL;
}

unsigned visit_count(const struct accepting *a, const struct peer *peer)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < a->visit_slots; i++)
		count += a->visits[i].phase != VISIT_NONE && peer_is_same(&a->visits[i].peer, peer);
	return count;
}

int visits_reserve(struct service *service)
{
	struct accepting *a = service->accepting;
	uint32_t slots = service->child_slots;
	struct visit *list;

	if (slots <= a->visit_slots)
		return 0;
	list = realloc(a->visits, slots * sizeof(*list));
	if (list == NULL)
		return -1;
	memset(list + a->visit_slots, 0, (slots - a->visit_slots) * sizeof(*list));
	a->visits = list;
	a->visit_slots = slots;
	return 0;
}

/* ---- deadlines ---- */

/* When the phase ends; a reload may have changed `accept-timeout` since the visit began. */
static nsec_t end_of_phase(const struct accepting *a, const struct visit *v)
{
	nsec_t time = cluster_settings(a->service->core)->accept_timeout;

	if (v->phase != VISIT_SERVED || time == 0)
		return v->deadline;
	return nsec_min(v->deadline, nsec_add(v->born, time));
}

struct visit *visit_begin(struct accepting *a, uint32_t slot)
{
	struct visit *v = &a->visits[slot];

	*v = (struct visit){
		.phase = VISIT_SERVED,
		.born = clock_now(),
		.deadline = NSEC_NEVER,
	};
	a->running++;
	accepting_arm(a, end_of_phase(a, v));
	return v;
}

/* Sends the next stop signal; after the last one, or `at_once`, kills. */
static void end_visit(struct accepting *a, uint32_t slot, nsec_t now, bool at_once)
{
	const struct service *s = a->service;
	const struct cluster_settings *settings = cluster_settings(s->core);
	struct visit *v = &a->visits[slot];
	struct child *child = child_at(a, slot);
	int signal;

	if (at_once || v->step >= settings->stop_count) {
		child_kill_group(child, SIGKILL);
		v->phase = VISIT_KILLED;
		v->deadline = nsec_add(now, KILL_GRACE);
		return;
	}
	signal = settings->stop[v->step].signal;
	if (v->step == 0 && s->life.stop_signal != 0)
		signal = s->life.stop_signal;
	child_signal(child, signal);
	v->phase = VISIT_STOPPING;
	v->deadline = nsec_add(now, nsec_min(settings->stop[v->step].timeout, STEP_MOST));
	v->step++;
}

static void note_late(struct accepting *a, uint32_t slot, nsec_t age)
{
	nsec_t time = cluster_settings(a->service->core)->accept_timeout;
	char who[PEER_TEXT_MAX];
	char text[16];

	a->timed_out += time > 0 && age >= time;
	log_slot(a->service, slot, LOG_INFO, "%s: stopping worker %d after %s",
		peer_text(who, &a->visits[slot].peer), (int)child_at(a, slot)->pid,
		text_age(text, age));
}

static void on_deadline_of(struct accepting *a, uint32_t slot, nsec_t now)
{
	struct visit *v = &a->visits[slot];

	if (v->phase == VISIT_KILLED) {
		log_slot(a->service, slot, LOG_ERROR, "worker %d is still there after SIGKILL",
			(int)child_at(a, slot)->pid);
		v->deadline = NSEC_NEVER;
		return;
	}
	if (v->phase == VISIT_SERVED)
		note_late(a, slot, now - v->born);
	end_visit(a, slot, now, false);
}

nsec_t visits_look(struct accepting *a, nsec_t now)
{
	nsec_t next = NSEC_NEVER;

	for (uint32_t i = 0; i < a->visit_slots; i++) {
		struct visit *v = &a->visits[i];

		if (v->phase == VISIT_NONE)
			continue;
		if (end_of_phase(a, v) <= now)
			on_deadline_of(a, i, now);
		next = nsec_min(next, end_of_phase(a, v));
	}
	return next;
}

void visits_hurry(struct accepting *a, unsigned generation, nsec_t time)
{
	nsec_t until = nsec_add(clock_now(), time);

	for (uint32_t i = 0; i < a->visit_slots; i++) {
		struct visit *v = &a->visits[i];

		if (v->phase != VISIT_SERVED || child_at(a, i)->generation >= generation)
			continue;
		v->deadline = nsec_min(v->deadline, until);
		accepting_arm(a, v->deadline);
	}
}

void visits_kill(struct accepting *a)
{
	nsec_t now = clock_now();

	for (uint32_t i = 0; i < a->visit_slots; i++) {
		if (a->visits[i].phase == VISIT_NONE)
			continue;
		end_visit(a, i, now, true);
		accepting_arm(a, a->visits[i].deadline);
	}
}

/* ---- the end of a visit ---- */

/* Warns only if a signal has killed the process, which points to a fault of the command.  An exit
 * status is the command's result, and only counted. */
static void log_end(
	struct accepting *a, uint32_t slot, const struct visit *v, const struct ending *ending)
{
	/* writing to a client that has gone away is no fault */
	bool crash = ending->kind == ENDING_SIGNAL && ending->code != SIGPIPE &&
		v->phase == VISIT_SERVED;
	char who[PEER_TEXT_MAX];
	char name[16];
	char age[16];

	if (crash ? !accepting_may_tell(a, TROUBLE_CRASH) : log_level() < LOG_DEBUG)
		return;
	(void)peer_text(who, &v->peer);
	text_age(age, clock_now() - v->born);
	if (ending->kind != ENDING_SIGNAL) {
		log_slot(a->service, slot, LOG_DEBUG, "%s: exit %d after %s", who, ending->code,
			age);
		return;
	}
	text_signal_name(name, ending->code);
	if (!crash) {
		log_slot(a->service, slot, LOG_DEBUG, "%s: killed by %s after %s", who, name, age);
		return;
	}
	log_slot(a->service, slot, LOG_WARN, "%s: killed by %s%s after %s", who, name,
		ending->out_of_memory ? ", out of memory," : "", age);
}

void visits_ended(struct service *service, struct event *event)
{
	struct accepting *a = service->accepting;
	const struct ending *ending = &event->ending;
	uint32_t slot = event->slot;
	struct visit *v = &a->visits[slot];

	log_end(a, slot, v, ending);
	if (ending->kind == ENDING_EXIT)
		a->exits[ending->code & 255]++;
	else if (ending->kind == ENDING_SIGNAL && ending->code < 65)
		a->signals[ending->code]++;
	else
		a->unknown++;
	v->phase = VISIT_NONE;
	a->running--;
	accepting_look(a);
}

/* ---- for others ---- */

void visits_view_slot(const struct service *service, uint32_t slot, struct slot_view *view)
{
	const struct accepting *a = service->accepting;
	const struct child *child = child_at(a, slot);
	const struct visit *v;

	*view = (struct slot_view){.next_try = NSEC_NEVER, .mend_at = NSEC_NEVER};
	if (slot >= a->visit_slots || child == NULL)
		return;
	v = &a->visits[slot];
	if (v->phase == VISIT_NONE)
		return;
	view->state = v->phase == VISIT_SERVED ? SLOT_READY : SLOT_STOPPING;
	view->workers = 1;
	view->worker[0] = (struct worker_view){
		.id = child->worker,
		.pid = child->pid,
		.generation = child->generation,
		.state = view->state,
		.born = v->born,
		.ready_at = v->born,
	};
}

uint32_t visits_next_in_turn(struct service *service, bool first)
{
	struct accepting *a = service->accepting;

	for (uint32_t n = 0; n < a->visit_slots; n++) {
		uint32_t slot = (first ? n : a->turn + n) % a->visit_slots;

		if (a->visits[slot].phase != VISIT_SERVED)
			continue;
		if (!first)
			a->turn = (slot + 1) % a->visit_slots;
		return slot;
	}
	return SLOT_ALL;
}

void visits_adopt(struct child *child, nsec_t born)
{
	struct accepting *a = child->service->accepting;

	visit_begin(a, child->slot)->born = born;
	accepting_arm(a, clock_now());
}

/* ---- figures ---- */

static void put_counts(struct json_writer *w, const struct accepting *a)
{
	char key[16];

	json_open_member(w, "exits", true);
	for (int i = 0; i < 256; i++) {
		snprintf(key, sizeof(key), "%d", i);
		if (a->exits[i] > 0)
			json_put_int(w, key, (int64_t)a->exits[i]);
	}
	for (int i = 1; i < 65; i++)
		if (a->signals[i] > 0)
			json_put_int(w, text_signal_name(key, i), (int64_t)a->signals[i]);
	if (a->unknown > 0)
		json_put_int(w, "unknown", (int64_t)a->unknown);
	json_close_object(w);
}

void accept_on_status(struct json_writer *w, const struct service *service)
{
	const struct accepting *a = service->accepting;

	if (a == NULL)
		return;
	json_open_member(w, "accept", true);
	json_put_int(w, "limit", a->limit);
	json_put_int(w, "running", a->running);
	json_put_int(w, "served", (int64_t)a->served);
	json_put_int(w, "refused", (int64_t)a->refused);
	json_put_int(w, "timed_out", (int64_t)a->timed_out);
	json_put_int(w, "not_started", (int64_t)a->not_started);
	json_put_bool(w, "paused", a->pending != -1 || a->paused_until != 0);
	put_counts(w, a);
	json_close_object(w);
}

void accept_on_status_worker(struct json_writer *w, const struct child *child)
{
	const struct accepting *a = child->service->accepting;
	char peer[PEER_TEXT_MAX];

	if (a != NULL)
		json_put_text(w, "peer", peer_text(peer, &a->visits[child->slot].peer));
}

/* ---- carry visits ---- */

/* How connections that are being served go through an upgrade.  In the state, the process of each
 * visit comes before the visit, as a worker. */

/* clang-format off */
static const struct plain_row peer_rows[] = {
	PLAIN(1, peer, family, SIGNED),
	PLAIN(2, peer, ip, WORDS),
	PLAIN(3, peer, local_ip, WORDS),
	PLAIN(4, peer, port, UNSIGNED),
	PLAIN(5, peer, local_port, UNSIGNED),
	PLAIN(6, peer, scope, UNSIGNED),
	PLAIN(7, peer, pid, SIGNED),
	PLAIN(8, peer, uid, UNSIGNED),
	PLAIN(9, peer, gid, UNSIGNED),
};
static const struct carried peer_inside = {.called = "a client", CARRIED_ROWS(peer_rows, peer)};

/* A visit and its slot: one group of the state has both. */
struct in_slot {
	struct visit visit;
	uint64_t slot;
};

static const struct plain_row visit_rows[] = {
	PLAIN_ALWAYS(CARRY_INDEX, in_slot, slot, UNSIGNED),
	CARRY_INSIDE(1, in_slot, visit.peer, &peer_inside),
	PLAIN_ENUM(2, in_slot, visit.phase, VISIT_KILLED),
	PLAIN(3, in_slot, visit.step, UNSIGNED),
	PLAIN(4, in_slot, visit.born, SIGNED),
	PLAIN(5, in_slot, visit.deadline, WHEN), /* 6 was whether that has ended it */
};

static const struct plain_row accepting_rows[] = {
	PLAIN_ENUM(1, accepting, limit, WORKERS_MAX),
	PLAIN(2, accepting, turn, UNSIGNED),
	PLAIN(3, accepting, open, BOOL),
	PLAIN(4, accepting, stopping, BOOL),
	PLAIN(5, accepting, pending, FD),
	CARRY_INSIDE(6, accepting, pending_peer, &peer_inside),
	PLAIN(7, accepting, pending_index, UNSIGNED),
	PLAIN(8, accepting, served, UNSIGNED),
	PLAIN(9, accepting, refused, UNSIGNED),
	PLAIN(10, accepting, timed_out, UNSIGNED),
	PLAIN(11, accepting, not_started, UNSIGNED),
	PLAIN(12, accepting, exits, WORDS),
	PLAIN(13, accepting, signals, WORDS),
	PLAIN(14, accepting, unknown, UNSIGNED),
};
/* clang-format on */

const struct carried carried_visit = {
	.called = "a connection",
	CARRIED_ROWS(visit_rows, in_slot),
};

static void put_visits(struct carry_writer *c, const void *of)
{
	const struct accepting *a = of;

	for (uint32_t i = 0; i < a->visit_slots; i++) {
		const struct in_slot in = {a->visits[i], i};

		if (in.visit.phase != VISIT_NONE)
			carry_put_one(c, CARRY_VISIT, &carried_visit, &in);
	}
}

static int take_visit(struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct accepting *a = to;
	struct in_slot in;

	if (f->tag != CARRY_VISIT)
		return 0;
	if (carry_get_one(r, &carried_visit, &in, f) == -1)
		return -1;
	if (in.slot >= a->visit_slots || in.visit.phase == VISIT_NONE ||
		a->service->children[in.slot][0] == NULL || a->visits[in.slot].phase != VISIT_NONE)
		return -1;
	a->visits[in.slot] = in.visit;
	a->running++;
	return 1;
}

const struct carried carried_accepting = {
	.called = "the connections",
	CARRIED_ROWS(accepting_rows, accepting),
	.make = accepting_carried,
	.put = put_visits,
	.take = take_visit,
};
