/* SPDX-License-Identifier: MIT */
#include "supervisor/instance/reload.h"

#include "base/log.h"
#include "config/diff.h"
#include "os/affinity.h"
#include "os/clock.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/instance/command.h"
#include "supervisor/instance/manager.h"
#include "supervisor/instance/reread.h"
#include "supervisor/sockets/heal.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/sockets/segment.h"
#include "supervisor/workers/alone.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All that is prepared before anything changes. */
struct plan {
	struct settings *settings; /* the new ones */
	struct settings old;       /* a view of the settings in force */
	struct diff diff;
	struct listener_set *sets; /* by index in diff.clusters */
	struct segment **segments; /* by the same index */
	bool drops_ports;          /* new workers may listen on fewer addresses */
};

/* ---- comparing ---- */

/*
 * Ask each cluster for the settings that are in force, or will be.  After a
 * failed rollout the core is back at settings that no file holds any more, and
 * during a rollout it is on the way to others.
 */
static int look_at_old(struct supervisor *sup, struct plan *plan)
{
	size_t count = 0;

	plan->old = *sup->settings;
	plan->old.clusters = calloc(sup->service_count + 1, sizeof(*plan->old.clusters));
	if (plan->old.clusters == NULL)
		return -1;
	for (size_t i = 0; i < sup->service_count; i++) {
		const struct cluster_settings *now = cluster_next_settings(sup->services[i]->core);

		if (sup->services[i]->stage.leaving)
			continue;
		/* Keep a command that a restart gave, unless the file has another command now. */
		for (size_t k = 0; k < plan->settings->cluster_count; k++)
			if (strcmp(plan->settings->clusters[k]->name, now->name) == 0)
				command_keep(plan->settings->clusters[k], now->command_text,
					now->configured);
		plan->old.clusters[count++] = (struct cluster_settings *)(uintptr_t)now;
	}
	plan->old.cluster_count = count;
	return diff_settings(&plan->diff, &plan->old, plan->settings);
}

/* A directory that leads elsewhere requires a rollout. */
static void look_at_directories(struct diff *diff)
{
	for (size_t i = 0; i < diff->count; i++) {
		struct diff_cluster *c = &diff->clusters[i];
		size_t used = strlen(c->keys);

		if (c->old == NULL || c->new == NULL || c->new->directory_now == NULL)
			continue;
		snprintf(c->keys + used, sizeof(c->keys) - used, "%sdirectory (now %s)",
			used > 0 ? ", " : "", c->new->directory_now);
		if (c->change < CHANGE_ROLL)
			c->change = CHANGE_ROLL;
	}
}

static void plan_fini(struct plan *plan)
{
	for (size_t i = 0; plan->sets != NULL && i < plan->diff.count; i++)
		listeners_release(&plan->sets[i]);
	free(plan->sets);
	for (size_t i = 0; plan->segments != NULL && i < plan->diff.count; i++)
		segment_release(plan->segments[i]);
	free(plan->segments);
	diff_fini(&plan->diff);
	free(plan->old.clusters);
	settings_free(plan->settings);
}

static int check_plan(struct supervisor *sup, const struct plan *plan, struct error *err)
{
	const struct diff *d = &plan->diff;

	if (d->instance == CHANGE_RESTART)
		return error_set(err, 0, "nclust.%s can only change with a restart of nclust",
			d->instance_keys);
	for (size_t i = 0; i < d->count; i++) {
		const struct diff_cluster *c = &d->clusters[i];
		const struct service *s;

		if (c->new == NULL)
			continue;
		if (recipe_check(sup, c->new, false, err) == -1)
			return -1;
		if (c->old != NULL && c->old->accept != c->new->accept)
			return error_set(err, 0,
				"cluster '%s': 'accept' can only change with a "
				"restart of nclust",
				c->new->name);
		s = service_named(sup, c->new->name);
		if (s != NULL && service_is_stopping(s) &&
			(c->old == NULL || c->change >= CHANGE_ROLL || c->workers_changed))
			return error_set(
				err, 0, "cluster '%s' is still stopping: try again", c->new->name);
	}
	return 0;
}

/* How many workers the cluster will have: a number that the operator set stays. */
static unsigned count_of(struct supervisor *sup, const struct diff_cluster *c, struct service *s)
{
	if (s == NULL)
		return service_wanted(sup, c->new);
	return s->stage.scaled && !c->workers_changed ? service_counts(s).workers
						      : service_wanted_now(s, c->new);
}

/* After a scale more slots may have listeners of their own than the file says. */
static int check_common(const struct plan *plan, size_t at, struct error *err)
{
	const struct listener *l = NULL;

	for (size_t i = 0; i < at && l == NULL; i++)
		if (plan->sets[i].row + plan->sets[at].row > 0)
			l = listeners_common(&plan->sets[i], &plan->sets[at]);
	return l == NULL ? 0
			 : error_set(err, 0, "another cluster has %s already", listener_text(l));
}

/* New slots also need the listeners of the settings in force: their workers begin
 * with these, or return to them if the rollout fails. */
static int open_for_new_slots(
	struct service *s, const struct diff_cluster *c, unsigned slots, struct error *err)
{
	for (struct recipe *r = s->life.recipes; r != NULL; r = r->next)
		if (listeners_grow(&r->listeners, r->settings, slots, s, err) == -1)
			return c->change < CHANGE_ROLL
				? -1
				: error_wrap(err,
					  "its new slots begin by the settings "
					  "in force");
	return 0;
}

static void shrink_all(const struct supervisor *sup)
{
	for (size_t i = 0; i < sup->service_count; i++) {
		const struct service *s = sup->services[i];

		for (struct recipe *r = s->life.recipes; r != NULL; r = r->next)
			listeners_trim(&r->listeners, cluster_slots(s->core));
	}
}

/* The first of two phases opens whatever is new; a failure changes nothing. */
static int open_new(struct supervisor *sup, struct plan *plan, struct error *err)
{
	const struct diff *d = &plan->diff;

	sup->launch.cpus = affinity_usable();
	plan->sets = calloc(d->count + 1, sizeof(*plan->sets));
	plan->segments = calloc(d->count + 1, sizeof(*plan->segments));
	if (plan->sets == NULL || plan->segments == NULL)
		return error_set(err, ENOMEM, "listeners");
	for (size_t i = 0; i < d->count; i++) {
		const struct diff_cluster *c = &d->clusters[i];
		struct service *s;

		if (c->new == NULL)
			continue;
		s = service_named(sup, c->new->name);
		/* first these: listeners that the new settings name, too, are found then */
		if ((s != NULL && open_for_new_slots(s, c, count_of(sup, c, s), err) == -1) ||
			listeners_open(sup, &plan->sets[i], c->new, count_of(sup, c, s),
				s != NULL ? &s->sockets.listeners : NULL, err) == -1 ||
			check_common(plan, i, err) == -1 ||
			segment_open(sup, &plan->segments[i], c->new, s, err) == -1)
			return error_wrap(err, "cluster '%s'", c->new->name);
	}
	return moment_reload(sup, plan->settings, err);
}

/* ---- changing ---- */

/* `s`: the cluster as it is, or NULL. */
static void describe_change(
	struct buffer *out, const struct diff_cluster *c, const struct service *s, bool rests)
{
	static const char *const how[] = {
		[CHANGE_NONE] = "no change",
		[CHANGE_LIVE] = "applied",
		[CHANGE_ROLL] = "rolling restart",
		[CHANGE_RESTART] = "rolling restart",
	};
	const char *name = c->old != NULL && c->new == NULL ? c->old->name : c->new->name;
	bool refused = false;

	for (size_t i = 0; s != NULL && i < s->sockets.learned.count; i++)
		refused |= learned_only(s->sockets.learned.list[i]);
	if (out->len > 0)
		buffer_string(out, "; ");
	if (c->old == NULL)
		buffer_printf(out, "%s: new", name);
	else if (c->new == NULL)
		buffer_printf(out, "%s: removed%s", name,
			refused ? ", and until its workers have ended the ports that they have "
				  "bound are refused to others; 'listen' would keep them"
				: "");
	else if (c->change == CHANGE_NONE)
		buffer_printf(out, "%s: no change", name);
	else
		buffer_printf(out, "%s: %s: %s%s", name, c->keys, how[c->change],
			rests ? ", stays stopped" : "");
}

static void add_service(struct supervisor *sup, struct diff_cluster *c, struct listener_set *set,
	struct segment **segment)
{
	struct service *s = service_new(sup, c->new, set, *segment);

	if (s == NULL) {
		log_error("%s: out of memory: not started", c->new->name);
		return;
	}
	*segment = NULL;
	s->saved.number = ++sup->orphans.last_number; /* no old worker belongs to it */
	s->stage.waits = true; /* until the room order says that nothing has to leave before */
	s->stage.awaited = AWAITED_SETTLED;
}

static void remove_service(struct service *s)
{
	s->stage.leaving = true;
	if (s->stage.ended)
		return;
	alone_look(s);
	service_stop(s, false);
}

static void scale_service(struct service *s, const struct diff_cluster *c)
{
	const struct scale_step to = {.wanted = count_of(s->sup, c, s),
		.why = c->workers_changed ? SCALE_LIMITS : SCALE_CPUS,
		.measure = s->sup->launch.cpus};
	struct error err;

	if (s->stage.scaled && !c->workers_changed)
		return;
	if (to.wanted != service_counts(s).workers && service_step(s, &to, &err) == -1)
		log_error("%s: %s", s->name, err.text);
	s->stage.scaled = false;
}

/* The service owns the opened listeners and segments from now on. */
static void take_opened(struct service *s, struct listener_set *set, struct segment **segment)
{
	listeners_release(&s->sockets.listeners);
	s->sockets.listeners = *set;
	*set = (struct listener_set){0};
	segment_change(s, *segment);
	*segment = NULL;
}

static void apply_settings(
	const struct plan *plan, struct service *s, const struct diff_cluster *c, bool restart)
{
	struct event event = {
		.slot = SLOT_ALL,
		.command_changed = c->command_changed,
		.drops_ports = plan->drops_ports,
	};
	bool rolls = c->change >= CHANGE_ROLL || restart;
	struct error err;

	scale_service(s, c);
	listeners_adopt(&s->sockets.listeners, c->new);
	if (c->change == CHANGE_NONE && !restart)
		return;
	if (!rolls) {
		event.kind = EVENT_SETTINGS;
		event.settings = cluster_settings_ref(c->new);
		service_tell(s, &event);
		s->stage.live = true;
		return;
	}
	if (c->change != CHANGE_NONE)
		event.settings = cluster_settings_ref(c->new);
	if (service_roll(s, &event, &err) == -1)
		log_warn("%s: %s", s->name, err.text);
	else
		service_wake(s, true);
}

/* Let a cluster that an operator has stopped begin with its new settings when it is started again.
 * True: it is one. */
static bool let_rest(struct diff_cluster *c, struct service *s)
{
	if (s == NULL || c->new == NULL || !cluster_was_stopped(s->core) || !service_is_over(s))
		return false;
	if (c->change > CHANGE_LIVE) {
		c->change = CHANGE_LIVE;
		recipes_free(s);
	}
	return true;
}

static void commit_plan(
	struct supervisor *sup, struct plan *plan, bool restart, struct buffer *text)
{
	struct diff *d = &plan->diff;
	bool same = d->instance == CHANGE_NONE && !restart;

	look_at_directories(d);
	for (size_t i = 0; i < sup->service_count; i++) {
		struct service *s = sup->services[i];

		/* the settings may be under way since an earlier reload */
		s->stage.awaited = cluster_next_settings(s->core) != cluster_settings(s->core)
			? AWAITED_ROLLOUT
			: AWAITED_NOTHING;
		s->stage.live = false;
	}
	for (size_t i = 0; i < d->count; i++)
		if (d->clusters[i].new == NULL)
			service_named(sup, d->clusters[i].old->name)->stage.stop_asked = true;
	if (d->instance != CHANGE_NONE)
		buffer_printf(text, "nclust: %s: applied", d->instance_keys);
	for (size_t i = 0; i < d->count; i++) {
		struct diff_cluster *c = &d->clusters[i];
		struct service *s = c->old != NULL ? service_named(sup, c->old->name) : NULL;
		bool rests = let_rest(c, s);
		bool anew;

		describe_change(text, c, s, rests);
		same = same && c->old != NULL && c->new != NULL && c->change == CHANGE_NONE;
		if (c->new == NULL) {
			remove_service(s);
			continue;
		}
		if (s == NULL) {
			add_service(sup, c, &plan->sets[i], &plan->segments[i]);
			continue;
		}
		take_opened(s, &plan->sets[i], &plan->segments[i]);
		/* what an earlier reload has begun may wait for ports that are to be dropped */
		anew = restart || (plan->drops_ports && s->stage.awaited == AWAITED_ROLLOUT);
		apply_settings(plan, s, c, anew && !rests);
		if (rests) {
			segment_settle(s, false);
			s->stage.awaited = AWAITED_NOTHING;
		}
	}
	if (same)
		buffer_printf(text, "; to start the same command anew: nclust restart %s",
			plan->settings->name);
	settings_free(sup->settings);
	sup->settings = plan->settings;
	plan->settings = NULL;
	log_set_level((enum log_level)sup->settings->log_level);
}

int reload_run(struct supervisor *sup, struct settings *settings, const char *mistakes,
	bool restart, bool drops_ports, struct buffer *text)
{
	struct plan plan = {.settings = settings, .drops_ports = drops_ports};
	const unsigned cpus = sup->launch.cpus;
	struct error err;
	int got = -1;

	buffer_init(text, 60000);
	if (settings == NULL) {
		buffer_string(text, mistakes);
	} else if (look_at_old(sup, &plan) == -1) {
		buffer_string(text, "out of memory");
	} else if (check_plan(sup, &plan, &err) == -1 || open_new(sup, &plan, &err) == -1) {
		shrink_all(sup);
		sup->launch.cpus = cpus;
		buffer_string(text, err.text);
	} else {
		commit_plan(sup, &plan, restart, text);
		got = 0;
	}
	plan_fini(&plan);
	if (sup->instance.ready_once)
		manager_ready(sup);
	if (got == 0)
		news_say(sup, LOG_NOTE, "reloaded", "reloaded: %s", buffer_text(text));
	else
		news_say(sup, LOG_ERROR, "reload-failed", "reload failed, nothing was changed: %s",
			buffer_text(text));
	return got;
}

static void on_read(
	struct supervisor *sup, struct settings *settings, const char *mistakes, bool bad)
{
	struct instance *in = &sup->instance;
	struct buffer text;
	bool restart = in->reload_restarts;
	bool drops_ports = in->reload_drops;
	int got;

	in->reload_restarts = in->reload_drops = false;
	if (in->stopping) {
		settings_free(settings);
		settings = NULL;
		mistakes = "nclust is stopping";
	}
	got = reload_run(sup, settings, mistakes, restart, drops_ports, &text);
	if (got == 0)
		in->read_at = (nsec_t)(clock_wall() * 1e9);
	for (size_t i = 0; i < sup->service_count; i++) {
		renew_look(sup->services[i]);
		if (got == 0)
			moment_reloaded(sup->services[i]);
	}
	moment_verb(sup,
		&(struct verb_step){.method = METHOD_RELOAD,
			.code = got == 0 ? 0
				: bad    ? CONTROL_BAD_CONFIG
					 : CONTROL_FAILED,
			.text = buffer_text(&text)});
	buffer_fini(&text);
}

int reload_begin(struct supervisor *sup, bool restart, bool drops_ports, struct error *err)
{
	if (sup->settings->config_file == NULL)
		return error_set(err, 0,
			"there is no configuration file to read again: nclust "
			"was started with a command line");
	if (reread_begin(sup, on_read, err) == -1)
		return -1;
	manager_reloading(sup);
	sup->instance.reload_restarts |= restart;
	sup->instance.reload_drops |= drops_ports;
	return 0;
}

static void restart_all(struct supervisor *sup)
{
	const struct event roll = {.slot = SLOT_ALL};
	struct error err;

	(void)service_recount(sup);
	for (size_t i = 0; i < sup->service_count; i++)
		if (!sup->services[i]->stage.leaving &&
			service_roll(sup->services[i], &roll, &err) == -1)
			log_warn("%s: %s", sup->services[i]->name, err.text);
}

void reload_from_signal(struct supervisor *sup, bool restart)
{
	struct error err;

	if (sup->instance.stopping)
		return;
	if (restart && sup->settings->config_file == NULL)
		restart_all(sup);
	else if (reload_begin(sup, restart, false, &err) == -1)
		news_say(sup, LOG_ERROR, "reload-failed", "reload failed, nothing was changed: %s",
			err.text);
}
