/* SPDX-License-Identifier: MIT */
#include "supervisor/accept/visits.h"

#include "base/log.h"
#include "base/text.h"
#include "core/adopt.h"
#include "core/worker.h"
#include "os/clock.h"
#include "protocol/json.h"
#include "supervisor/accept/accepting.h"
#include "supervisor/workers/service.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The visits of an `accept` cluster: who comes, and what becomes of the processes. */

/* ---- slots ---- */

/* Of a process that was taken over the client is not known. */
static struct visit *visit_at(const struct accepting *a, uint32_t slot)
{
	static struct visit unknown;

	return slot < a->visit_slots ? &a->visits[slot] : &unknown;
}

uint32_t visit_slot(const struct accepting *a)
{
	uint32_t end = a->limit < a->visit_slots ? a->limit : a->visit_slots;

	for (uint32_t i = 0; cluster_alive(a->service->core) < a->limit && i < end; i++)
		if (a->service->children[i][0] == NULL)
			return i;
	return SLOT_ALL;
}

unsigned visit_count(const struct accepting *a, const struct peer *peer)
{
	const struct child *child;
	unsigned count = 0;

	for_each_child (child, children_of(a->service))
		count += peer_is_same(&visit_at(a, child->slot)->peer, peer);
	return count;
}

int visits_reserve(struct accepting *a)
{
	uint32_t slots = a->service->child_slots;
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

void visit_begin(struct accepting *a, const struct child *child, const struct peer *peer)
{
	nsec_t now = clock_now();
	const struct adoption adoption = {
		.slot = child->slot,
		.worker = child->worker,
		.generation = child->generation,
		.pid = child->pid,
		.now = now,
		.born = now,
		.ready_at = now,
	};

	a->served++;
	a->visits[child->slot] = (struct visit){.peer = *peer};
	(void)cluster_adopt(a->service->core, &adoption);
}

/* ---- the end of a visit ---- */

static void note_stop(struct accepting *a, struct visit *v, const struct report *r)
{
	nsec_t time = cluster_settings(a->service->core)->accept_timeout;
	char who[PEER_TEXT_MAX];
	char text[16];

	v->stopped = true;
	a->timed_out += time > 0 && r->age >= time;
	log_slot(a->service, r->slot, LOG_INFO, "%s: stopping worker %d after %s",
		peer_text(who, &v->peer), (int)r->pid, text_age(text, r->age));
}

/* Warns only if a signal has killed the process, which points to a fault of the command.  An exit
 * status is the command's result, and only counted. */
static void log_end(struct accepting *a, const struct visit *v, const struct report *r)
{
	const struct ending *ending = &r->ending;
	bool killed = v->stopped || (ending->code == SIGKILL && r->why != WHY_ITSELF);
	/* writing to a client that has gone away is no fault */
	bool crash = ending->kind == ENDING_SIGNAL && ending->code != SIGPIPE && !killed;
	char who[PEER_TEXT_MAX];
	char name[16];
	char age[16];

	if (crash ? !accepting_may_tell(a, TROUBLE_CRASH) : log_level() < LOG_DEBUG)
		return;
	(void)peer_text(who, &v->peer);
	text_age(age, r->age);
	if (ending->kind != ENDING_SIGNAL)
		log_slot(a->service, r->slot, LOG_DEBUG, "%s: exit %d after %s", who, ending->code,
			age);
	else
		log_slot(a->service, r->slot, crash ? LOG_WARN : LOG_DEBUG,
			"%s: killed by %s%s after %s", who, text_signal_name(name, ending->code),
			crash && ending->out_of_memory ? ", out of memory," : "", age);
}

static void note_end(struct accepting *a, const struct visit *v, const struct report *r)
{
	const struct ending *ending = &r->ending;

	log_end(a, v, r);
	if (ending->kind == ENDING_EXIT)
		a->exits[ending->code & 255]++;
	else if (ending->kind == ENDING_SIGNAL && ending->code < 65)
		a->signals[ending->code]++;
	else
		a->unknown++;
}

void visit_report(struct accepting *a, const struct report *r)
{
	struct visit *v = visit_at(a, r->slot);

	if (r->kind == REPORT_STOPPING)
		note_stop(a, v, r);
	else if (r->kind == REPORT_UNKILLABLE)
		log_slot(a->service, r->slot, LOG_ERROR, "worker %d is still there after SIGKILL",
			(int)r->pid);
	else if (r->kind == REPORT_EXITED)
		note_end(a, v, r);
	accepting_look(a);
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
	json_put_int(w, "running", cluster_alive(service->core));
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
		json_put_text(w, "peer", peer_text(peer, &visit_at(a, child->slot)->peer));
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

/* A visit, and what the core knows of its process. */
struct in_slot {
	struct peer peer;
	enum { VISIT_NONE, VISIT_SERVED, VISIT_STOPPING, VISIT_KILLED } phase;
	unsigned step; /* how many stop signals it has got */
	nsec_t born;
	nsec_t deadline;
	uint64_t slot;
};

static const struct plain_row visit_rows[] = {
	PLAIN_ALWAYS(CARRY_INDEX, in_slot, slot, UNSIGNED),
	CARRY_INSIDE(1, in_slot, peer, &peer_inside),
	PLAIN_ENUM(2, in_slot, phase, VISIT_KILLED),
	PLAIN(3, in_slot, step, UNSIGNED),
	PLAIN(4, in_slot, born, SIGNED),
	PLAIN(5, in_slot, deadline, WHEN), /* 6 was whether that has ended it */
};

static const struct plain_row accepting_rows[] = {
	PLAIN_ENUM(1, accepting, limit, WORKERS_MAX),
	PLAIN(3, accepting, open, BOOL),
	PLAIN(5, accepting, pending, FD),
	CARRY_INSIDE(6, accepting, pending_peer, &peer_inside),
	PLAIN(7, accepting, pending_index, UNSIGNED),
	PLAIN(8, accepting, served, UNSIGNED),
	PLAIN(9, accepting, refused, UNSIGNED),
	PLAIN(10, accepting, timed_out, UNSIGNED),
	PLAIN(11, accepting, not_started, UNSIGNED),
	PLAIN(12, accepting, exits, WORDS),
	PLAIN(13, accepting, signals, WORDS),
	PLAIN(14, accepting, unknown, UNSIGNED), /* 2 and 4 were what the core knows now */
};
/* clang-format on */

const struct carried carried_visit = {
	.called = "a connection",
	CARRIED_ROWS(visit_rows, in_slot),
};

static void put_visits(struct carry_writer *c, const void *of)
{
	const struct accepting *a = of;
	struct slot_view view;

	for (uint32_t i = 0; i < cluster_slots(a->service->core); i++) {
		const struct worker_view *w = &view.worker[0];
		struct in_slot in = {
			.peer = visit_at(a, i)->peer, .phase = VISIT_SERVED, .slot = i};

		cluster_view_slot(a->service->core, i, &view);
		if (view.workers == 0)
			continue;
		in.born = w->born;
		in.deadline = w->due;
		if (w->state == SLOT_STOPPING) {
			in.phase = w->killed ? VISIT_KILLED : VISIT_STOPPING;
			in.step = w->stop_step + 1;
		}
		carry_put_one(c, CARRY_VISIT, &carried_visit, &in);
	}
}

/* The core goes on with the process where it was. */
static int take_visit(struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct accepting *a = to;
	const struct child *child;
	struct adoption adoption;
	struct in_slot in;

	if (f->tag != CARRY_VISIT)
		return 0;
	if (carry_get_one(r, &carried_visit, &in, f) == -1)
		return -1;
	child = in.slot < a->visit_slots && a->service->children != NULL
		? a->service->children[in.slot][0]
		: NULL;
	if (child == NULL || in.phase == VISIT_NONE || child_view(child).state != SLOT_EMPTY)
		return -1;
	adoption = (struct adoption){
		.slot = child->slot,
		.worker = child->worker,
		.generation = child->generation,
		.pid = child->pid,
		.now = clock_now(),
		.born = in.born,
		.ready_at = in.born,
		.going = in.phase != VISIT_SERVED   ? SLOT_STOPPING
			: in.deadline != NSEC_NEVER ? SLOT_DRAINING
						    : SLOT_READY,
		.killed = in.phase == VISIT_KILLED,
		.stop_step = in.step > 0 ? in.step - 1 : 0,
		.due = in.deadline,
	};
	a->visits[in.slot] = (struct visit){in.peer, in.phase != VISIT_SERVED};
	return cluster_adopt(a->service->core, &adoption) != 0 ? 1 : -1;
}

const struct carried carried_accepting = {
	.called = "the connections",
	CARRIED_ROWS(accepting_rows, accepting),
	.make = accepting_carried,
	.put = put_visits,
	.take = take_visit,
};
