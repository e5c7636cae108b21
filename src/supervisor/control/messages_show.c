/* SPDX-License-Identifier: MIT */
#include "supervisor/messages/messages.h"

#include "protocol/control.h"
#include "supervisor/control/control.h"
#include "supervisor/common/news.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * Shows workers' messages, as events that the history does not keep.  A client
 * gets as many as it reads; other events always have room beside them.
 */
#define SHOWN_MAX (64U * 1024)
#define UNREAD_MAX (CLIENT_OUT_MAX / 4)

static bool wants_messages(const struct client *client, const struct channel *c)
{
	if (client->state != CLIENT_FOLLOWING ||
		(*client->request.kinds != '\0' &&
			!eventkind_listed(client->request.kinds, "message", 7)))
		return false;
	if (*client->request.target == '\0')
		return true;
	return strcmp(client->request.target, c->child->service->name) == 0 &&
		(client->only_slot == SLOT_ALL || client->only_slot == c->child->slot);
}

/* The message is the last member, so that a reader need not parse all of it. */
static int put_event(
	struct buffer *out, const struct channel *c, const char *line, size_t len, bool valid)
{
	const struct child *child = c->child;
	struct json_writer w;
	char text[160];

	news_begin(&w, out, "message");
	json_put_text(&w, "cluster", child->service->name);
	json_put_int(&w, "slot", child->slot);
	json_put_int(&w, "worker", (int64_t)child->worker);
	if (!valid)
		json_put_bool(&w, "json", false);
	json_put_int(&w, "size", (int64_t)len);
	snprintf(text, sizeof(text), "%s.%" PRIu32 ": message of %zu bytes", child->service->name,
		child->slot, len);
	json_put_text(&w, "text", text);
	if (len <= SHOWN_MAX) {
		json_key(&w, "message");
		if (valid) {
			json_raw(&w, "");
			buffer_append(out, line, len);
		} else {
			json_bytes(&w, line, len);
		}
	}
	json_close_object(&w);
	return buffer_text(out) != NULL && !out->failed ? 0 : -1;
}

static void hand_out(struct client *client, const struct buffer *event)
{
	if (client->out.len + event->len > UNREAD_MAX) {
		client->missed++;
		return;
	}
	client_tell_missed(client);
	(void)control_put_event(&client->out, client->request.id, event->data);
	client_later(client);
}

void messages_show(const struct channel *c, const char *line, size_t len, bool valid)
{
	scoped_buffer event = {0};
	bool made = false;

	for (struct client *k = clients_first(c->child->service->sup); k != NULL; k = k->next) {
		if (!wants_messages(k, c))
			continue;
		if (!made && put_event(&event, c, line, len, valid) == -1)
			break;
		made = true;
		hand_out(k, &event);
	}
}
