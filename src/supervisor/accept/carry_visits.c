/* SPDX-License-Identifier: MIT */
#include "supervisor/accept/accept.h"

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
static const struct plain_table peer_table = PLAIN_TABLE(peer_rows, peer);

/* A visit and its slot: one group of the state has both. */
struct in_slot {
	struct visit visit;
	uint64_t slot;
};

static const struct plain_row visit_rows[] = {
	PLAIN_ALWAYS(CARRY_INDEX, in_slot, slot, UNSIGNED),
	PLAIN_IN(1, in_slot, visit.peer, &peer_table),
	PLAIN_ENUM(2, in_slot, visit.phase, VISIT_KILLED),
	PLAIN(3, in_slot, visit.step, UNSIGNED),
	PLAIN(4, in_slot, visit.born, SIGNED),
	PLAIN(5, in_slot, visit.deadline, WHEN),
	PLAIN(6, in_slot, visit.late, BOOL),
};

static const struct plain_row accepting_rows[] = {
	PLAIN_ENUM(1, accepting, limit, WORKERS_MAX),
	PLAIN(2, accepting, turn, UNSIGNED),
	PLAIN(3, accepting, open, BOOL),
	PLAIN(4, accepting, stopping, BOOL),
	PLAIN(5, accepting, pending, FD),
	PLAIN_IN(6, accepting, pending_peer, &peer_table),
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
