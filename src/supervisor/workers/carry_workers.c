/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/carry_workers.h"

#include "core/image.h"
#include "supervisor/sockets/carry_sockets.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"

#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const struct plain_row recipe_rows[] = {
	PLAIN(1, recipe, generation, UNSIGNED),
	PLAIN(2, recipe, has_port, BOOL),
	PLAIN_ENUM(3, recipe, runtime, NODE_DENO),
};

static const struct plain_row child_rows[] = {
	PLAIN(1, child, worker, UNSIGNED),
	PLAIN(2, child, serial, UNSIGNED),
	PLAIN(3, child, slot, UNSIGNED),
	PLAIN(4, child, pid, SIGNED),
	PLAIN(5, child, pidfd, PIDFD),
	PLAIN(6, child, output[0], FD),
	PLAIN(7, child, output[1], FD),
	PLAIN(8, child, notify_watcher.fd, FD),
	PLAIN(9, child, cpu_then, SIGNED),
	PLAIN(10, child, looked_at, SIGNED),
	PLAIN(11, child, killed_by_us, BOOL),
	PLAIN(12, child, said_at, SIGNED),
	PLAIN(13, child, said, UNSIGNED),
	PLAIN(14, child, stranger_told, BOOL),
	PLAIN(15, child, paused, BOOL),
	PLAIN(16, child, trap_watcher.fd, FD),
	PLAIN(17, child, uses, UNSIGNED),
	PLAIN(18, child, listens, UNSIGNED),
	PLAIN(19, child, listening_told, BOOL),
	PLAIN(20, child, looks, UNSIGNED),
	PLAIN(21, child, bound_by, SIGNED),
	PLAIN(22, child, listening_by, SIGNED),
	PLAIN(23, child, trapped_at, SIGNED),
	PLAIN(24, child, trapped, UNSIGNED),
	PLAIN(25, child, bind_told, BOOL),
	PLAIN(26, child, trap_paused, BOOL),
	PLAIN(27, child, trap_hostile, BOOL),
	PLAIN(28, child, v6only_known, BOOL),
	PLAIN(29, child, v6only, BOOL),
	PLAIN(30, child, v6only_fd, SIGNED), /* the worker's number */
	PLAIN(31, child, generation, UNSIGNED),
	PLAIN(32, child, adopted, BOOL),
	PLAIN(33, child, start, UNSIGNED),
	PLAIN(34, child, withdrawn, BOOL),
	PLAIN(35, child, lane, UNSIGNED),
	PLAIN(36, child, ports, UNSIGNED),
	PLAIN(37, child, missing_told, BOOL),
	PLAIN(38, child, expected, UNSIGNED),
	PLAIN(39, child, expected_of, UNSIGNED),
};

static const struct plain_row service_rows[] = {
	PLAIN(1, service, trap_told, BOOL),
	PLAIN_ENUM(2, service, child_slots, 2 * WORKERS_MAX),
	PLAIN(3, service, leaving, BOOL),
	PLAIN(4, service, stop_signal, SIGNED),
	PLAIN(5, service, ended, BOOL),
	PLAIN(6, service, started_once, BOOL),
	PLAIN(7, service, bind_hint_told, BOOL),
	PLAIN(8, service, hooks_told, UNSIGNED),
	PLAIN(9, service, status, SIGNED),
	PLAIN(10, service, scaled, BOOL),
	PLAIN(12, service, outcome_of, UNSIGNED),
	PLAIN(13, service, outcome_failed, BOOL),
	PLAIN(14, service, checks_denied_told, BOOL),
	PLAIN(15, service, number, UNSIGNED),
	PLAIN(16, service, knows_notify, BOOL),
	PLAIN(17, service, knows_listen, BOOL),
	PLAIN(18, service, adopted_roll, BOOL),
	PLAIN(19, service, blind_told, BOOL),
	PLAIN(20, service, message_turn, UNSIGNED),
};
/* clang-format on */

/* ---- what workers of a generation have in common ---- */

static void put_recipe(struct carry_writer *c, const void *of)
{
	const struct recipe *r = of;

	carry_put_index(c, CARRY_INDEX, CARRY_OF_SETTINGS, r->settings);
	for (size_t i = 0; i < r->environment_count; i++)
		handover_put_text(&c->w, CARRY_WORD, r->environment[i]);
	for (size_t i = 0; r->candidates[i] != NULL; i++)
		handover_put_text(&c->w, CARRY_CANDIDATE, r->candidates[i]);
	if (r->groups != NULL)
		handover_put_bytes(&c->w, CARRY_GROUPS, r->groups,
			r->group_count * sizeof(*r->groups));
	carry_put_set(c, CARRY_SET, &r->listeners);
	carry_put_index(c, CARRY_MEMORY, CARRY_OF_SEGMENTS, r->segment);
}

static int take_settings(struct carry_reader *r, struct recipe *to,
	const struct handover_field *f)
{
	struct cluster_settings *settings = carry_at(r, CARRY_OF_SETTINGS, f);

	if (settings == NULL || to->settings != NULL)
		return -1;
	to->settings = cluster_settings_ref(settings);
	return 1;
}

static int take_candidate(struct recipe *to, const struct handover_field *f)
{
	size_t count = 0;

	while (to->candidates != NULL && to->candidates[count] != NULL)
		count++;
	return carry_take_word(&to->candidates, &count, f);
}

/* put_env() wants room for a power of two; a list that came so is never added
 * to. */
static int take_groups(struct recipe *r, const struct handover_field *f)
{
	if (f->type != HANDOVER_BYTES || f->len % sizeof(gid_t) != 0 ||
		r->groups != NULL)
		return -1;
	r->groups = malloc(f->len + 1);
	if (r->groups == NULL)
		return -1;
	(void)memcpy(r->groups, f->data, f->len);
	r->group_count = f->len / sizeof(gid_t);
	return 1;
}

static int take_recipe(
	struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct recipe *recipe = to;

	switch (f->tag) {
	case CARRY_INDEX:
		return take_settings(r, recipe, f);
	case CARRY_WORD:
		return carry_take_word(
			&recipe->environment, &recipe->environment_count, f);
	case CARRY_CANDIDATE:
		return take_candidate(recipe, f);
	case CARRY_GROUPS:
		return take_groups(recipe, f);
	case CARRY_SET:
		return carry_get_set(r, f, &recipe->listeners, 0);
	case CARRY_MEMORY:
		return carry_get_memory(r, f, &recipe->segment);
	default:
		return 0;
	}
}

static int recipe_done(struct carry_reader *r, void *to)
{
	struct recipe *recipe = to;

	if (recipe->settings == NULL || recipe->candidates == NULL)
		return -1;
	recipe_limits(recipe, &r->sup->nofile);
	return 0;
}

const struct carried carried_recipe = {
	.tag = CARRY_RECIPE,
	.called = "a generation",
	CARRIED_ROWS(recipe_rows, recipe),
	.put = put_recipe,
	.take = take_recipe,
	.done = recipe_done,
};

/* Newest first in the list, and so they are put: who reads adds at its end. */
static int get_recipe(struct carry_reader *r, struct service *s,
	const struct handover_field *f)
{
	struct recipe *recipe = calloc(1, sizeof(*recipe));
	struct recipe **at = &s->recipes;

	while (*at != NULL)
		at = &(*at)->next;
	*at = recipe;
	return carry_get_one(r, &carried_recipe, recipe, f);
}

/* ---- a worker ---- */

static void put_child(struct carry_writer *c, const void *of)
{
	if (!carry_variant.less)
		handover_put_text(
			&c->w, CARRY_TEXT, ((const struct child *)of)->status);
	if (carry_variant.more)
		handover_put_u64(&c->w, CARRY_UNKNOWN, 7);
}

static int take_child(
	struct carry_reader *r, void *to, const struct handover_field *f)
{
	(void)r;
	return f->tag == CARRY_TEXT
		? carry_take_text(&((struct child *)to)->status, f)
		: 0;
}

static int child_done(struct carry_reader *r, void *to)
{
	struct child *child = to;

	(void)r;
	return child->pid > 0 && child->pidfd != -1
		? child_settle(child->service, child)
		: -1;
}

const struct carried carried_child = {
	.tag = CARRY_CHILD,
	.called = "a worker",
	CARRIED_ROWS(child_rows, child),
	.put = put_child,
	.take = take_child,
	.done = child_done,
	.more = carried_of_worker,
};

/* The number of slots stands before all that is by slot. */
static int reserve(struct service *s)
{
	if (s->children != NULL || s->child_slots == 0)
		return 0;
	s->children = calloc(s->child_slots, sizeof(*s->children));
	s->early_deaths = calloc(s->child_slots, 1);
	return s->children != NULL && s->early_deaths != NULL ? 0 : -1;
}

static void put_children(struct carry_writer *c, const void *of)
{
	const struct service *s = of;

	for (uint32_t i = 0; i < s->child_slots; i++)
		for (int k = 0; k < 2; k++)
			carry_put_one(c, &carried_child, s->children[i][k]);
}

static int take_children(
	struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct service *s = to;

	if (f->tag != CARRY_CHILD)
		return 0;
	return carry_get_one(r, &carried_child,
		reserve(s) == 0 ? child_carried(s) : NULL, f);
}

const struct carried carried_children = {
	.put = put_children,
	.take = take_children,
};

/* ---- a cluster ---- */

static void put_service(struct carry_writer *c, const void *of)
{
	const struct service *s = of;

	handover_put_text(&c->w, CARRY_TEXT, s->name);
	handover_put_text(&c->w, CARRY_OUTCOME, s->outcome);
}

static int take_service(
	struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct service *s = to;

	(void)r;
	switch (f->tag) {
	case CARRY_TEXT:
		return carry_take_text(&s->name, f);
	case CARRY_OUTCOME:
		return carry_take_text(&s->outcome, f);
	default:
		/* no number of slots once there is room for those */
		return s->children != NULL && f->tag < CARRY_TEXT;
	}
}

static int service_done(struct carry_reader *r, void *to)
{
	struct service *s = to;

	(void)r;
	return s->name != NULL && s->core != NULL && reserve(s) == 0 &&
			s->child_slots >= cluster_slots(s->core)
		? 0
		: -1;
}

const struct carried carried_service = {
	.tag = CARRY_SERVICE,
	.called = "a cluster",
	CARRIED_ROWS(service_rows, service),
	.put = put_service,
	.take = take_service,
	.done = service_done,
	.more = carried_of_cluster,
};

/* ---- by slot: early deaths ---- */

static void put_early(struct carry_writer *c, const void *of)
{
	const struct service *s = of;

	handover_put_bytes(&c->w, CARRY_EARLY, s->early_deaths, s->child_slots);
}

static int take_early(
	struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct service *s = to;

	(void)r;
	if (f->tag != CARRY_EARLY)
		return 0;
	if (reserve(s) == -1 || f->type != HANDOVER_BYTES ||
		f->len != s->child_slots)
		return -1;
	if (f->len > 0)
		(void)memcpy(s->early_deaths, f->data, f->len);
	return 1;
}

const struct carried carried_early = {
	.put = put_early,
	.take = take_early,
};

/* ---- what its workers get ---- */

static void put_holdings(struct carry_writer *c, const void *of)
{
	const struct service *s = of;

	carry_put_set(c, CARRY_SET, &s->listeners);
	carry_put_set(c, CARRY_LEARNED, &s->learned);
	carry_put_index(c, CARRY_MEMORY, CARRY_OF_SEGMENTS, s->segment);
	carry_put_index(c, CARRY_FORMER, CARRY_OF_SEGMENTS, s->former);
	for (const struct recipe *r = s->recipes; r != NULL; r = r->next)
		carry_put_one(c, &carried_recipe, r);
}

static int take_holdings(
	struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct service *s = to;

	switch (f->tag) {
	case CARRY_SET:
		return carry_get_set(r, f, &s->listeners, 0);
	case CARRY_LEARNED:
		return carry_get_set(r, f, &s->learned, LEARNED_MAX);
	case CARRY_MEMORY:
		return carry_get_memory(r, f, &s->segment);
	case CARRY_FORMER:
		return carry_get_memory(r, f, &s->former);
	case CARRY_RECIPE:
		return get_recipe(r, s, f);
	default:
		return 0;
	}
}

const struct carried carried_holdings = {
	.put = put_holdings,
	.take = take_holdings,
};

/* ---- all of them ---- */

void carry_collect_workers(struct carry_writer *c, const struct supervisor *sup)
{
	struct carry_list *all = &c->lists[CARRY_OF_SETTINGS];

	for (size_t i = 0; i < sup->service_count; i++) {
		const struct service *s = sup->services[i];
		const struct cluster_settings *waiting =
			image_settings(s->core, IMAGE_CLUSTER, 0);

		for (uint32_t g = 0; g < image_count(s->core, IMAGE_GENERATION);
			g++)
			(void)carry_add(all,
				image_settings(s->core, IMAGE_GENERATION, g));
		if (waiting != NULL)
			(void)carry_add(all, waiting);
		for (const struct recipe *r = s->recipes; r != NULL;
			r = r->next)
			(void)carry_add(all, r->settings);
	}
}

static void put_services(struct carry_writer *c, const void *of)
{
	const struct supervisor *sup = of;

	for (size_t i = 0; i < sup->service_count; i++)
		carry_put_one(c, &carried_service, sup->services[i]);
}

static int take_services(
	struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct service *s;

	if (f->tag != CARRY_SERVICE)
		return 0;
	s = service_carried(to);
	if (carry_get_one(r, &carried_service, s, f) == 1)
		return 1;
	return error_wrap(r->err, "cluster '%s'",
		s != NULL && s->name != NULL ? s->name : "?");
}

const struct carried carried_services = {
	.put = put_services,
	.take = take_services,
};
