/* SPDX-License-Identifier: MIT */
#include "supervisor/control/carry_clients.h"

#include "supervisor/control/clients.h"
#include "supervisor/control/control.h"

/* How the control socket and its clients go through an upgrade. */

/* clang-format off */
static const struct plain_row expectation_rows[] = {
	PLAIN(1, expectation, rollout, UNSIGNED),
	PLAIN(2, expectation, settled, BOOL),
	PLAIN(3, expectation, ended, BOOL),
	PLAIN(5, expectation, fewer, BOOL),
	CARRY_REFERENCE(CARRY_SERVICE_INDEX, expectation, service,
		CARRY_OF_CLUSTERS, true),
};

static const struct plain_row control_rows[] = {
	PLAIN(1, control, listen.fd, FD),
	PLAIN(2, control, file.dev, UNSIGNED),
	PLAIN(3, control, file.ino, UNSIGNED),
};
/* clang-format on */

/* ---- expectations ---- */

const struct carried carried_expectation = {
	.called = "a client",
	CARRIED_ROWS(expectation_rows, expectation),
};

/* ---- a client ---- */

/* clang-format off */
static const struct plain_row client_rows[] = {
	PLAIN_MUST(1, client, io.fd, FD),
	PLAIN(2, client, may_write, BOOL),
	PLAIN(3, client, half_closed, BOOL),
	PLAIN_ENUM(4, client, state, CLIENT_CLOSING),
	PLAIN(5, client, line_since, WHEN),
	PLAIN(6, client, stuck_since, WHEN),
	PLAIN(7, client, idle_since, WHEN),
	PLAIN(8, client, request.id, TEXT),
	PLAIN_ENUM(9, client, request.method, METHODS),
	PLAIN(10, client, request.target, TEXT),
	PLAIN(11, client, request.no_wait, BOOL),
	PLAIN(12, client, request.count, SIGNED),
	PLAIN(13, client, request.signal, SIGNED),
	PLAIN(14, client, request.all, BOOL),
	PLAIN(15, client, request.now, BOOL),
	PLAIN(16, client, request.follow, BOOL),
	PLAIN(17, client, request.last, SIGNED),
	PLAIN(20, client, outcome, TEXT),
	/* 21 to 26, 28 and CARRY_SERVICE_INDEX were of a status that was made in slices */
	PLAIN(27, client, only_slot, UNSIGNED),
	PLAIN(29, client, pending, BOOL),
	PLAIN(30, client, missed, UNSIGNED),
	PLAIN(31, client, request.since, SIGNED),
	PLAIN(32, client, request.kinds, TEXT),
	PLAIN(33, client, own, BOOL),
	PLAIN(34, client, request.after, UNSIGNED),
	PLAIN(CARRY_IN, client, in, BUFFER),
	PLAIN(CARRY_OUT, client, out, BUFFER),
	CARRY_ARRAY(CARRY_EXPECTATION, client, expected, &carried_expectation,
		expected_count),
};
/* clang-format on */

static void *make_client(struct carry_reader *r UNUSED, void *owner)
{
	struct client *c = client_new(owner);

	if (c != NULL)
		c->out.limit = CONTROL_RESULT_MAX; /* what is unread may be of a status */
	return c;
}

static int client_done_carried(struct carry_reader *r UNUSED, void *to)
{
	struct client *c = to;

	c->out.limit = CLIENT_OUT_MAX;
	/* asking (and 5, a history) and a status end before an upgrade; only its rehearsal sees
	 * them, or a part of a status that an earlier version has not finished */
	if (c->state > CLIENT_CLOSING || c->state == CLIENT_STATUS)
		c->state = CLIENT_CLOSING;
	/* an earlier version says it otherwise */
	c->pending |= c->state == CLIENT_WAITING &&
		(c->request.method == METHOD_DRAIN || c->request.method == METHOD_UNDRAIN);
	return 0;
}

const struct carried carried_client = {
	.called = "a client",
	CARRIED_ROWS(client_rows, client),
	.make = make_client,
	.done = client_done_carried,
};

/* ---- the control socket ---- */

const struct carried carried_control = {
	.called = "the control socket",
	CARRIED_ROWS(control_rows, control),
};
