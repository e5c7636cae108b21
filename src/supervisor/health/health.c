/* SPDX-License-Identifier: MIT */
#include "supervisor/health/health.h"

#include "base/log.h"
#include "base/nsec.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/socket/sockdiag.h"
#include "protocol/json.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/health/check.h"
#include "supervisor/health/internal.h"
#include "supervisor/health/prober.h"
#include "supervisor/health/stall.h"
#include "supervisor/hooks/carry_hooks.h"
#include "supervisor/hooks/helper.h"
#include "supervisor/node/node.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- workers ---- */

struct health *health_of(struct child *child)
{
	if (child->health == NULL)
		child->health = calloc(1, sizeof(*child->health));
	return child->health;
}

const struct cluster_settings *health_settings(const struct child *child)
{
	const struct cluster_settings *s = child_settings(child);

	/* the core may have dropped those of a worker that is being replaced */
	return s != NULL ? s : cluster_settings(child->service->core);
}

bool health_is_ready(const struct child *child)
{
	return !child->life.paused && child_view(child).state == SLOT_READY;
}

bool health_gives_up(const struct child *child, const struct connection *c)
{
	const struct health *h = child->health;

	return h != NULL &&
		((c->inode != 0 && h->check_inode == c->inode) ||
			(*h->hang != '\0' && stall_exceeds(child, c)));
}

/* nclust's own stay in the queue of a worker that does not accept, even after nclust has given them
 * up. */
unsigned health_given_up(const struct child *child, const struct connection *c)
{
	const struct prober *p = prober_of(child->service);
	uint16_t own[PROBINGS_MAX];
	long left;

	if (c->kind != CONNECTION_LISTENER)
		return health_gives_up(child, c);
	left = p != NULL && c->queue > 0 ? sockdiag_waiting(c->port, own, prober_ports(p, own))
					 : -1;
	return left >= 0 && left < (long)c->queue ? c->queue - (unsigned)left : 0;
}

/* ---- probes ---- */

bool health_same_probe(const struct probe *a, const struct probe *b)
{
	return a->kind == b->kind && (a->kind != PROBE_HTTP || strcmp(a->text, b->text) == 0);
}

const char *health_probe_text(char to[96], const struct probe *probe)
{
	if (probe->kind == PROBE_TCP)
		text_copy(to, 96, "a connection");
	else if (probe->kind == PROBE_HTTP)
		snprintf(to, 96, "GET %s%.80s", probe->text[1] == '/' ? "http:" : "", probe->text);
	else
		snprintf(to, 96, "'%.80s'", probe->text);
	return to;
}

const char *health_late_text(char to[64], const struct cluster_settings *s)
{
	char time[24];

	snprintf(to, 64, "no answer within %s (check-timeout)",
		text_duration(time, s->check_timeout));
	return to;
}

/* ---- exec ---- */

static void rest_or_hear(struct child *child, bool over)
{
	helper_hear(child->health->helper, over);
}

static void on_connect(void *owner, int trap)
{
	struct child *child = owner;
	nsec_t begun = allowance_begin();

	moment_connects(child, trap);
	allowance_end(child, rest_or_hear, begun, "has a check that connects");
}

static void on_command_over(void *owner, const struct pidfd_end *end, bool late)
{
	struct child *child = owner;
	char text[64];
	char too_late[64];
	const char *why = helper_failure(
		text, end, late ? health_late_text(too_late, health_settings(child)) : NULL);

	allowance_stop(child, rest_or_hear);
	child->health->helper = NULL;
	check_answered(child, why == NULL, why);
}

static void put_facts(struct buffer *facts, const struct child *child)
{
	helper_facts(facts, child->service);
	helper_number(facts, "NCLUST_CHECK_PID", (uint64_t)child->pid);
	helper_number(facts, "NCLUST_SLOT", child->slot);
	helper_number(facts, "NCLUST_GENERATION", child->generation);
	buffer_string(facts, "NCLUST_WORKER=");
	buffer_number(facts, child->serial, 16);
	buffer_append(facts, "", 1);
}

int health_exec(struct child *child, const struct probe *probe, struct error *err)
{
	const struct cluster_settings *s = health_settings(child);
	struct health *h = health_of(child);
	scoped_buffer facts = {0};
	struct helper_plan plan = {
		.service = child->service,
		/* a worker that was taken over has no recipe yet */
		.recipe = recipe_get(child->service, child->generation, s, err),
		.command = &probe->command,
		.facts = &facts,
		.silent = true,
		.patience = s->check_timeout,
		.over = on_command_over,
		.connects = child->trap.fd != -1 ? on_connect : NULL,
		.owner = child,
	};

	if (plan.recipe == NULL)
		return -1;
	if (h == NULL)
		return error_set(err, ENOMEM, "its health");
	put_facts(&facts, child);
	h->helper = helper_start(&plan, err);
	if (h->helper != NULL && h->proving && child->traffic.own && h->helper->trap == -1 &&
		once_say(child->service->said, ONCE_CHECK_DENIED))
		news_say_of(child->service, LOG_WARN, "check-denied",
			"connections of '%.80s' cannot be trapped (see 'intercept'), so they may "
			"reach any worker, and a new one gets clients early: use tcp or http:",
			probe->text);
	return h->helper != NULL ? 0 : -1;
}

/* ---- monitors ---- */

/* If the timer comes later than that, nclust itself stood still. */
#define LATE (500 * MSEC)

static const struct monitor_kind *const kinds[MONITORS] = {
	[ASKS_PROBE] = &probe_kind,
	[ASKS_STALL] = &stall_kind,
	[ASKS_MEMORY] = &memory_kind,
	[ASKS_COUNT] = &count_kind,
};

void monitor_arm(struct monitor *a, nsec_t wait)
{
	a->due = nsec_add(clock_now(), wait > 0 ? wait : 0);
	timer_arm(a->service->sup->loop, &a->timer, wait);
}

void monitor_late(struct monitor *a, nsec_t due, nsec_t now)
{
	if (due < a->lost_until)
		due = a->lost_until;
	if (due >= now)
		return;
	a->lost += now - due;
	a->lost_until = now;
}

static void look_at_workers(struct monitor *a, nsec_t now)
{
	nsec_t wait = NSEC_NEVER;
	struct child *child;

	for_each_child (child, children_of(a->service))
		if (a->kind->wants(child))
			wait = nsec_min(wait, a->kind->look(child, now));
	if (wait != NSEC_NEVER) /* else no worker needs a look */
		monitor_arm(a, wait > a->kind->first ? wait : a->kind->first);
}

static void on_timer(struct ev_loop *loop UNUSED, ev_timer *timer, int revents UNUSED)
{
	struct monitor *a = timer->data;
	nsec_t now = clock_now();
	struct child *child;

	monitor_late(a, a->due, now);
	if (now > a->due + LATE && a->kind->forget != NULL) {
		for_each_child (child, children_of(a->service))
			a->kind->forget(child);
		if (a->kind == &probe_kind)
			prober_stop((struct prober *)a, false);
	}
	if (a->kind->look != NULL)
		look_at_workers(a, now);
	else
		a->kind->step(a, now);
}

/* NULL: out of memory. */
static struct monitor *monitor_new(struct service *service, enum asks_for which)
{
	struct monitor *a = calloc(1, which == ASKS_PROBE ? sizeof(struct prober) : sizeof(*a));

	if (a == NULL)
		return NULL;
	a->kind = kinds[which];
	a->service = service;
	timer_init(&a->timer, on_timer, a);
	if (which == ASKS_PROBE)
		prober_init((struct prober *)a);
	service->asks.of[which] = a;
	return a;
}

static bool is_needed(const struct service *service, const struct child *only, enum asks_for which)
{
	return only != NULL ? kinds[which]->wants(only)
			    : walk_find(child, child_next, children_of(service),
				      kinds[which]->wants(child)) != NULL;
}

void monitor_begin(
	struct service *service, const struct child *only, enum asks_for which, nsec_t wait)
{
	struct monitor *a = service->asks.of[which];

	if (a == NULL && is_needed(service, only, which))
		a = monitor_new(service, which);
	if (a == NULL)
		return;
	a->since = clock_now();
	if (wait < a->kind->first)
		wait = a->kind->first;
	/* the timer may be set for older workers, and be late for a new one */
	if (!ev_is_active(&a->timer) || a->due > nsec_add(a->since, wait))
		monitor_arm(a, wait);
}

void health_on_drop(struct service *service)
{
	for (unsigned i = 0; i < MONITORS; i++) {
		struct monitor *a = service->asks.of[i];

		if (a == NULL)
			continue;
		if (i == ASKS_PROBE)
			prober_stop((struct prober *)a, true);
		ev_timer_stop(service->sup->loop, &a->timer);
		free(a);
		service->asks.of[i] = NULL;
	}
}

/* ---- life ---- */

void health_on_born(struct child *child)
{
	if (child->service->accepting == NULL)
		health_prove(child);
}

static void begin_monitors(struct service *service, const struct child *only)
{
	for (enum asks_for which = ASKS_PROBE; which < MONITORS; which++)
		monitor_begin(service, only, which, 0);
}

void health_on_report(struct service *service, const struct report *r)
{
	struct child *child = child_find(service, r->slot, r->worker);

	switch (r->kind) {
	case REPORT_READY:
		begin_monitors(service, child);
		break;
	case REPORT_SPARE:
	case REPORT_RELEASED: /* now it has to prove that it is ready */
		monitor_begin(service, child, ASKS_PROBE, 0);
		break;
	case REPORT_DRAINING:
	case REPORT_STOPPING:
		if (prober_of(service) != NULL)
			prober_let_go(prober_of(service), r->slot, r->worker);
		break;
	case REPORT_START_TIMEOUT:
		if (child != NULL && child->health != NULL && *child->health->last != '\0')
			log_slot(service, r->slot, LOG_NOTE, "its last answer to 'ready': %s",
				child->health->last);
		break;
	default:
		break;
	}
}

static void go_on_with(struct child *child)
{
	const struct health *h = child->health;

	if (h != NULL && *h->hang != '\0')
		child->hang = h->hang;
	if (h != NULL && h->helper != NULL && h->helper->over == NULL)
		helper_claim(h->helper, on_command_over, on_connect, child);
	if (child_view(child).state == SLOT_STARTING)
		health_prove(child);
}

void health_on_reloaded(struct service *service)
{
	if (service->stage.live)
		begin_monitors(service, NULL);
}

/* Workers were carried through an upgrade, or taken over: asks them again. */
void health_on_adopted(struct service *service)
{
	struct child *child;

	for_each_child (child, children_of(service))
		go_on_with(child);
	begin_monitors(service, NULL);
}

void health_on_gone(struct child *child)
{
	struct health *h = child->health;

	if (h == NULL)
		return;
	allowance_stop(child, rest_or_hear);
	if (h->helper != NULL)
		helper_forget(h->helper);
	stall_free(h);
	free(h);
	child->health = NULL;
	child->hang = NULL;
}

void health_on_status_worker(struct json_writer *w, const struct child *child)
{
	const struct health *h = child->health;

	if (health_settings(child)->max_requests != 0)
		json_put_int(w, "requests", (int64_t)node_taken(child));
	if (h == NULL)
		return;
	json_open_member(w, "checks", true);
	json_put_int(w, "ok", (int64_t)h->ok);
	json_put_int(w, "failed", (int64_t)h->failed);
	if (*h->last != '\0')
		json_put_text(w, "last", h->last);
	else
		json_put_null(w, "last");
	json_close_object(w);
}

void health_on_go_on(struct supervisor *sup)
{
	for (size_t i = 0; i < sup->service_count; i++)
		health_on_adopted(sup->services[i]);
}

/* ---- an upgrade ---- */

/* clang-format off */
static const struct plain_row health_rows[] = {
	PLAIN(1, health, failures, UNSIGNED),
	PLAIN(2, health, ok, UNSIGNED),
	PLAIN(3, health, failed, UNSIGNED),
	PLAIN(4, health, last, TEXT),
	PLAIN(5, health, proving, BOOL),
	PLAIN(6, health, check_inode, UNSIGNED),
	PLAIN(7, health, hang, TEXT),
	PLAIN(8, health, above_since, SIGNED), /* 9 was a count of connections */
	CARRY_GROUP(CARRY_HELPER, health, helper, &carried_helper),
};
/* clang-format on */

const struct carried carried_health = {
	.called = "a worker's health",
	CARRIED_ROWS(health_rows, health),
};
