/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "base/scope.h"
#include "config/describe.h"
#include "os/affinity.h"
#include "os/clock.h"
#include "supervisor/common/moment.h"
#include "supervisor/common/news.h"
#include "supervisor/common/trouble.h"
#include "supervisor/sockets/heal.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/sockets/segment.h"
#include "supervisor/workers/alone.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/paths.h"
#include "supervisor/workers/ports.h"
#include "supervisor/workers/readiness.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"
#include "supervisor/workers/slotlog.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* ---- reports of the core ---- */

static void follow_port(struct service *service);

/* What went wrong before the worker was ready is not the cause of its later end. */
static void on_ready(struct service *service, const struct report *r)
{
	struct child *child = child_find(service, r->slot, r->worker);

	if (child == NULL)
		return;
	trouble_forget_cause(child);
	ports_on_ready(child);
	renew_ready(child);
	alone_on_ready(child);
}

bool service_has_lasting(const struct service *service, uint32_t slot)
{
	const struct child *child;
	struct slot_view view;

	for_each_child (child, children_of(service)) {
		cluster_view_slot(service->core, child->slot, &view);
		if (child->slot != slot && view.restarts == 0)
			return true;
	}
	return false;
}

/* Its command has done its work.  One that has outlived some runs may be why others end: one that
 * began with the first of these may end as soon. */
static void tell_done(struct service *service, const struct report *r)
{
	bool beside = service_has_lasting(service, r->slot);
	struct slot_view view;

	cluster_view_slot(service->core, r->slot, &view);
	if ((beside && view.restarts < EARLY_DEATHS_MAX) || !once_say(service->said, ONCE_DONE))
		return;
	news_say_of(service, LOG_NOTE, "done", "its command ends with success and is run again%s%s",
		beside ? "; it ends while another copy runs on: " TROUBLE_ONE_COPY
		       : " ('restart = never' runs it once)",
		!beside && children_read_null(service->sup) ? "; " TROUBLE_INPUT : "");
}

static void tell_beside(struct service *service, const struct report *r)
{
	const char *path = trouble_path(service, r->worker);

	if (path != NULL)
		news_say_slot(service, r->slot, LOG_WARN, "not-ready",
			"not once ready in %u tries, while others run; to share their "
			"path: " TROUBLE_SHARE_PATH,
			EARLY_DEATHS_MAX, path);
	else
		news_say_slot(service, r->slot, LOG_WARN, "not-ready",
			"not once ready in %u tries, while others run; " TROUBLE_ONE_COPY,
			EARLY_DEATHS_MAX);
}

static void on_report(struct service *service, const struct report *r)
{
	if (service->accepting != NULL && r->worker != 0) {
		moment_connection_report(service, r);
		return;
	}
	switch (r->kind) {
	case REPORT_STARTED:
		if (service->life.begun == 0)
			service->life.begun = clock_now();
		if (service->sup->intercept.way == WAY_NONE)
			follow_port(service);
		break;
	case REPORT_EXITED:
		if (r->ending.done)
			tell_done(service, r);
		if (r->early == EARLY_DEATHS_MAX && r->why != WHY_STOP &&
			r->ending.kind != ENDING_SPAWN && cluster_ready(service->core) > 0 &&
			cluster_state(service->core) != CLUSTER_ROLLING)
			tell_beside(service, r);
		renew_look(service); /* the worker may have removed its socket's file */
		paths_look(service);
		break;
	case REPORT_READY:
		on_ready(service, r);
		break;
	case REPORT_START_TIMEOUT:
		readiness_explain_timeout(service, r);
		break;
	case REPORT_ALL_READY:
		service->stage.started_once = true;
		break;
	case REPORT_ENDED:
		service->stage.ended = true;
		service->stage.status = cluster_exit_status(service->core);
		learned_drop_all(service);
		break;
	case REPORT_ROLLOUT_FAILED:
		if (r->why == WHY_START_TIMEOUT)
			readiness_explain_late(service, r);
		recipes_follow_settings(service);
		segment_settle(service, true);
		recipes_trim(service);
		break;
	case REPORT_ROLLOUT_DONE:
		segment_settle(service, false);
		recipes_trim(service);
		break;
	default:
		break;
	}
	moment_report(service, r);
}

/* ---- actions of the core ---- */

static int stop_signal(const struct service *service, int signal)
{
	const struct cluster_settings *s = cluster_settings(service->core);

	if (service->life.stop_signal != 0 && signal == s->stop[0].signal)
		return service->life.stop_signal;
	return signal;
}

/* Spares that are to serve come before starts of workers, which take time. */
_Static_assert(SPAWNS_AT_ONCE <= SPAWN_MANY, "more than can be started at once");

static unsigned spawn_all(
	struct service *service, const struct actions *actions, struct event *answers)
{
	const struct action *spawns[SPAWNS_AT_ONCE];
	unsigned count = 0;

	for (unsigned i = 0; i < actions->count; i++) {
		const struct action *a = &actions->list[i];
		struct child *c =
			a->kind == ACTION_RELEASE ? child_find(service, a->slot, a->worker) : NULL;

		/* A spare is ready as soon as its listen(2) is answered, which tells the core before
		 * this function returns. */
		if (c != NULL)
			moment_release(c);
	}
	for (unsigned i = 0; i < actions->count; i++)
		if (actions->list[i].kind == ACTION_SPAWN)
			spawns[count++] = &actions->list[i];
	children_spawn(service, spawns, answers, count);
	return count;
}

static void carry_out(struct service *service, const struct actions *actions)
{
	struct event answers[ACTIONS_MAX] uninitialized;
	unsigned count;
	bool drains = false;

	for (unsigned i = 0; i < actions->count; i++) {
		const struct action *a = &actions->list[i];
		struct child *c = child_find(service, a->slot, a->worker);

		switch (a->kind) {
		case ACTION_SIGNAL:
			if (c != NULL)
				child_stop(c, stop_signal(service, a->signal));
			break;
		case ACTION_KILL:
			if (c != NULL)
				child_kill_group(c, SIGKILL);
			break;
		case ACTION_DRAIN:
			if (c != NULL)
				child_drain(c, a->span);
			drains = true;
			break;
		case ACTION_REPORT:
			on_report(service, &a->report);
			break;
		case ACTION_SPAWN:
		case ACTION_RELEASE:
			break;
		}
	}
	count = spawn_all(service, actions, answers);
	for (unsigned i = 0; i < count; i++)
		service_tell(service, &answers[i]);
	if (drains)
		moment_choose(service);
}

/* Make room for the children of `slots` slots; it never shrinks. */
static int reserve_children(struct service *service, unsigned slots)
{
	struct child *(*children)[2];

	if (slots <= service->child_slots)
		return 0;
	children = realloc(service->children, slots * sizeof(*children));
	if (children == NULL)
		return -1;
	service->children = children;
	memset(children + service->child_slots, 0,
		(slots - service->child_slots) * sizeof(*children));
	service->child_slots = slots;
	return 0;
}

/* Make room for the slots of spares; without memory there are fewer spares. */
static int reserve_slots(struct service *service, unsigned slots)
{
	if (reserve_children(service, slots) == -1)
		return -1;
	return cluster_reserve(service->core, slots);
}

static void reserve_for(struct service *service, const struct cluster_settings *settings)
{
	unsigned slots = cluster_wanted(service->core);

	if (settings == NULL || settings->spare == 0)
		return;
	slots += settings->spare;
	if (reserve_slots(service, slots) == -1)
		log_error("%s: out of memory for its spares", service->name);
}

void service_tell(struct service *service, struct event *event)
{
	struct actions actions uninitialized;

	reserve_for(service, event->settings);
	actions.count = 0;
	event->now = clock_now();
	cluster_handle(service->core, event, &actions);
	if (actions.count > 0)
		carry_out(service, &actions);
	recipes_close_slots(service);
}

/* Its first copy has opened a port, or none can be seen: the other copies follow. */
static void follow_port(struct service *service)
{
	const struct cluster_settings *settings = cluster_next_settings(service->core);
	struct scale_step to = {.why = SCALE_SHARES};
	struct error err;

	if (service->stage.scaled || !settings->workers_by_default ||
		service_counts(service).workers != 1)
		return;
	to.wanted = service_wanted_now(service, settings);
	if (to.wanted > 1 && service_step(service, &to, &err) == -1)
		log_error("%s: %s", service->name, err.text);
}

void child_tell(struct child *child, enum event_kind kind, enum why why)
{
	struct event event = {
		.kind = kind,
		.slot = child->slot,
		.worker = child->worker,
		.why = why,
	};

	if (kind == EVENT_UNWELL || kind == EVENT_OUTGROWN)
		alone_look(child->service);
	if ((kind == EVENT_LISTENING || kind == EVENT_READY) && alone_has_port(child->service))
		follow_port(child->service);
	service_tell(child->service, &event);
}

void service_tick(struct service *service)
{
	/* if the last spawn failed, the command may be wrong: try a single worker */
	struct event event = {
		.kind = EVENT_TICK,
		.count = service->life.spawn_works ? SPAWNS_AT_ONCE : 1,
	};

	if (alone_is_due(service))
		alone_look(service);
	service_tell(service, &event);
}

nsec_t service_deadline(const struct service *service)
{
	if (service->stage.waits)
		return NSEC_NEVER;
	/* a cluster without slots has no deadline by which the core would begin */
	if (cluster_slots(service->core) == 0 && cluster_state(service->core) == CLUSTER_STARTING)
		return 0;
	return cluster_next_deadline(service->core);
}

/* ---- making and freeing a service ---- */

/* Is it for the command to show, by opening a port, that copies of it can share work? */
static bool starts_once(const struct supervisor *sup, const struct cluster_settings *s)
{
	return config_starts_once(s) && sup->intercept.way != WAY_NONE;
}

bool service_runs_once(const struct service *service)
{
	return starts_once(service->sup, cluster_next_settings(service->core)) &&
		!service->stage.scaled && service_counts(service).workers == 1;
}

unsigned service_wanted(const struct supervisor *sup, const struct cluster_settings *settings)
{
	return starts_once(sup, settings) ? 1 : cluster_workers(settings, sup->launch.cpus);
}

unsigned service_wanted_now(struct service *service, const struct cluster_settings *settings)
{
	struct workers_range range = cluster_range(settings, service->sup->launch.cpus);
	struct service_counts has = service_counts(service);

	/* with a port the only one has copies, unless it is a store, or is dead and may be */
	if (starts_once(service->sup, settings) &&
		(!alone_has_port(service) ||
			(has.workers <= 1 && (has.alive == 0 || alone_by_state(service)))))
		return 1;
	if (!settings->workers.range)
		return cluster_workers(settings, service->sup->launch.cpus);
	if (has.workers > range.most)
		return range.most;
	return has.workers > range.least ? has.workers : range.least;
}

/* An empty service, and room for it in sup->services.  NULL: no memory. */
static struct service *make_service(struct supervisor *sup)
{
	struct service *s = calloc(1, sizeof(*s));

	if (!array_grow(sup->services, sup->service_count) || s == NULL) {
		free(s);
		return NULL;
	}
	s->leadership.fd = -1;
	s->sup = sup;
	s->index = SIZE_MAX;
	return s;
}

static void add_to_list(struct service *s)
{
	s->index = s->sup->service_count;
	s->sup->services[s->sup->service_count++] = s;
}

struct service *service_new(struct supervisor *sup, struct cluster_settings *settings,
	struct listener_set *listeners, struct segment *segment)
{
	struct service *s = make_service(sup);
	unsigned wanted = service_wanted(sup, settings);
	unsigned workers = settings->accept ? 0 : wanted;
	uint64_t seed;

	if (s == NULL)
		return NULL;
	s->name = strdup(settings->name);
	/* early at boot there is no entropy, and for jitter the time is enough */
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = (uint64_t)clock_now() ^ (uint64_t)getpid() << 32;
	s->core = cluster_new(settings, workers, seed);
	if (s->name == NULL || s->core == NULL ||
		reserve_slots(s, wanted + settings->spare) == -1 || moment_begin(s) == -1) {
		service_free(s);
		return NULL;
	}
	if (settings->balance == BALANCE_LEAST)
		log_note("%s: 'balance = least' is as 'share': a free worker "
			 "takes the next connection; 'rr' gives each worker a "
			 "socket of its own",
			s->name);
	s->sockets.listeners = *listeners;
	*listeners = (struct listener_set){0};
	s->sockets.segment = segment;
	s->stage.waits = settings->after != NULL || settings->before.text != NULL;
	add_to_list(s);
	return s;
}

struct service *service_carried(struct supervisor *sup)
{
	struct service *s = make_service(sup);

	if (s != NULL)
		add_to_list(s);
	return s;
}

/* Remove the service from sup->services; later services move up. */
static void remove_from_list(const struct service *s)
{
	struct supervisor *sup = s->sup;

	if (s->index == SIZE_MAX)
		return;
	sup->service_count--;
	for (size_t i = s->index; i < sup->service_count; i++) {
		sup->services[i] = sup->services[i + 1];
		sup->services[i]->index = i;
	}
}

void service_free(struct service *s)
{
	moment_drop(s);
	recipes_free(s);
	slotlog_free(s);
	segment_drop(s);
	listeners_release(&s->sockets.listeners);
	learned_drop_all(s);
	/* not before, because async_close() looks for the worker that had a socket */
	remove_from_list(s);
	ports_free(s);
	if (s->core != NULL)
		cluster_free(s->core);
	free(s->children);
	trouble_free(s);
	free(s->name);
	free(s);
}

struct service_counts service_counts(const struct service *service)
{
	const struct accepting *a = service->accepting;
	unsigned wanted = a != NULL ? a->limit : cluster_wanted(service->core);

	return (struct service_counts){
		.workers = wanted,
		.ready = a == NULL ? cluster_ready(service->core)
			: a->open  ? wanted
				   : 0,
		.alive = cluster_alive(service->core),
		.slots = cluster_slots(service->core),
	};
}

struct worker_view child_view(const struct child *child)
{
	struct slot_view view;

	cluster_view_slot(child->service->core, child->slot, &view);
	for (unsigned i = 0; i < view.workers; i++)
		if (view.worker[i].id == child->worker)
			return view.worker[i];
	return (struct worker_view){.state = SLOT_EMPTY};
}

/* ---- commands ---- */

bool service_is_over(const struct service *service)
{
	enum cluster_state state = cluster_state(service->core);

	return state == CLUSTER_STOPPED ||
		(state == CLUSTER_FAILED && cluster_alive(service->core) == 0);
}

bool service_is_stopping(const struct service *service)
{
	enum cluster_state state = cluster_state(service->core);

	return service->sup->instance.stopping || service->stage.leaving ||
		service->stage.stop_waits || state == CLUSTER_STOPPING ||
		(state == CLUSTER_FAILED && !service_is_over(service));
}

static int refuse_if_stopping(const struct service *service, struct error *err)
{
	return service_is_stopping(service) ? error_set(err, 0, "'%s' is stopping", service->name)
					    : 0;
}

void service_change(struct service *service, struct event *event)
{
	service->stage.ended = false;
	service_tell(service, event);
	service->stage.ended = service_is_over(service);
}

int service_reserve(struct service *service, unsigned slots)
{
	return reserve_slots(service, slots + cluster_next_settings(service->core)->spare);
}

int service_step(struct service *service, const struct scale_step *to, struct error *err)
{
	struct event event = {.kind = EVENT_SCALE, .scale = *to};
	/* a stopped cluster has no workers left to remove, and connections are let go on */
	bool fewer = to->wanted < service_counts(service).workers && !service_is_over(service) &&
		service->accepting == NULL;

	if (refuse_if_stopping(service, err) == -1)
		return -1;
	if (to->wanted > WORKERS_MAX)
		return error_set(
			err, 0, "wanted 0 to %d workers, found %u", WORKERS_MAX, to->wanted);
	if (service_reserve(service, to->wanted) == -1)
		return error_set(err, ENOMEM, "%u workers", to->wanted);
	if (recipes_open_slots(service, to->wanted, err) == -1)
		return -1;
	service->stage.scaled = to->why == SCALE_BY_HAND;
	service_change(service, &event);
	service->stage.awaited = fewer ? AWAITED_FEWER : AWAITED_SETTLED;
	return 0;
}

static void follow_cpus(struct service *s)
{
	const struct scale_step to = {
		.wanted = service_wanted_now(s, cluster_next_settings(s->core)),
		.why = SCALE_CPUS,
		.measure = s->sup->launch.cpus,
	};
	struct error err;

	if (!s->stage.scaled && !service_is_over(s) && to.wanted != service_counts(s).workers &&
		refuse_if_stopping(s, &err) == 0 && service_step(s, &to, &err) == -1)
		log_warn("%s: %s", s->name, err.text);
}

bool service_recount(struct supervisor *sup)
{
	unsigned was = sup->launch.cpus;

	sup->launch.cpus = affinity_usable();
	if (sup->launch.cpus == was)
		return false;
	for (size_t i = 0; i < sup->service_count; i++)
		follow_cpus(sup->services[i]);
	return true;
}

int service_scale(struct service *service, unsigned count, struct error *err)
{
	const struct scale_step to = {.wanted = count, .why = SCALE_BY_HAND};

	return service_step(service, &to, err);
}

void service_wake(struct service *s, bool moves)
{
	const struct scale_step to = {.wanted = 1, .why = SCALE_PORT};
	struct error err;

	if (!cluster_next_settings(s->core)->workers.range || s->stage.scaled ||
		cluster_wanted(s->core) > 0 || s->sockets.listeners.count > 0 ||
		(s->sockets.learned.count > 0 && !moves))
		return;
	if (service_step(s, &to, &err) == -1)
		log_error("%s: %s", s->name, err.text);
}

int service_may_roll(const struct service *service, const struct event *roll, struct error *err)
{
	const struct cluster_settings *s =
		roll->settings != NULL ? roll->settings : cluster_next_settings(service->core);

	if (refuse_if_stopping(service, err) == -1)
		return -1;
	if (service->accepting != NULL &&
		(roll->slot != SLOT_ALL || (roll->has_canary && roll->count != 0)))
		return error_set(err, 0,
			"'%s' has a process for each connection: it is restarted as a "
			"whole",
			service->name);
	/* where one copy is all that may be, the old one ends before a new one can be tried */
	if (recipe_check(service->sup, s, false, err) == 0)
		return 0;
	return cluster_ready(service->core) > 0 ? error_hint(err, "the old workers keep serving")
						: -1;
}

int service_roll(struct service *service, const struct event *roll, struct error *err)
{
	const struct cluster_settings *s =
		roll->settings != NULL ? roll->settings : cluster_next_settings(service->core);
	struct event event = *roll;

	event.kind = EVENT_ROLL;
	/* nclust cannot see what a worker listens on */
	event.drops_ports |=
		s->intercept == INTERCEPT_OFF || service->sup->intercept.way == WAY_NONE;
	if (service_may_roll(service, roll, err) == -1) {
		cluster_settings_unref(roll->settings);
		return -1;
	}
	alone_look(service);
	if (roll->slot == SLOT_ALL)
		moment_choose(service);
	service_change(service, &event);
	service->stage.awaited = AWAITED_ROLLOUT;
	return 0;
}

void service_stop(struct service *service, bool at_once)
{
	service->stage.stop_asked = true;
	service->stage.awaited = AWAITED_END;
	if (moment_stopping(service, at_once))
		service->stage.stop_waits = true;
	else
		service_stop_now(service, at_once);
}

void service_stop_now(struct service *service, bool at_once)
{
	struct event event = {.kind = EVENT_STOP, .at_once = at_once};

	service->stage.waits = service->stage.stop_waits = false;
	service_tell(service, &event);
}

unsigned service_signal_slot(struct service *service, uint32_t slot, int signal)
{
	struct slot_view view;
	struct child *c;

	cluster_view_slot(service->core, slot, &view);
	if (view.workers == 0)
		return 0;
	c = child_find(service, slot, view.worker[0].id);
	if (c == NULL)
		return 0;
	child_signal(c, signal);
	return 1;
}

unsigned service_signal_all(struct service *service, int signal)
{
	unsigned reached = 0;

	for (uint32_t i = 0; i < service_counts(service).slots; i++)
		reached += service_signal_slot(service, i, signal);
	return reached;
}

uint32_t service_signal_next(struct service *service, int signal, bool first)
{
	uint32_t slot = cluster_next_in_turn(service->core, first);

	return slot != SLOT_ALL && service_signal_slot(service, slot, signal) > 0 ? slot : SLOT_ALL;
}
