/* SPDX-License-Identifier: MIT */
#include "supervisor/control/internal.h"

#include "base/text.h"
#include "protocol/json.h"
#include "supervisor/drain/drain.h"
#include "supervisor/order/order.h"
#include "supervisor/workers/service.h"

#include <stdlib.h>
#include <string.h>

/* What clients wait for after their requests, and the answers when it has come. */

/* ---- answers ---- */

static void add_sentence(struct buffer *text, const char *sentence)
{
	if (*sentence != '\0')
		buffer_printf(text, "%s%s", text->len > 0 ? "; " : "", sentence);
}

static void add_outcomes(const struct client *c, struct buffer *text, bool failed)
{
	for (size_t i = 0; i < c->expected_count; i++)
		if (c->expected[i].failed == failed && c->expected[i].text != NULL)
			add_sentence(text, c->expected[i].text);
}

/* Compose the answer: first what failed.  The outcome of a reload, scale or stop
 * tells enough of what succeeded. */
static void put_outcome(const struct client *c, struct buffer *text, bool failed)
{
	add_outcomes(c, text, true);
	if (failed == c->failed || c->request.method == METHOD_RELOAD)
		add_sentence(text, c->outcome);
	if (*c->outcome == '\0')
		add_outcomes(c, text, false);
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

void request_finish(struct client *c)
{
	bool failed = c->failed;
	scoped_buffer all = {.limit = CLIENT_OUT_MAX / 4};
	const char *text;

	for (size_t i = 0; i < c->expected_count; i++)
		failed |= c->expected[i].failed;
	put_outcome(c, &all, failed);
	text = buffer_text(&all);
	if (text == NULL)
		text = "out of memory";
	if (failed)
		client_error(c, CONTROL_FAILED, text);
	else
		answer_text(c, text);
}

void request_cut_off(struct client *c)
{
	if (c->expects_reload)
		client_error(
			c, CONTROL_FAILED, "nclust ended before it had read the configuration");
	else if (c->expects_host != 0)
		client_error(c, CONTROL_FAILED, "nclust ended before that was over");
	else
		request_finish(c);
}

static bool is_fulfilled(const struct client *c)
{
	for (size_t i = 0; i < c->expected_count; i++)
		if (!c->expected[i].met)
			return false;
	return !c->expects_end && !c->expects_upgrade && !c->expects_reload && c->expects_host == 0;
}

/* Note the outcome, which may change: until all are known, a rollout may be taken back. */
static void note_outcome(struct expectation *e, const char *sentence, bool failed)
{
	free(e->text);
	e->text = strdup(sentence != NULL ? sentence : "");
	e->failed = failed;
	e->met = true;
}

int request_expect(struct client *c, struct service *service, struct error *err)
{
	struct expectation *list = realloc(c->expected, (c->expected_count + 1) * sizeof(*list));
	enum awaited what = service->stage.awaited;

	if (list == NULL)
		return error_set(err, 0, "out of memory");
	c->expected = list;
	list[c->expected_count++] = (struct expectation){
		.service = service,
		.rollout = what == AWAITED_ROLLOUT ? cluster_last_rollout(service->core) : 0,
		.settled = what == AWAITED_SETTLED,
		.fewer = what == AWAITED_FEWER,
		.ended = what == AWAITED_END,
		.last_before = cluster_last_worker(service->core),
	};
	return 0;
}

void request_expect_no_more(struct client *c, const struct service *of)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->expected_count; i++)
		if (of == NULL || c->expected[i].service == of)
			free(c->expected[i].text);
		else
			c->expected[kept++] = c->expected[i];
	c->expected_count = kept;
}

/* ---- expectations come true ---- */

/* Is the rollout over, or a newer one in its place?  Or was it done, and is taken back now? */
static bool is_rollout_over(const struct expectation *e)
{
	const struct outcome *o = &e->service->outcome;

	if (e->met)
		return o->of == e->rollout && o->failed && !e->failed;
	return e->rollout != 0 && o->of >= e->rollout;
}

/* Has a scale failed, because its new workers do not become ready? */
static bool is_scale_failed(const struct expectation *e, const struct report *r)
{
	struct slot_view slot;

	if (!e->settled || e->met)
		return false;
	if (r->kind == REPORT_START_TIMEOUT || r->kind == REPORT_GAVE_UP)
		return true;
	if (r->kind != REPORT_EXITED || r->why != WHY_ITSELF)
		return false;
	/* an old worker may end (the report of which may come late), but none that the scale has
	 * started, unless its job is done */
	service_view_slot(e->service, r->slot, &slot);
	return r->worker > e->last_before && slot.state != SLOT_ENDED;
}

/* The report may belong to an earlier stop, and be late: the event waited for a
 * worker's last output. */
static bool is_stopped_instead(const struct expectation *e, const struct report *r)
{
	enum cluster_state now = cluster_state(e->service->core);

	return !e->ended && !e->met && r->kind == REPORT_STATE &&
		(now == CLUSTER_STOPPING || now == CLUSTER_STOPPED || now == CLUSTER_FAILED) &&
		(r->state == CLUSTER_STOPPING || r->state == CLUSTER_STOPPED ||
			r->state == CLUSTER_FAILED);
}

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

/* Has the client's drain, or its undrain, an outcome? */
static void look_at_host(struct client *c)
{
	const char *text;
	enum host_outcome outcome = host_outcome(c->sup, c->expects_host, &text);

	if (outcome == HOST_WAITS)
		return;
	c->expects_host = 0;
	c->failed = outcome != HOST_DONE;
	text_copy(c->outcome, sizeof(c->outcome), text);
	if (outcome == HOST_LATE)
		client_error(c, CONTROL_TIMED_OUT, c->outcome);
	else
		request_finish(c);
}

void request_look(struct client *c, const struct service *service, const struct report *report,
	const char *sentence)
{
	if (c->expects_host != 0) {
		look_at_host(c);
		return;
	}
	for (size_t i = 0; i < c->expected_count; i++) {
		struct expectation *e = &c->expected[i];
		const struct outcome *o = &e->service->outcome;
		bool is_its = service != NULL && e->service == service;
		char why[400];

		if (is_rollout_over(e)) {
			note_outcome(e, o->text, o->failed);
			e->rollout = o->of;
		} else if (is_its && is_scale_failed(e, report)) {
			note_outcome(e, sentence, true);
		} else if (has_come_true(e)) {
			e->met = true; /* a cluster also stops because all jobs are done */
		} else if (is_its && is_stopped_instead(e, report)) {
			note_outcome(e, sentence, true);
		} else if (!e->met && !e->ended && order_is_lost(e->service, why, sizeof(why))) {
			note_outcome(e, why, true);
		}
	}
	if (is_fulfilled(c))
		request_finish(c);
}

void request_await(struct client *c)
{
	if ((c->request.no_wait && !c->expects_reload) || is_fulfilled(c)) {
		request_finish(c);
		return;
	}
	c->state = CLIENT_WAITING;
	request_look(c, NULL, NULL, NULL);
}

void requests_upgraded(struct supervisor *sup, const char *text, bool failed)
{
	for (struct client *c = sup->control.first; c != NULL; c = c->next) {
		if (!c->expects_upgrade)
			continue;
		c->expects_upgrade = false;
		c->failed = failed;
		text_copy(c->outcome, sizeof(c->outcome), text);
		if (c->state == CLIENT_WAITING && is_fulfilled(c))
			request_finish(c);
	}
}

static void tell_reloaded(struct client *c, struct reload_result *result)
{
	const char *text = buffer_text(&result->text);
	struct error err;

	if (text == NULL)
		text = "out of memory";
	c->expects_reload = false;
	if (result->failed) {
		client_error(c, result->bad_config ? CONTROL_BAD_CONFIG : CONTROL_FAILED, text);
		return;
	}
	text_copy(c->outcome, sizeof(c->outcome), text);
	for (size_t i = 0; i < c->sup->service_count; i++) {
		struct service *s = c->sup->services[i];

		/* without memory the answer comes too early */
		if (s->stage.awaited != AWAITED_NOTHING)
			(void)request_expect(c, s, &err);
	}
	request_await(c);
}

int control_on_reload(struct supervisor *sup, const struct settings *settings,
	struct reload_result *result, struct error *err)
{
	(void)settings;
	(void)err;
	for (struct client *c = sup->control.first; result != NULL && c != NULL; c = c->next)
		if (c->expects_reload)
			tell_reloaded(c, result);
	return 0;
}

/* ---- news ---- */

/* Does the client wait for this cluster, or (NULL) for an upgrade? */
static bool is_expecting(const struct client *c, const struct service *service)
{
	if (service == NULL)
		return c->expects_upgrade || c->expects_host != 0;
	for (size_t i = 0; i < c->expected_count; i++)
		if (c->expected[i].service == service)
			return true;
	return c->expects_end;
}

/* Keep the end of a rollout for clients that wait for it, or begin to wait after it. */
static void keep_outcome(struct service *service, const struct report *report, const char *sentence)
{
	if (report->kind != REPORT_ROLLOUT_DONE && report->kind != REPORT_ROLLOUT_FAILED)
		return;
	free(service->outcome.text);
	service->outcome.text = strdup(sentence);
	service->outcome.of = report->rollout;
	service->outcome.failed = report->kind == REPORT_ROLLOUT_FAILED;
}

void control_on_told(struct supervisor *sup, struct service *service, const struct report *report,
	const char *json, const char *sentence)
{
	if (service != NULL && report != NULL)
		keep_outcome(service, report, sentence);
	for (struct client *c = sup->control.first; c != NULL; c = c->next) {
		if (c->state == CLIENT_FOLLOWING
				? !events_want(c, json, strlen(json))
				: c->state != CLIENT_WAITING || !is_expecting(c, service))
			continue;
		(void)control_put_event(&c->out, c->request.id, json);
		if (c->state == CLIENT_WAITING && service != NULL && report != NULL)
			request_look(c, service, report, sentence);
		client_write(c);
	}
}

void clients_look(struct supervisor *sup)
{
	bool more_logs = sup->control.last_log != sup->logger.last_log;

	sup->control.last_log = sup->logger.last_log;
	for (struct client *c = sup->control.first; c != NULL; c = c->next)
		if (c->state == CLIENT_WAITING)
			request_look(c, NULL, NULL, NULL);
		else if (more_logs && c->state == CLIENT_FOLLOWING)
			showlogs_look(c);
}

/* Clients that follow a cluster's events follow them under its new name. */
void control_on_renamed(struct service *service, const char *old)
{
	for (struct client *c = service->sup->control.first; c != NULL; c = c->next)
		if (c->state == CLIENT_FOLLOWING && strcmp(c->request.target, old) == 0)
			text_copy(c->request.target, sizeof(c->request.target), service->name);
}

void control_on_drop(struct service *service)
{
	if (service->index == SIZE_MAX)
		return;
	for (struct client *c = service->sup->control.first; c != NULL; c = c->next)
		request_expect_no_more(c, service);
}
