/* SPDX-License-Identifier: MIT */
#include "supervisor/order/order.h"

#include "config/value_list.h"
#include "protocol/json.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/hooks/helper.h"
#include "supervisor/instance/lifecycle.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/workers/capture.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the command of `before` and `before-stop` ---- */

/*
 * A command that a cluster waits for: `before` its start or a rollout, `before-stop` its stop.  It
 * is a helper (hooks/helper.h).  Its output goes where that of the workers goes, as if slot 0 had
 * written it.  A cluster has one of them at a time; several clusters may share one.
 */
struct before {
	struct helper *helper;
	struct child output;               /* not a worker: it has the pipes, for the logger */
	struct cluster_settings *settings; /* a reference: the command is theirs */
};

/* A cluster that waits for the command, and now does not any more; NULL: none left. */
static struct service *take_waiter(const struct supervisor *sup, const struct before *before)
{
	for (size_t i = 0; i < sup->service_count; i++)
		if (sup->services[i]->order.before == before) {
			sup->services[i]->order.before = NULL;
			return sup->services[i];
		}
	return NULL;
}

static void free_before(struct before *before)
{
	const struct supervisor *sup = before->output.service->sup;

	while (take_waiter(sup, before) != NULL)
		;
	capture_drop(&before->output);
	cluster_settings_unref(before->settings);
	free(before);
}

/* The cluster waits for its command no more.  One that others wait for, too, is another's from now
 * on; else it is killed, and `over` is not called. */
void order_forget(struct service *service)
{
	struct before *before = service->order.before;
	struct service *other;

	service->order.before = NULL;
	if (before == NULL || before->output.service != service || before->helper == NULL)
		return;
	other = take_waiter(service->sup, before);
	if (other != NULL) {
		before->output.service = other;
		other->order.before = before;
		return;
	}
	helper_forget(before->helper);
	free_before(before);
}

/* Does a command of that kind run? */
static bool before_runs(const struct service *service, enum before_kind kind)
{
	return service->order.before != NULL && service->order.kind == kind;
}

/* ---- a cluster in the place of one that leaves ---- */

/* Does `to` get an address of `from`, and has its start not come to an end yet, good or bad? */
static bool is_passing(const struct service *from, const struct service *to)
{
	enum cluster_state state = cluster_state(to->core);

	return from->stage.leaving && !from->stage.ended && !to->stage.stop_asked &&
		(state == CLUSTER_ROLLING ||
			(state == CLUSTER_STARTING && !to->last_scale.failed)) &&
		listeners_common(&from->sockets.listeners, &to->sockets.listeners) != NULL;
}

/* Which one does this cluster's end wait for, or its start?  As in a restart, the old one ends
 * first if it has a single worker that may have none beside it. */
static const struct service *other_side(const struct service *s)
{
	for (size_t i = 0; i < s->sup->service_count; i++) {
		const struct service *other = s->sup->services[i];
		const struct service *from = s->stage.leaving ? s : other;
		bool first = cluster_most(from->core) == 1;

		if (first != s->stage.leaving && is_passing(from, from == s ? other : s))
			return other;
	}
	return NULL;
}

/* ---- dependencies ---- */

enum met {
	MET,
	NOT_YET,
	LOST, /* it has ended otherwise: only its restart can help */
};

static enum met look_at(const struct service *of, bool done)
{
	if (of == NULL)
		return LOST;
	if (done && of->stage.ended)
		return service_is_done(of) ? MET : LOST;
	if (!done && of->stage.ended)
		return LOST;
	if (done || of->stage.waits)
		return NOT_YET;
	return cluster_all_ready(of->core) ? MET : NOT_YET;
}

/* The cluster of the next dependency that is not met, `s` if it does not exist; NULL: none. */
static const struct service *next_missing(
	const struct service *s, const char **at, struct dependency *d, enum met *met)
{
	while (after_next(at, d)) {
		const struct service *of = service_named(s->sup, d->name);

		*met = look_at(of, d->done);
		if (*met != MET)
			return of != NULL ? of : s;
	}
	return NULL;
}

static const char *after_of(const struct service *s)
{
	return cluster_next_settings(s->core)->after;
}

static bool has_missing(const struct service *s)
{
	const char *at = after_of(s);
	struct dependency d;
	enum met met;

	return other_side(s) != NULL || next_missing(s, &at, &d, &met) != NULL;
}

/* Does the cluster wait for one that has ended, or that waits for such a cluster?
 * There are no cycles.  `by_itself`: without clusters that an operator has stopped. */
static bool is_lost(const struct service *s, bool by_itself)
{
	const char *at = s->stage.waits ? after_of(s) : NULL;
	const struct service *of;
	struct dependency d;
	enum met met;

	while ((of = next_missing(s, &at, &d, &met)) != NULL)
		if (met == LOST ? !by_itself || !cluster_was_stopped(of->core)
				: is_lost(of, by_itself))
			return true;
	return false;
}

/* "db (starting)", "job (ended with status 3)". */
static void say_missing(
	char *to, size_t size, const struct service *of, const struct dependency *d, enum met met)
{
	if (met == LOST && of->stage.ended && of->stage.status != 0)
		snprintf(to, size, "%s (ended with status %d)", d->name, of->stage.status);
	else if (met == LOST && !d->done && !cluster_was_stopped(of->core))
		snprintf(to, size, "%s (ended; 'after = %s: done' waits for that)", d->name,
			d->name);
	else
		snprintf(to, size, "%s (%s)", d->name,
			of->stage.waits ? "waiting" : cluster_state_name(cluster_state(of->core)));
}

static void say_all(char *to, size_t size, const struct service *s)
{
	const char *at = after_of(s);
	const struct service *of = other_side(s);
	struct dependency d;
	enum met met;
	size_t used = 0;

	*to = '\0';
	if (of != NULL)
		used = (size_t)snprintf(
			to, size, "%s (%s)", of->name, cluster_state_name(cluster_state(of->core)));
	while ((of = next_missing(s, &at, &d, &met)) != NULL && used + 2 < size) {
		if (used > 0)
			used += (size_t)snprintf(to + used, size - used, ", ");
		say_missing(to + used, size - used, of, &d, met);
		used += strlen(to + used);
	}
}

/* ---- `before` ---- */

static const char *name_of(const struct cluster_settings *settings)
{
	return settings->before_of_all ? "release" : "before";
}

/* The command `before` of these settings has ended, or they have none; `how` is NULL, or says why
 * that is a failure, and `serial` names its last output (news_expect()), or 0. */
static void on_prepared(
	struct service *s, const struct cluster_settings *of, const char *how, uint64_t serial)
{
	struct event event = {
		.kind = EVENT_PREPARED,
		.why = how != NULL ? WHY_BEFORE : WHY_ITSELF,
	};
	struct rollout_view view = cluster_view_rollout(s->core);
	char why[400];

	if (s->order.kind == BEFORE_ROLLOUT && !view.unprepared)
		return;
	s->stage.waits = false;
	if (how != NULL)
		snprintf(why, sizeof(why), "'%s' ('%s') failed: %s", name_of(of), of->before.text,
			how);
	if (how != NULL && s->order.kind == BEFORE_START) {
		news_say_of(s, LOG_ERROR, "before-failed", "%s; it is not started", why);
		if (s->sup->settings->daemon && !s->sup->instance.ready_once)
			lifecycle_fail(s->sup, 1, "the start failed");
	} else {
		event.count = view.id;
		if (how != NULL)
			news_expect(s->sup, why, serial);
	}
	if (event.count != 0 || how != NULL)
		service_tell(s, &event);
}

static void fail_before_stop(struct service *s, const struct cluster_settings *of, const char *how)
{
	news_say_of(s, LOG_WARN, "before-failed",
		"'before-stop' ('%s') failed: %s; it is stopped anyway", of->before_stop.text, how);
}

/* Has a reload given another command since that one began, or a rollout before the first start? */
static bool is_outdated(const struct service *s, const struct cluster_settings *of)
{
	struct rollout_view view = cluster_view_rollout(s->core);
	const char *now = (view.under_way ? view.settings : cluster_settings(s->core))->before.text;

	return now == NULL || strcmp(now, of->before.text) != 0 ||
		(s->order.kind == BEFORE_START && s->order.rollout != view.id);
}

static void on_over(void *owner, const struct pidfd_end *end, bool late)
{
	struct before *before = owner;
	const struct supervisor *sup = before->output.service->sup;
	struct service *waiter;
	uint64_t serial = 0;
	char text[64];
	const char *how = helper_failure(text, end, late ? "killed, it took too long" : NULL);

	if (before->output.output[0] != -1 && capture_ask_last(&before->output))
		serial = before->output.serial;
	before->helper = NULL; /* the helper has freed itself */
	for (; (waiter = take_waiter(sup, before)) != NULL; serial = 0)
		if (waiter->order.kind == BEFORE_STOP) {
			if (how != NULL)
				fail_before_stop(waiter, before->settings, how);
			service_stop_now(waiter, false);
		} else if (!is_outdated(waiter, before->settings)) { /* else it is due again */
			on_prepared(waiter, before->settings, how, serial);
		}
	free_before(before);
}

static int start_helper(struct before *before, struct helper_plan *plan, struct error *err)
{
	struct service *service = plan->service;
	struct supervisor *sup = service->sup;
	bool attached = sup->settings->daemon && !sup->instance.ready_once;

	/* the user who waits for `-d` sees it */
	plan->output[0] = plan->output[1] = STDERR_FILENO;
	if (!attached)
		capture_open(service, &before->output, plan->output);
	before->helper = helper_start(plan, err);
	if (!attached)
		capture_close(sup, plan->output);
	if (before->helper == NULL)
		return -1;
	before->output.pid = before->helper->job.pid;
	capture_hand_over(service, &before->output);
	return 0;
}

/* Start a command, for workers of that generation.  -1 and `err`. */
static int before_begin(struct service *service, enum before_kind kind, unsigned generation,
	const struct cluster_settings *settings, struct error *err)
{
	struct before *before = calloc(1, sizeof(*before));
	scoped_buffer facts = {0};
	struct helper_plan plan = {
		.service = service,
		.command = kind == BEFORE_STOP ? &settings->before_stop.command
					       : &settings->before.command,
		.facts = &facts,
		.patience = kind == BEFORE_STOP ? settings->stop_timeout : settings->start_timeout,
		.over = on_over,
		.owner = before,
	};
	int got = -1;

	if (before == NULL)
		return error_set(err, ENOMEM, "a command");
	before->settings = cluster_settings_ref(settings);
	before->output = (struct child){
		.service = service,
		.serial = ++service->sup->births.next_serial,
		.generation = generation,
		.pidfd = -1,
		.output = {-1, -1},
	};
	helper_fact(&facts, "NCLUST_EVENT", kind == BEFORE_STOP ? "before-stop" : "before");
	helper_facts(&facts, service);
	helper_number(&facts, "NCLUST_GENERATION", generation);
	plan.recipe = recipe_get(service, generation, settings, err);
	service->order.before = before;
	service->order.kind = kind;
	if (plan.recipe != NULL)
		got = start_helper(before, &plan, err);
	if (got == -1)
		free_before(before);
	return got;
}

/* Is a start or a rollout to be prepared, and the command not begun yet? */
static bool is_due(const struct service *s)
{
	return s->order.before == NULL && !s->stage.stop_asked &&
		(s->stage.waits || cluster_view_rollout(s->core).unprepared);
}

static enum before_kind kind_of_start(const struct service *s)
{
	struct rollout_view view = cluster_view_rollout(s->core);

	return view.unprepared && (!s->stage.waits || view.fresh) ? BEFORE_ROLLOUT : BEFORE_START;
}

static void share_before(const struct service *of)
{
	for (size_t i = 0; i < of->sup->service_count; i++) {
		struct service *s = of->sup->services[i];

		if (is_due(s)) {
			s->order.before = of->order.before;
			s->order.kind = kind_of_start(s);
			s->order.rollout = cluster_view_rollout(s->core).id;
		}
	}
}

static void begin_before(struct service *s)
{
	const struct cluster_settings *settings = cluster_settings(s->core);
	unsigned generation = cluster_generation(s->core);
	struct rollout_view view = cluster_view_rollout(s->core);
	struct error err;

	if (view.under_way) {
		settings = view.settings;
		generation = view.to;
	}
	s->order.kind = kind_of_start(s);
	s->order.rollout = view.id;
	if (settings->before.text == NULL)
		on_prepared(s, settings, NULL, 0);
	else if (before_begin(s, s->order.kind, generation, settings, &err) == -1)
		on_prepared(s, settings, err.text, 0);
	else if (settings->before_of_all)
		share_before(s);
}

/* Does a command run that several clusters share, begun before this cluster wanted it? */
static bool is_taken(const struct service *s)
{
	bool taken = false;

	for (size_t i = 0; i < s->sup->service_count; i++)
		taken |= s->sup->services[i]->order.before != NULL &&
			s->sup->services[i]->order.kind != BEFORE_STOP;
	return taken && cluster_next_settings(s->core)->before_of_all;
}

static void look_at_start(struct service *s)
{
	char text[300];

	if (!is_due(s) || is_taken(s))
		return;
	/* only the first start waits: an operator's restart is deliberate */
	if (!s->stage.waits || cluster_view_rollout(s->core).fresh || !has_missing(s)) {
		begin_before(s);
		return;
	}
	if (!once_say(s->said, ONCE_WAITS))
		return;
	say_all(text, sizeof(text), s);
	news_say_of(s, LOG_NOTE, "waits", "waits for %s", text);
}

/* ---- the stop ---- */

/* As the latest file has it, without cycles: a cluster may be back at settings of before. */
static const char *after_in_file(const struct service *s)
{
	const struct settings *file = s->sup->settings;

	for (size_t i = 0; i < file->cluster_count; i++)
		if (strcmp(file->clusters[i]->name, s->name) == 0)
			return file->clusters[i]->after;
	return cluster_settings(s->core)->after;
}

/* Is a cluster yet to end that must stop before this one, or is it not replaced yet? */
static bool is_needed(const struct service *s)
{
	if (other_side(s) != NULL)
		return true;
	for (size_t i = 0; i < s->sup->service_count; i++) {
		const struct service *other = s->sup->services[i];
		const char *at = after_in_file(other);
		struct dependency d;

		if (!other->stage.stop_asked || other->stage.ended)
			continue;
		while (after_next(&at, &d))
			if (strcmp(d.name, s->name) == 0)
				return true;
	}
	return false;
}

/* False: the cluster has no command to wait for. */
static bool begin_before_stop(struct service *s)
{
	const struct cluster_settings *settings = cluster_settings(s->core);
	struct error err;

	if (settings->before_stop.text == NULL ||
		(service_counts(s).alive == 0 && s->accepting == NULL))
		return false;
	if (before_begin(s, BEFORE_STOP, cluster_generation(s->core), settings, &err) == 0)
		return true;
	fail_before_stop(s, settings, err.text);
	return false;
}

bool order_on_stopping(struct service *s, bool at_once)
{
	enum cluster_state state = cluster_state(s->core);

	if (at_once || !before_runs(s, BEFORE_STOP))
		order_forget(s);
	if (at_once || state == CLUSTER_STOPPING || state == CLUSTER_STOPPED ||
		state == CLUSTER_FAILED)
		return false;
	return s->order.before != NULL || is_needed(s) || begin_before_stop(s);
}

/* ---- once a turn ---- */

bool order_is_lost(const struct service *s, char *why, size_t size)
{
	char text[300];

	if (!is_lost(s, false))
		return false;
	say_all(text, sizeof(text), s);
	snprintf(why, size, "%s cannot start: it waits for %s", s->name, text);
	return true;
}

/* If nothing runs any more, and waiting clusters can never start, nclust ends, as
 * when the last worker has ended.  It does not wait for the others to end during a
 * start in the background, or if the waiting cluster is essential. */
static void look_if_lost(struct supervisor *sup)
{
	const struct service *lost = NULL;
	bool at_once = sup->settings->daemon && !sup->instance.ready_once;
	bool others = false;
	char why[400];

	for (size_t i = 0; i < sup->service_count; i++) {
		const struct service *s = sup->services[i];

		/* nclust must end with an essential cluster that can never start */
		if (cluster_settings(s->core)->essential && !s->stage.leaving &&
			!s->stage.stop_asked && !cluster_was_stopped(s->core) && is_lost(s, true)) {
			lost = s;
			at_once = true;
			break;
		}
		if (is_lost(s, false))
			lost = s;
		else
			others |= !s->stage.ended;
	}
	if (lost != NULL && (!others || at_once) && order_is_lost(lost, why, sizeof(why)))
		lifecycle_fail(sup, sup->instance.status != 0 ? sup->instance.status : 1, why);
}

void order_look(struct supervisor *sup)
{
	bool held = false;

	if (sup->instance.over)
		return;
	for (size_t i = 0; i < sup->service_count; i++) {
		struct service *s = sup->services[i];

		if (!s->stage.stop_waits)
			look_at_start(s);
		else if (s->order.before == NULL && !is_needed(s) && !begin_before_stop(s))
			service_stop_now(s, false);
		held |= s->stage.waits;
	}
	if (held && !sup->instance.stopping)
		look_if_lost(sup);
}

/* ---- other events ---- */

void order_on_report(struct service *s, const struct report *r)
{
	struct rollout_view view = cluster_view_rollout(s->core);

	switch (r->kind) {
	case REPORT_ROLLOUT_STARTED:
		/* nothing runs: no worker must be born before `before` has run */
		if (view.fresh && view.unprepared)
			s->stage.waits = true;
		break;
	case REPORT_ROLLOUT_FAILED:
	case REPORT_ROLLOUT_SUPERSEDED:
		if (!view.unprepared && before_runs(s, BEFORE_ROLLOUT))
			order_forget(s);
		break;
	case REPORT_STATE:
		if (r->state != CLUSTER_STOPPING && r->state != CLUSTER_STOPPED &&
			r->state != CLUSTER_FAILED && !s->stage.stop_waits)
			s->stage.stop_asked = false; /* the cluster was started again */
		break;
	default:
		break;
	}
}

/* Workers of an earlier nclust serve: the cluster was started long ago. */
void order_on_adopted(struct service *s)
{
	struct child_walk walk = children_of(s);

	if (child_next(&walk) != NULL)
		s->stage.waits = false;
}

void order_on_status(struct json_writer *w, const struct service *s)
{
	char text[300];

	if (!s->stage.waits && !s->stage.stop_waits && s->order.before == NULL)
		return;
	say_all(text, sizeof(text), s);
	if (before_runs(s, BEFORE_STOP))
		snprintf(text, sizeof(text), "its 'before-stop'");
	else if (s->order.before != NULL)
		snprintf(text, sizeof(text), "its '%s'", name_of(cluster_next_settings(s->core)));
	else if (s->stage.stop_waits && other_side(s) == NULL)
		snprintf(text, sizeof(text), "those that depend on it, to stop");
	json_put_text(w, "waits_for", text);
}

void order_on_logger(struct supervisor *sup, enum logger_step step)
{
	/* a new logger is to get the output of the commands */
	for (size_t i = 0; step == LOGGER_UP && i < sup->service_count; i++) {
		struct service *s = sup->services[i];

		if (s->order.before != NULL && s->order.before->output.service == s)
			capture_hand_over(s, &s->order.before->output);
	}
}

void order_on_shutdown(struct supervisor *sup)
{
	for (size_t i = 0; i < sup->service_count; i++)
		order_forget(sup->services[i]);
}
