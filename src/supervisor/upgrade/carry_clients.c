/* SPDX-License-Identifier: MIT */
#include "supervisor/upgrade/carry.h"

#include "supervisor/control/clients.h"
#include "supervisor/common/news.h"

#include <errno.h>
#include <stdlib.h>

/* ---- saving ---- */

static void put_expectation(struct carry_writer *c, const struct expectation *e)
{
	handover_open(&c->w, CARRY_EXPECTATION);
	carry_put(c, PLAIN_EXPECTATION, e);
	handover_put_u64(&c->w, CARRY_SERVICE_INDEX, e->service->index);
	handover_close(&c->w);
}

/* The oldest first: who reads puts each in front. */
static void put_client(struct carry_writer *c, const struct client *client)
{
	if (client == NULL)
		return;
	put_client(c, client->next);
	handover_open(&c->w, CARRY_CLIENT);
	carry_put(c, PLAIN_CLIENT, client);
	if (client->in.len > 0)
		handover_put_bytes(
			&c->w, CARRY_IN, client->in.data, client->in.len);
	if (client->out.len > 0)
		handover_put_bytes(
			&c->w, CARRY_OUT, client->out.data, client->out.len);
	for (size_t i = 0; i < client->expected_count; i++)
		put_expectation(c, &client->expected[i]);
	if (client->status_service != NULL)
		handover_put_u64(&c->w, CARRY_SERVICE_INDEX,
			client->status_service->index);
	handover_close(&c->w);
}

void carry_put_clients(struct carry_writer *c)
{
	const struct clients *all = c->sup->clients;

	handover_open(&c->w, CARRY_CLIENTS);
	carry_put(c, PLAIN_CLIENTS, all);
	handover_close(&c->w);
	put_client(c, all->first);
}

void carry_put_news(struct carry_writer *c)
{
	news_save(c->sup, &c->w, CARRY_HISTORY);
	for (const struct news *n = c->sup->news_head; n != NULL; n = n->next) {
		handover_open(&c->w, CARRY_NEWS);
		carry_put(c, PLAIN_NEWS, n);
		handover_close(&c->w);
	}
}

/* ---- loading ---- */

int carry_get_clients(struct carry_reader *r, const struct handover_field *f,
	struct error *err)
{
	struct clients *all = clients_carried(r->sup);
	struct handover_reader in;
	struct handover_field m;

	if (all == NULL)
		return error_set(err, ENOMEM, "control socket");
	carry_clear(PLAIN_CLIENTS, all);
	handover_enter(&in, f);
	while (handover_next(&in, &m))
		if (carry_take(PLAIN_CLIENTS, all, &m, err) == -1)
			return -1;
	if (r->sup->has_rundir == (all->listen.fd != -1))
		return 0;
	return carry_bad(err, "the control socket");
}

static int service_at(struct carry_reader *r, const struct handover_field *f,
	struct service **to)
{
	if (f->type != HANDOVER_U64 || f->u >= r->sup->service_count)
		return -1;
	*to = r->sup->services[f->u];
	return 0;
}

static int get_expectation(struct carry_reader *r, struct client *client,
	const struct handover_field *f, struct error *err)
{
	struct expectation *list = realloc(
		client->expected, (client->expected_count + 1) * sizeof(*list));
	struct expectation *e;
	struct handover_reader in;
	struct handover_field m;

	if (list == NULL)
		return error_set(err, ENOMEM, "a client");
	client->expected = list;
	e = &list[client->expected_count++];
	*e = (struct expectation){0};
	handover_enter(&in, f);
	while (handover_next(&in, &m)) {
		int got = m.tag == CARRY_SERVICE_INDEX
			? service_at(r, &m, &e->service)
			: carry_take(PLAIN_EXPECTATION, e, &m, err);

		if (got == -1)
			return carry_bad(err, "a client");
	}
	return e->service != NULL ? 0 : carry_bad(err, "a client");
}

static int take_part(struct carry_reader *r, struct client *client,
	const struct handover_field *m, struct error *err)
{
	int got;

	switch (m->tag) {
	case CARRY_IN:
		got = buffer_append(&client->in, m->data, m->len);
		break;
	case CARRY_OUT:
		got = buffer_append(&client->out, m->data, m->len);
		break;
	case CARRY_SERVICE_INDEX:
		got = service_at(r, m, &client->status_service);
		break;
	case CARRY_EXPECTATION:
		return get_expectation(r, client, m, err);
	default:
		return carry_take(PLAIN_CLIENT, client, m, err);
	}
	return got == -1 ? carry_bad(err, "a client") : 0;
}

int carry_get_client(struct carry_reader *r, const struct handover_field *f,
	struct error *err)
{
	struct client *client;
	struct handover_reader in;
	struct handover_field m;

	if (r->sup->clients == NULL)
		return carry_bad(err, "a client");
	client = client_carried(r->sup->clients);
	if (client == NULL)
		return error_set(err, ENOMEM, "a client");
	carry_clear(PLAIN_CLIENT, client);
	handover_enter(&in, f);
	while (handover_next(&in, &m))
		if (take_part(r, client, &m, err) == -1)
			return -1;
	if (client->io.fd == -1)
		return carry_bad(err, "a client");
	client->writer.out = &client->out;
	return 0;
}

static int get_one_news(struct carry_reader *r, const struct handover_field *f,
	struct error *err)
{
	struct news n = {0};
	struct handover_reader in;
	struct handover_field m;

	carry_clear(PLAIN_NEWS, &n);
	handover_enter(&in, f);
	while (handover_next(&in, &m))
		if (carry_take(PLAIN_NEWS, &n, &m, err) == -1)
			return -1;
	return news_carried(r->sup, &n) == 0
		? 0
		: error_set(err, ENOMEM, "an event");
}

int carry_get_news(struct carry_reader *r, const struct handover_field *f,
	struct error *err)
{
	return f->tag == CARRY_NEWS ? get_one_news(r, f, err)
				    : news_load(r->sup, f, err);
}
