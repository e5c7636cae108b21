/* SPDX-License-Identifier: MIT */
#include "supervisor/upgrade/carry.h"

#include "base/scope.h"
#include "supervisor/accept/accepting.h"
#include "supervisor/workers/child.h"
#include "supervisor/health/health.h"
#include "supervisor/workers/ports.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"
#include "supervisor/common/trouble.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- saving ---- */

static void put_recipe(struct carry_writer *c, const struct recipe *r)
{
	handover_open(&c->w, CARRY_RECIPE);
	carry_put(c, PLAIN_RECIPE, r);
	handover_put_u64(
		&c->w, CARRY_INDEX, carry_add(&c->settings, r->settings));
	for (size_t i = 0; i < r->environment_count; i++)
		handover_put_text(&c->w, CARRY_WORD, r->environment[i]);
	for (size_t i = 0; r->candidates[i] != NULL; i++)
		handover_put_text(&c->w, CARRY_CANDIDATE, r->candidates[i]);
	if (r->groups != NULL)
		handover_put_bytes(&c->w, CARRY_GROUPS, r->groups,
			r->group_count * sizeof(*r->groups));
	carry_put_set(c, CARRY_SET, &r->listeners);
	carry_put_memory(c, CARRY_MEMORY, r->segment);
	handover_close(&c->w);
}

/* Newest first in the list, and so they are put: who reads adds at its end. */
static void put_recipes(struct carry_writer *c, const struct service *s)
{
	for (const struct recipe *r = s->recipes; r != NULL; r = r->next)
		put_recipe(c, r);
}

static void put_child(struct carry_writer *c, const struct child *child)
{
	if (child == NULL)
		return;
	handover_open(&c->w, CARRY_CHILD);
	carry_put(c, PLAIN_CHILD, child);
	if (!carry_variant.less)
		handover_put_text(&c->w, CARRY_TEXT, child->status);
	if (child->health != NULL) {
		handover_open(&c->w, CARRY_HEALTH);
		carry_put(c, PLAIN_HEALTH, child->health);
		carry_put_helper(c, child->health->helper);
		handover_close(&c->w);
	}
	if (child->channel != NULL)
		carry_put_channel(c, child->channel);
	if (child->node != NULL)
		carry_put_node_worker(c, child->node);
	if (carry_variant.more)
		handover_put_u64(&c->w, CARRY_UNKNOWN, 7);
	handover_close(&c->w);
}

static void put_accepting(struct carry_writer *c, const struct accepting *a)
{
	if (a == NULL)
		return;
	handover_open(&c->w, CARRY_ACCEPTING);
	carry_put(c, PLAIN_ACCEPTING, a);
	for (uint32_t i = 0; i < a->visit_slots; i++) {
		if (a->visits[i].phase == VISIT_NONE)
			continue;
		handover_open(&c->w, CARRY_VISIT);
		handover_put_u64(&c->w, CARRY_INDEX, i);
		carry_put(c, PLAIN_VISIT, &a->visits[i]);
		handover_close(&c->w);
	}
	handover_close(&c->w);
}

static void put_service(struct carry_writer *c, const struct service *s)
{
	handover_open(&c->w, CARRY_SERVICE);
	carry_put(c, PLAIN_SERVICE, s);
	handover_put_text(&c->w, CARRY_TEXT, s->name);
	handover_put_text(&c->w, CARRY_OUTCOME, s->outcome);
	trouble_save(s, &c->w, CARRY_TROUBLE);
	ports_save(s, &c->w, CARRY_PORTS);
	handover_put_bytes(&c->w, CARRY_EARLY, s->early_deaths, s->child_slots);
	carry_put_core(c, s->core);
	carry_put_set(c, CARRY_SET, &s->listeners);
	carry_put_set(c, CARRY_LEARNED, &s->learned);
	carry_put_memory(c, CARRY_MEMORY, s->segment);
	carry_put_memory(c, CARRY_FORMER, s->former);
	put_recipes(c, s);
	if (s->node != NULL)
		carry_put_node(c, s->node);
	for (uint32_t i = 0; i < s->child_slots; i++)
		for (int k = 0; k < 2; k++)
			put_child(c, s->children[i][k]);
	put_accepting(c, s->accepting);
	handover_close(&c->w);
}

void carry_put_services(struct carry_writer *c)
{
	for (size_t i = 0; i < c->sup->service_count; i++)
		put_service(c, c->sup->services[i]);
}

/* ---- loading ---- */

static int add_text(char ***list, size_t *count, const struct handover_field *f)
{
	char **more = realloc(*list, (*count + 2) * sizeof(*more));

	if (more == NULL)
		return -1;
	*list = more;
	more[*count] = handover_text(f);
	if (more[*count] == NULL)
		return -1;
	more[++*count] = NULL;
	return 0;
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
	return 0;
}

static int take_recipe(struct carry_reader *r, struct recipe *to,
	size_t *candidates, const struct handover_field *m, struct error *err)
{
	int got = 0;

	switch (m->tag) {
	case CARRY_INDEX:
		if (m->u >= r->settings_count || to->settings != NULL)
			got = -1;
		else
			to->settings = cluster_settings_ref(r->settings[m->u]);
		break;
	case CARRY_WORD:
		got = add_text(&to->environment, &to->environment_count, m);
		break;
	case CARRY_CANDIDATE:
		got = add_text(&to->candidates, candidates, m);
		break;
	case CARRY_GROUPS:
		got = take_groups(to, m);
		break;
	case CARRY_SET:
		return carry_get_set(r, m, &to->listeners, 0, err);
	case CARRY_MEMORY:
		return carry_get_memory(r, m, &to->segment, err);
	default:
		return carry_take(PLAIN_RECIPE, to, m, err);
	}
	return got == -1 ? carry_bad(err, "a generation") : 0;
}

static int get_recipe(struct carry_reader *r, struct service *s,
	const struct handover_field *f, struct error *err)
{
	struct recipe *recipe = calloc(1, sizeof(*recipe));
	struct recipe **at = &s->recipes;
	struct handover_reader in;
	struct handover_field m;
	size_t candidates = 0;

	if (recipe == NULL)
		return error_set(err, ENOMEM, "a generation");
	while (*at != NULL)
		at = &(*at)->next;
	*at = recipe;
	carry_clear(PLAIN_RECIPE, recipe);
	handover_enter(&in, f);
	while (handover_next(&in, &m))
		if (take_recipe(r, recipe, &candidates, &m, err) == -1)
			return -1;
	if (recipe->settings == NULL || candidates == 0)
		return carry_bad(err, "a generation");
	recipe_limits(recipe, &r->sup->nofile);
	return 0;
}

static int get_health(struct carry_reader *r, struct child *child,
	const struct handover_field *f, struct error *err)
{
	struct health *h = health_of(child);
	struct handover_reader in;
	struct handover_field m;

	if (h == NULL)
		return error_set(err, ENOMEM, "a worker");
	handover_enter(&in, f);
	while (handover_next(&in, &m)) {
		int got = m.tag == CARRY_HELPER
			? carry_get_helper(r, &m, &h->helper, err)
			: carry_take(PLAIN_HEALTH, h, &m, err);

		if (got == -1)
			return -1;
	}
	return 0;
}

static int get_child(struct carry_reader *r, struct service *s,
	const struct handover_field *f, struct error *err)
{
	struct child *child = child_carried(s);
	struct handover_reader in;
	struct handover_field m;

	if (child == NULL)
		return error_set(err, ENOMEM, "a worker");
	carry_clear(PLAIN_CHILD, child);
	handover_enter(&in, f);
	while (handover_next(&in, &m)) {
		if (m.tag == CARRY_TEXT && child->status == NULL)
			child->status = handover_text(&m);
		else if (m.tag == CARRY_HEALTH && m.type == HANDOVER_GROUP) {
			if (get_health(r, child, &m, err) == -1)
				return -1;
		} else if (m.tag == CARRY_CHANNEL && m.type == HANDOVER_GROUP &&
			child->channel == NULL) {
			if (carry_get_channel(child, &m, err) == -1)
				return -1;
		} else if (m.tag == CARRY_NODE && m.type == HANDOVER_GROUP) {
			if (carry_get_node_worker(s, child, &m, err) == -1)
				return -1;
		} else if (carry_take(PLAIN_CHILD, child, &m, err) == -1)
			return -1;
	}
	if (child->pid <= 0 || child->pidfd == -1 ||
		child_settle(s, child) == -1)
		return carry_bad(err, "a worker");
	return 0;
}

static int take_early(struct service *s, const struct handover_field *f)
{
	if (f->type != HANDOVER_BYTES || f->len != s->child_slots)
		return -1;
	if (f->len > 0)
		(void)memcpy(s->early_deaths, f->data, f->len);
	return 0;
}

/* The number of slots stands before all that is by slot. */
static int reserve(struct service *s)
{
	if (s->children != NULL || s->child_slots == 0)
		return 0;
	s->children = calloc(s->child_slots, sizeof(*s->children));
	s->early_deaths = calloc(s->child_slots, 1);
	return s->children != NULL && s->early_deaths != NULL ? 0 : -1;
}

static int get_visit(
	struct accepting *a, const struct handover_field *f, struct error *err)
{
	struct visit visit;
	struct handover_reader in;
	struct handover_field m;
	uint64_t slot = UINT64_MAX;

	carry_clear(PLAIN_VISIT, &visit);
	handover_enter(&in, f);
	while (handover_next(&in, &m)) {
		if (m.tag == CARRY_INDEX && m.type == HANDOVER_U64)
			slot = m.u;
		else if (carry_take(PLAIN_VISIT, &visit, &m, err) == -1)
			return -1;
	}
	if (slot >= a->visit_slots || visit.phase == VISIT_NONE ||
		a->service->children[slot][0] == NULL ||
		a->visits[slot].phase != VISIT_NONE)
		return carry_bad(err, "a connection");
	a->visits[slot] = visit;
	a->running++;
	return 0;
}

/* Its processes stand before it, as other children do. */
static int get_accepting(
	struct service *s, const struct handover_field *f, struct error *err)
{
	struct accepting *a = s->accepting == NULL && reserve(s) == 0
		? accepting_carried(s)
		: NULL;
	struct handover_reader in;
	struct handover_field m;

	if (a == NULL)
		return error_set(err, ENOMEM, "connections");
	carry_clear(PLAIN_ACCEPTING, a);
	handover_enter(&in, f);
	while (handover_next(&in, &m)) {
		int got = m.tag == CARRY_VISIT && m.type == HANDOVER_GROUP
			? get_visit(a, &m, err)
			: carry_take(PLAIN_ACCEPTING, a, &m, err);

		if (got == -1)
			return -1;
	}
	return 0;
}

static int take_part(struct carry_reader *r, struct service *s,
	const struct handover_field *m, struct error *err)
{
	switch (m->tag) {
	case CARRY_TEXT:
		if (s->name == NULL)
			s->name = handover_text(m);
		return 0;
	case CARRY_OUTCOME:
		if (s->outcome == NULL)
			s->outcome = handover_text(m);
		return 0;
	case CARRY_TROUBLE:
		return trouble_load(s, m) == -1 ? carry_bad(err, "a cluster")
						: 0;
	case CARRY_PORTS:
		return ports_load(s, m) == -1 ? carry_bad(err, "a cluster") : 0;
	case CARRY_EARLY:
		if (reserve(s) == -1 || take_early(s, m) == -1)
			return carry_bad(err, "a cluster");
		return 0;
	case CARRY_CORE:
		return carry_get_core(r, m, &s->core, err);
	case CARRY_SET:
		return carry_get_set(r, m, &s->listeners, 0, err);
	case CARRY_LEARNED:
		return carry_get_set(r, m, &s->learned, LEARNED_MAX, err);
	case CARRY_MEMORY:
		return carry_get_memory(r, m, &s->segment, err);
	case CARRY_FORMER:
		return carry_get_memory(r, m, &s->former, err);
	case CARRY_RECIPE:
		return get_recipe(r, s, m, err);
	case CARRY_NODE:
		return carry_get_node(r, s, m, err);
	case CARRY_CHILD:
		if (reserve(s) == -1)
			return error_set(err, ENOMEM, "a cluster");
		return get_child(r, s, m, err);
	case CARRY_ACCEPTING:
		return get_accepting(s, m, err);
	default:
		return s->children != NULL
			? 0
			: carry_take(PLAIN_SERVICE, s, m, err);
	}
}

int carry_get_service(struct carry_reader *r, const struct handover_field *f,
	struct error *err)
{
	struct service *s = service_carried(r->sup);
	struct handover_reader in;
	struct handover_field m;

	if (s == NULL)
		return error_set(err, ENOMEM, "a cluster");
	carry_clear(PLAIN_SERVICE, s);
	handover_enter(&in, f);
	while (handover_next(&in, &m))
		if (take_part(r, s, &m, err) == -1)
			return error_wrap(err, "cluster '%s'",
				s->name != NULL ? s->name : "?");
	if (s->name == NULL || s->core == NULL || reserve(s) == -1 ||
		s->child_slots < cluster_slots(s->core))
		return carry_bad(err, "a cluster");
	return 0;
}
