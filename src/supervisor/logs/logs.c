/* SPDX-License-Identifier: MIT */
#include "supervisor/logs/logs.h"

#include "base/text.h"
#include "config/value_log.h"
#include "supervisor/logs/opener.h"
#include "supervisor/workers/logger_life.h"

/* The last lines of workers that end with nclust are written, too. */
#define LAST_MOMENT (2 * SECOND)

/* ---- the logger's list of sinks ---- */

static bool send_sink(struct service *service, size_t i)
{
	const struct cluster_settings *s = cluster_settings(service->core);
	const struct log_sink *sink = &s->log_sinks[i];
	struct logwire_packet p = {
		.kind = LOGWIRE_ROUTE,
		.which = (uint32_t)i,
		.slot = (uint32_t)s->log_sink_count,
		.what = (uint32_t)sink->kind,
		.worker = s->log_size,
		.stream = (uint32_t)(s->log_age / SECOND),
		.quiet = value_log_is_by_slot(sink),
		.flag = (sink->timed ? LOGWIRE_TIMED : 0) |
			(sink->has_stdout ? 0 : LOGWIRE_NO_STDOUT) |
			(sink->has_stderr ? 0 : LOGWIRE_NO_STDERR),
		.address_in_use = sink->facility + (sink->old ? LOGWIRE_OLD_SYSLOG : 0),
	};

	_Static_assert(SINK_PREFIX == (int)LOGWIRE_TO_PREFIX && SINK_JSON == (int)LOGWIRE_TO_JSON &&
			SINK_FILE == (int)LOGWIRE_TO_FILE &&
			SINK_JOURNAL == (int)LOGWIRE_TO_JOURNAL &&
			SINK_SYSLOG == (int)LOGWIRE_TO_SYSLOG,
		"the kinds of sinks are the wire's");
	text_copy(p.cluster, sizeof(p.cluster), service->name);
	text_copy(p.text, sizeof(p.text),
		sink->path != NULL ? sink->path : value_log_kinds[sink->kind]);
	return logger_send(service->sup, &p, NULL, 0);
}

/* LOGWIRE_ROUTE: the cluster has no sinks. */
static bool send_kind(struct service *service, enum logwire_kind kind)
{
	struct logwire_packet p = {.kind = kind};

	text_copy(p.cluster, sizeof(p.cluster), service->name);
	return logger_send(service->sup, &p, NULL, 0);
}

static void forget_told(struct service *service)
{
	cluster_settings_unref(service->routed);
	service->routed = NULL;
}

/* A new logger was told nothing and has asked for nothing yet: forget what the last one was. */
static void look_at_logger(struct supervisor *sup)
{
	if (sup->logger.routed == sup->logger.life.started)
		return;
	sup->logger.routed = sup->logger.life.started;
	opener_forget(sup);
	for (size_t i = 0; i < sup->service_count; i++)
		forget_told(sup->services[i]);
}

/* Send the cluster's list; a logger that was never sent a list has no sinks.  One that was taken
 * over may have asked an nclust that is gone. */
void logs_send_routes(struct service *service)
{
	const struct cluster_settings *s = cluster_settings(service->core);
	struct supervisor *sup = service->sup;
	bool sent = true;

	look_at_logger(sup);
	if (sup->logger.watcher.fd == -1 || (s->log_sink_count == 0 && service->routed == NULL))
		return;
	for (size_t i = 0; sent && i < s->log_sink_count; i++)
		sent = send_sink(service, i);
	if (s->log_sink_count == 0)
		sent = send_kind(service, LOGWIRE_ROUTE);
	forget_told(service);
	if (sent && s->log_sink_count > 0)
		service->routed = cluster_settings_ref(s);
}

/* Also before a worker's pipe is handed over, which may be the first one. */
void logs_on_reloaded(struct service *service)
{
	look_at_logger(service->sup);
	if (service->routed != cluster_settings(service->core))
		logs_send_routes(service);
}

void logs_reopen(struct service *service)
{
	if (service->routed != NULL)
		(void)send_kind(service, LOGWIRE_REOPEN);
}

void logs_on_drop(struct service *service)
{
	if (service->routed != NULL)
		(void)send_kind(service, LOGWIRE_ROUTE);
	forget_told(service);
}

/* ---- the logger's requests ---- */

void logs_on_logger(struct supervisor *sup, enum logger_step step, struct service *service,
	const struct logwire_packet *packet)
{
	if (step == LOGGER_GETS)
		logs_on_reloaded(service);
	else if (step == LOGGER_ASKS && packet->what == LOGWIRE_ASK_ROTATED)
		opener_pack(sup, packet);
	else if (step == LOGGER_ASKS)
		opener_take(sup, packet);
}

void logs_on_go_on(struct supervisor *sup)
{
	opener_resume(sup);
	for (size_t i = 0; i < sup->service_count; i++)
		logs_send_routes(sup->services[i]);
}

void logs_on_shutdown(struct supervisor *sup)
{
	opener_finish(sup, LAST_MOMENT);
	opener_free(sup);
}
