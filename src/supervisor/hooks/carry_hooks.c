/* SPDX-License-Identifier: MIT */
#include "supervisor/hooks/hooks.h"

#include <stdlib.h>

/* How commands that run beside the workers go through an upgrade, each in the
 * group of whom it is run for, and hooks that wait for their turn. */

/* ---- commands ---- */

static const struct plain_row helper_rows[] = {
	PLAIN(1, helper, pid, SIGNED),
	PLAIN(2, helper, pidfd, PIDFD),
	PLAIN(3, helper, due, SIGNED),
	PLAIN(4, helper, late, BOOL),
};

static int helper_done(struct carry_reader *r, void *to)
{
	const struct helper *h = to;

	(void)r;
	return h->pid > 0 && h->pidfd != -1 ? 0 : -1;
}

const struct carried carried_helper = {
	.tag = CARRY_HELPER,
	.called = "a command",
	CARRIED_ROWS(helper_rows, helper),
	.done = helper_done,
};

int carry_get_helper(struct carry_reader *r, struct helper **to,
	const struct handover_field *f)
{
	if (*to == NULL)
		*to = helper_carried(r->sup);
	return carry_get_one(r, &carried_helper, *to, f);
}

static void put_helpers(struct carry_writer *c, const void *of)
{
	const struct supervisor *sup = of;

	for (const struct helper *h = sup->helpers; h != NULL; h = h->next)
		if (h->over == NULL)
			carry_put_one(c, &carried_helper, h);
}

static int take_helper(
	struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct helper *h = NULL;

	(void)to;
	return f->tag == CARRY_HELPER ? carry_get_helper(r, &h, f) : 0;
}

/* Those that nobody waits for any more. */
static const struct carried ending = {
	.tag = CARRY_ENDING,
	.called = "a command",
	.put = put_helpers,
	.take = take_helper,
};

static void put_ending(struct carry_writer *c, const void *of)
{
	if (((const struct supervisor *)of)->helpers != NULL)
		carry_put_one(c, &ending, of);
}

static int take_ending(
	struct carry_reader *r, void *to, const struct handover_field *f)
{
	return f->tag == CARRY_ENDING ? carry_get_one(r, &ending, to, f) : 0;
}

const struct carried carried_ending = {
	.put = put_ending,
	.take = take_ending,
};

/* ---- hooks ---- */

static const struct plain_row hook_rows[] = {
	PLAIN_ENUM(1, hook_run, event, HOOK_EVENTS - 1),
};

static void put_hook(struct carry_writer *c, const void *of)
{
	const struct hook_run *run = of;

	carry_put_index(c, CARRY_INDEX, CARRY_OF_SETTINGS, run->settings);
	if (run->service != NULL)
		handover_put_u64(
			&c->w, CARRY_SERVICE_INDEX, run->service->index);
	if (run->helper != NULL)
		carry_put_one(c, &carried_helper, run->helper);
	else
		handover_put_bytes(
			&c->w, CARRY_FACTS, run->facts.data, run->facts.len);
}

static int take_settings(struct carry_reader *r, struct hook_run *run,
	const struct handover_field *f)
{
	struct cluster_settings *settings = carry_at(r, CARRY_OF_SETTINGS, f);

	if (settings == NULL || run->settings != NULL)
		return -1;
	run->settings = cluster_settings_ref(settings);
	return 1;
}

static int take_facts(struct carry_reader *r, struct hook_run *run,
	const struct handover_field *f)
{
	if (f->type != HANDOVER_BYTES || f->len == 0 ||
		f->data[f->len - 1] != '\0')
		return -1;
	return buffer_append(&run->facts, f->data, f->len) == 0
		? 1
		: carry_no_memory(r, "a hook");
}

static int take_hook(
	struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct hook_run *run = to;

	switch (f->tag) {
	case CARRY_INDEX:
		return take_settings(r, run, f);
	case CARRY_SERVICE_INDEX:
		run->service = carry_service_at(r, f);
		return run->service != NULL ? 1 : -1;
	case CARRY_FACTS:
		return take_facts(r, run, f);
	case CARRY_HELPER:
		return run->helper == NULL
			? carry_get_helper(r, &run->helper, f)
			: -1;
	default:
		return 0;
	}
}

/* What it is to run is in its settings, which a later version may have read
 * otherwise. */
static int hook_done(struct carry_reader *r, void *to)
{
	const struct hook_run *run = to;

	(void)r;
	return run->settings != NULL &&
			run->settings->hooks[run->event].command.count > 0 &&
			(run->helper != NULL || run->service != NULL)
		? 0
		: -1;
}

const struct carried carried_hook = {
	.tag = CARRY_HOOK,
	.called = "a hook",
	CARRIED_ROWS(hook_rows, hook_run),
	.put = put_hook,
	.take = take_hook,
	.done = hook_done,
};

/* ---- all of them ---- */

static const struct plain_row hooks_rows[] = {
	PLAIN(1, hooks, dropped, UNSIGNED),
};

static void put_runs(struct carry_writer *c, const void *of)
{
	const struct hooks *hooks = of;

	for (const struct hook_run *run = hooks->runs; run != NULL;
		run = run->next)
		carry_put_one(c, &carried_hook, run);
	for (const struct hook_run *run = hooks->head; run != NULL;
		run = run->next)
		carry_put_one(c, &carried_hook, run);
}

static int take_run(
	struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct hook_run *run;

	if (f->tag != CARRY_HOOK)
		return 0;
	run = calloc(1, sizeof(*run));
	if (run != NULL) {
		run->sup = r->sup;
		buffer_init(&run->facts, 0);
	}
	if (carry_get_one(r, &carried_hook, run, f) == 1) {
		hooks_carried(to, run);
		return 1;
	}
	if (run != NULL)
		hook_run_free(run);
	return -1;
}

/* Settings that perhaps only a hook refers to. */
void carry_collect_hooks(struct carry_writer *c, const struct supervisor *sup)
{
	const struct hooks *hooks = sup->hooks;
	const struct hook_run *lists[2] = {NULL, NULL};

	if (hooks != NULL) {
		lists[0] = hooks->runs;
		lists[1] = hooks->head;
	}
	for (int i = 0; i < 2; i++)
		for (const struct hook_run *run = lists[i]; run != NULL;
			run = run->next)
			(void)carry_add(
				&c->lists[CARRY_OF_SETTINGS], run->settings);
}

static void *make(void *owner)
{
	return hooks_of(owner);
}

const struct carried carried_hooks = {
	.tag = CARRY_HOOKS,
	.at = offsetof(struct supervisor, hooks),
	.called = "the hooks",
	CARRIED_ROWS(hooks_rows, hooks),
	.make = make,
	.put = put_runs,
	.take = take_run,
};
