/* SPDX-License-Identifier: MIT */
#include "supervisor/control/status.h"

#include "base/nsec.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/descriptors.h"
#include "os/process.h"
#include "protocol/json.h"
#include "supervisor/common/news_text.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/trouble.h"
#include "supervisor/control/census.h"
#include "supervisor/control/clients.h"
#include "supervisor/control/internal.h"
#include "supervisor/drain/host.h"
#include "supervisor/messages/channel.h"
#include "supervisor/messages/messages.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/workers/service.h"
#include "supervisor/workers/use.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void put_count(struct json_writer *w, const char *key, long n)
{
	if (n < 0)
		json_put_null(w, key);
	else
		json_put_int(w, key, n);
}

/* So many connections of one address are a proxy's, not a browser's. */
#define ONE_CLIENT 8

/* `slot`: the only slot that has the listener, or SLOT_ALL. */
static void put_listener(struct json_writer *w, const struct listener *l, uint32_t slot)
{
	char client[INET6_ADDRSTRLEN];
	struct queue_facts queue;

	group_queue(l, &queue);
	json_open_object(w);
	json_put_text(w, "name", l->address.name);
	json_put_text(w, "address", listener_text(l));
	if (slot != SLOT_ALL)
		json_put_int(w, "slot", slot);
	json_put_bool(w, "learned", learned_only(l));
	json_put_bool(w, "bound", l->learned || l->asked != NULL);
	json_put_int(w, "inode", (int64_t)l->inode);
	if (group_size(l) > 1)
		json_put_int(w, "sockets", group_size(l));
	put_count(w, "queue", queue.depth);
	put_count(w, "queue_limit", queue.limit);
	put_count(w, "dropped", queue.drops);
	if (l->chosen == SPREAD_CLIENTS && l->slots > 1 && l->facts.listening && l->key.port != 0)
		json_put_text(
			w, "only_client", sockdiag_only_client(l->key.port, ONE_CLIENT, client));
	json_close_object(w);
}

static void put_ending(struct json_writer *w, const struct slot_view *view)
{
	static const char *const kinds[] = {
		[ENDING_NONE] = "none",
		[ENDING_EXIT] = "exit",
		[ENDING_SIGNAL] = "signal",
		[ENDING_SPAWN] = "spawn",
		[ENDING_UNKNOWN] = "unknown",
	};
	char text[64];

	if (!json_open_member(w, "last_exit", view->last.kind != ENDING_NONE))
		return;
	json_put_text(w, "kind", kinds[view->last.kind]);
	json_put_int(w, "code", view->last.code);
	if (view->last.kind == ENDING_SPAWN && view->last.code != 0)
		json_put_text(w, "text", strerror(view->last.code));
	else
		json_put_text(w, "text", news_ending_text(text, &view->last));
	json_put_real(w, "after", nsec_seconds(view->last_age), 3);
	json_put_bool(w, "asked", view->last_why != WHY_ITSELF);
	json_close_object(w);
}

/* Use of resources by all processes of the worker; CPU since the last status, or since the start. */
static void put_usage(struct json_writer *w, struct child *child, const struct worker_view *worker,
	nsec_t now, bool all)
{
	struct tree_use use;
	nsec_t used;
	nsec_t span;

	if (child == NULL || !use_look(child, &use)) {
		json_put_null(w, "cpu_percent");
		json_put_null(w, "cpu_seconds");
		json_put_null(w, "memory_bytes");
		json_put_null(w, "rss_bytes");
		return;
	}
	json_put_real(w, "cpu_seconds", nsec_seconds(use.cpu), 3);
	json_put_int(w, "memory_bytes", (int64_t)use.memory);
	json_put_int(w, "processes", use.processes);
	if (!all)
		return;
	/* a process that ends unreaped takes its CPU time away */
	used = use.cpu > child->shown.cpu_then ? use.cpu - child->shown.cpu_then : 0;
	span = now - (child->shown.at != 0 ? child->shown.at : worker->born);
	if (span > 0)
		json_put_real(w, "cpu_percent", 100. * (double)used / (double)span, 1);
	else
		json_put_null(w, "cpu_percent");
	json_put_int(w, "rss_bytes", (int64_t)use.rss);
	if (use.stopped)
		json_put_bool(w, "stopped", true); /* by SIGSTOP */
	/* clock ticks are coarse: too short a span says nothing */
	if (span > 100 * MSEC || child->shown.at == 0) {
		child->shown.cpu_then = use.cpu;
		child->shown.at = now;
	}
}

/* Counts of the messages to and from the worker. */
void control_on_status_worker(struct json_writer *w, const struct child *child)
{
	const struct channel *c = child->channel;

	if (c == NULL)
		return;
	json_open_member(w, "messages", true);
	json_put_int(w, "sent", (int64_t)c->sent); /* to the worker */
	json_put_int(w, "received", (int64_t)c->received);
	json_put_int(w, "dropped", (int64_t)c->dropped);
	json_put_int(w, "invalid", (int64_t)(c->invalid + c->skipped));
	json_put_int(w, "queued", (int64_t)queue_len(&c->out));
	json_put_bool(w, "open", c->io.fd != -1);
	json_close_object(w);
}

/* What is to come: a start, or the end of a worker that is not fit. */
static void put_plans(struct json_writer *w, const struct slot_view *view,
	const struct worker_view *worker, nsec_t now)
{
	if (view->waits)
		json_put_bool(w, "waits", true); /* start-at-once */
	if (view->next_try == NSEC_NEVER || worker != NULL)
		json_put_null(w, "next_try");
	else
		json_put_real(w, "next_try",
			view->next_try > now ? nsec_seconds(view->next_try - now) : 0., 3);
	if (worker != NULL && view->mend_at != NSEC_NEVER)
		json_put_real(w, "replaced_in",
			view->mend_at > now ? nsec_seconds(view->mend_at - now) : 0., 3);
}

/* Not `all`: only what metrics are made of, because an instance may have thousands of workers. */
static void put_worker(struct json_writer *w, struct service *s, uint32_t slot,
	const struct slot_view *view, const struct worker_view *worker, nsec_t now, bool all)
{
	struct child *child = worker != NULL ? child_find(s, slot, worker->id) : NULL;
	enum slot_state state = worker != NULL ? worker->state : view->state;
	bool did = worker != NULL && worker->did && state == SLOT_STARTING;

	json_open_object(w);
	json_put_int(w, "slot", slot);
	if (all) {
		put_count(w, "id", worker != NULL ? (long)worker->id : -1);
		put_count(w, "pid", worker != NULL ? worker->pid : -1);
		put_count(w, "generation", worker != NULL ? (long)worker->generation : -1);
		put_plans(w, view, worker, now);
	}
	json_put_text(w, "state", slot_state_name(did ? SLOT_READY : state));
	if (worker != NULL)
		json_put_real(w, "uptime", nsec_seconds(now - worker->born), 3);
	else
		json_put_null(w, "uptime");
	json_put_int(w, "restarts", view->restarts);
	put_usage(w, child, worker, now, all);
	if (!all && child != NULL && census_of(child) >= 0)
		json_put_int(w, "connections", census_of(child));
	if (all && child != NULL && child->life.status != NULL)
		json_put_text(w, "status", child->life.status);
	if (child != NULL)
		moment_status_worker(w, child);
	if (all) {
		put_ending(w, view);
		trouble_put_slot(w, s, slot, now);
	}
	json_close_object(w);
}

static void put_slot(
	struct json_writer *w, const struct client *c, struct service *s, uint32_t slot, nsec_t now)
{
	bool all = !c->request.metrics;
	struct slot_view view;

	cluster_view_slot(s->core, slot, &view);
	if (view.workers == 0 && s->accepting == NULL)
		put_worker(w, s, slot, &view, NULL, now, all);
	for (unsigned i = 0; i < view.workers; i++)
		put_worker(w, s, slot, &view, &view.worker[i], now, all);
}

static void put_rollout(struct json_writer *w, struct service *s, nsec_t now)
{
	struct rollout_view view = cluster_view_rollout(s->core);
	char step[100];
	char age[16];

	if (!json_open_member(w, "rollout", view.under_way))
		return;
	if (view.baking > now)
		snprintf(step, sizeof(step), "watching the first %u for %s more",
			view.canary > 0 ? view.canary : view.of, text_age(age, view.baking - now));
	else if (view.unprepared)
		snprintf(step, sizeof(step), "running '%s'",
			view.settings->before_of_all ? "release" : "before");
	else if (view.slot != SLOT_ALL)
		snprintf(step, sizeof(step), "waiting for %s.%u", s->name, view.slot);
	else
		snprintf(step, sizeof(step), "starting");
	json_put_int(w, "id", view.id);
	json_put_int(w, "to", view.to);
	json_put_int(w, "done", view.done);
	json_put_int(w, "of", view.of);
	json_put_text(w, "step", step);
	json_put_real(w, "since", nsec_seconds(now - view.since), 3);
	json_put_bool(w, "going_back", view.going_back);
	json_put_int(w, "canary", view.canary);
	json_close_object(w);
}

static double to_seconds(const struct timeval *t)
{
	return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

/* What nclust itself uses, and how long its loop kept clients waiting. */
static void put_ourselves(struct json_writer *w, const struct supervisor *sup)
{
	struct process_facts facts = {.rss = 0};
	struct rusage use;

	(void)getrusage(RUSAGE_SELF, &use);
	(void)process_look(getpid(), &facts);
	json_open_member(w, "process", true);
	json_put_real(w, "cpu_seconds", to_seconds(&use.ru_utime) + to_seconds(&use.ru_stime), 6);
	json_put_int(w, "memory_bytes", (int64_t)process_memory(getpid()));
	json_put_int(w, "rss_bytes", (int64_t)facts.rss);
	put_count(w, "descriptors", descriptors_count());
	json_put_int(w, "descriptors_limit", (int64_t)sup->launch.descriptors);
	json_put_int(w, "turns", (int64_t)sup->turn.turns);
	json_put_real(w, "busy_seconds", nsec_seconds(sup->turn.busy), 6);
	json_put_real(w, "longest_turn_seconds", nsec_seconds(sup->turn.longest), 6);
	json_close_object(w);
}

static void put_head(struct client *c, struct json_writer *w, nsec_t now)
{
	struct supervisor *sup = c->sup;

	json_put_text(w, "name", sup->settings->name);
	json_put_int(w, "pid", getpid());
	json_put_text(w, "version", carry_variant.program);
	json_put_real(w, "uptime", nsec_seconds(now - sup->launch.started), 3);
	json_put_int(w, "upgrades", sup->upgrade.count);
	host_put(w, sup);
	if (*c->request.readiness == '\0')
		put_ourselves(w, sup);
	json_open_list(w, "clusters");
}

static void put_segment(struct json_writer *w, const struct segment *s)
{
	struct sharedmem_facts facts;

	if (!json_open_member(w, "shared_memory", s != NULL && sharedmem_look(s->fd, &facts) == 0))
		return;
	json_put_int(w, "size", (int64_t)facts.size);
	json_put_int(w, "used", (int64_t)facts.used);
	json_put_int(w, "inode", (int64_t)facts.ino);
	json_close_object(w);
}

static void put_cluster(struct json_writer *w, struct service *s, nsec_t now)
{
	const struct listener_set *set = &s->sockets.listeners;
	const struct cluster_settings *settings = cluster_settings(s->core);

	json_put_text(w, "name", s->name);
	json_open_list(w, "command");
	for (size_t i = 0; i < settings->command.count; i++)
		json_text(w, settings->command.list[i]);
	json_close_array(w);
	json_put_int(w, "wanted", service_is_done(s) ? 0 : service_counts(s).workers);
	json_put_int(w, "ready", service_counts(s).ready);
	json_put_int(w, "generation", cluster_generation(s->core));
	if (settings->max_memory.bytes != 0)
		json_put_int(w, "max_memory_bytes", (int64_t)settings->max_memory.bytes);
	moment_status(w, s);
	json_put_bool(w, "notify_seen", cluster_knows_notify(s->core));
	json_put_bool(w, "listen_seen", cluster_knows_listen(s->core));
	if (once_said(s->said, ONCE_NO_PRIMARY) && !cluster_knows_listen(s->core))
		json_put_text(w, "no_port", "opens no port: is that right? " TROUBLE_OWN_PRIMARY);
	json_put_text(w, "state", cluster_state_name(cluster_state(s->core)));
	json_put_bool(w, "done", service_is_done(s));
	json_put_bool(w, "scaled", s->stage.scaled);
	trouble_put(w, s, now);
	put_rollout(w, s, now);
	put_segment(w, s->sockets.segment);
	json_open_list(w, "listeners");
	for (size_t i = 0; i < set->count; i++)
		put_listener(w, set->list[i], listeners_slot(set, i));
	for (size_t i = 0; i < s->sockets.learned.count; i++)
		if (learned_only(s->sockets.learned.list[i]))
			put_listener(w, s->sockets.learned.list[i], SLOT_ALL);
	json_close_array(w);
	json_open_list(w, "workers");
}

static void put_workers(
	struct json_writer *w, const struct client *c, struct service *s, nsec_t now)
{
	uint32_t end = service_counts(s).slots;

	/* whether a start has failed matters only if no worker serves */
	if (*c->request.readiness != '\0' && (s->scaling == NULL || service_counts(s).ready > 0))
		return;
	for (uint32_t slot = 0; slot < end; slot++)
		if (c->only_slot == SLOT_ALL || slot == c->only_slot)
			put_slot(w, c, s, slot, now);
}

static void answer_status(struct client *c)
{
	struct supervisor *sup = c->sup;
	const char *only = c->request.target;
	nsec_t now = clock_now();
	struct json_writer w;

	c->out.limit = CONTROL_RESULT_MAX;
	(void)control_begin_result(&c->out, c->request.id);
	json_begin(&w, &c->out);
	json_open_object(&w);
	put_head(c, &w, now);
	for (size_t i = 0; i < sup->service_count; i++) {
		struct service *s = sup->services[i];

		if (*only != '\0' && strcmp(only, s->name) != 0)
			continue;
		json_open_object(&w);
		put_cluster(&w, s, now);
		put_workers(&w, c, s, now);
		json_close_array(&w);
		json_close_object(&w);
	}
	json_close_array(&w);
	json_close_object(&w);
	(void)control_end_result(&c->out);
	c->out.limit = CLIENT_OUT_MAX;
	client_done(c);
}

void clients_counted(struct supervisor *sup)
{
	for (struct client *c = sup->control.first; c != NULL; c = c->next)
		if (c->state == CLIENT_STATUS)
			answer_status(c);
}

void status_begin(struct client *c)
{
	if (c->request.metrics && census_begin(c->sup))
		c->state = CLIENT_STATUS;
	else
		answer_status(c);
}

/* ---- messages show ---- */

/*
 * Shows workers' messages, as events that the history does not keep.  A client
 * gets as many as it reads; other events always have room beside them.
 */
#define SHOWN_MAX (64U * 1024)
#define UNREAD_MAX (CLIENT_OUT_MAX / 4)

static int put_event(struct json_writer *w, struct buffer *out, const struct child *child,
	size_t len, bool valid)
{
	char text[160];

	news_begin(w, out, "message", LOG_INFO);
	json_put_text(w, "cluster", child->service->name);
	json_put_int(w, "slot", child->slot);
	json_put_int(w, "worker", (int64_t)child->worker);
	if (!valid)
		json_put_bool(w, "json", false);
	json_put_int(w, "size", (int64_t)len);
	snprintf(text, sizeof(text), "%s.%" PRIu32 ": message of %zu bytes", child->service->name,
		child->slot, len);
	json_put_text(w, "text", text);
	return buffer_text(out) != NULL && !out->failed ? 0 : -1;
}

/* The message is the last member, so that a reader need not parse all of it. */
static int put_message(
	struct json_writer *w, struct buffer *out, const char *line, size_t len, bool valid)
{
	if (len <= SHOWN_MAX) {
		json_key(w, "message");
		if (valid) {
			json_raw(w, "");
			buffer_append(out, line, len);
		} else {
			json_bytes(w, line, len);
		}
	}
	json_close_object(w);
	return buffer_text(out) != NULL && !out->failed ? 0 : -1;
}

static void hand_out(struct client *client, const struct buffer *event)
{
	if (client->out.len + event->len > UNREAD_MAX) {
		client->missed++;
		return;
	}
	client_tell_missed(client);
	(void)control_put_event(&client->out, client->request.id, event->data);
	client_watch(client);
}

void messages_show(const struct channel *c, const char *line, size_t len, bool valid)
{
	scoped_buffer event = {0};
	struct json_writer w;
	size_t head = 0; /* so long is what comes before the message */

	for (struct client *k = c->child->service->sup->control.first; k != NULL; k = k->next) {
		if (k->state != CLIENT_FOLLOWING)
			continue;
		if (head == 0 && put_event(&w, &event, c->child, len, valid) == -1)
			break;
		if (head == 0)
			head = event.len;
		if (!events_want(k, event.data, head))
			continue;
		if (event.len == head && put_message(&w, &event, line, len, valid) == -1)
			break;
		hand_out(k, &event);
	}
}
