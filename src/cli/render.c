/* SPDX-License-Identifier: MIT */
#include "cli/render.h"

#include "base/scope.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum colour { PLAIN, BOLD, DIM, RED, GREEN, YELLOW };

static const char *const codes[] = {[PLAIN] = "",
	[BOLD] = "\033[1m",
	[DIM] = "\033[2m",
	[RED] = "\033[31m",
	[GREEN] = "\033[32m",
	[YELLOW] = "\033[33m"};

/* How many columns a text takes, one each for a character. */
static size_t columns(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* How many bytes the first `most` columns of a text have. */
static size_t bytes_of(const char *text, size_t most)
{
	size_t at = 0;

	for (; text[at] != '\0'; at++) {
		if (((unsigned char)text[at] & 0xc0) == 0x80)
			continue;
		if (most-- == 0)
			break;
	}
	return at;
}

/* Text that is harmless already, cut where the line is full. */
static void put(struct render *r, enum colour colour, const char *text)
{
	size_t len = strlen(text);
	size_t wide = columns(text);
	bool coloured = r->colour && colour != PLAIN && len > 0;

	if (r->full)
		return;
	if (r->width != 0 && r->column + wide > r->width) {
		r->full = true;
		wide = r->width - r->column;
		len = bytes_of(text, wide);
	}
	if (coloured)
		(void)buffer_string(r->out, codes[colour]);
	(void)buffer_append(r->out, text, len);
	if (coloured)
		(void)buffer_string(r->out, "\033[0m");
	r->column += wide;
}

static void putf(struct render *r, enum colour colour, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void putf(struct render *r, enum colour colour, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	put(r, colour, text);
}

static void end_line(struct render *r)
{
	(void)buffer_append(r->out, "\n", 1);
	r->column = 0;
	r->full = false;
}

/* A field's text, escaped; `fallback` where it is none. */
static const char *text_of(const json_t *object, const char *key, char *to,
	size_t size, const char *fallback)
{
	const json_t *value = json_object_get(object, key);

	if (json_is_string(value))
		(void)text_escape(to, size, json_string_value(value),
			json_string_length(value));
	else
		(void)text_copy(to, size, fallback);
	return to;
}

/* 0 where it is none, or none that can be shown. */
static long long number_of(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	double real = json_number_value(value);

	if (json_is_integer(value))
		return (long long)json_integer_value(value);
	return real > -9e18 && real < 9e18 ? (long long)real : 0;
}

static nsec_t seconds_of(const json_t *value)
{
	double s = json_number_value(value);

	if (!(s > 0))
		return 0;
	return s < 9e9 ? (nsec_t)(s * (double)SECOND) : NSEC_NEVER;
}

static enum colour state_colour(const char *state)
{
	static const struct {
		const char *state;
		enum colour colour;
	} table[] = {{"ready", GREEN}, {"running", GREEN}, {"failed", RED},
		{"degraded", RED}, {"backoff", RED}, {"stopped", PLAIN}};

	for (size_t i = 0; i < COUNT_OF(table); i++)
		if (strcmp(state, table[i].state) == 0)
			return table[i].colour;
	return YELLOW; /* on its way to something else */
}

static void put_head(struct render *r, const json_t *status)
{
	char name[256];
	char version[64];
	char age[16];
	long long upgrades = number_of(status, "upgrades");

	put(r, BOLD, text_of(status, "name", name, sizeof(name), "?"));
	putf(r, PLAIN, "  pid %lld, version %s, up %s",
		number_of(status, "pid"),
		text_of(status, "version", version, sizeof(version), "?"),
		text_age(age, seconds_of(json_object_get(status, "uptime"))));
	if (upgrades > 0)
		putf(r, PLAIN, ", %lld upgrade%s", upgrades,
			upgrades == 1 ? "" : "s");
	end_line(r);
}

static void put_listener(struct render *r, const json_t *listener)
{
	char name[256];
	char address[512];
	long long dropped = number_of(listener, "dropped");

	putf(r, PLAIN, "  listening on %s (%s)",
		text_of(listener, "address", address, sizeof(address), "?"),
		text_of(listener, "name", name, sizeof(name), "-"));
	if (json_is_number(json_object_get(listener, "queue"))) {
		putf(r, PLAIN, ", queue %lld", number_of(listener, "queue"));
		if (number_of(listener, "queue_limit") > 0)
			putf(r, PLAIN, " of %lld",
				number_of(listener, "queue_limit"));
	}
	if (json_is_number(json_object_get(listener, "dropped")))
		putf(r, dropped > 0 ? RED : PLAIN, ", %lld dropped", dropped);
	end_line(r);
}

static void put_rollout(struct render *r, const json_t *rollout)
{
	char step[256];
	char age[16];

	if (!json_is_object(rollout))
		return;
	putf(r, YELLOW, "  rolling %s generation %lld: %lld of %lld done",
		json_is_true(json_object_get(rollout, "going_back"))
			? "back from"
			: "to",
		number_of(rollout, "to"), number_of(rollout, "done"),
		number_of(rollout, "of"));
	if (json_is_string(json_object_get(rollout, "step")))
		putf(r, YELLOW, ", %s",
			text_of(rollout, "step", step, sizeof(step), ""));
	if (json_is_number(json_object_get(rollout, "since")))
		putf(r, YELLOW, " (%s)",
			text_age(age,
				seconds_of(json_object_get(rollout, "since"))));
	end_line(r);
}

/* The columns of the workers' table. */
enum column {
	COLUMN_SLOT,
	COLUMN_GENERATION, /* only where they differ */
	COLUMN_PID,
	COLUMN_STATE,
	COLUMN_UP,
	COLUMN_RESTARTS,
	COLUMN_CPU,
	COLUMN_MEMORY,
	COLUMN_LAST,
	COLUMNS,
};

static const struct {
	const char *title;
	bool right;
} heads[COLUMNS] = {
	[COLUMN_SLOT] = {"SLOT", true},
	[COLUMN_GENERATION] = {"GEN", true},
	[COLUMN_PID] = {"PID", true},
	[COLUMN_STATE] = {"STATE", false},
	[COLUMN_UP] = {"UP", false},
	[COLUMN_RESTARTS] = {"RESTARTS", true},
	[COLUMN_CPU] = {"CPU%", true},
	[COLUMN_MEMORY] = {"MEM", true},
	[COLUMN_LAST] = {"LAST EXIT", false},
};

#define CAUSE_MAX 1400

struct row {
	char cell[COLUMNS][32];
	char last[640]; /* the last column, which may be long */
};

static void format_memory(char *to, size_t size, double bytes)
{
	static const char units[] = "KMGT";
	size_t unit = 0;

	bytes /= 1024;
	while (bytes >= 1023.5 && unit + 2 < sizeof(units)) {
		bytes /= 1024;
		unit++;
	}
	(void)snprintf(to, size, bytes < 9.95 && unit > 0 ? "%.1f%c" : "%.0f%c",
		bytes, units[unit]);
}

/* Appended in parts, a comma between two. */
static void add_part(char *to, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void add_part(char *to, size_t size, const char *format, ...)
{
	size_t used = strlen(to);
	va_list args;

	if (used > 0 && used + 2 < size) {
		(void)memcpy(to + used, ", ", 3);
		used += 2;
	}
	va_start(args, format);
	(void)vsnprintf(to + used, size - used, format, args);
	va_end(args);
}

static void add_checks(char *to, size_t size, const json_t *checks)
{
	long long failed = number_of(checks, "failed");
	char text[128];

	if (failed <= 0)
		return;
	(void)text_of(checks, "last", text, sizeof(text), "");
	add_part(to, size, "%lld of %lld checks failed%s%s", failed,
		failed + number_of(checks, "ok"),
		text[0] != '\0' ? ", the last one: " : "", text);
}

/* The last end that nobody asked for, or NULL.  A cluster that accepts by itself
 * does not tell them apart. */
static const json_t *last_failure(const json_t *worker)
{
	const json_t *failure = json_object_get(worker, "last_failure");
	const json_t *last = json_object_get(worker, "last_exit");

	if (failure != NULL)
		return failure;
	return json_is_true(json_object_get(last, "asked")) ? NULL : last;
}

/* How the last one failed, when the next is tried, what this one says. */
static void format_last(char *to, size_t size, const json_t *worker)
{
	const json_t *last = last_failure(worker);
	const json_t *after = json_object_get(last, "after");
	const json_t *ago = json_object_get(last, "ago");
	const json_t *next = json_object_get(worker, "next_try");
	char text[256];
	char age[16];

	to[0] = '\0';
	(void)text_of(last, "text", text, sizeof(text), "");
	if (text[0] != '\0' && json_number_value(after) > 0)
		add_part(to, size, "%s after %s", text,
			text_age(age, seconds_of(after)));
	else if (text[0] != '\0')
		add_part(to, size, "%s", text);
	if (json_is_number(next))
		add_part(to, size, "next try in %s",
			text_age(age, seconds_of(next)));
	else if (json_is_number(ago))
		add_part(to, size, "%s ago", text_age(age, seconds_of(ago)));
	(void)text_of(worker, "peer", text, sizeof(text), "");
	if (text[0] != '\0')
		add_part(to, size, "serves %s", text);
	(void)text_of(worker, "status", text, sizeof(text), "");
	if (text[0] != '\0')
		add_part(to, size, "says '%s'", text);
	add_checks(to, size, json_object_get(worker, "checks"));
	if (to[0] == '\0')
		(void)text_copy(to, size, "-");
}

static void format_row(struct row *row, const json_t *worker)
{
	static const struct {
		enum column column;
		const char *key;
	} integers[] = {{COLUMN_SLOT, "slot"},
		{COLUMN_GENERATION, "generation"}, {COLUMN_PID, "pid"},
		{COLUMN_RESTARTS, "restarts"}};
	const json_t *up = json_object_get(worker, "uptime");
	const json_t *cpu = json_object_get(worker, "cpu_percent");
	const json_t *memory = json_object_get(worker, "memory_bytes");
	size_t size = sizeof(row->cell[0]);

	for (size_t i = 0; i < COLUMNS; i++)
		(void)text_copy(row->cell[i], size, "-");
	for (size_t i = 0; i < COUNT_OF(integers); i++)
		if (json_is_number(json_object_get(worker, integers[i].key)))
			(void)snprintf(row->cell[integers[i].column], size,
				"%lld", number_of(worker, integers[i].key));
	(void)text_of(worker, "state", row->cell[COLUMN_STATE], size, "?");
	if (json_is_true(json_object_get(worker, "stopped")))
		add_part(row->cell[COLUMN_STATE], size, "stopped");
	if (json_is_number(up))
		(void)text_age(row->cell[COLUMN_UP], seconds_of(up));
	if (json_is_number(cpu))
		(void)snprintf(row->cell[COLUMN_CPU], size, "%.1f",
			json_number_value(cpu));
	if (json_is_number(memory))
		format_memory(row->cell[COLUMN_MEMORY], size,
			json_number_value(memory));
	format_last(row->last, sizeof(row->last), worker);
}

static void put_cell(struct render *r, const char *text, size_t width,
	bool right, enum colour colour)
{
	size_t wide = columns(text);
	int pad = wide < width ? (int)(width - wide) : 0;

	put(r, PLAIN, "  ");
	if (right)
		putf(r, PLAIN, "%*s", pad, "");
	put(r, colour, text);
	if (!right)
		putf(r, PLAIN, "%*s", pad, "");
}

struct layout {
	size_t width[COLUMNS];
	bool shown[COLUMNS];
};

/* A line of the table; the titles are dim, and states have their colours. */
static void put_row(struct render *r, const struct layout *layout,
	const struct row *row, bool titles)
{
	enum colour colour = titles ? DIM : PLAIN;

	for (size_t i = 0; i < COLUMN_LAST; i++)
		if (layout->shown[i])
			put_cell(r, row->cell[i], layout->width[i],
				heads[i].right,
				i == COLUMN_STATE && !titles
					? state_colour(row->cell[i])
					: colour);
	put(r, PLAIN, "  ");
	put(r, colour, row->last);
	end_line(r);
}

/* Why the slot has no worker that is ready, unless that stands above. */
static void put_cause(struct render *r, const struct layout *layout,
	const json_t *worker, char shown[CAUSE_MAX])
{
	const json_t *last = last_failure(worker);
	const char *state = json_string_value(json_object_get(worker, "state"));
	char text[CAUSE_MAX];
	bool known;

	if (state == NULL || strcmp(state, "ready") == 0)
		return;
	known = json_is_string(json_object_get(last, "cause"));
	(void)text_of(
		last, known ? "cause" : "last_output", text, sizeof(text), "");
	if (text[0] == '\0' || strstr(shown, text) != NULL)
		return;
	(void)text_copy(shown, CAUSE_MAX, text);
	putf(r, PLAIN, "%*s", (int)layout->width[COLUMN_SLOT] + 4, "");
	put(r, RED, known ? "" : "last output: ");
	put(r, RED, text);
	end_line(r);
}

/* Is this the worker of the slot that `target` ends in? */
static bool is_slot(const json_t *worker, const char *target)
{
	const char *dot = strrchr(target, '.');

	return dot != NULL &&
		number_of(worker, "slot") == strtoll(dot + 1, NULL, 10);
}

static void measure(struct layout *layout, const struct row *row)
{
	for (size_t i = 0; i < COLUMN_LAST; i++) {
		size_t wide = columns(row->cell[i]);

		if (wide > layout->width[i])
			layout->width[i] = wide;
	}
}

static void put_workers(
	struct render *r, const json_t *cluster, const char *target, bool slot)
{
	const json_t *workers = json_object_get(cluster, "workers");
	long long generation = number_of(cluster, "generation");
	struct layout layout = {.shown = {false}};
	struct row titles;
	struct row row;
	const json_t *worker;
	char shown[CAUSE_MAX];
	size_t count = 0;
	size_t i;

	(void)text_of(json_object_get(cluster, "trouble"), "text", shown,
		sizeof(shown), "");

	for (i = 0; i < COLUMN_LAST; i++) {
		(void)text_copy(
			titles.cell[i], sizeof(titles.cell[i]), heads[i].title);
		layout.shown[i] = i != COLUMN_GENERATION;
	}
	(void)text_copy(
		titles.last, sizeof(titles.last), heads[COLUMN_LAST].title);
	measure(&layout, &titles);
	json_array_foreach(workers, i, worker)
	{
		if (slot && !is_slot(worker, target))
			continue;
		format_row(&row, worker);
		measure(&layout, &row);
		if (json_is_number(json_object_get(worker, "generation")) &&
			number_of(worker, "generation") != generation)
			layout.shown[COLUMN_GENERATION] = true;
		count++;
	}
	if (count == 0)
		return;
	put_row(r, &layout, &titles, true);
	json_array_foreach(workers, i, worker)
	{
		if (slot && !is_slot(worker, target))
			continue;
		format_row(&row, worker);
		put_row(r, &layout, &row, false);
		put_cause(r, &layout, worker, shown);
	}
}

/* accept: what became of the connections. */
static void put_accept(struct render *r, const json_t *accept)
{
	static const struct {
		const char *key;
		const char *text;
	} counts[] = {{"refused", "refused (of one address)"},
		{"timed_out", "timed out"}, {"not_started", "not started"}};
	json_t *exits = json_object_get(accept, "exits");
	const char *between = "; ended with";
	const char *key;
	json_t *count;
	char name[32];

	if (!json_is_object(accept))
		return;
	putf(r, PLAIN, "  %lld served", number_of(accept, "served"));
	for (size_t i = 0; i < COUNT_OF(counts); i++)
		if (number_of(accept, counts[i].key) > 0)
			putf(r, YELLOW, ", %lld %s",
				number_of(accept, counts[i].key),
				counts[i].text);
	if (json_is_true(json_object_get(accept, "paused")))
		put(r, RED, ", waiting for descriptors or processes");
	json_object_foreach(exits, key, count)
	{
		(void)text_escape(name, sizeof(name), key, strlen(key));
		putf(r, PLAIN, "%s %s: %lld", between, name,
			(long long)json_integer_value(count));
		between = ",";
	}
	end_line(r);
}

static void put_progress(struct render *r, const json_t *cluster)
{
	const json_t *accept = json_object_get(cluster, "accept");

	if (json_is_object(accept))
		putf(r, PLAIN, ", %lld of %lld connections",
			number_of(accept, "running"),
			number_of(accept, "limit"));
	else
		putf(r, PLAIN, ", %lld of %lld ready",
			number_of(cluster, "ready"),
			number_of(cluster, "wanted"));
	putf(r, PLAIN, ", generation %lld", number_of(cluster, "generation"));
}

/* Why nobody is ready, and what made the last restart fail. */
static void put_troubles(struct render *r, const json_t *cluster)
{
	static const char *const keys[] = {"trouble", "failed_restart"};
	char text[CAUSE_MAX];

	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		const json_t *trouble = json_object_get(cluster, keys[i]);

		if (!json_is_object(trouble))
			continue;
		put(r, RED, "  ");
		put(r, RED, text_of(trouble, "text", text, sizeof(text), "?"));
		end_line(r);
	}
}

static void put_cluster(
	struct render *r, const json_t *cluster, const char *target, bool slot)
{
	char name[256];
	char state[64];
	char balance[64];
	const json_t *listener;
	size_t i;

	end_line(r);
	put(r, BOLD, text_of(cluster, "name", name, sizeof(name), "?"));
	put(r, PLAIN, "  ");
	(void)text_of(cluster, "state", state, sizeof(state), "?");
	put(r, state_colour(state), state);
	put_progress(r, cluster);
	(void)text_of(cluster, "balance", balance, sizeof(balance), "share");
	if (strcmp(balance, "share") != 0)
		putf(r, PLAIN, ", balance %s", balance);
	end_line(r);
	put_troubles(r, cluster);
	json_array_foreach(json_object_get(cluster, "listeners"), i, listener)
		put_listener(r, listener);
	put_accept(r, json_object_get(cluster, "accept"));
	put_rollout(r, json_object_get(cluster, "rollout"));
	put_workers(r, cluster, target, slot);
}

/* Is this the cluster that `target` names? */
static bool is_meant(const json_t *cluster, const char *target, bool slot)
{
	const char *name = json_string_value(json_object_get(cluster, "name"));
	size_t len = strlen(target);

	if (len == 0)
		return true;
	if (slot)
		len = (size_t)(strrchr(target, '.') - target);
	return name != NULL && strlen(name) == len &&
		memcmp(name, target, len) == 0;
}

void render_status(
	struct render *r, const json_t *status, const char *target, bool slot)
{
	const json_t *cluster;
	size_t i;

	put_head(r, status);
	json_array_foreach(json_object_get(status, "clusters"), i,
		cluster) if (is_meant(cluster, target, slot))
		put_cluster(r, cluster, target, slot);
}

static void tally_slot(
	struct tally *t, const json_t *cluster, const char *target)
{
	const json_t *worker;
	bool ready = false;
	size_t i;

	json_array_foreach(json_object_get(cluster, "workers"), i, worker)
	{
		const char *state =
			json_string_value(json_object_get(worker, "state"));

		if (is_slot(worker, target) && state != NULL &&
			strcmp(state, "ready") == 0)
			ready = true;
	}
	t->wanted++;
	t->ready += ready;
	t->lacking |= !ready;
}

void tally_add(
	struct tally *t, const json_t *status, const char *target, bool slot)
{
	const json_t *cluster;
	size_t i;

	json_array_foreach(json_object_get(status, "clusters"), i, cluster)
	{
		long long wanted = number_of(cluster, "wanted");
		long long ready = number_of(cluster, "ready");

		if (!is_meant(cluster, target, slot))
			continue;
		if (slot) {
			tally_slot(t, cluster, target);
			continue;
		}
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
