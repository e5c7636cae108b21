/* SPDX-License-Identifier: MIT */
#include "supervisor/health/health.h"

#include "base/log.h"
#include "base/text.h"
#include "os/socket/sockdiag.h"
#include "protocol/json.h"
#include "supervisor/common/registry.h"
#include "supervisor/health/internal.h"
#include "supervisor/hooks/hooks.h"
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

bool health_is_ready(const struct child *child)
{
	return !child->life.paused && child_view(child).state == SLOT_READY;
}

bool health_gives_up(const struct child *child, const struct connection *c)
{
	const struct health *h = child->health;

	return h != NULL &&
		((c->inode != 0 && h->check_inode == c->inode) ||
			(*h->hang != '\0' && hang_exceeds(child, c)));
}

/* How many connections in the queue are nclust's own?  They stay in the queue of a worker that does
 * not accept, even after nclust has given them up. */
static unsigned count_own_checks(const struct child *child, const struct connection *c)
{
	const struct monitor *checks = child->service->asks.of[ASKS_CHECK];
	const struct monitor *reaches = child->service->asks.of[ASKS_REACH];
	bool reached = reach_may_wait(child->service);
	uint16_t own[2 * BATCH_MAX];
	size_t count = 0;
	long left = -1;

	if (checks != NULL && child->health != NULL)
		count = batch_ports((const struct probe_batch *)checks, own);
	if (reached)
		count += batch_ports((const struct probe_batch *)reaches, own + count);
	if (c->queue > 0 && (reached || (checks != NULL && child->health != NULL)))
		left = sockdiag_waiting(c->port, own, count);
	if (left >= 0 && left < (long)c->queue)
		return c->queue - (unsigned)left;
	if (reached && (left >= 0 || c->queue == 0))
		reach_cleared(child->service);
	return 0;
}

unsigned health_given_up(const struct child *child, const struct connection *c)
{
	return c->kind == CONNECTION_LISTENER ? count_own_checks(child, c)
					      : health_gives_up(child, c);
}

/* ---- probes ---- */

bool health_same_probe(const struct probe *a, const struct probe *b)
{
	if (a->kind != b->kind)
		return false;
	return a == b || a->kind == PROBE_TCP || a->kind == PROBE_NONE ||
		strcmp(a->text, b->text) == 0;
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

/* ---- exec ---- */

static void on_command_over(void *owner, const struct pidfd_end *end, bool late)
{
	struct child *child = owner;
	struct health *h = child->health;
	char text[64];
	const char *why = helper_failure(text, end, late ? "no answer in time" : NULL);

	h->helper = NULL;
	h->asks->running--;
	h->asks->monitor.kind->answered(child, why == NULL, why);
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

int health_exec(
	struct child *child, struct probe_batch *asks, const struct probe *probe, struct error *err)
{
	const struct cluster_settings *s = child_settings(child);
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
		.owner = child,
	};

	if (plan.recipe == NULL)
		return -1;
	if (h == NULL)
		return error_set(err, ENOMEM, "its health");
	put_facts(&facts, child);
	h->helper = helper_start(&plan, err);
	if (h->helper == NULL)
		return -1;
	h->asks = asks;
	asks->running++;
	return 0;
}

/* After an upgrade: awaits the command that still runs. */
static void go_on_with_command(struct child *child)
{
	struct health *h = child->health;

	h->asks = (struct probe_batch *)monitor_of(
		child->service, h->proving ? ASKS_READY : ASKS_CHECK);
	if (h->asks == NULL)
		return;
	h->asks->running++;
	helper_claim(h->helper, on_command_over, child);
}

/* ---- life ---- */

static void health_on_born(struct child *child, struct birth *birth)
{
	(void)birth;
	if (!child->service->kind->by_connection)
		health_prove(child);
}

static void begin_monitors_from(
	struct service *service, const struct child *only, enum asks_for which)
{
	for (; which < MONITORS; which++)
		monitor_begin(service, only, which);
}

static void health_on_uses(struct child *child, struct listener *l, enum listener_use use)
{
	(void)l;
	if (use == USE_SPARE_LISTENS)
		monitor_begin(child->service, child, ASKS_WARM);
}

/* A spare is let through: now it has to prove that it is ready. */
static void health_on_release(struct child *child)
{
	monitor_begin(child->service, child, ASKS_READY);
}

static void health_on_report(struct service *service, const struct report *r)
{
	struct child *child;

	switch (r->kind) {
	case REPORT_READY:
		child = child_find(service, r->slot, r->worker);
		if (child == NULL)
			break;
		health_count(child);
		begin_monitors_from(service, child, ASKS_CHECK);
		break;
	case REPORT_DRAINING:
	case REPORT_STOPPING:
		monitors_let_go(service, r->slot, r->worker);
		break;
	case REPORT_START_TIMEOUT:
		child = child_find(service, r->slot, r->worker);
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
		go_on_with_command(child);
	if (child_view(child).state == SLOT_STARTING)
		health_prove(child);
}

static void ask_anew(struct service *service)
{
	struct child *child;

	for_each_child (child, children_of(service))
		if (health_is_ready(child))
			health_count(child);
	begin_monitors_from(service, NULL, ASKS_READY);
}

static void health_on_reloaded(struct service *service)
{
	if (service->stage.live)
		ask_anew(service);
}

/* Workers were carried through an upgrade, or taken over: asks them again. */
static void health_on_adopted(struct service *service)
{
	struct child *child;

	for_each_child (child, children_of(service))
		go_on_with(child);
	ask_anew(service);
}

static void health_on_gone(struct child *child)
{
	struct health *h = child->health;

	if (h == NULL)
		return;
	if (h->helper != NULL) {
		helper_forget(h->helper);
		if (h->asks != NULL)
			h->asks->running--;
	}
	not_accepting_forget(child);
	free(h);
	child->health = NULL;
	child->hang = NULL;
}

static void health_on_status_worker(struct json_writer *w, const struct child *child)
{
	const struct health *h = child->health;

	if (h == NULL)
		return;
	json_key(w, "checks");
	json_open_object(w);
	json_put_int(w, "ok", (int64_t)h->ok);
	json_put_int(w, "failed", (int64_t)h->failed);
	if (*h->last != '\0')
		json_put_text(w, "last", h->last);
	else
		json_put_null(w, "last");
	json_close_object(w);
	if (h->countable)
		json_put_int(w, "requests", (int64_t)h->requests);
}

static void health_on_go_on(struct supervisor *sup)
{
	for (size_t i = 0; i < sup->service_count; i++)
		health_on_adopted(sup->services[i]);
}

static void health_on_drop(struct service *service)
{
	reach_drop(service);
	monitors_free(service);
}

const struct part health_part = {
	.name = "health",
	.born = health_on_born,
	.uses = health_on_uses,
	.release = health_on_release,
	.gone = health_on_gone,
	.adopted = health_on_adopted,
	.report = health_on_report,
	.reloaded = health_on_reloaded,
	.status = held_on_status,
	.status_worker = health_on_status_worker,
	.drop = health_on_drop,
	.go_on = health_on_go_on,
};

/* ---- carry health ---- */

/* What of a worker's health goes through an upgrade, with a probe that runs. */

/* clang-format off */
static const struct plain_row health_rows[] = {
	PLAIN(1, health, failures, UNSIGNED),
	PLAIN(2, health, ok, UNSIGNED),
	PLAIN(3, health, failed, UNSIGNED),
	PLAIN(4, health, last, TEXT),
	PLAIN(5, health, proving, BOOL),
	PLAIN(6, health, check_inode, UNSIGNED),
	PLAIN(7, health, hang, TEXT),
	PLAIN(8, health, above_since, SIGNED),
	PLAIN(9, health, requests, UNSIGNED),
	CARRY_GROUP(CARRY_HELPER, health, helper, &carried_helper),
};
/* clang-format on */

const struct carried carried_health = {
	.called = "a worker's health",
	CARRIED_ROWS(health_rows, health),
};
