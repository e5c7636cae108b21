/* SPDX-License-Identifier: MIT */
#include "supervisor/hooks/carry_hooks.h"

#include "supervisor/hooks/hooks.h"

#include <stdlib.h>

/* How hooks, and commands that run, go through an upgrade.  A command is in the
 * group of its owner: a hook, or the health of a worker. */

/* ---- commands ---- */

static const struct plain_row helper_rows[] = {
	PLAIN_MUST(1, helper, job.pid, SIGNED), PLAIN_MUST(2, helper, job.pidfd, FD),
	PLAIN(3, helper, job.due, SIGNED), PLAIN(4, helper, job.late, BOOL),
	PLAIN(5, helper, file, HEAP), PLAIN(7, helper, trap, FD), /* 6 was another one */
};

const struct carried carried_helper = {
	.called = "a command",
	CARRIED_ROWS(helper_rows, helper),
	.make = helper_carried,
};

static void put_helpers(struct carry_writer *c, const void *of)
{
	const struct supervisor *sup = of;

	for (const struct helper *h = sup->commands.helpers; h != NULL; h = h->next)
		if (h->over == NULL || h->file != NULL)
			carry_put_one(c, CARRY_HELPER, &carried_helper, h);
}

static const struct plain_row ending_rows[] = {
	CARRY_EACH(CARRY_HELPER, &carried_helper),
};

/* Commands without an owner, for whose result nobody waits any more; and those that
 * work on a file, whose owner is made anew (supervisor/logs). */
static const struct carried ending = {
	.called = "a command",
	CARRIED_ROWS(ending_rows, supervisor),
	.put = put_helpers,
};

static void put_ending(struct carry_writer *c, const void *of)
{
	if (((const struct supervisor *)of)->commands.helpers != NULL)
		carry_put_one(c, CARRY_ENDING, &ending, of);
}

static int take_ending(struct carry_reader *r, void *to, const struct handover_field *f)
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
	CARRY_REFERENCE(CARRY_INDEX, hook_run, settings, CARRY_OF_SETTINGS, true),
	CARRY_REFERENCE(CARRY_SERVICE_INDEX, hook_run, service, CARRY_OF_CLUSTERS, false),
	CARRY_GROUP(CARRY_HELPER, hook_run, helper, &carried_helper),
	PLAIN(CARRY_FACTS, hook_run, facts, BUFFER),
};

/* Check that the hook has a command.  That is in its settings, which a later
 * version may have read otherwise. */
static int hook_done(struct carry_reader *r, void *to)
{
	struct hook_run *run = to;
	const struct buffer *facts = &run->facts;

	if (run->settings->hooks[run->event].command.count > 0 &&
		(facts->len == 0 || facts->data[facts->len - 1] == '\0') &&
		(run->helper != NULL || run->service != NULL)) {
		hooks_add(&r->sup->commands.hooks, run);
		return 0;
	}
	hook_run_free(run);
	return -1;
}

static void *make_hook(struct carry_reader *r, void *owner UNUSED)
{
	struct hook_run *run = calloc(1, sizeof(*run));

	if (run == NULL)
		return NULL;
	run->sup = r->sup;
	buffer_init(&run->facts, 0);
	return run;
}

const struct carried carried_hook = {
	.called = "a hook",
	CARRIED_ROWS(hook_rows, hook_run),
	.done = hook_done,
	.make = make_hook,
};

/* ---- all of them ---- */

static const struct plain_row hooks_rows[] = {
	CARRY_LIST(CARRY_HOOK, hooks, head, &carried_hook, hook_run, next),
};

const struct carried carried_hooks = {
	.called = "the hooks",
	CARRIED_ROWS(hooks_rows, hooks),
};
