/* SPDX-License-Identifier: MIT */
#include "supervisor/control/internal.h"

#include "supervisor/common/registry.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PATIENCE_ALL (1 * SECOND)
#define PATIENCE_ONE (5 * SECOND)

static bool send_connection(struct reach *r, const struct child *child, int fd, size_t sent)
{
	const struct cluster_settings *s = cluster_settings(r->service->core);
	struct client *c = r->owner;
	size_t before = c->out.len;
	scoped_buffer params = {0};
	struct json_writer w;
	const char *text;
	int passed = -1;

	json_begin(&w, &params);
	json_open_object(&w);
	json_put_int(&w, "slot", child->slot);
	json_put_text(&w, "host", r->host);
	json_put_text(&w, "path", s->metrics.text);
	json_put_int(&w, "sent", (int64_t)sent);
	json_close_object(&w);
	text = buffer_text(&params);
	if (text != NULL && control_put_event(&c->out, c->request.id, text) == 0)
		passed = client_pass(c, c->out.len - before, fd);
	return passed == 0;
}

static void end_reach(struct client *c)
{
	struct reach *r = c->reach;

	reach_end(r);
	free(r);
	c->reach = NULL;
	c->state = CLIENT_IDLE;
}

/* Answer with the slots of ready workers that took no connection. */
static void put_missed(struct client *c)
{
	const struct child *child;
	struct json_writer w;

	(void)control_begin_result(&c->out, c->request.id);
	json_begin(&w, &c->out);
	json_open_object(&w);
	json_key(&w, "missed");
	json_open_array(&w);
	for_each_child (child, children_of(c->reach->service))
		if (reach_wants(c->reach, child))
			json_int(&w, child->slot);
	json_close_array(&w);
	json_close_object(&w);
	(void)control_end_result(&c->out);
}

static void finish_probing(struct client *c, int code, const char *why)
{
	const struct reach *r = c->reach;
	char text[160];

	if (r->slot == SLOT_ALL || r->reached[r->slot]) {
		put_missed(c);
		end_reach(c);
		client_done(c);
		return;
	}
	snprintf(text, sizeof(text), "%s.%" PRIu32 " %s", r->service->name, r->slot, why);
	end_reach(c);
	client_error(c, code, text);
}

static void time_out(struct reach *r)
{
	finish_probing(r->owner, CONTROL_TIMED_OUT,
		"took no connection: it is busy or hangs, or others are always "
		"faster");
}

void ask_settle(struct client *c)
{
	finish_probing(
		c, CONTROL_BUSY, "was not asked, because nclust is being upgraded: try again");
}

int ask_check(
	const struct client *c, const struct service *service, uint32_t slot, struct error *err)
{
	if ((slot == SLOT_ALL) == c->own)
		return 0;
	return error_set(err, 0, "name %s, such as '%s%s'", c->own ? "the cluster" : "which worker",
		service->name, c->own ? "" : ".0");
}

/* Is the slot's only worker a spare, which takes no connection? */
static bool is_spare(const struct service *service, uint32_t slot)
{
	struct slot_view view;

	cluster_view_slot(service->core, slot, &view);
	return view.state == SLOT_SPARE;
}

int ask_begin(struct client *c, struct service *service, uint32_t slot, struct error *err)
{
	struct reach *r;

	if (slot == SLOT_ALL && cluster_settings(service->core)->metrics.kind == PROBE_NONE)
		return error_set(err, 0, "'metrics' of '%s' is off", service->name);
	if (slot != SLOT_ALL &&
		(slot >= service->child_slots ||
			(service->children[slot][0] == NULL && service->children[slot][1] == NULL)))
		return error_set(err, 0, "%s.%" PRIu32 " does not run now", service->name, slot);
	if (slot != SLOT_ALL && is_spare(service, slot))
		return error_set(err, 0,
			"%s.%" PRIu32 " is a spare: it takes no connections "
			"until it serves",
			service->name, slot);
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return error_set(err, ENOMEM, "ask");
	r->slot = slot;
	r->first = c->request.first;
	r->patience = slot == SLOT_ALL ? PATIENCE_ALL : PATIENCE_ONE;
	r->got = send_connection;
	r->over = time_out;
	r->owner = c;
	if (reach_begin(r, service, err) == -1) {
		free(r);
		return -1;
	}
	c->reach = r;
	c->state = CLIENT_ASKING;
	return 0;
}

void ask_forget(struct client *c)
{
	if (c->reach != NULL)
		end_reach(c);
}
