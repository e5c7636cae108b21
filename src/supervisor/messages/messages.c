/* SPDX-License-Identifier: MIT */
#include "supervisor/messages/messages.h"

#include "supervisor/common/registry.h"
#include "base/log.h"
#include "base/scope.h"
#include "config/address.h"
#include "protocol/json.h"

#include <string.h>

static bool is_open(const struct child *child)
{
	return child != NULL && child->channel != NULL && child->channel->io.fd != -1;
}

/* ---- relaying ---- */

/* Writes `{"from":{"cluster":"web","slot":1},"message":`, with the host if other machines have
 * workers of that cluster, too; names need no escapes. */
static size_t put_origin(char *to, size_t size, const struct child *from)
{
	struct buffer b = {.data = to, .cap = size, .limit = size};

	buffer_string(&b, "{\"from\":{\"cluster\":\"");
	buffer_string(&b, from->service->name);
	buffer_string(&b, "\",\"slot\":");
	buffer_number(&b, from->slot, 10);
	if (from->service->broker != NULL) {
		buffer_string(&b, ",\"host\":\"");
		buffer_string(&b, from->service->broker->host);
		buffer_string(&b, "\"");
	}
	buffer_string(&b, "},\"message\":");
	return b.len;
}

/* Relays a message; returns how many workers it was for. */
static unsigned relay_to(
	const struct service *to, const struct child *from, const char *line, size_t len)
{
	char origin[256] uninitialized;
	const struct queue_part pieces[] = {
		{origin, put_origin(origin, sizeof(origin), from)},
		{line, len},
		{"}", 1},
	};
	const struct child *child;
	unsigned reached = 0;

	for_each_child (child, children_of(to)) {
		if (child == from || !is_open(child))
			continue;
		reached++;
		(void)channel_send_parts(child->channel, pieces, COUNT_OF(pieces), -1, false);
	}
	if (from->service->broker != NULL && to == from->service) {
		broker_send(to->broker, origin + 1, pieces[0].len - 1, line, len);
		reached++;
	}
	return reached;
}

static void relay_message(struct channel *c, const char *line, size_t len)
{
	const struct service *service = c->child->service;
	const char *target = cluster_settings(service->core)->relay;

	if (target == NULL)
		return;
	if (strcmp(target, "others") != 0 && !natsurl_is(target))
		service = service_named(service->sup, target);
	if (service != NULL) /* NULL: a reload has just dropped it */
		c->fanout = relay_to(service, c->child, line, len);
}

/* ---- what workers send ---- */

static void log_invalid(struct channel *c)
{
	if (c->invalid++ > 0)
		return;
	log_worker(c->child, LOG_WARN, "a message that is not one value of JSON is not relayed");
}

void messages_from(struct channel *c, const char *line, size_t len)
{
	bool valid;

	line = jsonvalue_trim(line, &len);
	if (len == 0)
		return;
	c->received++;
	valid = jsonvalue_check(line, len);
	if (valid)
		relay_message(c, line, len);
	else
		log_invalid(c);
	messages_show(c, line, len, valid);
}

void messages_on_end(struct channel *c)
{
	log_worker(c->child, LOG_DEBUG, "its message channel is closed");
}

/* ---- messages from outside ---- */

bool messages_possible(const struct service *service)
{
	const struct child *child;

	for_each_child (child, children_of(service))
		if (is_open(child))
			return true;
	return false;
}

/* The worker that has the slot: a successor only once it is ready. */
static struct child *find_holder(const struct service *service, uint32_t slot, bool ready_only)
{
	struct slot_view view;
	struct child *child;

	cluster_view_slot(service->core, slot, &view);
	if (view.workers == 0 || (ready_only && view.state != SLOT_READY))
		return NULL;
	child = child_find(service, slot, view.worker[0].id);
	return is_open(child) ? child : NULL;
}

static unsigned send_next(struct service *service, const char *line, size_t len)
{
	uint32_t slots = cluster_slots(service->core);

	for (uint32_t i = 0; i < slots; i++) {
		uint32_t slot = (service->message_turn + i) % slots;
		const struct child *child = find_holder(service, slot, true);

		if (child == NULL || channel_send(child->channel, line, len, -1, false) == -1)
			continue; /* the next worker then */
		service->message_turn = slot + 1;
		return 1;
	}
	return 0;
}

unsigned messages_send(struct service *service, uint32_t slot, bool all, const char *line,
	size_t len, unsigned *asked)
{
	uint32_t slots = cluster_slots(service->core);
	unsigned reached = 0;

	*asked = 1;
	if (slot == SLOT_ALL && !all)
		return send_next(service, line, len);
	*asked = 0;
	for (uint32_t i = 0; i < slots; i++) {
		const struct child *child;

		if (slot != SLOT_ALL && i != slot)
			continue;
		child = find_holder(service, i, false);
		if (child == NULL)
			continue;
		++*asked;
		reached += channel_send(child->channel, line, len, -1, false) == 0;
	}
	return reached;
}
