/* SPDX-License-Identifier: MIT */
#include "supervisor/control/clients.h"

#include <stdlib.h>

/* How the control socket and its clients go through an upgrade. */

/* clang-format off */
static const struct plain_row expectation_rows[] = {
	PLAIN(1, expectation, rollout, UNSIGNED),
	PLAIN(2, expectation, settled, BOOL),
	PLAIN(3, expectation, ended, BOOL),
	PLAIN(4, expectation, since, SIGNED),
	PLAIN(5, expectation, fewer, BOOL),
	PLAIN(6, expectation, met, BOOL),
};

static const struct plain_row client_rows[] = {
	PLAIN(1, client, io.fd, FD),
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
	PLAIN(18, client, expects_end, BOOL),
	PLAIN(19, client, failed, BOOL),
	PLAIN(20, client, outcome, TEXT),
	PLAIN(21, client, at_service, UNSIGNED),
	PLAIN(22, client, at_slot, UNSIGNED),
	PLAIN(23, client, at_part, UNSIGNED),
	PLAIN_ENUM(24, client, writer.depth, 16),
	PLAIN(25, client, writer.started, UNSIGNED),
	PLAIN(26, client, writer.keyed, BOOL),
	PLAIN(27, client, only_slot, UNSIGNED),
	PLAIN(28, client, status_only, BOOL),
	PLAIN(29, client, expects_upgrade, BOOL),
	PLAIN(30, client, missed, UNSIGNED),
};

static const struct plain_row clients_rows[] = {
	PLAIN(1, clients, listen.fd, FD),
	PLAIN(2, clients, file.dev, UNSIGNED),
	PLAIN(3, clients, file.ino, UNSIGNED),
};
/* clang-format on */

/* ---- what a client waits for ---- */

static void put_service(struct carry_writer *c, const void *of)
{
	handover_put_u64(&c->w, CARRY_SERVICE_INDEX,
		((const struct expectation *)of)->service->index);
}

static int take_service(
	struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct expectation *e = to;

	if (f->tag != CARRY_SERVICE_INDEX)
		return 0;
	e->service = carry_service_at(r, f);
	return 1;
}

static int expectation_done(struct carry_reader *r, void *to)
{
	(void)r;
	return ((struct expectation *)to)->service != NULL ? 0 : -1;
}

const struct carried carried_expectation = {
	.tag = CARRY_EXPECTATION,
	.called = "a client",
	CARRIED_ROWS(expectation_rows, expectation),
	.put = put_service,
	.take = take_service,
	.done = expectation_done,
};

/* ---- a client ---- */

static void put_client(struct carry_writer *c, const void *of)
{
	const struct client *client = of;

	if (client->in.len > 0)
		handover_put_bytes(
			&c->w, CARRY_IN, client->in.data, client->in.len);
	if (client->out.len > 0)
		handover_put_bytes(
			&c->w, CARRY_OUT, client->out.data, client->out.len);
	for (size_t i = 0; i < client->expected_count; i++)
		carry_put_one(c, &carried_expectation, &client->expected[i]);
	if (client->status_service != NULL)
		handover_put_u64(&c->w, CARRY_SERVICE_INDEX,
			client->status_service->index);
}

static int get_expectation(struct carry_reader *r, struct client *client,
	const struct handover_field *f)
{
	struct expectation *list = realloc(
		client->expected, (client->expected_count + 1) * sizeof(*list));

	if (list == NULL)
		return carry_no_memory(r, "a client");
	client->expected = list;
	list += client->expected_count++;
	*list = (struct expectation){0};
	return carry_get_one(r, &carried_expectation, list, f);
}

static int take_client(
	struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct client *client = to;

	switch (f->tag) {
	case CARRY_IN:
		return buffer_append(&client->in, f->data, f->len) == 0 ? 1
									: -1;
	case CARRY_OUT:
		return buffer_append(&client->out, f->data, f->len) == 0 ? 1
									 : -1;
	case CARRY_SERVICE_INDEX:
		client->status_service = carry_service_at(r, f);
		return client->status_service != NULL ? 1 : -1;
	case CARRY_EXPECTATION:
		return get_expectation(r, client, f);
	default:
		return 0;
	}
}

static int client_done_well(struct carry_reader *r, void *to)
{
	struct client *client = to;

	(void)r;
	client->writer.out = &client->out;
	return client->io.fd != -1 ? 0 : -1;
}

const struct carried carried_client = {
	.tag = CARRY_CLIENT,
	.called = "a client",
	CARRIED_ROWS(client_rows, client),
	.put = put_client,
	.take = take_client,
	.done = client_done_well,
};

/* ---- the control socket ---- */

static int clients_done(struct carry_reader *r, void *to)
{
	return r->sup->has_rundir == (((struct clients *)to)->listen.fd != -1)
		? 0
		: -1;
}

static void *make(void *owner)
{
	return clients_carried(owner);
}

const struct carried carried_clients = {
	.tag = CARRY_CLIENTS,
	.at = offsetof(struct supervisor, clients),
	.called = "the control socket",
	CARRIED_ROWS(clients_rows, clients),
	.make = make,
	.done = clients_done,
};

/* The oldest first: who reads puts each in front. */
static void put_from(struct carry_writer *c, const struct client *client)
{
	if (client == NULL)
		return;
	put_from(c, client->next);
	carry_put_one(c, &carried_client, client);
}

static void put_all(struct carry_writer *c, const void *of)
{
	put_from(c, ((const struct supervisor *)of)->clients->first);
}

static int take_one(
	struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct supervisor *sup = to;

	if (f->tag != CARRY_CLIENT)
		return 0;
	return sup->clients == NULL ? -1
				    : carry_get_one(r, &carried_client,
					      client_carried(sup->clients), f);
}

const struct carried carried_client_list = {
	.put = put_all,
	.take = take_one,
};
