/* SPDX-License-Identifier: MIT */
#include "cli/advice.h"

#include "base/text.h"
#include "cli/render.h"
#include "config/value.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A worker that has failed so many times in a row does not fail by accident. */
#define FAILURES_MANY 3
/* A shorter wait is over before a user has typed a command. */
#define WAIT_LONG (5 * SECOND)
/* A queue of whose places no more than one in so many is free is about to drop connections. */
#define QUEUE_FREE_PART 5

#define TARGET_MAX 192

/* The cluster or slot that a command is about. */
struct place {
	char name[96]; /* "web", "web.2": as the log names it */
	/* As a verb takes it: with the instance, unless that has the same name, as it would be
	 * what is meant. */
	char target[TARGET_MAX];
};

/* `slot`: -1: the cluster.  False: the names are no words of a shell, and of no nclust. */
static bool make_place(struct place *p, const char *instance, const char *cluster, long long slot)
{
	bool same = strcmp(instance, cluster) == 0;

	if (slot < 0)
		snprintf(p->name, sizeof(p->name), "%s", cluster);
	else
		snprintf(p->name, sizeof(p->name), "%s.%lld", cluster, slot);
	snprintf(p->target, sizeof(p->target), "%s%s%s", same ? "" : instance, same ? "" : "/",
		p->name);
	return text_is_name(instance) && text_is_name(cluster);
}

static bool is_free(const struct advice *a, enum advice_kind kind)
{
	return a->list[kind].text[0] == '\0';
}

/* Advise "nclust VERB TARGET MORE", for a reason; of each kind the first trouble counts.
 * `more`: further words, each after a space. */
static void __attribute__((format(printf, 6, 7))) advise(struct advice *a, enum advice_kind kind,
	const char *verb, const struct place *p, const char *more, const char *format, ...)
{
	scoped_buffer command = {0};
	va_list args;

	if (!is_free(a, kind))
		return;
	va_start(args, format);
	vsnprintf(a->list[kind].text, sizeof(a->list[0].text), format, args);
	va_end(args);
	buffer_printf(&command, "nclust %s %s%s", verb, p->target, more);
	if (a->runtime_directory != NULL) {
		buffer_string(&command, " --runtime-directory ");
		(void)value_quote_shell(&command, a->runtime_directory);
	}
	if (buffer_text(&command) != NULL)
		text_copy(a->list[kind].command, sizeof(a->list[0].command), command.data);
}

static bool does_fail(const json_t *worker)
{
	return (worker_is(worker, "backoff") && worker_failure(worker) != NULL) ||
		worker_is(worker, "failed") ||
		(worker_failed_lately(worker) && field_number(worker, "restarts") >= FAILURES_MANY);
}

static void on_failing(struct advice *a, const struct place *p, const json_t *worker)
{
	bool spoke = *field_raw(worker_failure(worker), "last_output") != '\0';
	long long times = field_number(worker, "restarts");
	char count[48] = "";

	if (times > 1)
		snprintf(count, sizeof(count), " %lld times", times);
	advise(a, ADVICE_FAILS, spoke ? "logs" : "events", p, "",
		"%s has failed%s; its %s:", p->name, count, spoke ? "output" : "exits");
}

static void on_worker(struct advice *a, const struct place *p, const json_t *worker, bool gave_up)
{
	nsec_t next = field_seconds(worker, "next_try");
	char age[16];

	if (does_fail(worker))
		on_failing(a, p, worker);
	if (!gave_up && worker_is(worker, "failed"))
		advise(a, ADVICE_WAITS, "restart", p, "",
			"%s is not started again; once it can run, start it:", p->name);
	else if (!gave_up && worker_is(worker, "backoff") && next >= WAIT_LONG)
		advise(a, ADVICE_WAITS, "restart", p, "",
			"%s is started again in %s; to try now:", p->name, text_age(age, next));
	if (worker_is(worker, "ready") && field_is_true(worker, "stopped"))
		advise(a, ADVICE_STOPPED, "signal", p, " CONT",
			"%s is stopped by a signal; to continue it:", p->name);
}

static void on_listener(struct advice *a, const struct place *p, const json_t *listener)
{
	long long queue = field_number(listener, "queue");
	long long limit = field_number(listener, "queue_limit");
	long long dropped = field_number(listener, "dropped");
	const char *address = field_raw(listener, "address");
	bool udp = strncmp(address, "udp:", 4) == 0;

	if (dropped > 0)
		advise(a, ADVICE_DROPS, "scale", p, " +1",
			"%s has dropped %lld %s%s because its %s was full; set a larger '%s' in "
			"'listen', or run more workers:",
			address, dropped, udp ? "datagram" : "connection", dropped == 1 ? "" : "s",
			udp ? "buffer" : "queue", udp ? "rcvbuf" : "backlog");
	else if (limit > 0 && queue >= limit - limit / QUEUE_FREE_PART)
		advise(a, ADVICE_DROPS, "scale", p, " +1",
			"%s has %lld connections in its queue, of %lld at most; run more workers:",
			address, queue, limit);
}

static void on_cluster(struct advice *a, const struct place *p, const json_t *cluster, bool gave_up)
{
	const json_t *failed = json_object_get(cluster, "failed_restart");
	bool reload = field_is_true(failed, "reload");
	struct place whole = *p;
	const json_t *listener;
	size_t i;

	if (reload) /* a file is applied as a whole */
		whole.target[strcspn(whole.target, "/")] = '\0';
	if (gave_up)
		advise(a, ADVICE_GAVE_UP, "restart", p, "",
			"%s is not started again; once it can run, start it:", p->name);
	if (strcmp(field_raw(cluster, "state"), "stopped") == 0)
		advise(a, ADVICE_STOPPED, "start", p, "", "%s was stopped; to start it:", p->name);
	else if (field_number(cluster, "wanted") == 0 && field_is_true(cluster, "scaled"))
		advise(a, ADVICE_STOPPED, "start", p, "",
			"%s was scaled to 0 workers; to start it:", p->name);
	if (!gave_up && json_is_object(failed))
		advise(a, ADVICE_RESTART, reload ? "reload" : "restart", &whole, "",
			"the last restart of %s failed; once the new workers can run, try again:",
			p->name);
	json_array_foreach(json_object_get(cluster, "listeners"), i, listener)
	{
		on_listener(a, p, listener);
	}
}

void advice_on_status(struct advice *a, const json_t *status)
{
	const char *instance = field_raw(status, "name");
	struct place place;
	const json_t *cluster;
	const json_t *worker;
	size_t i;
	size_t k;

	json_array_foreach(json_object_get(status, "clusters"), i, cluster)
	{
		bool gave_up = strcmp(field_raw(cluster, "state"), "failed") == 0;
		const char *name = field_raw(cluster, "name");

		if (!make_place(&place, instance, name, -1))
			continue;
		on_cluster(a, &place, cluster, gave_up);
		json_array_foreach(json_object_get(cluster, "workers"), k, worker)
		{
			(void)make_place(&place, instance, name, field_number(worker, "slot"));
			on_worker(a, &place, worker, gave_up);
		}
	}
}

void advice_on_changed(struct advice *a, const char *instance, const char *file)
{
	struct place place;

	if (make_place(&place, instance, instance, -1))
		advise(a, ADVICE_CHANGED, "reload", &place, "",
			"%s has changed since the settings in force were read:", file);
}

/* ---- showing ---- */

void advice_put(const struct advice *a, struct wrap *lines)
{
	unsigned shown = 0;
	size_t mark;

	for (size_t i = 0; i < ADVICE_KINDS && shown < ADVICE_MOST; i++) {
		if (is_free(a, (enum advice_kind)i))
			continue;
		if (shown++ == 0) {
			wrap_end(lines, 0);
			wrap_put(lines, BOLD, "what to do next");
			wrap_end(lines, 0);
		}
		wrap_putf(lines, PLAIN, "  %s ", a->list[i].text);
		mark = wrap_mark(lines);
		wrap_put(lines, BOLD, a->list[i].command);
		wrap_join(lines, mark);
		wrap_end(lines, 4);
	}
}
