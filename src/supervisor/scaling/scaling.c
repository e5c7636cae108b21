/* SPDX-License-Identifier: MIT */
#include "supervisor/scaling/scaling.h"

#include "base/log.h"
#include "base/nsec.h"
#include "base/scope.h"
#include "os/cgroup.h"
#include "os/clock.h"
#include "os/process.h"
#include "os/socket/sockdiag.h"
#include "protocol/json.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/health/prober.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/workers/service.h"
#include "supervisor/workers/use.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#define MEASURED_WITHIN (9 * SCALE_LOOK / 10)
/* More sockets are watched only if the cluster may sleep: looks find the first client. */
#define WATCHED_MOST 64
/* What is written to the quota of CPUs within this time is one change. */
#define SETTLE (1 * SECOND)

struct scaling {
	struct service *service;
	struct autoscale scale;
	ev_timer look; /* the next look at the load */

	nsec_t measured_at;
	nsec_t cpu_pressure; /* for how long something has waited for a CPU, in all */

	ev_io *watchers; /* heap: one for each socket, while they are watched */
	size_t watcher_count;
	nsec_t client_at; /* when the first client since the last look came; or 0 */
	bool looks_soon;  /* the next look comes soon, without a client */

	unsigned failed; /* the step to so many workers has failed, and was logged; or 0 */
	unsigned wanted; /* workers wanted, as reported last */
	unsigned from;   /* workers before the last step */
	struct scale_step last;
	nsec_t last_at; /* when that step was; or 0 */
	uint64_t ups;   /* steps up, so far */
	uint64_t downs;
};

/* Does the load decide how many workers there are? */
static bool follows_load(const struct service *s)
{
	return cluster_next_settings(s->core)->workers.range && !s->stage.scaled &&
		!s->stage.leaving && s->accepting == NULL && !s->sup->instance.stopping &&
		cluster_state(s->core) != CLUSTER_STOPPING && !service_is_over(s);
}

/* ---- listeners that are watched ---- */

static void look_after(struct scaling *a, nsec_t wait);
static void look_at_load(struct scaling *a);

static void unwatch_listeners(struct scaling *a)
{
	for (size_t i = 0; i < a->watcher_count; i++)
		ev_io_stop(a->service->sup->loop, &a->watchers[i]);
	free(a->watchers);
	a->watchers = NULL;
	a->watcher_count = 0;
}

static void on_client(struct ev_loop *loop UNUSED, ev_io *watcher, int revents UNUSED)
{
	struct scaling *a = watcher->data;

	struct pollfd at = {.fd = watcher->fd, .events = POLLIN};
	/* a client may have been accepted meanwhile */
	bool shut = poll(&at, 1, 0) == 1 && at.revents != POLLIN;
	bool own = cluster_wanted(a->service->core) > 0 && health_asks(a->service);

	unwatch_listeners(a);
	if (shut) { /* by a worker; heal.h mends that */
		look_after(a, SCALE_LOOK);
		return;
	}
	if (!own) /* a check is no client */
		a->client_at = clock_now();
	if (cluster_wanted(a->service->core) == 0)
		look_at_load(a);
	else if (!a->looks_soon)
		look_after(a, own ? SCALE_LOOK_NEAR : SCALE_LOOK_FIRST);
}

static void watch_socket(struct scaling *a, int fd)
{
	ev_io *watcher = &a->watchers[a->watcher_count++];

	io_init(watcher, on_client, fd, a);
	ev_io_start(a->service->sup->loop, watcher);
}

static void watch_listeners(struct scaling *a)
{
	const struct listener *l;
	size_t count = 0;

	for_each_listener (l, listeners_of(a->service, LISTENERS_ONCE))
		count += group_size(l);
	if (count > WATCHED_MOST && a->scale.least > 0)
		return;
	a->watchers = calloc(count + 1, sizeof(*a->watchers));
	if (a->watchers == NULL) {
		look_after(a, SCALE_LOOK);
		return;
	}
	for_each_listener (l, listeners_of(a->service, LISTENERS_ONCE)) {
		if (l->sockets == NULL)
			watch_socket(a, l->fd);
		for (const struct listener_socket *k = l->sockets; k != NULL; k = k->next)
			watch_socket(a, k->fd);
	}
}

/* Sets whether the cluster sleeps, and watches its listeners: a worker may be done with a client
 * before the next look, and the first client of many shows when they came. */
static void watch_or_sleep(struct scaling *a)
{
	struct service *s = a->service;
	bool asleep = follows_load(s) && cluster_wanted(s->core) == 0;
	bool watched = follows_load(s) &&
		(a->scale.least == 0 ||
			(!a->looks_soon && cluster_wanted(s->core) < a->scale.most));

	if (s->sockets.asleep && !asleep) {
		s->sockets.asleep = false;
		learned_resume(s);
	}
	s->sockets.asleep = asleep;
	unwatch_listeners(a); /* there may be other listeners by now */
	if (watched)
		watch_listeners(a);
}

/* ---- measuring ---- */

static unsigned count_waiting_at(const struct listener *l, bool *full)
{
	struct queue_facts queue;
	bool any = l->sockets == NULL && sockdiag_has_queue(l->fd);

	for (const struct listener_socket *k = l->sockets; k != NULL; k = k->next)
		any |= sockdiag_has_queue(k->fd);
	if (!any)
		return 0;
	group_queue(l, &queue);
	*full |= queue.depth >= queue.limit;
	return queue.depth > 0 ? (unsigned)queue.depth : 1;
}

static unsigned count_waiting(const struct service *s, bool *full)
{
	const struct listener *l;
	unsigned own = cluster_wanted(s->core) > 0 ? health_unaccepted(s) : 0;
	unsigned sum = 0;

	for_each_listener (l, listeners_of(s, LISTENERS_ONCE))
		sum += count_waiting_at(l, full);
	return sum > own ? sum - own : 0;
}

/* Per mille of a CPU that the worker has used since the last look at it; -1: there was none. */
static long busy_of(struct child *child, nsec_t now)
{
	struct measured was = child->measured;
	nsec_t cpu = use_cpu(child);

	child->measured = (struct measured){cpu, now};
	if (was.at == 0 || now <= was.at)
		return -1;
	/* a process that its parent does not wait for takes its time away */
	return cpu > was.cpu ? (long)((cpu - was.cpu) * 1000 / (now - was.at)) : 0;
}

static void measure_workers(struct scaling *a, struct load *l)
{
	uint64_t sum = 0;
	unsigned count = 0;
	struct child *child;

	for_each_child (child, children_of(a->service)) {
		long busy = -1;

		if (child_view(child).state == SLOT_READY)
			busy = busy_of(child, clock_now());
		if (busy >= 0) {
			sum += (uint64_t)busy;
			count++;
		}
	}
	l->measured = count > 0;
	l->busy = count > 0 ? (unsigned)(sum / count) : 0;
}

static void measure_pressure(struct scaling *a, struct load *l)
{
	nsec_t was = a->cpu_pressure;
	char text[256];
	long long total;

	a->cpu_pressure = 0;
	if (process_read_path("/proc/pressure/cpu", text, sizeof(text)) <= 0 ||
		sscanf(text, "some %*s %*s %*s total=%lld", &total) != 1)
		return; /* the kernel has no PSI */
	a->cpu_pressure = total * USEC;
	if (was > 0 && a->cpu_pressure > was && l->now > a->measured_at)
		l->pressure =
			(unsigned)((a->cpu_pressure - was) * 1000 / (l->now - a->measured_at));
}

/* Is there a connection that came by a listener of the cluster?  In doubt: yes.  Called rarely. */
static bool has_clients(struct scaling *a)
{
	const struct listener *l;

	for_each_listener (l, listeners_of(a->service, LISTENERS_ONCE)) {
		int has = sockdiag_has_accepted(l->fd);

		if (has == -1 && once_say(a->service->said, ONCE_SCALE_BLIND))
			log_warn("%s: 'idle-after' has no effect: the kernel "
				 "does not show connections",
				a->service->name);
		if (has != 0)
			return true;
	}
	return false;
}

/* ---- looking ---- */

/* Looks at the load and changes the number of workers.  False: that has failed. */
static bool step_by_load(struct scaling *a)
{
	struct service *s = a->service;
	/* without a listener no client could wake it: it needs a worker that opens its port */
	bool deaf = listener_find(l, listeners_of(s, LISTENERS_ONCE), true) == NULL;
	struct load l = {
		.now = clock_now(),
		.wanted = cluster_wanted(s->core),
		.ready = cluster_ready(s->core),
		.cpus = s->sup->launch.cpus,
		.held = cluster_view_rollout(s->core).under_way || s->sup->upgrade.reexec != NULL,
		/* the first worker starts even if a fallback answers meanwhile */
		.in_use = a->client_at != 0 || deaf ||
			(cluster_ready(s->core) == 0 && cluster_alive(s->core) > 0),
		.came_at = a->client_at,
		.spare = cluster_has_spare(s->core),
	};
	struct scale_step to;
	struct error err;

	l.waiting = deaf && l.wanted == 0 ? 1 : count_waiting(s, &l.full);
	a->client_at = 0;
	if (l.now - a->measured_at >= MEASURED_WITHIN) {
		measure_workers(a, &l);
		measure_pressure(a, &l);
		a->measured_at = l.now;
	}
	if (!l.in_use && !l.held && l.wanted > 0 && autoscale_may_sleep(&a->scale, l.now)) {
		l.held = health_asks(s); /* what the workers left in the queue would wake it */
		l.in_use = !l.held && has_clients(a);
	}
	if (!autoscale_look(&a->scale, &l, &to))
		return true;
	if (service_step(s, &to, &err) == 0) {
		a->failed = 0;
		return true;
	}
	if (a->failed != to.wanted)
		log_warn("%s: %s", s->name, err.text);
	a->failed = to.wanted;
	a->scale.asked = 0; /* clients still wait without a worker: try again */
	return false;
}

/* Looks at the load, and sets the time of the next look. */
static void look_at_load(struct scaling *a)
{
	bool came = a->client_at != 0;
	nsec_t wait;

	ev_timer_stop(a->service->sup->loop, &a->look);
	if (follows_load(a->service) && !step_by_load(a)) {
		unwatch_listeners(a); /* the client would wake nclust at once */
		look_after(a, SCALE_LOOK);
		return;
	}
	wait = autoscale_wait(&a->scale, cluster_wanted(a->service->core));
	/* the next client will come as soon */
	if (came && wait == SCALE_LOOK)
		wait = SCALE_LOOK_NEAR;
	a->looks_soon = wait < SCALE_LOOK;
	watch_or_sleep(a);
	if (follows_load(a->service) && wait != NSEC_NEVER)
		look_after(a, wait - clock_now() % wait); /* all clusters at once */
}

static void on_look(struct ev_loop *loop UNUSED, ev_timer *timer, int revents UNUSED)
{
	look_at_load(timer->data);
}

static void look_after(struct scaling *a, nsec_t wait)
{
	timer_arm_within(a->service->sup->loop, &a->look, wait);
}

/* The cluster or its settings are new. */
void scaling_on_reloaded(struct service *s)
{
	const struct cluster_settings *settings = cluster_next_settings(s->core);
	struct workers_range range = cluster_range(settings, s->sup->launch.cpus);
	struct scaling *a = s->scaling;

	if (a == NULL && !settings->workers.range)
		return;
	if (a == NULL)
		a = s->scaling = calloc(1, sizeof(*a));
	if (a == NULL) {
		log_warn("%s: out of memory: 'workers' stays at %u", s->name,
			cluster_wanted(s->core));
		return;
	}
	if (a->service == NULL) { /* new, or carried through an upgrade */
		a->service = s;
		timer_init(&a->look, on_look, a);
		a->wanted = cluster_wanted(s->core);
	}
	autoscale_limits(&a->scale, range.least, range.most, settings->idle_after);
	unwatch_listeners(a); /* there may be other listeners now */
	look_after(a, 0);
}

static void note_step(struct scaling *a, const struct report *r)
{
	a->from = a->wanted;
	a->wanted = r->count;
	a->last = (struct scale_step){r->count, r->scale_why, r->measure};
	if (r->scale_why >= SCALE_CPUS) /* unknown to an older nclust */
		a->last.why = SCALE_LIMITS;
	a->last_at = clock_now();
	a->ups += a->wanted > a->from;
	a->downs += a->wanted < a->from;
	watch_or_sleep(a);
	look_after(a, SCALE_LOOK_NEAR);
}

/* ---- the CPUs ---- */

/* Apply the ends of all ranges. */
static void apply_limits(struct supervisor *sup)
{
	for (size_t i = 0; i < sup->service_count; i++)
		scaling_on_reloaded(sup->services[i]);
}

static bool follows_cpus(const struct supervisor *sup)
{
	for (size_t i = 0; i < sup->service_count; i++) {
		const struct workers_wanted *w =
			&cluster_next_settings(sup->services[i]->core)->workers;

		if (w->least.multiply > 0 || w->most.multiply > 0)
			return true;
	}
	return false;
}

static void recount_cpus(struct supervisor *sup)
{
	if (service_recount(sup))
		apply_limits(sup);
}

static void on_settled(struct ev_loop *loop, ev_timer *timer, int revents UNUSED)
{
	struct supervisor *sup = timer->data;
	char events[4096];

	if (sup->upgrade.reexec != NULL) { /* the upgrade may fail */
		timer_arm(loop, timer, SETTLE);
		return;
	}
	ev_io_start(loop, &sup->scaler.written);
	if (read(sup->scaler.written.fd, events, sizeof(events)) > 0)
		recount_cpus(sup);
}

static void on_written(struct ev_loop *loop, ev_io *io, int revents UNUSED)
{
	struct supervisor *sup = io->data;

	ev_io_stop(loop, io);
	timer_arm(loop, &sup->scaler.recount, SETTLE);
}

void cpus_end(struct supervisor *sup)
{
	struct scaler *s = &sup->scaler;

	if (s->written.data == NULL)
		return;
	ev_timer_stop(sup->loop, &s->recount);
	ev_io_stop(sup->loop, &s->written);
	(void)close(s->written.fd);
	s->written.data = NULL;
}

void cpus_begin(struct supervisor *sup)
{
	struct scaler *s = &sup->scaler;
	scoped_fd fd = -1;

	cpus_end(sup);
	if (!follows_cpus(sup))
		return;
	fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (fd == -1) /* a user has a limited number of them */
		log_debug("no inotify: a new CPU quota waits for a reload");
	if (fd == -1 || cgroup_cpu_watch("", fd) == 0)
		return;
	timer_init(&s->recount, on_settled, sup);
	io_init(&s->written, on_written, fd_release(&fd), sup);
	ev_io_start(sup->loop, &s->written);
	recount_cpus(sup); /* the quota may have changed before */
}

/* ---- hooks ---- */

void scaling_on_report(struct service *service, const struct report *r)
{
	if ((service->scaling == NULL && (r->kind == REPORT_STATE || r->kind == REPORT_STARTED)) ||
		r->kind == REPORT_ROLLOUT_DONE ||
		r->kind == REPORT_ROLLOUT_FAILED) /* the old settings again */
		scaling_on_reloaded(service);
	if (service->scaling != NULL && r->kind == REPORT_SCALED)
		note_step(service->scaling, r);
	if (service->scaling != NULL && r->kind == REPORT_ENDED)
		watch_or_sleep(service->scaling);
}

void scaling_on_verb(struct supervisor *sup, const struct verb_step *verb)
{
	if (verb->method == METHOD_RELOAD && !verb->begins && verb->code == 0)
		cpus_begin(sup);
}

void scaling_on_go_on(struct supervisor *sup)
{
	cpus_begin(sup);
	apply_limits(sup);
}

void scaling_on_let_go(struct holding *h)
{
	struct supervisor *sup = h->listener != NULL ? h->listener->sup : NULL;

	for (size_t i = 0; sup != NULL && i < sup->service_count; i++) {
		struct scaling *a = sup->services[i]->scaling;

		if (a == NULL || a->watchers == NULL)
			continue;
		unwatch_listeners(a);
		look_after(a, 0);
	}
}

void scaling_on_drop(struct service *service)
{
	struct scaling *a = service->scaling;

	if (a == NULL)
		return;
	if (a->service != NULL) {
		ev_timer_stop(service->sup->loop, &a->look);
		unwatch_listeners(a);
	}
	free(a);
	service->scaling = NULL;
}

void scaling_on_status(struct json_writer *w, const struct service *service)
{
	const struct scaling *a = service->scaling;

	if (!json_open_member(w, "autoscale",
		    a != NULL && cluster_next_settings(service->core)->workers.range))
		return;
	json_put_int(w, "min", a->scale.least);
	json_put_int(w, "max", a->scale.most);
	json_put_bool(w, "by_hand", service->stage.scaled);
	json_open_member(w, "steps", true);
	json_put_int(w, "up", (int64_t)a->ups);
	json_put_int(w, "down", (int64_t)a->downs);
	json_close_object(w);
	if (json_open_member(w, "last", a->last_at != 0)) {
		json_put_int(w, "from", a->from);
		json_put_int(w, "to", a->last.wanted);
		json_put_text(w, "reason", scale_why_name(a->last.why));
		json_put_int(w, "measure", a->last.measure);
		json_put_real(w, "ago", nsec_seconds(clock_now() - a->last_at), 3);
		json_close_object(w);
	}
	json_close_object(w);
}

/* ---- through an upgrade ---- */

/* clang-format off */
static const struct plain_row scaling_rows[] = {
	PLAIN(1, scaling, from, UNSIGNED),
	PLAIN(2, scaling, last.wanted, UNSIGNED),
	PLAIN_ENUM(3, scaling, last.why, SCALE_WHYS - 1),
	PLAIN(4, scaling, last.measure, UNSIGNED),
	PLAIN(5, scaling, last_at, SIGNED),
	PLAIN(6, scaling, ups, UNSIGNED),
	PLAIN(7, scaling, downs, UNSIGNED),
	PLAIN(8, scaling, scale.idle_since, SIGNED),
	PLAIN(9, scaling, scale.calm_since, SIGNED),
	PLAIN(10, scaling, scale.up_at, SIGNED),
	PLAIN(11, scaling, scale.down_at, SIGNED),
	PLAIN(12, scaling, scale.enough, UNSIGNED),
	PLAIN(13, scaling, scale.too_few, UNSIGNED),
	PLAIN(14, scaling, scale.try_at, SIGNED),
	PLAIN(15, scaling, scale.patience, SIGNED),
};
/* clang-format on */

const struct carried carried_scaling = {
	.called = "a cluster's load",
	CARRIED_ROWS(scaling_rows, scaling),
};
