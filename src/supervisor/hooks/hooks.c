/* SPDX-License-Identifier: MIT */
#include "supervisor/hooks/hooks.h"

#include "base/log.h"
#include "base/nsec.h"
#include "base/scope.h"
#include "base/text.h"
#include "config/option.h"
#include "os/clock.h"
#include "supervisor/common/news.h"
#include "supervisor/common/news_text.h"
#include "supervisor/common/timer.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* When all else has ended, hooks may still run for this time. */
#define LAST_MOMENT (2 * SECOND)

/* "on-exit" */
static const char *name_of(enum hook_event event)
{
	return option_key(option_find("cluster", "on-exit", NULL), event);
}

static void start_some(struct supervisor *sup);

void hook_run_free(struct hook_run *run)
{
	cluster_settings_unref(run->settings);
	buffer_fini(&run->facts);
	free(run);
}

/* ---- how they end ---- */

/* The hook has failed, or (NULL) succeeded.  A failure is published once, and again only after a run
 * has succeeded, because a hook that always fails would be published at each event. */
static void report_end(const struct hook_run *run, const char *how)
{
	const enum once failed = (enum once)(ONCE_HOOK_FAILED + (int)run->event);
	struct service *service = run->service;

	if (how == NULL && service != NULL)
		once_forget(service->said, failed);
	else if (how != NULL && service == NULL)
		news_say(run->sup, LOG_WARN, "hook-failed", "%s: the hook %s ('%s') failed: %s",
			run->settings->name, name_of(run->event),
			run->settings->hooks[run->event].text, how);
	else if (how != NULL && once_say(service->said, failed))
		news_say_of(service, LOG_WARN, "hook-failed", "the hook %s ('%s') failed: %s",
			name_of(run->event), run->settings->hooks[run->event].text, how);
}

static void remove_run(struct hooks *hooks, struct hook_run *run)
{
	list_remove(hooks->head, run);
	hook_run_free(run);
}

static void on_over(void *owner, const struct pidfd_end *end, bool late)
{
	struct hook_run *run = owner;
	struct supervisor *sup = run->sup;
	struct hooks *hooks = &sup->commands.hooks;
	char text[64];
	const char *how = helper_failure(
		text, end, late ? "killed because it ran for more than a minute" : NULL);

	if (!hooks->over)
		report_end(run, how);
	if (run->service != NULL)
		run->service->hooks.running--;
	remove_run(hooks, run);
	hooks->running--;
	if (!hooks->over)
		start_some(sup);
}

/* ---- how they begin ---- */

static void on_look(struct ev_loop *loop, ev_timer *timer, int revents);

static void look_within(struct supervisor *sup, nsec_t wait)
{
	struct hooks *hooks = &sup->commands.hooks;

	if (hooks->look.data == NULL)
		timer_init(&hooks->look, on_look, sup);
	timer_arm_within(sup->loop, &hooks->look, wait);
}

static int start_one(struct hook_run *run)
{
	struct service *service = run->service;
	struct helper_plan plan = {
		.service = service,
		.command = &run->settings->hooks[run->event].command,
		.facts = &run->facts,
		.patience = HOOK_PATIENCE,
		.over = on_over,
		.owner = run,
	};
	struct error err;

	/* the hook runs with the user and directory of workers that start now */
	plan.recipe = recipe_get(
		service, cluster_generation(service->core), cluster_settings(service->core), &err);
	if (plan.recipe != NULL)
		run->helper = helper_start(&plan, &err);
	if (run->helper != NULL) {
		buffer_fini(&run->facts);
		return 0;
	}
	report_end(run, err.text);
	return -1;
}

/* A loss is told when it begins, and how many there were when it is over, once a minute each. */
static void tell_dropped(struct service *service, bool over)
{
	struct cluster_hooks *of = &service->hooks;

	if (of->dropped > 0 && over) {
		news_say_of(
			service, LOG_WARN, "hooks-dropped", "%lu hooks were not run", of->dropped);
		of->dropped = 0;
	} else if (of->dropped > 0 && once_each(&of->told_at, clock_now(), MINUTE)) {
		news_say_of(service, LOG_WARN, "hooks-dropped",
			"hooks are not run from now on, because %d are running and %d waiting",
			HOOKS_AT_ONCE, HOOKS_QUEUED);
		look_within(service->sup, MINUTE);
	}
}

static void drop_hook(struct service *service)
{
	service->hooks.dropped++;
	tell_dropped(service, false);
}

/* The minute since the first was dropped is over. */
static void tell_all_dropped(struct supervisor *sup)
{
	for (size_t i = 0; i < sup->service_count; i++) {
		const struct cluster_hooks *of = &sup->services[i]->hooks;
		nsec_t left = of->told_at + MINUTE - clock_now();

		if (of->dropped > 0 && left > 0)
			look_within(sup, left);
		else
			tell_dropped(sup->services[i], true);
	}
}

static void start_some(struct supervisor *sup)
{
	struct hooks *hooks = &sup->commands.hooks;
	const nsec_t until = clock_now() + TURN_SPAN;
	struct hook_run *next;
	struct hook_run *run;

	for (run = hooks->head; run != NULL && clock_now() < until; run = next) {
		struct cluster_hooks *of = run->service != NULL ? &run->service->hooks : NULL;

		next = run->next;
		if (run->helper != NULL || of == NULL || of->running == HOOKS_AT_ONCE)
			continue;
		hooks->queued--;
		of->queued--;
		if (start_one(run) == 0) {
			hooks->running++;
			of->running++;
		} else {
			remove_run(hooks, run);
		}
	}
	if (run != NULL)
		look_within(sup, 0);
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int revents UNUSED)
{
	struct supervisor *sup = timer->data;
	struct hooks *hooks = &sup->commands.hooks;

	hooks->over = hooks->over_at != 0 && hooks->over_at <= clock_now();
	if (hooks->over)
		return;
	start_some(sup);
	tell_all_dropped(sup);
	if (hooks->over_at != 0)
		timer_arm_within(loop, timer, hooks->over_at - clock_now());
}

/* ---- their environment ---- */

static const char *outcome_of(enum report_kind kind)
{
	switch (kind) {
	case REPORT_ROLLOUT_STARTED:
		return "started";
	case REPORT_ROLLOUT_DONE:
		return "done";
	case REPORT_ROLLOUT_FAILED:
		return "failed";
	default:
		return "superseded";
	}
}

static void put_ending(struct buffer *facts, const struct report *r)
{
	char text[64];
	char reason[128];

	if (r->ending.kind == ENDING_NONE)
		return;
	snprintf(reason, sizeof(reason), "%s%s", news_ending_text(text, &r->ending),
		news_why_text(r));
	helper_fact(facts, "NCLUST_REASON", reason);
	if (r->ending.kind == ENDING_EXIT)
		helper_number(facts, "NCLUST_EXIT_CODE", (uint64_t)r->ending.code);
	if (r->ending.kind == ENDING_SIGNAL)
		helper_fact(facts, "NCLUST_EXIT_SIGNAL", text_signal_name(text, r->ending.code));
}

static void put_facts(struct hook_run *run, const struct report *r)
{
	const struct service *service = run->service;
	const struct child *child = child_find(service, r->slot, r->worker);
	struct buffer *facts = &run->facts;
	bool worker = run->event == HOOK_READY || run->event == HOOK_EXIT ||
		run->event == HOOK_CRASH || run->event == HOOK_HANG;

	helper_fact(facts, "NCLUST_EVENT", name_of(run->event) + strlen("on-"));
	helper_facts(facts, service);
	if (worker || (r->kind == REPORT_ROLLOUT_FAILED && r->slot != SLOT_ALL))
		helper_number(facts, "NCLUST_SLOT", r->slot);
	if (worker && r->pid != 0)
		helper_number(facts, "NCLUST_WORKER_PID", (uint64_t)r->pid);
	if (r->generation != 0)
		helper_number(facts, "NCLUST_GENERATION", r->generation);
	if (worker && r->age != NSEC_NEVER)
		helper_number(facts, "NCLUST_AGE", (uint64_t)(r->age / SECOND));
	if (run->event == HOOK_ROLLOUT) {
		helper_number(facts, "NCLUST_ROLLOUT", r->rollout);
		helper_fact(facts, "NCLUST_OUTCOME", outcome_of(r->kind));
	}
	put_ending(facts, r);
	if (run->event == HOOK_HANG)
		helper_fact(facts, "NCLUST_REASON",
			child != NULL && child->hang != NULL ? child->hang : "");
	helper_number(facts, "NCLUST_WANTED", service_counts(service).workers);
	helper_number(facts, "NCLUST_READY", service_counts(service).ready);
	if (run->event == HOOK_SCALE || r->kind == REPORT_ROLLOUT_STARTED)
		helper_number(facts, "NCLUST_COUNT", r->count);
}

void hooks_add(struct hooks *hooks, struct hook_run *run)
{
	struct cluster_hooks *of = run->service != NULL ? &run->service->hooks : NULL;

	list_append(hooks->head, run);
	*(run->helper != NULL ? &hooks->running : &hooks->queued) += 1;
	if (of != NULL)
		*(run->helper != NULL ? &of->running : &of->queued) += 1;
}

static void enqueue_hook(
	struct service *service, enum hook_event event, const struct report *report)
{
	struct supervisor *sup = service->sup;
	const struct cluster_settings *settings = cluster_settings(service->core);
	struct hooks *hooks = &sup->commands.hooks;
	struct hook_run *run;

	if (settings->hooks[event].command.count == 0 || hooks->over)
		return;
	run = service->hooks.queued < HOOKS_QUEUED ? calloc(1, sizeof(*run)) : NULL;
	if (run == NULL) {
		drop_hook(service);
		return;
	}
	run->service = service;
	run->sup = sup;
	run->settings = cluster_settings_ref(settings);
	run->event = event;
	buffer_init(&run->facts, 0);
	put_facts(run, report);
	if (run->facts.failed) {
		drop_hook(service);
		hook_run_free(run);
		return;
	}
	hooks_add(hooks, run);
	look_within(sup, 0); /* later: the core has more to report */
}

/* Queue the hooks that the settings name for this report. */
void hooks_on_report(struct service *service, const struct report *r)
{
	switch (r->kind) {
	case REPORT_READY:
		enqueue_hook(service, HOOK_READY, r);
		break;
	case REPORT_UNWELL:
		if (r->why == WHY_REQUEST)
			enqueue_hook(service, HOOK_HANG, r);
		break;
	case REPORT_EXITED:
		enqueue_hook(service, HOOK_EXIT, r);
		/* nobody has asked for it: it failed by itself, or was found unwell */
		if (news_is_failure(r) && news_counted(service, r) != COUNTED_SUCCESS)
			enqueue_hook(service, HOOK_CRASH, r);
		break;
	case REPORT_ROLLOUT_STARTED:
	case REPORT_ROLLOUT_DONE:
	case REPORT_ROLLOUT_FAILED:
	case REPORT_ROLLOUT_SUPERSEDED:
		enqueue_hook(service, HOOK_ROLLOUT, r);
		break;
	case REPORT_SCALED:
		enqueue_hook(service, HOOK_SCALE, r);
		break;
	case REPORT_STATE:
		if (r->state == CLUSTER_STOPPING)
			enqueue_hook(service, HOOK_STOP, r);
		break;
	default:
		break;
	}
}

/* ---- after an upgrade ---- */

/* Hooks that were running go on; those that wait are started soon. */
void hooks_on_go_on(struct supervisor *sup)
{
	struct hooks *hooks = &sup->commands.hooks;

	helpers_resume(sup);
	for (struct hook_run *run = hooks->head; run != NULL; run = run->next)
		if (run->helper != NULL)
			helper_claim(run->helper, on_over, NULL, run);
	if (hooks->queued > 0)
		look_within(sup, 0);
}

/* ---- the end ---- */

/* Does a hook of the cluster wait?  Then the cluster must not be freed. */
static bool wait_for(const struct service *service)
{
	return list_find(run, service->sup->commands.hooks.head,
		       run->service == service && run->helper == NULL) != NULL;
}

void hooks_on_drop(struct service *service)
{
	for (struct hook_run *run = service->sup->commands.hooks.head; run != NULL; run = run->next)
		if (run->service == service)
			run->service = NULL;
	tell_dropped(service, true);
}

/* Everything but the hooks has ended.  True: the hooks have, too, or LAST_MOMENT is over. */
static bool are_over(struct supervisor *sup)
{
	struct hooks *hooks = &sup->commands.hooks;

	if (hooks->over || (hooks->queued == 0 && hooks->running == 0))
		return true;
	if (hooks->over_at == 0) {
		hooks->over_at = clock_now() + (sup->instance.stop_at_once ? 0 : LAST_MOMENT);
		look_within(sup, hooks->over_at - clock_now());
	}
	return false;
}

bool hooks_are_under_way(struct supervisor *sup, const struct service *service)
{
	return service != NULL ? wait_for(service) : !are_over(sup);
}

void hooks_on_shutdown(struct supervisor *sup)
{
	struct hooks *hooks = &sup->commands.hooks;
	struct hook_run *next;

	hooks->over = true;
	if (hooks->running > 0)
		log_warn("%u hook%s did not end in time: killed", hooks->running,
			hooks->running == 1 ? "" : "s");
	if (hooks->queued > 0)
		log_warn("%u hook%s had not begun: not run (%d of a cluster run at a time)",
			hooks->queued, hooks->queued == 1 ? "" : "s", HOOKS_AT_ONCE);
	for (struct hook_run *run = hooks->head; run != NULL; run = next) {
		next = run->next;
		if (run->helper == NULL)
			remove_run(hooks, run);
	}
	helpers_free(sup);
	ev_timer_stop(sup->loop, &hooks->look);
}
