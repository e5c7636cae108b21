/* SPDX-License-Identifier: MIT */
#include "supervisor/accept/accepting.h"
#include "supervisor/accept/visits.h"
#include "supervisor/common/guard.h"
#include "supervisor/common/news.h"
#include "supervisor/common/news_text.h"
#include "supervisor/control/clients.h"
#include "supervisor/control/outcomes.h"
#include "supervisor/control/status.h"
#include "supervisor/drain/drain.h"
#include "supervisor/drain/imbalance.h"
#include "supervisor/drain/steer.h"
#include "supervisor/drain/steer_check.h"
#include "supervisor/drain/steer_open.h"
#include "supervisor/fallback/fallback.h"
#include "supervisor/health/health.h"
#include "supervisor/health/stall.h"
#include "supervisor/hooks/hooks.h"
#include "supervisor/instance/lifecycle.h"
#include "supervisor/instance/manager.h"
#include "supervisor/intercept/intercept.h"
#include "supervisor/intercept/listens.h"
#include "supervisor/intercept/spare_gate.h"
#include "supervisor/leader/leader.h"
#include "supervisor/limits/limits.h"
#include "supervisor/logs/logs.h"
#include "supervisor/messages/broker.h"
#include "supervisor/messages/messages.h"
#include "supervisor/node/node.h"
#include "supervisor/order/order.h"
#include "supervisor/orphans/write_state.h"
#include "supervisor/scaling/scaling.h"
#include "supervisor/watch/watch.h"
#include "supervisor/web/webrole.h"
#include "supervisor/workers/child.h"

/*
 * Each moment calls the rooms that take part in it, in its own order (common/moment.h lists the
 * moments).  `gone`, `drop` and `shutdown` release in the opposite order of `prepare` and `born`: first
 * the rooms that are built on others, and the ground last.
 */

int moment_prepare(struct child *child, struct birth *birth, struct error *err)
{
	if (limits_on_prepare(child, birth, err) == -1)
		return -1;
	intercept_on_prepare(child, birth);
	if (messages_on_prepare(child, birth, err) == -1)
		return -1;
	drain_on_prepare(child, birth);
	if (leader_on_prepare(child, birth, err) == -1)
		return -1;
	/* The state file's entry has the worker's trap, channel and lane. */
	orphans_on_prepare(child, birth);
	return 0;
}

void moment_born(struct child *child, struct birth *birth)
{
	limits_on_born(child, birth);
	intercept_on_born(child, birth);
	messages_on_born(child);
	/* It hands to the keeper what these have of the worker: a next nclust gets that back. */
	orphans_on_born(child);
	health_on_born(child);
}

void moment_uses(struct child *child, struct listener *l, enum listener_use use)
{
	steer_on_uses(child, l, use);
	fallback_on_uses(child, use);
}

void moment_connects(struct child *child, int trap)
{
	steer_on_connects(child, trap);
}

void moment_release(struct child *child)
{
	intercept_on_release(child);
	node_on_release(child);
}

void moment_stop(struct child *child, int signal, nsec_t span)
{
	if (intercept_on_stop(child, signal))
		return;
	/* Node stops the workers that it can stop by itself; the drain, last, takes whoever is left. */
	node_on_stop(child, signal);
	drain_on_stop(child, signal, span);
}

void moment_dying(struct child *child)
{
	limits_on_dying(child);
	messages_on_dying(child);
	drain_on_dying(child);
	news_on_dying(child);
}

void moment_gone(struct child *child)
{
	health_on_gone(child);
	/* The keeper lets go while what it holds is still open. */
	orphans_on_gone(child);
	leader_on_gone(child);
	accept_on_gone(child);
	drain_on_gone(child);
	/* It gives back a worker's handles while the channel and the sockets are there. */
	node_on_gone(child);
	messages_on_gone(child);
	intercept_on_gone(child);
	limits_on_gone(child);
}

void moment_adopt(struct child *child, struct worker_fds *fds)
{
	limits_on_adopt(child);
	intercept_on_adopt(child, fds);
	messages_on_adopt(child, fds);
	/* It looks which channel there is. */
	node_on_adopt(child);
	drain_on_adopt(child, fds);
	leader_on_adopt(child, fds);
}

void moment_adopted(struct service *service)
{
	node_on_adopted(service);
	steer_on_adopted(service);
	leader_on_adopted(service);
	order_on_adopted(service);
	logs_send_routes(service);
	/* It knows if the cluster is asleep on purpose, which fallback asks. */
	scaling_on_reloaded(service);
	fallback_on_reloaded(service);
	health_on_adopted(service);
}

bool moment_stopping(struct service *service, bool at_once)
{
	return order_on_stopping(service, at_once);
}

int moment_begin(struct service *service)
{
	return accept_on_begin(service);
}

void moment_report(struct service *service, const struct report *report)
{
	listens_on_report(service, report);
	/* These two log what they do for a report before the report, */
	steer_on_report(service, report);
	accept_on_report(service, report);
	leader_on_report(service, report);
	orphans_on_report(service, report);
	/* and that line comes before the lines about its consequences. */
	news_on_report(service, report);
	instance_on_report(service, report);
	hooks_on_report(service, report);
	order_on_report(service, report);
	/* It knows if the cluster is asleep on purpose: else the first client of one that is
	 * would get 503 of fallback. */
	scaling_on_report(service, report);
	fallback_on_report(service, report);
	watch_on_report(service, report);
	if (report->kind == REPORT_ROLLOUT_DONE) /* its settings are in force */
		logs_on_reloaded(service);
	/* Last, because it may end workers. */
	health_on_report(service, report);
}

void moment_connection_report(struct service *service, const struct report *report)
{
	accept_on_report(service, report);
}

void moment_choose(struct service *service)
{
	drain_on_choose(service);
}

void moment_reloaded(struct service *service)
{
	limits_on_reloaded(service);
	broker_on_reloaded(service);
	steer_on_reloaded(service);
	accept_on_reloaded(service);
	orphans_on_reloaded(service);
	logs_on_reloaded(service);
	/* Before fallback, as in a report. */
	scaling_on_reloaded(service);
	fallback_on_reloaded(service);
	watch_on_reloaded(service);
	health_on_reloaded(service);
}

void moment_status(struct json_writer *w, const struct service *service)
{
	broker_on_status(w, service);
	imbalance_on_status(w, service);
	accept_on_status(w, service);
	leader_on_status(w, service);
	news_on_status(w, service);
	order_on_status(w, service);
	scaling_on_status(w, service);
	fallback_on_status(w, service);
	held_on_status(w, service);
}

void moment_status_worker(struct json_writer *w, const struct child *child)
{
	/* Programs that read a status know this order of the members. */
	health_on_status_worker(w, child);
	control_on_status_worker(w, child);
	accept_on_status_worker(w, child);
	node_on_status_worker(w, child);
	startwait_on_status(w, child);
	limits_on_status_worker(w, child);
}

void moment_drop(struct service *service)
{
	health_on_drop(service);
	watch_on_drop(service);
	fallback_on_drop(service);
	scaling_on_drop(service);
	control_on_drop(service);
	logs_on_drop(service);
	order_forget(service);
	hooks_on_drop(service);
	orphans_forget(service);
	leader_on_drop(service);
	accept_on_drop(service);
	steer_on_drop(service);
	node_on_drop(service);
	broker_on_drop(service);
	limits_on_drop(service);
}

void moment_let_go(struct holding *holding)
{
	node_on_let_go(holding);
	orphans_on_let_go(holding);
	scaling_on_let_go(holding);
	fallback_on_let_go(holding);
}

void moment_line(struct channel *c, const char *line, size_t len)
{
	if (c->kind == CHANNEL_NODE)
		node_on_line(c, line, len);
	else
		messages_from(c, line, len);
}

void moment_hung_up(struct channel *c)
{
	if (c->kind == CHANNEL_NODE)
		node_on_hung_up(c);
}

void moment_go_on(struct supervisor *sup)
{
	/* The ground first: the rooms above it find done what it does. */
	workers_on_go_on(sup);
	guard_on_go_on(sup);
	intercept_on_go_on(sup);
	messages_on_go_on(sup);
	node_on_go_on(sup);
	drain_on_go_on(sup);
	accept_on_go_on(sup);
	leader_on_go_on(sup);
	orphans_on_go_on(sup);
	instance_on_go_on(sup);
	hooks_on_go_on(sup);
	logs_on_go_on(sup);
	control_on_go_on(sup);
	web_on_go_on(sup);
	/* Before fallback, as in a report. */
	scaling_on_go_on(sup);
	fallback_on_go_on(sup);
	watch_begin(sup);
	health_on_go_on(sup);
}

void moment_shutdown(struct supervisor *sup)
{
	watch_on_shutdown(sup);
	fallback_on_shutdown(sup);
	cpus_end(sup);
	/* Its address is free before clients hear of the end. */
	web_on_shutdown(sup);
	control_on_shutdown(sup);
	/* Its commands are forgotten before hooks kills them. */
	logs_on_shutdown(sup);
	order_on_shutdown(sup);
	hooks_on_shutdown(sup);
	instance_on_shutdown(sup);
	news_on_shutdown(sup);
	orphans_on_shutdown(sup);
	leader_on_shutdown(sup);
	drain_on_shutdown(sup);
	broker_on_shutdown(sup);
	guard_on_shutdown(sup);
	limits_on_shutdown(sup);
	/* It ends the logger, of which logs has taken leave. */
	workers_on_shutdown(sup);
}

void moment_published(struct supervisor *sup, struct service *service, const struct report *report,
	const char *json, const char *sentence)
{
	control_on_published(sup, service, report, json, sentence);
}

int moment_renew(struct supervisor *sup, struct error *err)
{
	workers_on_renew(sup);
	if (orphans_on_renew(sup, err) == -1)
		return -1;
	return control_on_renew(sup, err);
}

int moment_reload(struct supervisor *sup, const struct settings *settings, struct error *err)
{
	return web_on_reload(sup, settings, err);
}

void moment_verb(struct supervisor *sup, const struct verb_step *verb)
{
	intercept_on_verb(sup, verb);
	control_on_verb(sup, verb);
	web_on_verb(sup, verb);
	scaling_on_verb(sup, verb);
	watch_on_verb(sup, verb);
}

void moment_logger(struct supervisor *sup, enum logger_step step, struct service *service,
	const struct logwire_packet *packet)
{
	orphans_on_logger(sup, step);
	order_on_logger(sup, step);
	logs_on_logger(sup, step, service, packet);
}

void moment_write_down(struct supervisor *sup)
{
	orphans_on_write_down(sup);
}
