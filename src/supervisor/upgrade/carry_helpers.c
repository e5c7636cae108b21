/* SPDX-License-Identifier: MIT */
#include "supervisor/upgrade/carry.h"

#include "base/scope.h"
#include "supervisor/hooks/hooks.h"

#include <errno.h>
#include <stdlib.h>

/* Commands that run beside the workers, each in the group of whom it is run for,
 * and hooks that wait for their turn. */

/* ---- saving ---- */

void carry_put_helper(struct carry_writer *c, const struct helper *h)
{
	if (h == NULL)
		return;
	handover_open(&c->w, CARRY_HELPER);
	carry_put(c, PLAIN_HELPER, h);
	handover_close(&c->w);
}

static void put_hook(struct carry_writer *c, const struct hook_run *run)
{
	handover_open(&c->w, CARRY_HOOK);
	carry_put(c, PLAIN_HOOK, run);
	handover_put_u64(
		&c->w, CARRY_INDEX, carry_add(&c->settings, run->settings));
	if (run->service != NULL)
		handover_put_u64(
			&c->w, CARRY_SERVICE_INDEX, run->service->index);
	if (run->helper != NULL)
		carry_put_helper(c, run->helper);
	else
		handover_put_bytes(
			&c->w, CARRY_FACTS, run->facts.data, run->facts.len);
	handover_close(&c->w);
}

static void each_hook(struct carry_writer *c,
	void (*deed)(struct carry_writer *c, const struct hook_run *run))
{
	const struct hooks *hooks = c->sup->hooks;

	if (hooks == NULL)
		return;
	for (const struct hook_run *run = hooks->runs; run != NULL;
		run = run->next)
		deed(c, run);
	for (const struct hook_run *run = hooks->head; run != NULL;
		run = run->next)
		deed(c, run);
}

static void collect(struct carry_writer *c, const struct hook_run *run)
{
	(void)carry_add(&c->settings, run->settings);
}

void carry_collect_hooks(struct carry_writer *c)
{
	each_hook(c, collect);
}

static void put_ending(struct carry_writer *c)
{
	handover_open(&c->w, CARRY_ENDING);
	for (const struct helper *h = c->sup->helpers; h != NULL; h = h->next)
		if (h->over == NULL)
			carry_put_helper(c, h);
	handover_close(&c->w);
}

void carry_put_hooks(struct carry_writer *c)
{
	if (c->sup->helpers != NULL)
		put_ending(c);
	if (c->sup->hooks == NULL)
		return;
	handover_open(&c->w, CARRY_HOOKS);
	carry_put(c, PLAIN_HOOKS, c->sup->hooks);
	each_hook(c, put_hook);
	handover_close(&c->w);
}

/* ---- loading ---- */

int carry_get_helper(struct carry_reader *r, const struct handover_field *f,
	struct helper **to, struct error *err)
{
	struct helper *h = *to == NULL ? helper_carried(r->sup) : NULL;
	struct handover_reader in;
	struct handover_field m;

	if (h == NULL)
		return error_set(err, ENOMEM, "a command");
	*to = h;
	carry_clear(PLAIN_HELPER, h);
	handover_enter(&in, f);
	while (handover_next(&in, &m))
		if (carry_take(PLAIN_HELPER, h, &m, err) == -1)
			return -1;
	return h->pid > 0 && h->pidfd != -1 ? 0 : carry_bad(err, "a command");
}

int carry_get_ending(struct carry_reader *r, const struct handover_field *f,
	struct error *err)
{
	struct handover_reader in;
	struct handover_field m;

	handover_enter(&in, f);
	while (handover_next(&in, &m)) {
		struct helper *h = NULL;

		if (m.tag == CARRY_HELPER &&
			carry_get_helper(r, &m, &h, err) == -1)
			return -1;
	}
	return 0;
}

static int take_hook(struct carry_reader *r, struct hook_run *run,
	const struct handover_field *m, struct error *err)
{
	switch (m->tag) {
	case CARRY_INDEX:
		if (m->u >= r->settings_count || run->settings != NULL)
			return carry_bad(err, "a hook");
		run->settings = cluster_settings_ref(r->settings[m->u]);
		return 0;
	case CARRY_SERVICE_INDEX:
		if (m->u >= r->sup->service_count)
			return carry_bad(err, "a hook");
		run->service = r->sup->services[m->u];
		return 0;
	case CARRY_FACTS:
		if (m->type != HANDOVER_BYTES || m->len == 0 ||
			m->data[m->len - 1] != '\0')
			return carry_bad(err, "a hook");
		return buffer_append(&run->facts, m->data, m->len) == 0
			? 0
			: error_set(err, ENOMEM, "a hook");
	case CARRY_HELPER:
		return carry_get_helper(r, m, &run->helper, err);
	default:
		return carry_take(PLAIN_HOOK, run, m, err);
	}
}

/* What it is to run is in its settings, which a later version may have read
 * otherwise. */
static bool is_whole(const struct hook_run *run)
{
	return run->settings != NULL &&
		run->settings->hooks[run->event].command.count > 0 &&
		(run->helper != NULL || run->service != NULL);
}

static int get_hook(struct carry_reader *r, struct hooks *hooks,
	const struct handover_field *f, struct error *err)
{
	struct hook_run *run = calloc(1, sizeof(*run));
	struct handover_reader in;
	struct handover_field m;

	if (run == NULL)
		return error_set(err, ENOMEM, "a hook");
	run->sup = r->sup;
	buffer_init(&run->facts, 0);
	handover_enter(&in, f);
	while (handover_next(&in, &m))
		if (take_hook(r, run, &m, err) == -1)
			goto fail;
	if (is_whole(run)) {
		hooks_carried(hooks, run);
		return 0;
	}
	(void)carry_bad(err, "a hook");
fail:
	hook_run_free(run);
	return -1;
}

int carry_get_hooks(struct carry_reader *r, const struct handover_field *f,
	struct error *err)
{
	struct hooks *hooks = hooks_of(r->sup);
	struct handover_reader in;
	struct handover_field m;

	if (hooks == NULL)
		return error_set(err, ENOMEM, "the hooks");
	carry_clear(PLAIN_HOOKS, hooks);
	handover_enter(&in, f);
	while (handover_next(&in, &m)) {
		int got = m.tag == CARRY_HOOK
			? get_hook(r, hooks, &m, err)
			: carry_take(PLAIN_HOOKS, hooks, &m, err);

		if (got == -1)
			return -1;
	}
	return 0;
}
