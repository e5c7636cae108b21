/* SPDX-License-Identifier: MIT */
#include "cli/render.h"

#include "base/scope.h"
#include "base/text.h"
#include "cli/table.h"

#include <string.h>

const char *field_raw(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

bool field_put(struct wrap *w, enum colour colour, const char *before, const json_t *object,
	const char *key)
{
	const json_t *value = json_object_get(object, key);
	size_t len = json_string_length(value);

	if (len > 0) {
		wrap_put(w, colour, before);
		wrap_bytes(w, colour, json_string_value(value), len);
	}
	return len > 0;
}

long long field_number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	double real = json_number_value(value);

	if (json_is_integer(value))
		return (long long)json_integer_value(value);
	return real > -9e18 && real < 9e18 ? (long long)real : 0;
}

nsec_t field_seconds(const json_t *object, const char *key)
{
	double s = json_number_value(json_object_get(object, key));

	if (!(s > 0))
		return 0;
	return s < 9e9 ? (nsec_t)(s * (double)SECOND) : NSEC_NEVER;
}

bool field_is_number(const json_t *object, const char *key)
{
	return json_is_number(json_object_get(object, key));
}

bool field_is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

bool worker_is(const json_t *worker, const char *state)
{
	return strcmp(field_raw(worker, "state"), state) == 0;
}

/* A cluster that accepts connections itself does not tell its failures apart. */
const json_t *worker_failure(const json_t *worker)
{
	const json_t *failure = json_object_get(worker, "last_failure");
	const json_t *last = json_object_get(worker, "last_exit");

	if (failure != NULL)
		return json_is_object(failure) ? failure : NULL;
	return field_is_true(last, "asked") ? NULL : last;
}

/* A worker that has lived for a minute, and for longer than twice its last life, has
 * recovered. */
bool worker_failed_lately(const json_t *worker)
{
	const json_t *failure = json_object_get(worker, "last_failure");
	nsec_t lately = field_seconds(failure, "after");

	lately = lately < FIELDS_LATELY / 2 ? 2 * lately : FIELDS_LATELY;
	if (lately < MINUTE)
		lately = MINUTE;
	return field_is_number(failure, "ago") && field_seconds(failure, "ago") < lately;
}

/* ---- render ---- */

/* Indentation of continuation lines. */
#define INDENT 4

void render_head(struct wrap *w, const json_t *status)
{
	char age[16];
	long long upgrades = field_number(status, "upgrades");
	const json_t *drained = json_object_get(status, "drained");

	field_put(w, BOLD, "", status, "name");
	wrap_putf(w, PLAIN, "  pid %lld, version %s, up %s", field_number(status, "pid"),
		field_raw(status, "version"), text_age(age, field_seconds(status, "uptime")));
	if (upgrades > 0)
		wrap_putf(w, PLAIN, ", %lld upgrade%s", upgrades, upgrades == 1 ? "" : "s");
	wrap_end(w, INDENT);
	if (!json_is_object(drained))
		return;
	wrap_putf(w, YELLOW, "  drained %s ago%s; back into service: nclust undrain ",
		text_age(age, field_seconds(drained, "since")),
		field_is_true(drained, "empty") ? ", with no connection left" : "");
	field_put(w, YELLOW, "", status, "name");
	wrap_end(w, INDENT);
}

enum colour render_level(double part)
{
	if (part < .6)
		return GREEN;
	return part < .9 ? YELLOW : RED;
}

void render_bar(struct wrap *w, enum colour colour, double part, size_t columns)
{
	static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
	bool blocks = wrap_has(L'█') && wrap_has(L'▏');
	size_t units = columns * 8;
	size_t full;

	if (!(part > 0))
		part = 0;
	full = part < 1 ? (size_t)(part * (double)units + .5) : units;
	if (part > 0 && full == 0)
		full = 1; /* a bar that is not quite empty */
	if (!blocks)
		full = (full + 7) / 8 * 8;
	for (size_t i = 0; i < full / 8; i++)
		wrap_put(w, colour, blocks ? "█" : "|");
	wrap_put(w, colour, eighths[full % 8]);
	wrap_spaces(w, columns - (full + 7) / 8);
}

static void put_queue(struct render *r, const json_t *listener)
{
	long long queue = field_number(listener, "queue");
	long long limit = field_number(listener, "queue_limit");
	double part = limit > 0 ? (double)queue / (double)limit : 0;

	if (!field_is_number(listener, "queue"))
		return;
	wrap_put(r->lines, PLAIN, ", queue ");
	if (r->bars && limit > 0) {
		wrap_put(r->lines, PLAIN, "[");
		render_bar(r->lines, render_level(part), part, RENDER_BAR);
		wrap_put(r->lines, PLAIN, "] ");
	}
	wrap_putf(r->lines, PLAIN, "%lld", queue);
	if (limit > 0)
		wrap_putf(r->lines, PLAIN, " of %lld", limit);
}

/* Does the address say the name: its port, or the last part of its path? */
static bool ends_in_name(const json_t *listener)
{
	const char *address = field_raw(listener, "address");
	const char *name = field_raw(listener, "name");
	size_t len = strlen(address);
	size_t end = strlen(name);

	return end < len && strcmp(address + len - end, name) == 0 &&
		strchr(":/", address[len - end - 1]) != NULL;
}

static void put_listener(struct render *r, const json_t *listener)
{
	long long dropped = field_number(listener, "dropped");
	struct wrap *w = r->lines;

	wrap_put(w, PLAIN, r->bars ? "  " : "  listening on ");
	field_put(w, PLAIN, "", listener, "address");
	if (!r->bars && !ends_in_name(listener)) {
		wrap_put(w, PLAIN, " (");
		field_put(w, PLAIN, "", listener, "name");
		wrap_put(w, PLAIN, ")");
	}
	put_queue(r, listener);
	if (field_is_number(listener, "dropped")) {
		wrap_put(w, PLAIN, ", ");
		wrap_putf(w, dropped > 0 ? RED : PLAIN, "%lld dropped", dropped);
	}
	wrap_end(w, INDENT);
	if (!r->bars &&
		field_put(w, YELLOW, "  all its clients are at ", listener, "only_client")) {
		wrap_put(w, YELLOW,
			", so that 'sticky' gives them to one worker; a proxy there has to choose "
			"by itself, with a port for each worker (-l 127.0.0.1:{slot+8000})");
		wrap_end(w, INDENT);
	}
}

static void put_rollout(struct wrap *w, const json_t *rollout)
{
	char age[16];

	if (!json_is_object(rollout))
		return;
	wrap_putf(w, YELLOW, "  rolling %s generation %lld: %lld of %lld done",
		field_is_true(rollout, "going_back") ? "back from" : "to",
		field_number(rollout, "to"), field_number(rollout, "done"),
		field_number(rollout, "of"));
	field_put(w, YELLOW, ", ", rollout, "step");
	if (field_is_number(rollout, "since"))
		wrap_putf(w, YELLOW, " (%s)", text_age(age, field_seconds(rollout, "since")));
	wrap_end(w, INDENT);
}

/* A range as `workers`, and the last step of scaling. */
static void put_autoscale(struct wrap *w, const json_t *scale)
{
	const json_t *last = json_object_get(scale, "last");
	char age[16];

	if (!json_is_object(scale))
		return;
	wrap_putf(w, PLAIN, "  %lld to %lld workers, by %s", field_number(scale, "min"),
		field_number(scale, "max"), field_is_true(scale, "by_hand") ? "hand" : "load");
	if (json_is_object(last)) {
		wrap_putf(w, PLAIN, "; last %lld to %lld, %s ago (", field_number(last, "from"),
			field_number(last, "to"), text_age(age, field_seconds(last, "ago")));
		field_put(w, PLAIN, "", last, "reason");
		wrap_put(w, PLAIN, ")");
	}
	wrap_end(w, INDENT);
}

/* Who answers while no worker is ready. */
static void put_fallback(struct wrap *w, const json_t *fallback)
{
	bool active = field_is_true(fallback, "active");
	long long answers = field_number(fallback, "answers");

	if (!json_is_object(fallback) || (!active && answers == 0))
		return;
	wrap_put(w, active ? YELLOW : PLAIN,
		active ? "  nclust answers 503 now" : "  nclust answered 503");
	wrap_putf(w, PLAIN, ", %lld %s", answers, answers == 1 ? "time so far" : "times so far");
	wrap_end(w, INDENT);
}

/* accept: what became of the connections. */
static void put_accept(struct wrap *w, const json_t *accept)
{
	static const struct {
		const char *key;
		const char *text;
	} counts[] = {{"refused", "refused (too many of one address)"}, {"timed_out", "timed out"},
		{"not_started", "not started"}};
	json_t *exits = json_object_get(accept, "exits");
	const char *between = "; ended with";
	const char *key;
	json_t *count;

	if (!json_is_object(accept))
		return;
	wrap_putf(w, PLAIN, "  %lld served", field_number(accept, "served"));
	for (size_t i = 0; i < COUNT_OF(counts); i++)
		if (field_number(accept, counts[i].key) > 0)
			wrap_putf(w, YELLOW, ", %lld %s", field_number(accept, counts[i].key),
				counts[i].text);
	if (field_is_true(accept, "paused"))
		wrap_put(w, RED, ", waiting for descriptors or processes");
	json_object_foreach(exits, key, count)
	{
		wrap_putf(w, PLAIN, "%s %s: %lld", between, key,
			(long long)json_integer_value(count));
		between = ",";
	}
	wrap_end(w, INDENT);
}

static void put_leader(struct wrap *w, const json_t *cluster)
{
	const json_t *leader = json_object_get(cluster, "leader");

	if (leader == NULL)
		return;
	if (!json_is_object(leader)) {
		wrap_put(w, YELLOW, ", no leader");
		return;
	}
	wrap_put(w, PLAIN, ", leader ");
	field_put(w, PLAIN, "", cluster, "name");
	wrap_putf(w, PLAIN, ".%lld (pid %lld)", field_number(leader, "slot"),
		field_number(leader, "pid"));
}

static void put_progress(struct wrap *w, const json_t *cluster)
{
	const json_t *accept = json_object_get(cluster, "accept");

	if (json_is_object(accept))
		wrap_putf(w, PLAIN, ", %lld of %lld connections", field_number(accept, "running"),
			field_number(accept, "limit"));
	else
		wrap_putf(w, PLAIN, ", %lld of %lld ready", field_number(cluster, "ready"),
			field_number(cluster, "wanted"));
	wrap_putf(w, PLAIN, ", generation %lld", field_number(cluster, "generation"));
}

/* Why no worker is ready, and why the last restart failed. */
static void put_troubles(struct wrap *w, const json_t *cluster)
{
	static const char *const keys[] = {"trouble", "failed_restart", "held"};

	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		const json_t *trouble = json_object_get(cluster, keys[i]);

		if (!json_is_object(trouble))
			continue;
		wrap_spaces(w, 2);
		field_put(w, RED, "", trouble, "text");
		wrap_end(w, INDENT);
	}
}

static void put_limits(struct wrap *w, const json_t *cluster)
{
	unsigned missing = 0;
	const json_t *worker;
	size_t i;

	json_array_foreach(json_object_get(cluster, "workers"), i, worker)
	{
		missing += field_is_true(worker, "limits_missing");
	}
	if (missing == 0)
		return;
	wrap_putf(w, YELLOW,
		"  %u worker%s without all of the cgroup limits that are set; 'nclust doctor' says "
		"why",
		missing, missing == 1 ? " runs" : "s run");
	wrap_end(w, INDENT);
}

void render_cluster(struct render *r, const json_t *cluster)
{
	struct wrap *w = r->lines;
	const json_t *listener;
	char most[16];
	size_t i;

	field_put(w, BOLD, "", cluster, "name");
	wrap_put(w, PLAIN, "  ");
	field_put(w, row_state_colour(field_raw(cluster, "state")), "", cluster, "state");
	put_progress(w, cluster);
	put_leader(w, cluster);
	if (field_is_number(cluster, "max_memory_bytes")) {
		row_format_memory(
			most, sizeof(most), (double)field_number(cluster, "max_memory_bytes"));
		wrap_putf(w, PLAIN, ", max-memory %s", most);
	}
	if (strcmp(field_raw(cluster, "balance"), "share") != 0)
		field_put(w, PLAIN, ", balance ", cluster, "balance");
	field_put(w, PLAIN, ": ", cluster, "balance_why");
	wrap_end(w, INDENT);
	if (field_put(w, YELLOW, "  waits for ", cluster, "waits_for"))
		wrap_end(w, INDENT);
	if (field_is_true(cluster, "done")) {
		wrap_put(w, PLAIN, "  done: its workers ended with success");
		wrap_end(w, INDENT);
	}
	if (field_put(w, YELLOW, "  ", cluster, "no_port"))
		wrap_end(w, INDENT);
	put_troubles(w, cluster);
	put_limits(w, cluster);
	put_fallback(w, json_object_get(cluster, "fallback"));
	put_autoscale(w, json_object_get(cluster, "autoscale"));
	json_array_foreach(json_object_get(cluster, "listeners"), i, listener)
		put_listener(r, listener);
	put_accept(w, json_object_get(cluster, "accept"));
	put_rollout(w, json_object_get(cluster, "rollout"));
}

/* The least number of lines, with a row for each worker: a cluster has a gap, a line
 * about itself and its titles, and most have a listener. */
static size_t count_lines(const json_t *status)
{
	const json_t *cluster;
	size_t lines = 1;
	size_t i;

	json_array_foreach(json_object_get(status, "clusters"), i, cluster)
	{
		lines += 4 + json_array_size(json_object_get(cluster, "workers"));
	}
	return lines;
}

void render_status(struct render *r, const json_t *status)
{
	bool full = r->rows > 0 && count_lines(status) > r->rows;
	const json_t *cluster;
	size_t i;

	render_head(r->lines, status);
	json_array_foreach(json_object_get(status, "clusters"), i, cluster)
	{
		size_t count = json_array_size(json_object_get(cluster, "workers"));

		wrap_end(r->lines, 0);
		render_cluster(r, cluster);
		table_put(r->lines, cluster, !r->each && (count > RENDER_MANY || full));
	}
}

static bool is_any_ready(const json_t *cluster)
{
	const json_t *worker;
	size_t i;

	json_array_foreach(json_object_get(cluster, "workers"), i, worker)
	{
		if (worker_is(worker, "ready") || worker_is(worker, "waiting"))
			return true;
	}
	return false;
}

void tally_add(struct tally *t, const json_t *status, bool slot)
{
	const json_t *cluster;
	size_t i;

	json_array_foreach(json_object_get(status, "clusters"), i, cluster)
	{
		long long wanted = slot ? 1 : field_number(cluster, "wanted");
		long long ready = slot ? is_any_ready(cluster) : field_number(cluster, "ready");

		t->wanted += wanted > 0 ? (unsigned long)wanted : 0;
		t->ready += ready > 0 ? (unsigned long)ready : 0;
		t->lacking |= ready < wanted;
	}
}

int tally_exit_status(const struct tally *t)
{
	if (!t->lacking)
		return 0;
	return t->ready > 0 ? 1 : 2;
}
