/* SPDX-License-Identifier: MIT */
#include "supervisor/common/registry.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct service *service_named(const struct supervisor *sup, const char *name)
{
	for (size_t i = 0; i < sup->service_count; i++)
		if (strcmp(sup->services[i]->name, name) == 0)
			return sup->services[i];
	return NULL;
}

/* ---- the table of pids ---- */

static struct child **bucket_of(const struct pid_table *t, pid_t pid)
{
	/* pids are dense: their low bits spread well */
	return &t->buckets[(size_t)pid & (t->size - 1)];
}

int pids_grow(struct pid_table *t)
{
	struct pid_table bigger = {
		.size = t->size != 0 ? 2 * t->size : PID_BUCKETS_MIN,
		.used = t->used,
	};

	if (t->used < t->size)
		return 0;
	bigger.buckets = calloc(bigger.size, sizeof(*bigger.buckets));
	if (bigger.buckets == NULL)
		return t->size != 0 ? 0 : -1; /* without memory a fuller table still works */
	for (size_t i = 0; i < t->size; i++) {
		while (t->buckets[i] != NULL) {
			struct child *c = t->buckets[i];
			struct child **to = bucket_of(&bigger, c->pid);

			t->buckets[i] = c->next;
			c->next = *to;
			*to = c;
		}
	}
	free(t->buckets);
	*t = bigger;
	return 0;
}

void pids_add(struct pid_table *t, struct child *child)
{
	struct child **at = bucket_of(t, child->pid);

	child->next = *at;
	*at = child;
	t->used++;
}

void pids_remove(struct pid_table *t, struct child *child)
{
	struct child **at = bucket_of(t, child->pid);

	while (*at != child)
		at = &(*at)->next;
	*at = child->next;
	t->used--;
}

struct child *child_by_pid(const struct supervisor *sup, pid_t pid)
{
	struct child *c;

	if (sup->pids.size == 0)
		return NULL;
	for (c = *bucket_of(&sup->pids, pid); c != NULL; c = c->next)
		if (c->pid == pid)
			return c;
	return NULL;
}

/* ---- by slot ---- */

struct child *child_find(const struct service *service, uint32_t slot, uint64_t worker)
{
	if (slot >= service->child_slots)
		return NULL;
	for (int i = 0; i < 2; i++) {
		struct child *c = service->children[slot][i];

		if (c != NULL && c->worker == worker)
			return c;
	}
	return NULL;
}

struct child_walk children_of(const struct service *service)
{
	return (struct child_walk){.sup = service->sup, .only = service};
}

struct child_walk children_of_all(const struct supervisor *sup)
{
	return (struct child_walk){.sup = sup};
}

struct child *child_next(struct child_walk *w)
{
	size_t services = w->only != NULL ? 1 : w->sup->service_count;

	for (; w->service < services; w->service++, w->at = 0) {
		const struct service *s = w->only != NULL ? w->only : w->sup->services[w->service];

		while (w->at < 2 * (size_t)s->child_slots) {
			struct child *c = s->children[w->at / 2][w->at % 2];

			w->at++;
			if (c != NULL)
				return c;
		}
	}
	return NULL;
}

struct child *child_by_serial(const struct supervisor *sup, uint64_t serial)
{
	struct child_walk walk = children_of_all(sup);
	struct child *c;

	while ((c = child_next(&walk)) != NULL && c->serial != serial)
		;
	return c;
}

bool child_has_own_lane(const struct child *child)
{
	const struct child *other;

	for_each_child (other, children_of(child->service))
		if (other != child && other->traffic.lane == child->traffic.lane)
			return false;
	return true;
}

bool service_is_done(const struct service *service)
{
	return service->stage.ended && service->stage.status == 0 &&
		cluster_state(service->core) == CLUSTER_STOPPED &&
		!cluster_was_stopped(service->core);
}

/* ---- log lines about a worker ---- */

void log_slot(
	const struct service *service, uint32_t slot, enum log_level level, const char *format, ...)
{
	char text[800];
	va_list args;

	if (level > log_level())
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_line(level, "%s.%" PRIu32 ": %s", service->name, slot, text);
}
