/* SPDX-License-Identifier: MIT */
#include "cli/trial.h"

#include "base/text.h"

#include <string.h>

/* What the instance on trial tells, as JSON, and what we keep of it. */

static const char *text_of(json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

static uint64_t number_of(json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

static bool truth_of(json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

const struct trial_life *trial_life(const struct trial *t, uint64_t worker)
{
	for (size_t i = 0; i < TRIAL_LIVES; i++)
		if (worker != 0 && t->lives[i].worker == worker)
			return &t->lives[i];
	return NULL;
}

const struct trial_life *trial_latest(const struct trial *t, int slot)
{
	const struct trial_life *found = NULL;

	for (size_t i = 0; i < TRIAL_LIVES; i++)
		if (t->lives[i].worker != 0 && t->lives[i].slot == slot &&
			(found == NULL || t->lives[i].worker > found->worker))
			found = &t->lives[i];
	return found;
}

const struct trial_listener *trial_listener(const struct trial *t, uint64_t inode)
{
	for (size_t i = 0; i < t->listener_count; i++)
		if (t->listeners[i].inode == inode)
			return &t->listeners[i];
	return NULL;
}

/* Its place, or a new one; NULL: it is none, or one too many. */
static struct trial_life *place_of(struct trial *t, json_t *event)
{
	uint64_t worker = number_of(event, "worker");

	for (size_t i = 0; worker != 0 && i < TRIAL_LIVES; i++) {
		struct trial_life *life = &t->lives[i];

		if (life->worker == worker)
			return life;
		if (life->worker != 0)
			continue;
		*life = (struct trial_life){
			.worker = worker,
			.slot = (int)number_of(event, "slot"),
			.pid = (pid_t)number_of(event, "pid"),
		};
		return life;
	}
	return NULL;
}

/* The whole history comes again at each look: what is said twice is the same. */
void trial_take_event(struct trial *t, json_t *event)
{
	struct trial_life *life = place_of(t, event);
	double when = json_number_value(json_object_get(event, "time"));
	const char *kind = text_of(event, "event");

	if (life == NULL)
		return;
	if (strcmp(kind, "started") == 0) {
		life->started = when;
	} else if (strcmp(kind, "ready") == 0) {
		life->ready = when;
	} else if (strcmp(kind, "stopping") == 0) {
		life->stopping = when;
	} else if (strcmp(kind, "stop-timeout") == 0) {
		life->killed = true;
	} else if (strcmp(kind, "exited") == 0) {
		life->exited = when;
		(void)text_copy(life->exit, sizeof(life->exit), text_of(event, "exit"));
	}
}

static void take_listener(struct trial_listener *l, json_t *from)
{
	json_t *queue = json_object_get(from, "queue");

	(void)text_copy(l->address, sizeof(l->address), text_of(from, "address"));
	l->inode = number_of(from, "inode");
	l->learned = truth_of(from, "learned");
	l->bound = l->learned || truth_of(from, "bound");
	l->queue = json_is_integer(queue) ? (long)json_integer_value(queue) : -1;
}

static bool asks_for_servers(json_t *workers)
{
	for (size_t i = 0; i < json_array_size(workers); i++) {
		json_t *node = json_object_get(json_array_get(workers, i), "node");

		if (json_array_size(json_object_get(node, "servers")) > 0)
			return true;
	}
	return false;
}

void trial_take_status(struct trial *t, json_t *status)
{
	json_t *cluster = json_array_get(json_object_get(status, "clusters"), 0);
	json_t *listeners = json_object_get(cluster, "listeners");

	t->says_ready |= truth_of(cluster, "notify_seen");
	t->listens |= truth_of(cluster, "listen_seen");
	t->node |= asks_for_servers(json_object_get(cluster, "workers"));
	t->listener_count = 0;
	for (size_t i = 0; i < json_array_size(listeners); i++)
		if (t->listener_count < TRIAL_LISTENERS)
			take_listener(
				&t->listeners[t->listener_count++], json_array_get(listeners, i));
}
