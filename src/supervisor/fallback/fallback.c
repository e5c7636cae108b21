/* SPDX-License-Identifier: MIT */
#include "supervisor/fallback/fallback.h"

#include "base/log.h"
#include "base/nsec.h"
#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "protocol/json.h"
#include "protocol/responder.h"
#include "supervisor/common/job.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/control/control.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/sockets.h"

#include <errno.h>
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
/* How long nclust's end waits for the process, which ends by itself then. */
#define ENDING_MS 500
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
	const struct cluster_sockets *sockets = &s->sockets;
	size_t count = 0;

	for (size_t i = 0; i < sockets->listeners.count; i++)
		count = add_sockets(sockets->listeners.list[i], fds, count);
	for (size_t i = 0; i < sockets->learned.count; i++)
		if (learned_only(sockets->learned.list[i]))
			count = add_sockets(sockets->learned.list[i], fds, count);
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

/* Order the process to answer at these sockets, or, without any, no more.  False: the order cannot
 * be sent now, because the process has not read all orders before. */
static bool send_order(struct service *s, const int *fds, size_t count)
{
	const struct fallback *f = &s->sup->fallback;
	const struct cluster_settings *c = settings_of(s);
	const char *page = count > 0 ? c->fallback_page : NULL;
	struct responder_order order = {
		.cluster = s->outage.number,
		.sockets = (uint32_t)count,
		.next_try = s->outage.next_try,
		.page = page != NULL ? (uint32_t)strlen(page) : 0,
	};
	scoped_buffer packet = {0};

	text_copy(order.reason, sizeof(order.reason), reason_of(s, &order.wait));
	text_copy(order.type, sizeof(order.type), type_of(page != NULL ? c->fallback : ""));
	buffer_append(&packet, &order, sizeof(order));
	buffer_append(&packet, page, order.page);
	return f->life.job.pid == 0 ||
		(!packet.failed &&
			fdpass_send(f->channel, packet.data, packet.len, fds, count) == 0);
}

/* Take the sockets back: the process must not keep an address that nclust gives up. */
static void take_back(struct service *s)
{
	if (s->outage.answered && !send_order(s, NULL, 0))
		job_kill(&s->sup->fallback.life.job);
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

/* Report that the process gets the sockets. */
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
 * its own, and the probe waits among them: the process would answer the probe, too. */
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
	if (count > 0 && !send_order(s, fds, count))
		return AGAIN_LEAST;
	if (count > 0 && !o->active && s->sup->fallback.life.job.pid != 0)
		tell_begin(s);
	return settings_of(s)->ready == READY_PROBE ? LOOK : AGAIN;
}

static void start_process(struct supervisor *sup);

/* Does any cluster have `fallback`? */
static bool is_wanted(const struct supervisor *sup)
{
	for (size_t i = 0; i < sup->service_count; i++)
		if (settings_of(sup->services[i])->fallback != NULL)
			return !sup->instance.over;
	return false;
}

static void look_at_all(struct supervisor *sup)
{
	nsec_t next = NSEC_NEVER;
	nsec_t now = clock_now();

	if (!is_wanted(sup) && sup->fallback.life.job.pid != 0)
		(void)shutdown(sup->fallback.channel, SHUT_RDWR); /* the process ends then */
	else if (is_wanted(sup) && sup->fallback.life.job.pid == 0)
		start_process(sup);
	for (size_t i = 0; i < sup->service_count; i++)
		next = nsec_min(next, look_at(sup->services[i], now));
	if (next != NSEC_NEVER)
		timer_arm(sup->loop, &sup->fallback.look, next);
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	look_at_all(timer->data);
}

static void on_ended(void *owner, const struct pidfd_end *end);

static void start_again(void *owner)
{
	look_at_all(owner);
}

static void look_soon(struct supervisor *sup, nsec_t wait)
{
	if (sup->fallback.look.data == NULL) {
		timer_init(&sup->fallback.look, on_look, sup);
		role_init(&sup->fallback.life, sup, on_ended, start_again, sup);
	}
	timer_arm_within(sup->loop, &sup->fallback.look, wait);
}

/* ---- the process ---- */

static void close_channel(struct supervisor *sup)
{
	ev_io_stop(sup->loop, &sup->fallback.counts);
	fd_close(&sup->fallback.channel);
}

static void on_ended(void *owner, const struct pidfd_end *end)
{
	struct supervisor *sup = owner;

	close_channel(sup);
	if (is_wanted(sup))
		role_again(ROLE_FALLBACK, &sup->fallback.life, end, "fallback");
}

static void on_counts(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct supervisor *sup = watcher->data;
	struct responder_count count;

	(void)revents;
	for (int n = 0; n < TURN_ITEMS; n++) {
		ssize_t got = recv(watcher->fd, &count, sizeof(count), MSG_DONTWAIT);

		if (got == 0)
			ev_io_stop(loop, watcher); /* the process has ended */
		if (got != sizeof(count))
			return;
		for (size_t i = 0; i < sup->service_count; i++)
			if (sup->services[i]->outage.number == count.cluster)
				sup->services[i]->outage.answers += count.answers;
	}
}

static void start_process(struct supervisor *sup)
{
	struct fallback *f = &sup->fallback;

	if (role_waits(&f->life))
		return;
	if (role_start_channel(ROLE_FALLBACK, &f->life, &f->channel) == -1) {
		role_start_later(&f->life, ROLE_RESTART);
		return;
	}
	io_init(&f->counts, on_counts, f->channel, sup);
	ev_io_start(sup->loop, &f->counts);
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

static void fallback_on_report(struct service *s, const struct report *r)
{
	if (settings_of(s)->fallback == NULL && s->outage.number == 0)
		return;
	note_report(&s->outage, r);
	/* a beginning or an end of the outage is ordered at once */
	look_soon(s->sup, s->outage.answered && is_out(s) ? AGAIN_LEAST : 0);
}

static void fallback_on_reloaded(struct service *s)
{
	look_soon(s->sup, 0);
}

static void fallback_on_go_on(struct supervisor *sup)
{
	look_soon(sup, 0);
}

static void fallback_on_let_go(struct holding *h)
{
	struct supervisor *sup = h->listener != NULL ? h->listener->sup : NULL;

	if (sup == NULL || sup->fallback.life.job.pid == 0)
		return;
	for (size_t i = 0; i < sup->service_count; i++)
		take_back(sup->services[i]);
	look_soon(sup, AGAIN_LEAST);
}

static void fallback_on_uses(struct child *child, struct listener *l, enum listener_use use)
{
	(void)l;
	if (child->service->outage.since != 0 && (use == USE_GIVEN || use == USE_OWN))
		look_soon(child->service->sup, AGAIN_LEAST);
}

static void fallback_on_drop(struct service *s)
{
	if (s->sup->fallback.life.job.pid != 0)
		take_back(s);
}

static void fallback_on_shutdown(struct supervisor *sup)
{
	struct fallback *f = &sup->fallback;

	ev_timer_stop(sup->loop, &f->look);
	role_wait_no_more(&f->life);
	if (f->life.job.pid == 0)
		return;
	(void)shutdown(f->channel, SHUT_RDWR);
	role_end(&f->life, ENDING_MS);
	close_channel(sup);
}

static void fallback_on_status(struct json_writer *w, const struct service *s)
{
	const struct outage *o = &s->outage;

	if (!json_open_member(w, "fallback", settings_of(s)->fallback != NULL))
		return;
	json_put_bool(w, "active", o->active && s->sup->fallback.life.job.pid != 0);
	json_put_int(w, "answers", (int64_t)o->answers);
	json_close_object(w);
}

const struct part fallback_part = {
	.name = "fallback",
	.report = fallback_on_report,
	.adopted = fallback_on_reloaded,
	.status = fallback_on_status,
	.drop = fallback_on_drop,
	.let_go = fallback_on_let_go,
	.uses = fallback_on_uses,
	.go_on = fallback_on_go_on,
	.reloaded = fallback_on_reloaded,
	.shutdown = fallback_on_shutdown,
};
