/* SPDX-License-Identifier: MIT */
#include "supervisor/control/outcomes.h"

#include "base/scope.h"
#include "base/text.h"
#include "protocol/json.h"
#include "supervisor/common/news.h"
#include "supervisor/common/news_text.h"
#include "supervisor/control/clients.h"
#include "supervisor/control/internal.h"
#include "supervisor/order/order.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What clients wait for after their requests, and the answers when it has come. */

/* ---- answers ---- */

static void add_sentence(struct buffer *text, const char *sentence)
{
	if (*sentence != '\0')
		buffer_printf(text, "%s%s", text->len > 0 ? "; " : "", sentence);
}

static struct outcome *place_of(const struct expectation *e)
{
	return e->rollout != 0 ? &e->service->last_rollout : &e->service->last_scale;
}

/* What has become of a rollout, or of a scale that has failed; NULL: it is not known. */
static const struct outcome *outcome_of(const struct expectation *e)
{
	const struct outcome *o = place_of(e);

	return (e->rollout != 0 ? o->of >= e->rollout : o->failed && !e->ended) ? o : NULL;
}

static void set_outcome(struct outcome *o, uint64_t of, const char *text, bool failed)
{
	free(o->text);
	*o = (struct outcome){text != NULL ? strdup(text) : NULL, of, failed};
}

static bool add_outcomes(const struct client *c, struct buffer *text, bool failed)
{
	bool any = false;

	for (size_t i = 0; i < c->expected_count; i++) {
		const struct outcome *o = outcome_of(&c->expected[i]);

		if (o == NULL || o->failed != failed)
			continue;
		any = true;
		if (o->text != NULL)
			add_sentence(text, o->text);
	}
	return any;
}

static void answer_text(struct client *c, const char *text)
{
	struct json_writer w;

	(void)control_begin_result(&c->out, c->request.id);
	json_begin(&w, &c->out);
	json_open_object(&w);
	json_put_bool(&w, "ok", true);
	if (*text != '\0')
		json_put_text(&w, "text", text);
	json_close_object(&w);
	(void)control_end_result(&c->out);
	client_done(c);
}

/* First what failed.  The outcome of a scale or stop tells enough of what succeeded. */
void request_finish(struct client *c)
{
	scoped_buffer all = {.limit = CLIENT_OUT_MAX / 4};
	bool failed = add_outcomes(c, &all, true);
	const char *text;

	if (failed && c->request.method == METHOD_RELOAD)
		add_sentence(&all, "the file is in force, except where old workers keep serving");
	if (!failed || c->request.method == METHOD_RELOAD)
		add_sentence(&all, c->outcome);
	if (*c->outcome == '\0' || c->request.method == METHOD_RELOAD)
		(void)add_outcomes(c, &all, false);
	text = buffer_text(&all);
	if (text == NULL)
		text = "out of memory";
	if (failed)
		client_error(c, CONTROL_FAILED, text);
	else
		answer_text(c, text);
}

static bool is_reloading(const struct client *c)
{
	return c->pending && c->request.method == METHOD_RELOAD;
}

void request_cut_off(struct client *c)
{
	if (!c->pending || c->request.method == METHOD_STOP)
		request_finish(c);
	else
		client_error(c, CONTROL_FAILED,
			is_reloading(c) ? "nclust ended before it had read the configuration"
					: "nclust ended before that was over");
}

static bool is_fulfilled(const struct client *c)
{
	return !c->pending &&
		array_find(e, c->expected, c->expected_count, outcome_of(e) == NULL) == NULL;
}

int request_expect(struct client *c, struct service *service, struct error *err)
{
	enum awaited what = service->stage.awaited;

	if (!array_grow(c->expected, c->expected_count))
		return error_set(err, 0, "out of memory");
	if (what == AWAITED_SETTLED || what == AWAITED_FEWER)
		set_outcome(&service->last_scale,
			what == AWAITED_FEWER ? UINT64_MAX : cluster_last_worker(service->core),
			NULL, false);
	c->expected[c->expected_count++] = (struct expectation){
		.service = service,
		.rollout = what == AWAITED_ROLLOUT ? cluster_last_rollout(service->core) : 0,
		.settled = what == AWAITED_SETTLED,
		.fewer = what == AWAITED_FEWER,
		.ended = what == AWAITED_END,
	};
	return 0;
}

void request_expect_no_more(struct client *c, const struct service *of)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->expected_count; i++)
		if (of != NULL && c->expected[i].service != of)
			c->expected[kept++] = c->expected[i];
	c->expected_count = kept;
}

/* ---- expectations come true ---- */

static bool has_come_true(const struct expectation *e)
{
	const struct cluster *core = e->service->core;

	if (e->ended)
		return e->service->stage.ended;
	/* the workers that stay need not be ready */
	if (e->fewer)
		return cluster_slots(core) <= cluster_wanted(core) + cluster_spares(core);
	return e->settled && cluster_is_settled(core);
}

/* Forget what has come true; a finished rollout may still be taken back. */
static void request_look(struct client *c)
{
	size_t kept = 0;
	char why[400];

	for (size_t i = 0; i < c->expected_count; i++) {
		const struct expectation e = c->expected[i];

		if (outcome_of(&e) == NULL) {
			if (has_come_true(&e))
				continue;
			if (!e.ended && order_is_lost(e.service, why, sizeof(why)))
				set_outcome(place_of(&e), e.rollout, why, true);
		}
		c->expected[kept++] = e;
	}
	c->expected_count = kept;
	if (is_fulfilled(c))
		request_finish(c);
}

void request_await(struct client *c)
{
	if ((c->request.no_wait && !is_reloading(c)) || is_fulfilled(c)) {
		request_finish(c);
		return;
	}
	c->state = CLIENT_WAITING;
	request_look(c);
}

static void end_pending(struct client *c, const struct verb_step *verb)
{
	const char *text = verb->text != NULL ? verb->text : "out of memory";
	struct error err;

	c->pending = false;
	if (verb->code != 0) {
		client_error(c, verb->code, text);
		return;
	}
	text_copy(c->outcome, sizeof(c->outcome), text);
	for (size_t i = 0; verb->method == METHOD_RELOAD && i < c->sup->service_count; i++) {
		struct service *s = c->sup->services[i];

		/* without memory the answer comes too early */
		if (s->stage.awaited != AWAITED_NOTHING)
			(void)request_expect(c, s, &err);
	}
	request_await(c);
}

void control_on_verb(struct supervisor *sup, const struct verb_step *verb)
{
	if (verb->begins && verb->method == METHOD_UPGRADE)
		clients_settle(sup);
	for (struct client *c = sup->control.first; c != NULL && !verb->begins; c = c->next)
		if (c->pending && c->request.method == verb->method)
			end_pending(c, verb);
}

/* ---- news ---- */

/* Does the client wait for this cluster, or (NULL) for an upgrade? */
static bool is_expecting(const struct client *c, const struct service *service)
{
	if (service == NULL)
		return c->pending && c->request.method != METHOD_STOP && !is_reloading(c);
	return array_find(e, c->expected, c->expected_count, e->service == service) != NULL ||
		(c->pending && c->request.method == METHOD_STOP);
}

/* Has the last scale failed, because its new workers do not become ready, or the cluster stops?  It
 * stops by itself, with status 0, when its jobs are done. */
static bool is_scale_failed(const struct service *service, const struct report *r)
{
	const struct cluster *core = service->core;
	struct slot_view slot;

	if (r->kind == REPORT_STATE) /* it may be late, and belong to an earlier stop */
		return r->state >= CLUSTER_STOPPING && r->state == cluster_state(core) &&
			(cluster_was_stopped(core) || cluster_exit_status(core) != 0);
	if (r->kind == REPORT_GAVE_UP)
		return true;
	/* an old worker may end, but none that the scale has started, unless its job is done */
	if (r->worker <= service->last_scale.of ||
		(r->kind != REPORT_START_TIMEOUT &&
			(r->kind != REPORT_EXITED || r->why != WHY_ITSELF || r->ending.done)))
		return false;
	cluster_view_slot(core, r->slot, &slot);
	return slot.state != SLOT_ENDED;
}

/* Keep how a change has ended for clients that wait for it, or begin to wait after it; but not of a
 * rollout that nobody has asked for, the way back. */
static void keep_outcome(struct service *service, const struct report *r, const char *sentence)
{
	bool failed = r->kind == REPORT_ROLLOUT_FAILED;

	if (failed ? r->rollout <= cluster_last_rollout(service->core)
		   : r->kind == REPORT_ROLLOUT_DONE && !r->back)
		set_outcome(&service->last_rollout, r->rollout, sentence, failed);
	else if (!service->last_scale.failed && is_scale_failed(service, r))
		set_outcome(&service->last_scale, service->last_scale.of, sentence, true);
}

/* Note for a client that stops or scales the cluster which workers were lost by force. */
static void note_killed(struct client *c, const struct service *service, const struct report *r)
{
	size_t used = strlen(c->outcome);
	bool more = strstr(c->outcome, " killed after ") != NULL;
	char text[NEWS_KILLED];

	if (r == NULL || r->kind != REPORT_STOP_TIMEOUT || r->signal != SIGKILL ||
		(c->request.method != METHOD_STOP && c->request.method != METHOD_SCALE) ||
		c->state != CLIENT_WAITING)
		return;
	news_killed(text, service);
	snprintf(c->outcome + used, sizeof(c->outcome) - used, "%s%s.%" PRIu32 "%s%s",
		more ? ", also " : "; ", service->name, r->slot, more ? "" : " ", more ? "" : text);
}

void control_on_published(struct supervisor *sup, struct service *service,
	const struct report *report, const char *json, const char *sentence)
{
	if (service != NULL && report != NULL)
		keep_outcome(service, report, sentence);
	for (struct client *c = sup->control.first; c != NULL; c = c->next) {
		if (c->state == CLIENT_FOLLOWING
				? !events_want(c, json, strlen(json))
				: c->state != CLIENT_WAITING || !is_expecting(c, service))
			continue;
		if (service != NULL)
			note_killed(c, service, report);
		(void)control_put_event(&c->out, c->request.id, json);
		client_write(c);
	}
}

void clients_look(struct supervisor *sup)
{
	bool more_logs = sup->control.last_log != sup->logger.last_log;

	sup->control.last_log = sup->logger.last_log;
	for (struct client *c = sup->control.first; c != NULL; c = c->next)
		if (c->state == CLIENT_WAITING)
			request_look(c);
		else if (more_logs && c->state == CLIENT_FOLLOWING)
			showlogs_look(c);
}

void control_on_drop(struct service *service)
{
	set_outcome(&service->last_rollout, 0, NULL, false);
	set_outcome(&service->last_scale, 0, NULL, false);
	if (service->index == SIZE_MAX)
		return;
	for (struct client *c = service->sup->control.first; c != NULL; c = c->next)
		request_expect_no_more(c, service);
}
