/* SPDX-License-Identifier: MIT */
#include "supervisor/instance/lifecycle.h"

#include "base/log.h"
#include "base/text.h"
#include "core/canary.h"
#include "os/clock.h"
#include "os/memory.h"
#include "os/process.h"
#include "supervisor/common/daemon.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/common/trouble.h"
#include "supervisor/hooks/hooks.h"
#include "supervisor/instance/manager.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/service.h"
#include "supervisor/workers/strays.h"

#include <inttypes.h>
#include <stdio.h>

/* Time for background processes below nclust: after SIGTERM, and after SIGKILL. */
#define STRAYS_GRACE (2 * SECOND)
#define STRAYS_KILLS 20
#define STRAYS_KILL (30 * MSEC) /* after each SIGKILL */
/* When a stop that takes long is reported. */
#define REPORT_FIRST (1 * SECOND)
#define REPORT_AGAIN (10 * SECOND)
#define WORKERS_NAMED 3 /* in that report; others are only counted */
#define STRAYS_NAMED 6  /* at the end, of those that could not be ended */

/* ---- a stop that takes long ---- */

static void say_worker(struct buffer *out, const struct service *s, uint32_t slot,
	const struct worker_view *w, nsec_t now)
{
	const struct child *child = child_find(s, slot, w->id);
	const struct cluster_settings *settings = child != NULL ? child_settings(child) : NULL;
	unsigned steps = settings != NULL ? settings->stop_count : 0;
	bool drains = w->state == SLOT_DRAINING;
	unsigned busy = child != NULL && drains ? child->traffic.busy : 0;
	char name[16];
	char age[16];

	buffer_printf(out, "%s.%" PRIu32 " (worker %d) ", s->name, slot, (int)w->pid);
	if (drains)
		buffer_string(out, "is being drained");
	else if (w->killed)
		buffer_string(out, "has got SIGKILL");
	else if (w->stop_step < steps)
		buffer_printf(out, "has got %s",
			text_signal_name(name, settings->stop[w->stop_step].signal));
	else
		buffer_string(out, "is to end");
	if (busy > 0)
		buffer_printf(out, ", %u busy connection%s", busy, busy == 1 ? "" : "s");
	if (w->killed || w->due == NSEC_NEVER || w->due <= now)
		return;
	buffer_printf(out,
		drains                              ? ", for %s at most"
			: w->stop_step + 1 == steps ? ", SIGKILL follows in %s"
						    : ", the next signal follows in %s",
		text_age(age, w->due - now));
}

/* Name the workers that are left.  Returns how many. */
static unsigned say_workers(struct buffer *out, const struct service *s, nsec_t now)
{
	unsigned count = 0;

	for (uint32_t slot = 0; slot < service_counts(s).slots; slot++) {
		struct slot_view view;

		cluster_view_slot(s->core, slot, &view);
		for (unsigned i = 0; i < view.workers; i++) {
			if (count++ >= WORKERS_NAMED)
				continue;
			buffer_string(out, count > 1 ? "; " : "");
			say_worker(out, s, slot, &view.worker[i], now);
		}
	}
	if (count > WORKERS_NAMED)
		buffer_printf(out, "; and %u more", count - WORKERS_NAMED);
	return count;
}

static bool tell_cluster(struct service *s, nsec_t now)
{
	struct supervisor *sup = s->sup;
	scoped_buffer text = {.limit = 2048};
	const char *said;
	char age[16];
	unsigned count;

	if (s->stage.ended || cluster_state(s->core) != CLUSTER_STOPPING)
		return false;
	count = say_workers(&text, s, now);
	said = buffer_text(&text);
	if (count > 0 && said != NULL)
		news_say_of(s, LOG_NOTE, "stop-waits",
			"still stopping after %s: %s; to end it now: nclust "
			"stop --now %s%s%s%s",
			text_age(age, now - sup->instance.stop_since), said, sup->settings->name,
			sup->instance.stopping ? "" : "/", sup->instance.stopping ? "" : s->name,
			sup->instance.stopping && sup->launch.had_terminal ? ", or Ctrl-C" : "");
	return true;
}

static void on_stop_waits(struct ev_loop *loop, ev_timer *timer, int revents UNUSED)
{
	struct supervisor *sup = timer->data;
	nsec_t now = clock_now();
	bool any = false;

	for (size_t i = 0; i < sup->service_count; i++)
		any |= tell_cluster(sup->services[i], now);
	if (any)
		timer_arm(loop, timer, REPORT_AGAIN);
}

void stop_report_begin(struct supervisor *sup)
{
	if (ev_is_active(&sup->instance.stop_waits))
		return;
	sup->instance.stop_since = clock_now();
	timer_init(&sup->instance.stop_waits, on_stop_waits, sup);
	timer_arm(sup->loop, &sup->instance.stop_waits, REPORT_FIRST);
}

/* ---- start and stop ---- */

static void begin_stop(struct supervisor *sup, bool at_once)
{
	if (sup->instance.over || (sup->instance.stopping && !at_once))
		return;
	if (!sup->instance.stopping) {
		/* if the start has failed, the reason was reported */
		news_say(sup, sup->instance.start_failed ? LOG_INFO : LOG_NOTE, "stopping",
			"%s: stopping%s", sup->settings->name, at_once ? " at once" : "");
		manager_stopping(sup);
	}
	sup->instance.stopping = true;
	stop_report_begin(sup);
	sup->instance.stop_at_once |= at_once;
	/* mark all clusters, before the first is asked what it waits for */
	for (size_t i = 0; i < sup->service_count; i++)
		sup->services[i]->stage.stop_asked = true;
	for (size_t i = 0; i < sup->service_count; i++)
		if (!sup->services[i]->stage.ended)
			service_stop(sup->services[i], at_once);
	sup->instance.stop_since = clock_now();
}

void lifecycle_stop(struct supervisor *sup, bool at_once)
{
	/* The exit status of a stop that was asked for: 1 if a cluster has given up.  How a
	 * cluster ended before it was restarted does not count. */
	if (!sup->instance.stopping) {
		sup->instance.status = 0;
		for (size_t i = 0; i < sup->service_count; i++)
			sup->instance.status |=
				cluster_state(sup->services[i]->core) == CLUSTER_FAILED;
	}
	begin_stop(sup, at_once);
}

void lifecycle_fail(struct supervisor *sup, int status, const char *why)
{
	if (sup->instance.stopping)
		return;
	sup->instance.status = status;
	sup->instance.start_failed = true;
	if (why != NULL)
		log_error("%s", why);
	begin_stop(sup, false);
}

/* What may have ended a worker just after its start, where no cause is known. */
static const char *guess_of_end(const struct service *service, const struct report *r)
{
	const struct trouble_end *end = trouble_of(service, r->slot, r->worker);

	if (r->ending.kind != ENDING_EXIT || (end != NULL && end->cause != NULL))
		return "";
	if (service_has_lasting(service, r->slot))
		return "; " TROUBLE_ONE_COPY;
	if (r->ending.code != 0)
		return "";
	return children_read_null(service->sup) ? "; " TROUBLE_INPUT : "";
}

static void fail_start(
	struct service *service, const struct report *r, const char *what, const char *guess)
{
	char why[300];

	snprintf(why, sizeof(why), "the start failed: %s.%" PRIu32 " %s%s", service->name, r->slot,
		what, guess);
	lifecycle_fail(service->sup, 1, why);
}

/* -d: a start that fails must end nclust, because the user's process waits for it. */
static void look_at_daemon_start(struct service *service, const struct report *r)
{
	struct supervisor *sup = service->sup;
	nsec_t watch = cluster_watch_time(service->core);

	if (sup->daemon.pipe == -1 || sup->instance.stopping)
		return;
	if (r->kind == REPORT_READY && !service->stage.started_once &&
		sup->daemon.release_at < clock_now() + watch)
		sup->daemon.release_at = clock_now() + watch;
	else if (r->kind == REPORT_EXITED && r->why == WHY_ITSELF && r->wait != NSEC_NEVER &&
		r->ready_for < watch && !r->ending.done)
		fail_start(service, r, "ended just after it was ready", guess_of_end(service, r));
	else if (service->stage.started_once)
		return;
	else if (r->kind == REPORT_START_TIMEOUT)
		fail_start(service, r, "was not ready within start-timeout", "");
	else if (r->kind != REPORT_EXITED || r->ending.done)
		return;
	else if (!cluster_ever_ready(service->core) && r->early >= EARLY_DEATHS_MAX)
		fail_start(service, r, "died three times in a row before any worker was ready",
			guess_of_end(service, r));
	else if (cluster_ever_ready(service->core) && r->wait != NSEC_NEVER &&
		clock_now() + r->wait - service->life.begun >=
			cluster_settings(service->core)->start_timeout)
		fail_start(service, r, "was not ready within start-timeout, while others ran",
			"; " TROUBLE_ONE_COPY);
}

static void end_with(struct service *service)
{
	struct supervisor *sup = service->sup;
	int status = service->stage.status;

	news_say_of(service, status == 0 ? LOG_NOTE : LOG_ERROR, "essential-ended",
		"%s, and is essential: nclust ends with status %d",
		cluster_state(service->core) == CLUSTER_FAILED ? "has failed" : "has ended",
		status);
	sup->instance.status = status;
	sup->instance.by_itself = true;
	begin_stop(sup, false);
}

static void note_end(struct service *service)
{
	struct supervisor *sup = service->sup;

	if (sup->instance.stopping)
		return;
	/* the cluster's command cannot be run at all: nothing was ever started */
	if (!sup->instance.ready_once && service->stage.status >= 126 &&
		service->stage.status <= 127 && !cluster_ever_ready(service->core)) {
		lifecycle_fail(sup, service->stage.status, NULL);
		return;
	}
	/* A cluster that the operator has stopped or removed does not end nclust. */
	if (cluster_settings(service->core)->essential && !service->stage.leaving &&
		!cluster_was_stopped(service->core)) {
		end_with(service);
		return;
	}
	if (sup->instance.status == 0)
		sup->instance.status = service->stage.status;
}

void instance_on_report(struct service *service, const struct report *report)
{
	look_at_daemon_start(service, report);
	switch (report->kind) {
	case REPORT_READY:
	case REPORT_EXITED:
	case REPORT_SCALED:
	case REPORT_ALL_READY:
	case REPORT_STATE:
		manager_status(service->sup);
		break;
	case REPORT_ENDED:
		note_end(service);
		break;
	default:
		break;
	}
}

/* ---- the end ---- */

static void on_last_orders(struct ev_loop *loop, ev_timer *timer, int revents UNUSED)
{
	struct supervisor *sup = timer->data;
	unsigned left = sup->instance.last_orders == 1 ? strays_signal(sup, SIGKILL) : 0;

	if (left > 0)
		log_warn("%u background process%s did not end after SIGTERM: killed", left,
			left == 1 ? "" : "es");
	/* a process that forks again and again may not be caught at once */
	if (++sup->instance.last_orders > STRAYS_KILLS)
		return;
	(void)strays_kill(sup);
	timer_arm(loop, timer, STRAYS_KILL);
}

/* True: no process below nclust is left, or cannot be ended. */
static bool strays_are_gone(struct supervisor *sup)
{
	unsigned left;

	if (sup->instance.last_orders > STRAYS_KILLS)
		return true;
	if (sup->instance.last_orders > 0)
		return strays_signal(sup, 0) == 0;
	left = sup->instance.stop_at_once ? strays_kill(sup) : strays_signal(sup, SIGTERM);
	if (left == 0)
		return true;
	log_info("ending %u background process%s", left, left == 1 ? "" : "es");
	sup->instance.last_orders = 1;
	ev_timer_stop(sup->loop, &sup->instance.stop_waits); /* all clusters have ended */
	timer_init(&sup->instance.stop_waits, on_last_orders, sup);
	timer_arm(sup->loop, &sup->instance.stop_waits, STRAYS_GRACE);
	return false;
}

/* Log a process that could not be ended, unless it has ended by now. */
static void say_stays(const char *what, pid_t pid)
{
	const char state = process_state(pid);

	if (state != '\0' && state != 'Z' && state != 'X')
		log_warn("%s %d could not be ended; nclust ends without it", what, (int)pid);
}

/* nclust ends now: log which processes could not be ended. */
static void say_who_stays(struct supervisor *sup)
{
	const struct child *child;
	pid_t strays[STRAYS_NAMED];
	size_t count = strays_list(sup, strays, STRAYS_NAMED);

	for_each_child (child, children_of_all(sup))
		say_stays("worker", child->pid);
	for (size_t i = 0; i < count; i++)
		say_stays("process", strays[i]);
}

static bool is_all_ended(const struct supervisor *sup)
{
	return array_find(s, sup->services, sup->service_count, !(*s)->stage.ended) == NULL;
}

/* Has the operator stopped one of the clusters? */
static bool was_stopped(const struct supervisor *sup)
{
	return array_find(s, sup->services, sup->service_count, cluster_was_stopped((*s)->core)) !=
		NULL;
}

static void drop_left(struct supervisor *sup)
{
	for (size_t i = 0; i < sup->service_count;) {
		struct service *s = sup->services[i];
		struct child_walk left = children_of(s);

		/* a worker that could not be killed may still exit */
		if (s->stage.leaving && s->stage.ended && child_next(&left) == NULL &&
			!hooks_are_under_way(sup, s))
			service_free(s); /* the next service is at `i` now */
		else
			i++;
	}
}

static void look_if_ready(struct supervisor *sup)
{
	for (size_t i = 0; i < sup->service_count; i++) {
		const struct service *s = sup->services[i];

		if (!s->stage.started_once && !s->stage.ended &&
			(s->stage.waits || cluster_wanted(s->core) > 0))
			return;
	}
	if (is_all_ended(sup))
		return;
	sup->instance.ready_once = true;
	manager_ready(sup);
	memory_settle();
}

void lifecycle_look(struct supervisor *sup)
{
	if (sup->instance.over)
		return;
	drop_left(sup);
	if (!sup->instance.ready_once && !sup->instance.stopping)
		look_if_ready(sup);
	/* -d: a server that ends just after its listen(2), as one that daemonises itself, has not
	 * started. */
	if (sup->instance.ready_once && !sup->instance.start_failed &&
		(clock_now() >= sup->daemon.release_at || sup->instance.stopping ||
			is_all_ended(sup)))
		daemon_release(sup);
	if (!is_all_ended(sup) || hooks_are_under_way(sup, NULL) || !strays_are_gone(sup) ||
		news_pending(sup))
		return;
	sup->instance.by_itself |=
		!sup->instance.start_failed && !sup->instance.stopping && !was_stopped(sup);
	if (!sup->instance.stopping && was_stopped(sup))
		log_note("%s: no cluster runs any more: nclust ends", sup->settings->name);
	ev_timer_stop(sup->loop, &sup->instance.stop_waits);
	say_who_stays(sup);
	sup->instance.over = true;
	ev_break(sup->loop, EVBREAK_ALL);
}
