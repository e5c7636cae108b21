/* SPDX-License-Identifier: MIT */
#include "web/internal.h"

#include "base/scope.h"

#include <string.h>

enum level { OF_INSTANCE, OF_CLUSTER, OF_LISTENER, OF_WORKER };
enum type { GAUGE, COUNTER, SUMMARY };

/*
 * One family of metrics.  The number comes with the status: a worker's from
 * put_worker_metrics() of supervisor/control/status.c, a cluster's counter from where
 * supervisor/common/news.h says.  `path` leads to the number, or with `label` to an
 * object, each member of which is a sample.  A summary has its count at `count`.
 */
struct family {
	const char *name; /* of a counter without "_total" */
	enum type type;
	enum level level;
	const char *path;
	const char *label;
	const char *count;
	const char *help;
};

static const struct family families[] = {
	{"nclust_uptime_seconds", GAUGE, OF_INSTANCE, "uptime", NULL, NULL,
		"Time since nclust was started."},
	{"nclust_drained_seconds", GAUGE, OF_INSTANCE, "drained.since", NULL, NULL,
		"Time since this host was drained, if it is."},
	{"nclust_upgrades", COUNTER, OF_INSTANCE, "upgrades", NULL, NULL,
		"Upgrades of nclust in its place."},
	{"nclust_process_cpu_seconds", COUNTER, OF_INSTANCE, "process.cpu_seconds", NULL, NULL,
		"CPU time that nclust itself has used."},
	{"nclust_process_memory_bytes", GAUGE, OF_INSTANCE, "process.memory_bytes", NULL, NULL,
		"Memory that nclust has for itself alone."},
	{"nclust_process_resident_memory_bytes", GAUGE, OF_INSTANCE, "process.rss_bytes", NULL,
		NULL, "Memory of nclust, with pages of files."},
	{"nclust_process_open_fds", GAUGE, OF_INSTANCE, "process.descriptors", NULL, NULL,
		"Descriptors that nclust has open."},
	{"nclust_process_max_fds", GAUGE, OF_INSTANCE, "process.descriptors_limit", NULL, NULL,
		"Descriptors that nclust may have open."},
	{"nclust_loop_turns", COUNTER, OF_INSTANCE, "process.turns", NULL, NULL,
		"Times that nclust woke up since its last upgrade."},
	{"nclust_loop_busy_seconds", COUNTER, OF_INSTANCE, "process.busy_seconds", NULL, NULL,
		"Time in which nclust could not answer others."},
	{"nclust_loop_longest_turn_seconds", GAUGE, OF_INSTANCE, "process.longest_turn_seconds",
		NULL, NULL, "The longest of these times since the last upgrade."},

	{"nclust_workers_wanted", GAUGE, OF_CLUSTER, "wanted", NULL, NULL,
		"Workers that the cluster should have."},
	{"nclust_workers_ready", GAUGE, OF_CLUSTER, "ready", NULL, NULL, "Workers that are ready."},
	{"nclust_workers_min", GAUGE, OF_CLUSTER, "autoscale.min", NULL, NULL,
		"The least workers that a range of 'workers' allows."},
	{"nclust_workers_max", GAUGE, OF_CLUSTER, "autoscale.max", NULL, NULL,
		"The most workers that it allows."},
	{"nclust_scale_steps", COUNTER, OF_CLUSTER, "autoscale.steps", "direction", NULL,
		"Times that there were more or fewer workers wanted."},
	{"nclust_fallback_answers", COUNTER, OF_CLUSTER, "fallback.answers", NULL, NULL,
		"Clients that got 503, as no worker was ready."},
	{"nclust_workers", GAUGE, OF_CLUSTER, "states", "state", NULL, "Workers by state."},
	{"nclust_generation", GAUGE, OF_CLUSTER, "generation", NULL, NULL,
		"Generation of the settings in force."},
	{"nclust_rollout_workers", GAUGE, OF_CLUSTER, "rollout.of", NULL, NULL,
		"Workers that the rollout under way replaces."},
	{"nclust_rollout_workers_done", GAUGE, OF_CLUSTER, "rollout.done", NULL, NULL,
		"Workers that it has replaced so far."},
	{"nclust_starts", COUNTER, OF_CLUSTER, "counters.started", NULL, NULL, "Workers started."},
	{"nclust_exits", COUNTER, OF_CLUSTER, "counters.exits", "reason", NULL,
		"Workers ended, by reason."},
	{"nclust_ready_seconds", SUMMARY, OF_CLUSTER, "counters.ready_seconds", NULL,
		"counters.ready", "Time from a worker's start until it was ready."},
	{"nclust_rollouts", COUNTER, OF_CLUSTER, "counters.rollouts", "outcome", NULL,
		"Rollouts that are over, by outcome."},
	{"nclust_rollout_seconds", COUNTER, OF_CLUSTER, "counters.rollout_seconds", NULL, NULL,
		"Time that rollouts took."},
	{"nclust_drain_seconds", SUMMARY, OF_CLUSTER, "counters.drain_seconds", NULL,
		"counters.drained", "Time until a worker to be stopped had no request in flight."},
	{"nclust_drains_forced", COUNTER, OF_CLUSTER, "counters.drains_forced", NULL, NULL,
		"Workers stopped with requests in flight."},
	{"nclust_handed_on", COUNTER, OF_CLUSTER, "counters.handed_on", NULL, NULL,
		"Requests that another worker answered, because their own one stopped."},
	{"nclust_hangs", COUNTER, OF_CLUSTER, "counters.hangs", NULL, NULL,
		"Workers replaced because a request was not answered."},
	{"nclust_log_lines", COUNTER, OF_CLUSTER, "counters.log_lines", NULL, NULL,
		"Lines of output that nclust has read."},
	{"nclust_log_lines_dropped", COUNTER, OF_CLUSTER, "counters.log_lines_dropped", NULL, NULL,
		"Lines of output that could not be written."},
	{"nclust_accept_processes", GAUGE, OF_CLUSTER, "accept.running", NULL, NULL,
		"Connections that have a process."},
	{"nclust_accept_limit", GAUGE, OF_CLUSTER, "accept.limit", NULL, NULL,
		"Connections that may have one at a time."},
	{"nclust_accept_served", COUNTER, OF_CLUSTER, "accept.served", NULL, NULL,
		"Connections that had a process."},
	{"nclust_accept_refused", COUNTER, OF_CLUSTER, "accept.refused", NULL, NULL,
		"Connections closed because their address had too many."},
	{"nclust_accept_timed_out", COUNTER, OF_CLUSTER, "accept.timed_out", NULL, NULL,
		"Connections ended because they took too long."},
	{"nclust_relay_sent", COUNTER, OF_CLUSTER, "relay.sent", NULL, NULL,
		"Messages of workers for other machines."},
	{"nclust_relay_received", COUNTER, OF_CLUSTER, "relay.received", NULL, NULL,
		"Messages for workers from other machines."},
	{"nclust_relay_dropped", COUNTER, OF_CLUSTER, "relay.dropped", NULL, NULL,
		"Messages that could not be sent to other machines."},
	{"nclust_relay_missed", COUNTER, OF_CLUSTER, "relay.missed", NULL, NULL,
		"Messages from other machines that came too fast."},
	{"nclust_relay_invalid", COUNTER, OF_CLUSTER, "relay.invalid", NULL, NULL,
		"What came from a broker and was no message."},
	{"nclust_shared_memory_bytes", GAUGE, OF_CLUSTER, "shared_memory.size", NULL, NULL,
		"Size of the shared memory."},
	{"nclust_shared_memory_used_bytes", GAUGE, OF_CLUSTER, "shared_memory.used", NULL, NULL,
		"What is used of it."},

	{"nclust_listener_queue", GAUGE, OF_LISTENER, "queue", NULL, NULL,
		"Connections that no worker has accepted yet."},
	{"nclust_listener_queue_limit", GAUGE, OF_LISTENER, "queue_limit", NULL, NULL,
		"Connections that may wait there."},
	{"nclust_listener_drops", COUNTER, OF_LISTENER, "dropped", NULL, NULL,
		"Connections or datagrams dropped because it was full."},

	{"nclust_worker_connections", GAUGE, OF_WORKER, "connections", NULL, NULL,
		"Connections that the worker has accepted and not closed."},
	{"nclust_worker_restarts", COUNTER, OF_WORKER, "restarts", NULL, NULL,
		"Workers started again in the slot."},
	{"nclust_worker_uptime_seconds", GAUGE, OF_WORKER, "uptime", NULL, NULL,
		"Time since the worker was started."},
	{"nclust_worker_cpu_seconds", COUNTER, OF_WORKER, "cpu_seconds", NULL, NULL,
		"CPU time that all processes of the worker have used."},
	{"nclust_worker_memory_bytes", GAUGE, OF_WORKER, "memory_bytes", NULL, NULL,
		"Memory that these have for themselves."},
	{"nclust_worker_processes", GAUGE, OF_WORKER, "processes", NULL, NULL,
		"Processes of the worker."},
	{"nclust_worker_oom_kills", COUNTER, OF_WORKER, "cgroup.oom_kills", NULL, NULL,
		"Of these, killed for lack of memory."},
	{"nclust_worker_forks_refused", COUNTER, OF_WORKER, "cgroup.forks_refused", NULL, NULL,
		"Forks refused for pids-max."},
	{"nclust_worker_cpu_pressure_percent", GAUGE, OF_WORKER, "cgroup.pressure.cpu", NULL, NULL,
		"Time of the last 10 s that it has waited for a CPU."},
	{"nclust_worker_memory_pressure_percent", GAUGE, OF_WORKER, "cgroup.pressure.memory", NULL,
		NULL, "Time of the last 10 s that it has waited for memory."},
	{"nclust_worker_io_pressure_percent", GAUGE, OF_WORKER, "cgroup.pressure.io", NULL, NULL,
		"Time of the last 10 s that it has waited for a disk."},
	{"nclust_worker_messages_sent", COUNTER, OF_WORKER, "messages.sent", NULL, NULL,
		"Messages to the worker."},
	{"nclust_worker_messages_received", COUNTER, OF_WORKER, "messages.received", NULL, NULL,
		"Messages of the worker."},
	{"nclust_worker_messages_dropped", COUNTER, OF_WORKER, "messages.dropped", NULL, NULL,
		"Messages dropped because the worker did not read."},
	{"nclust_worker_checks_passed", COUNTER, OF_WORKER, "checks.ok", NULL, NULL,
		"Health checks that the worker has passed."},
	{"nclust_worker_checks_failed", COUNTER, OF_WORKER, "checks.failed", NULL, NULL,
		"Health checks that it has failed."},
};

/* ---- the text ---- */

struct writer {
	struct buffer *out;
	const json_t *status;
	const struct family *family;
	bool openmetrics;
	bool begun; /* the family's head is written */
};

static void put_text(struct buffer *out, const char *text)
{
	while (text != NULL && *text != '\0') {
		size_t plain = strcspn(text, "\n\"\\");

		buffer_append(out, text, plain);
		text += plain;
		if (*text == '\n')
			buffer_string(out, "\\n");
		else if (*text != '\0')
			buffer_printf(out, "\\%c", *text);
		text += *text != '\0';
	}
}

static void put_label(struct buffer *out, const char **before, const char *key, const char *text)
{
	buffer_string(out, *before);
	buffer_string(out, key);
	buffer_string(out, "=\"");
	put_text(out, text);
	buffer_string(out, "\"");
	*before = ",";
}

static void begin_family(struct writer *w)
{
	static const char *const types[] = {
		[GAUGE] = "gauge", [COUNTER] = "counter", [SUMMARY] = "summary"};
	const struct family *f = w->family;
	/* OpenMetrics names a counter's family without it */
	const char *total = f->type == COUNTER && !w->openmetrics ? "_total" : "";

	if (w->begun)
		return;
	w->begun = true;
	buffer_printf(w->out, "# HELP %s%s %s\n# TYPE %s%s %s\n", f->name, total, f->help, f->name,
		total, types[f->type]);
}

/* Whose number it is. */
struct subject {
	const char *cluster;
	const json_t *listener;
	json_int_t slot;   /* -1: no worker's */
	const char *label; /* value of the family's label */
};

static void put_labels(const struct writer *w, const struct subject *of)
{
	const char *before = "{";
	struct buffer *out = w->out;

	if (of->cluster != NULL)
		put_label(out, &before, "cluster", of->cluster);
	if (of->listener != NULL) {
		put_label(out, &before, "listener",
			json_string_value(json_object_get(of->listener, "name")));
		put_label(out, &before, "address",
			json_string_value(json_object_get(of->listener, "address")));
	}
	if (of->slot >= 0) {
		buffer_string(out, ",slot=\"");
		buffer_number(out, (uint64_t)of->slot, 10);
		buffer_string(out, "\"");
	}
	if (of->label != NULL)
		put_label(out, &before, w->family->label, of->label);
	if (*before == ',')
		buffer_string(out, "}");
}

static void put_sample(
	struct writer *w, const struct subject *of, const char *suffix, const json_t *value)
{
	if (!json_is_number(value))
		return;
	begin_family(w);
	buffer_string(w->out, w->family->name);
	buffer_string(w->out, suffix);
	put_labels(w, of);
	if (json_is_integer(value) && json_integer_value(value) >= 0) {
		buffer_string(w->out, " ");
		buffer_number(w->out, (uint64_t)json_integer_value(value), 10);
		buffer_string(w->out, "\n");
	} else {
		buffer_printf(w->out, " %.15g\n", json_number_value(value));
	}
}

/* What a path like "process.turns" leads to; NULL: nowhere. */
static json_t *follow_path(const json_t *from, const char *path)
{
	const char *end = strchrnul(path, '.');
	json_t *found = json_object_getn(from, path, (size_t)(end - path));

	return *end == '.' ? follow_path(found, end + 1) : found;
}

static void put_one(struct writer *w, struct subject *of, const json_t *object)
{
	const struct family *f = w->family;
	json_t *found = follow_path(object, f->path);
	const char *key;
	json_t *value;

	if (f->type == SUMMARY) {
		put_sample(w, of, "_sum", found);
		put_sample(w, of, "_count", follow_path(object, f->count));
	} else if (f->label == NULL) {
		put_sample(w, of, f->type == COUNTER ? "_total" : "", found);
	} else {
		json_object_foreach(found, key, value)
		{
			of->label = key;
			put_sample(w, of, f->type == COUNTER ? "_total" : "", value);
		}
	}
}

/* ---- who has such numbers ---- */

static void put_cluster(struct writer *w, const json_t *cluster)
{
	struct subject of = {
		.cluster = json_string_value(json_object_get(cluster, "name")), .slot = -1};
	const json_t *workers = json_object_get(cluster, "workers");
	const json_t *item;
	size_t i;

	switch (w->family->level) {
	case OF_LISTENER:
		json_array_foreach(json_object_get(cluster, "listeners"), i, item)
		{
			of.listener = item;
			put_one(w, &of, item);
		}
		break;
	case OF_WORKER:
		json_array_foreach(workers, i, item)
		{
			json_int_t last = of.slot;

			of.slot = json_integer_value(json_object_get(item, "slot"));
			/* Of two workers in a slot during a rollout the first
			 * is its own; two samples of the same labels would be a
			 * mistake. */
			if (of.slot != last)
				put_one(w, &of, item);
		}
		break;
	case OF_CLUSTER:
	case OF_INSTANCE:
		put_one(w, &of, cluster);
		break;
	}
}

static void put_family(struct writer *w)
{
	struct subject itself = {.slot = -1};
	const json_t *cluster;
	size_t i;

	w->begun = false;
	if (w->family->level == OF_INSTANCE) {
		put_one(w, &itself, w->status);
		return;
	}
	json_array_foreach(json_object_get(w->status, "clusters"), i, cluster)
		put_cluster(w, cluster);
}

/* Count a cluster's workers by state, into an object that it gets. */
static void count_states(json_t *cluster)
{
	static const char *const states[] = {"starting", "ready", "waiting", "draining", "stopping",
		"backoff", "failed", "ended", "spare"};
	json_t *counts = json_object();
	const json_t *worker;
	size_t i;

	for (i = 0; i < COUNT_OF(states); i++)
		(void)json_object_set_new(counts, states[i], json_integer(0));
	json_array_foreach(json_object_get(cluster, "workers"), i, worker)
	{
		json_t *count = json_object_get(
			counts, json_string_value(json_object_get(worker, "state")));

		if (count != NULL)
			(void)json_integer_set(count, json_integer_value(count) + 1);
	}
	(void)json_object_set_new(cluster, "states", counts);
}

void metrics_write(struct buffer *out, const json_t *status, bool openmetrics)
{
	struct writer w = {.out = out, .status = status, .openmetrics = openmetrics};
	json_t *cluster;
	size_t i;

	json_array_foreach(json_object_get(status, "clusters"), i, cluster) count_states(cluster);
	for (i = 0; i < COUNT_OF(families); i++) {
		w.family = &families[i];
		put_family(&w);
	}
	if (openmetrics)
		buffer_string(out, "# EOF\n");
}
