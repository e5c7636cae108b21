/* SPDX-License-Identifier: MIT */
#include "supervisor/fallback/fallback.h"

#include "base/log.h"
#include "base/nsec.h"
#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "protocol/courier.h"
#include "protocol/json.h"
#include "supervisor/common/news.h"
#include "supervisor/common/news_text.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/control/census.h"
#include "supervisor/drain/hand_on.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/listener.h"

#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* A new order is sent when something has happened, not sooner than AGAIN_LEAST after
 * the last, and after AGAIN in any case. */
#define AGAIN_LEAST (100 * MSEC)
#define AGAIN (60 * SECOND)
/* Look so often where a worker that is to pass a probe may have clients, which only a look
 * shows. */
#define LOOK (1 * SECOND)
/* So long after the courier could not be started. */
#define RETRY (1 * SECOND)
/* Retry-After, if no time is known, and if no worker is to come. */
#define WAIT 1
#define WAIT_LONG 30 /* seconds */

static const struct cluster_settings *settings_of(const struct service *s)
{
	return cluster_next_settings(s->core);
}

/* ---- orders ---- */

/* No cluster has more sockets than a packet takes, in practice. */
static size_t add_sockets(const struct listener *l, int fds[FDPASS_MOST], size_t count)
{
	const struct listener_socket *waits = group_own(l, LANE_WAITS);

	if (l->facts.type != SOCK_STREAM)
		return count;
	if (waits != NULL && count < FDPASS_MOST) { /* the others are for nclust's own probes */
		fds[count++] = waits->fd;
		return count;
	}
	if (l->sockets == NULL && count < FDPASS_MOST)
		fds[count++] = l->fd;
	for (const struct listener_socket *k = l->sockets; k != NULL && count < FDPASS_MOST;
		k = k->next)
		fds[count++] = k->fd;
	return count;
}

static size_t sockets_of(const struct service *s, int fds[FDPASS_MOST])
{
	const struct listener *l;
	size_t count = 0;

	for_each_listener (l, listeners_of(s, LISTENERS_ONCE))
		count = add_sockets(l, fds, count);
	return count;
}

/* Why the cluster has no worker.  Any client on the network may read this. */
static const char *reason_of(const struct service *s, uint32_t *wait)
{
	enum cluster_state state = cluster_state(s->core);

	*wait = WAIT_LONG;
	if (state == CLUSTER_FAILED)
		return "stopped after too many failures";
	if (state == CLUSTER_STOPPED || cluster_wanted(s->core) == 0)
		return "stopped for now";
	*wait = WAIT;
	return s->outage.crashed ? "restarting after a crash" : "starting";
}

static const char *type_of(const char *path)
{
	static const struct {
		const char *ending;
		const char *type;
	} types[] = {
		{".html", "text/html; charset=utf-8"},
		{".htm", "text/html; charset=utf-8"},
		{".json", "application/json"},
	};
	const char *dot = strrchr(path, '.');

	for (size_t i = 0; dot != NULL && i < COUNT_OF(types); i++)
		if (strcasecmp(dot, types[i].ending) == 0)
			return types[i].type;
	return "text/plain; charset=utf-8";
}

static bool has_courier(const struct supervisor *sup)
{
	return sup->traffic.courier.life.job.pid != 0;
}

/* Order the courier to answer at these sockets, or, without any, no more.  False: the order cannot
 * be sent now, because it has not read all orders before. */
static bool send_order(struct service *s, const int *fds, size_t count)
{
	const struct cluster_settings *c = settings_of(s);
	const char *page = count > 0 ? c->fallback_page : NULL;
	struct courier_order order = {
		.cluster = s->outage.number,
		.next_try = s->outage.next_try,
		.page = page != NULL ? (uint32_t)strlen(page) : 0,
	};

	text_copy(order.reason, sizeof(order.reason), reason_of(s, &order.wait));
	text_copy(order.type, sizeof(order.type), type_of(page != NULL ? c->fallback : ""));
	return !has_courier(s->sup) || courier_order(s->sup, &order, page, fds, count);
}

/* Take the sockets back: the courier must not keep an address that nclust gives up. */
static void take_back(struct service *s)
{
	if (s->outage.answered && !send_order(s, NULL, 0))
		job_kill(&s->sup->traffic.courier.life.job);
}

/* ---- when ---- */

/* Has the cluster no worker for its clients, though it should? */
static bool is_out(const struct service *s)
{
	return settings_of(s)->fallback != NULL && cluster_ready(s->core) == 0 &&
		!s->sockets.asleep && !s->outage.yielded && !s->stage.leaving &&
		!s->sup->instance.stopping && !s->sup->instance.over &&
		cluster_state(s->core) != CLUSTER_STOPPING;
}

/* Report that the courier gets the sockets. */
static void tell_begin(struct service *s)
{
	uint32_t wait;
	char time[24];

	s->outage.active = true;
	news_say_of(s, LOG_NOTE, "fallback",
		"no worker was ready for %s: HTTP clients get 503 (%s)",
		text_duration(time, settings_of(s)->fallback_after), reason_of(s, &wait));
}

static void end_answers(struct service *s)
{
	bool active = s->outage.active;

	s->outage.answered = s->outage.active = false;
	learned_resume(s);
	if (!active)
		return;
	if (s->outage.yielded)
		news_say_of(s, LOG_NOTE, "fallback-over",
			"a worker that is not ready has clients: they are its "
			"own");
	else if (cluster_ready(s->core) > 0)
		news_say_of(s, LOG_NOTE, "fallback-over",
			"a worker is ready: clients are its own again");
}

/* Does a worker that is to pass a probe before it is ready have clients?  Then these are
 * its own, and the probe waits among them: the courier would answer the probe, too. */
static bool has_clients(struct service *s)
{
	const struct child *child;

	if (settings_of(s)->ready != READY_PROBE || s->traffic.steer.holds)
		return false;
	(void)census_begin(s->sup); /* for the next look */
	for_each_child (child, children_of(s))
		if (census_of(child) > 0)
			return true;
	return false;
}

/* Look at one cluster.  Returns when to look again; NSEC_NEVER: when something has happened. */
static nsec_t look_at(struct service *s, nsec_t now)
{
	struct outage *o = &s->outage;
	int fds[FDPASS_MOST];
	size_t count;
	nsec_t due;

	o->yielded |= o->answered && has_clients(s);
	if (!is_out(s)) {
		o->since = 0;
		if (o->answered && !send_order(s, NULL, 0))
			return AGAIN_LEAST;
		if (o->answered)
			end_answers(s);
		return NSEC_NEVER;
	}
	if (o->number == 0)
		o->number = ++s->sup->fallback.last;
	if (o->since == 0)
		o->since = now;
	due = nsec_add(o->since, settings_of(s)->fallback_after);
	if (now < due)
		return due - now;
	count = sockets_of(s, fds);
	o->answered |= count > 0;
	if (count > 0 && !courier_is_there(s->sup))
		return RETRY;
	if (count > 0 && !send_order(s, fds, count))
		return AGAIN_LEAST;
	if (count > 0 && !o->active)
		tell_begin(s);
	return settings_of(s)->ready == READY_PROBE ? LOOK : AGAIN;
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int revents UNUSED)
{
	struct supervisor *sup = timer->data;
	nsec_t next = NSEC_NEVER;
	nsec_t now = clock_now();

	for (size_t i = 0; i < sup->service_count; i++)
		next = nsec_min(next, look_at(sup->services[i], now));
	if (next != NSEC_NEVER)
		timer_arm(loop, timer, next);
}

static void look_soon(struct supervisor *sup, nsec_t wait)
{
	if (sup->fallback.look.data == NULL)
		timer_init(&sup->fallback.look, on_look, sup);
	timer_arm_within(sup->loop, &sup->fallback.look, wait);
}

/* ---- hooks ---- */

static void note_report(struct outage *o, const struct report *r)
{
	nsec_t next = NSEC_NEVER;

	switch (r->kind) {
	case REPORT_READY:
		o->yielded = false;
		o->crashed = false;
		o->next_try = 0;
		break;
	case REPORT_EXITED:
		o->yielded = false;
		if (!news_is_failure(r))
			break;
		o->crashed = true;
		if (r->wait != NSEC_NEVER)
			next = clock_now() + r->wait;
		/* of several slots, the first */
		if (next != NSEC_NEVER && (o->next_try <= clock_now() || next < o->next_try))
			o->next_try = next;
		break;
	default:
		break;
	}
}

void fallback_on_report(struct service *s, const struct report *r)
{
	if (settings_of(s)->fallback == NULL && s->outage.number == 0)
		return;
	note_report(&s->outage, r);
	/* a beginning or an end of the outage is ordered at once */
	look_soon(s->sup, s->outage.answered && is_out(s) ? AGAIN_LEAST : 0);
}

void fallback_on_reloaded(struct service *s)
{
	look_soon(s->sup, 0);
}

void fallback_on_go_on(struct supervisor *sup)
{
	const struct courier_order nothing = {.cluster = 0};

	/* the courier of an earlier nclust, which may have numbered its clusters otherwise */
	if (has_courier(sup) && !courier_order(sup, &nothing, NULL, NULL, 0))
		job_kill(&sup->traffic.courier.life.job);
	look_soon(sup, 0);
}

void fallback_on_let_go(struct holding *h)
{
	struct supervisor *sup = h->listener != NULL ? h->listener->sup : NULL;

	if (sup == NULL || !has_courier(sup))
		return;
	for (size_t i = 0; i < sup->service_count; i++)
		take_back(sup->services[i]);
	look_soon(sup, AGAIN_LEAST);
}

void fallback_on_uses(struct child *child, enum listener_use use)
{
	if (child->service->outage.since != 0 && (use == USE_GIVEN || use == USE_OWN))
		look_soon(child->service->sup, AGAIN_LEAST);
}

void fallback_on_drop(struct service *s)
{
	if (has_courier(s->sup))
		take_back(s);
}

void fallback_on_shutdown(struct supervisor *sup)
{
	ev_timer_stop(sup->loop, &sup->fallback.look);
}

void fallback_on_status(struct json_writer *w, const struct service *s)
{
	const struct outage *o = &s->outage;

	if (!json_open_member(w, "fallback", settings_of(s)->fallback != NULL))
		return;
	json_put_bool(w, "active", o->active && has_courier(s->sup));
	json_put_int(w, "answers", (int64_t)o->answers);
	json_close_object(w);
}
