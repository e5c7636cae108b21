/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/alone.h"

#include "base/scope.h"
#include "config/expand.h"
#include "os/clock.h"
#include "os/look/look.h"
#include "supervisor/common/news.h"
#include "supervisor/workers/service.h"

/* Whether a cluster's only worker may have its successor beside it. */

/* Does the worker keep its state where a second one would not see it?  The leader's lock is nclust's,
 * and is made to change hands. */
static bool keeps_state(const struct child *child, char why[STORE_TEXT])
{
	return store_look(child->pid, child->leading.fd == -1, why) != STORE_NONE;
}

static bool counts_port(const struct service *service, const struct listener *l)
{
	const struct cluster_settings *s = cluster_settings(service->core);
	char *const *const words[] = {s->command.list, s->env.list, environ};

	for (size_t i = 0; i < COUNT_OF(words) && l->has_key; i++)
		if (slotword_of_debugger(words[i], l->key.port) != NULL)
			return false;
	return !command_schedules(s->command_text);
}

bool alone_has_port(const struct service *service)
{
	const struct cluster_sockets *sockets = &service->sockets;
	bool found = sockets->listeners.count > 0;
	const struct child *child;

	for_each_child (child, children_of(service)) /* a path of its own */
		found |= child->listening.ports != 0 &&
			!command_schedules(cluster_settings(service->core)->command_text);

	for (size_t i = 0; i < sockets->learned.count && !found; i++)
		found = counts_port(service, sockets->learned.list[i]);
	return found;
}

bool alone_is_store(const struct service *service, char *why)
{
	return walk_find(child, child_next, children_of(service),
		       store_is_known(child->pid, why)) != NULL;
}

bool alone_by_state(struct service *service)
{
	char why[STORE_TEXT];

	if (walk_find(child, child_next, children_of(service), keeps_state(child, why)) == NULL)
		return false;
	if (once_say(service->said, ONCE_RUNS_ONCE))
		news_say_of(service, LOG_NOTE, "alone",
			"%s, so it runs once ('-n auto': once for each CPU)", why);
	return true;
}

/* Say it once, where it matters. */
static void say_alone(struct service *service, const char *why)
{
	if (cluster_heeds_alone(service->core) && once_say(service->said, ONCE_ALONE))
		news_say_of(service, LOG_NOTE, "alone",
			"%s: a restart ends the old one before the new one starts ('surge = 1': "
			"the new one first)",
			why);
}

static bool is_single(const struct service *service)
{
	return service_counts(service).workers == 1 && service->accepting == NULL;
}

void alone_on_ready(struct child *child)
{
	char why[STORE_TEXT];

	if (is_single(child->service) && keeps_state(child, why))
		say_alone(child->service, why);
	if (service_runs_once(child->service) && !alone_has_port(child->service) &&
		once_say(child->service->said, ONCE_RUNS_ONCE))
		news_say_of(child->service, LOG_NOTE, "alone",
			"it has opened no port, so it runs once ('-n auto': once for each CPU)");
}

/* max-age is the core's to measure: look shortly before. */
bool alone_is_due(const struct service *service)
{
	nsec_t most = cluster_settings(service->core)->max_age;
	struct slot_view view;

	if (most == 0 || cluster_ready(service->core) == 0 || !is_single(service))
		return false;
	cluster_view_slot(service->core, 0, &view);
	return view.worker[0].ready_at != NSEC_NEVER &&
		clock_now() - view.worker[0].ready_at >= most / 10 * 8;
}

void alone_look(struct service *service)
{
	struct event event = {.kind = EVENT_ALONE, .held = !alone_has_port(service)};
	char why[STORE_TEXT] = "it opens no port";
	const struct child *child;
	bool any = false; /* a cluster that was stopped has closed its ports */

	if (!is_single(service))
		return;
	for_each_child (child, children_of(service)) {
		any = true;
		event.held |= keeps_state(child, why);
	}
	service_tell(service, &event);
	if (event.held && any)
		say_alone(service, why);
}
