/* SPDX-License-Identifier: MIT */
#include "cli/table.h"

#include "base/scope.h"
#include "base/text.h"
#include "cli/render.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* If the last column is narrower than this, its text continues on lines of its own, indented. */
#define INDENT 6
#define LAST_COLUMN_WIDE 30
/* A cluster's name of up to so many columns stands before each slot. */
#define NAME_MOST 20
#define PRESSURE_TOLD 10. /* per cent */
/* Groups of fewer workers are not made, so that their pids are shown. */
#define GROUP_LEAST 3

const struct column_head column_heads[COLUMNS] = {
	[COLUMN_SLOT] = {"SLOT", false},
	[COLUMN_GENERATION] = {"GEN", true},
	[COLUMN_PID] = {"PID", true},
	[COLUMN_STATE] = {"STATE", false},
	[COLUMN_UP] = {"UP", false},
	[COLUMN_RESTARTS] = {"RESTARTS", true},
	[COLUMN_CPU] = {"CPU%", true},
	[COLUMN_MEMORY] = {"MEM", true},
};
static const char column_last[] = "LAST EXIT";

enum colour row_state_colour(const char *state)
{
	static const struct {
		const char *state;
		enum colour colour;
	} table[] = {{"ready", GREEN}, {"running", GREEN}, {"waiting", GREEN}, {"failed", RED},
		{"degraded", RED}, {"backoff", RED}, {"stopped", PLAIN}, {"ended", PLAIN},
		{"empty", PLAIN}};

	for (size_t i = 0; i < COUNT_OF(table); i++)
		if (strcmp(state, table[i].state) == 0)
			return table[i].colour;
	return YELLOW; /* on its way to another state */
}

enum colour row_colour(const json_t *worker)
{
	return field_is_true(worker, "stopped") ? YELLOW
						: row_state_colour(field_raw(worker, "state"));
}

/* ---- groups ---- */

const json_t *group_worker(const struct group *g, size_t i)
{
	return json_array_get(json_object_get(g->cluster, "workers"), g->first + i);
}

static bool is_well(const json_t *worker)
{
	const json_t *checks = json_object_get(worker, "checks");
	long long failed = field_number(checks, "failed");

	/* did more than one in a hundred of its checks fail? */
	return worker_is(worker, "ready") && !field_is_true(worker, "stopped") &&
		!worker_failed_lately(worker) &&
		(failed <= 0 || failed <= field_number(checks, "ok") / 99);
}

/* Are both well, or in one state, having failed in the same way? */
static bool are_alike(const json_t *a, const json_t *b)
{
	if (field_number(b, "slot") != field_number(a, "slot") + 1 ||
		field_number(a, "generation") != field_number(b, "generation") ||
		strcmp(field_raw(a, "state"), field_raw(b, "state")) != 0 ||
		is_well(a) != is_well(b))
		return false;
	return is_well(a) ||
		(field_is_true(a, "stopped") == field_is_true(b, "stopped") &&
			strcmp(field_raw(worker_failure(a), "text"),
				field_raw(worker_failure(b), "text")) == 0);
}

bool group_next(struct group *g, bool crowded)
{
	size_t total = json_array_size(json_object_get(g->cluster, "workers"));

	g->first += g->count;
	g->count = 1;
	while (crowded && g->first + g->count < total &&
		are_alike(group_worker(g, g->count - 1), group_worker(g, g->count)))
		g->count++;
	if (g->count < GROUP_LEAST)
		g->count = 1;
	return g->first < total;
}

static void add_number(struct sums *s, enum column column, const json_t *worker, const char *key)
{
	s->has[column] |= field_is_number(worker, key);
	s->of[column] += json_number_value(json_object_get(worker, key)); /* 0 if it is none */
}

static void add_worker(struct sums *s, const json_t *worker)
{
	nsec_t up = field_seconds(worker, "uptime");

	s->pids += field_is_number(worker, "pid");
	add_number(s, COLUMN_RESTARTS, worker, "restarts");
	add_number(s, COLUMN_CPU, worker, "cpu_percent");
	add_number(s, COLUMN_MEMORY, worker, "memory_bytes");
	if (!field_is_number(worker, "uptime"))
		return;
	if (!s->has[COLUMN_UP] || up < s->youngest)
		s->youngest = up;
	if (!s->has[COLUMN_UP] || up > s->oldest)
		s->oldest = up;
	s->has[COLUMN_UP] = true;
}

void group_sum(struct sums *s, const struct group *g)
{
	*s = (struct sums){0};
	for (size_t i = 0; i < g->count; i++)
		add_worker(s, group_worker(g, i));
}

const json_t *group_latest(const struct group *g)
{
	const json_t *latest = NULL;
	nsec_t least = NSEC_NEVER;

	if (g->count == 1)
		return group_worker(g, 0);
	for (size_t i = 0; i < g->count; i++) {
		const json_t *last = worker_failure(group_worker(g, i));
		nsec_t ago = field_seconds(last, "ago");

		if (*field_raw(last, "text") == '\0' || (latest != NULL && ago >= least))
			continue;
		latest = group_worker(g, i);
		least = ago;
	}
	return latest;
}

/* ---- what is said of a worker ---- */

static const char comma[] = ", ";

/* What stands before the first text, and a comma before each later one. */
static void put_gap(struct wrap *w, const char **gap)
{
	wrap_put(w, PLAIN, *gap);
	*gap = comma;
}

/* How the worker failed last, and when the next is tried. */
static void put_failure(struct wrap *w, const json_t *worker, const char **gap)
{
	const json_t *last = worker_failure(worker);
	size_t mark;
	char age[16];

	if (*field_raw(last, "text") != '\0') {
		put_gap(w, gap);
		mark = wrap_mark(w);
		field_put(w, PLAIN, "", last, "text");
		if (field_seconds(last, "after") > 0)
			wrap_putf(
				w, PLAIN, " after %s", text_age(age, field_seconds(last, "after")));
		wrap_join(w, mark);
	}
	if (!field_is_number(worker, "next_try") && !field_is_number(last, "ago"))
		return;
	put_gap(w, gap);
	mark = wrap_mark(w);
	if (field_is_number(worker, "next_try"))
		wrap_putf(w, PLAIN, "next %s in %s", worker_is(worker, "waiting") ? "run" : "try",
			text_age(age, field_seconds(worker, "next_try")));
	else
		wrap_putf(w, PLAIN, "%s ago", text_age(age, field_seconds(last, "ago")));
	wrap_join(w, mark);
}

static void put_checks(struct wrap *w, const json_t *checks, const char **gap)
{
	long long failed = field_number(checks, "failed");

	if (failed <= 0)
		return;
	put_gap(w, gap);
	wrap_putf(w, PLAIN, "%lld of %lld checks failed", failed,
		failed + field_number(checks, "ok"));
	field_put(w, PLAIN, ", the last one: ", checks, "last");
}

/* What the worker waited for in the last 10 s, from a tenth of the time on. */
static void put_pressure(struct wrap *w, const json_t *pressure, const char **gap)
{
	const char *what;
	const json_t *share;

	json_object_foreach((json_t *)(uintptr_t)pressure, what, share)
	{
		if (json_number_value(share) < PRESSURE_TOLD)
			continue;
		put_gap(w, gap);
		wrap_putf(w, PLAIN, "waits for %s %.0f%% of the time",
			strcmp(what, "cpu") == 0 ? "a CPU" : what, json_number_value(share));
	}
}

/* What the worker waits for or does, and its own status text. */
static void put_doings(struct wrap *w, const json_t *worker, const char **gap)
{
	static const struct {
		const char *key;
		const char *before;
		const char *after;
	} texts[] = {{"waits_for", "waits for ", ""}, {"peer", "serves ", ""},
		{"status", "says '", "'"}};
	char age[16];

	if (field_is_true(worker, "waits")) {
		put_gap(w, gap);
		wrap_put(w, PLAIN, "waits until others have started");
	}
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		if (*field_raw(worker, texts[i].key) == '\0')
			continue;
		put_gap(w, gap);
		field_put(w, PLAIN, texts[i].before, worker, texts[i].key);
		wrap_put(w, PLAIN, texts[i].after);
	}
	put_checks(w, json_object_get(worker, "checks"), gap);
	if (field_is_number(worker, "replaced_in")) {
		put_gap(w, gap);
		wrap_putf(w, PLAIN, "replaced in %s",
			text_age(age, field_seconds(worker, "replaced_in")));
	}
	put_pressure(w, json_object_get(json_object_get(worker, "cgroup"), "pressure"), gap);
}

bool group_put(struct wrap *lines, const struct group *g, const char *before, unsigned what)
{
	const json_t *latest = group_latest(g);

	if ((what & GROUP_LAST) != 0 && g->count > 1 && latest != NULL)
		wrap_putf(lines, PLAIN, "%lld: ", field_number(latest, "slot"));
	if ((what & GROUP_LAST) != 0)
		put_failure(lines, latest, &before);
	if ((what & GROUP_NOW) != 0 && g->count == 1)
		put_doings(lines, latest, &before);
	return before == comma;
}

const char *row_cause(const json_t *worker, const char **key)
{
	const json_t *last = worker_failure(worker);
	bool known = *field_raw(last, "cause") != '\0';

	*key = known ? "cause" : "last_output";
	return worker_is(worker, "ready") ? "" : field_raw(last, *key);
}

/* ---- cells ---- */

void row_format_memory(char *to, size_t size, double bytes)
{
	static const char units[] = "KMGT";
	size_t unit = 0;

	bytes /= 1024;
	while (bytes >= 1023.5 && unit + 2 < sizeof(units)) {
		bytes /= 1024;
		unit++;
	}
	snprintf(to, size, bytes < 9.95 && unit > 0 ? "%.1f%c" : "%.0f%c", bytes, units[unit]);
}

static void format_sums(struct row *row, const struct sums *s)
{
	size_t size = sizeof(row->cell[0]);

	if (s->has[COLUMN_UP]) { /* "12 s", or "12 s+" where some workers are older */
		char youngest[16];
		char oldest[16];

		text_age(youngest, s->youngest);
		text_age(oldest, s->oldest);
		snprintf(row->cell[COLUMN_UP], size, "%s%s", youngest,
			strcmp(youngest, oldest) != 0 ? "+" : "");
	}
	if (s->has[COLUMN_RESTARTS])
		snprintf(row->cell[COLUMN_RESTARTS], size, "%.0f", s->of[COLUMN_RESTARTS]);
	if (s->has[COLUMN_CPU])
		snprintf(row->cell[COLUMN_CPU], size, "%.1f", s->of[COLUMN_CPU]);
	if (s->has[COLUMN_MEMORY])
		row_format_memory(row->cell[COLUMN_MEMORY], size, s->of[COLUMN_MEMORY]);
}

/* "web.3", "3-9", "-" */
static void format_slot(char *to, size_t size, const struct group *g, bool named)
{
	const json_t *first = group_worker(g, 0);
	char slots[44] = "-";

	if (g->count > 1)
		snprintf(slots, sizeof(slots), "%lld-%lld", field_number(first, "slot"),
			field_number(group_worker(g, g->count - 1), "slot"));
	else if (field_is_number(first, "slot"))
		snprintf(slots, sizeof(slots), "%lld", field_number(first, "slot"));
	snprintf(to, size, "%s%s%s", named ? field_raw(g->cluster, "name") : "", named ? "." : "",
		slots);
}

void row_format(struct row *row, const struct group *g, bool named)
{
	const json_t *first = group_worker(g, 0);
	size_t size = sizeof(row->cell[0]);

	for (size_t i = 0; i < COLUMNS; i++)
		text_copy(row->cell[i], size, "-");
	group_sum(&row->sums, g);
	format_slot(row->cell[COLUMN_SLOT], size, g, named);
	if (field_is_number(first, "generation"))
		snprintf(row->cell[COLUMN_GENERATION], size, "%lld",
			field_number(first, "generation"));
	if (g->count > 1 && row->sums.pids > 0)
		snprintf(row->cell[COLUMN_PID], size, "%u pids", row->sums.pids);
	else if (row->sums.pids > 0)
		snprintf(row->cell[COLUMN_PID], size, "%lld", field_number(first, "pid"));
	snprintf(row->cell[COLUMN_STATE], size, "%.24s%s", field_raw(first, "state"),
		field_is_true(first, "stopped") ? ", stopped" : "");
	format_sums(row, &row->sums);
}

/* ---- columns ---- */

void table_begin(struct table *t)
{
	t->bar = 0;
	for (size_t i = 0; i < COLUMNS; i++) {
		size_t title = strlen(column_heads[i].title);

		t->shown[i] = i != COLUMN_GENERATION;
		if (t->width[i] < title)
			t->width[i] = title;
	}
}

void table_measure(struct table *t, const struct group *g, bool named)
{
	const json_t *first = group_worker(g, 0);
	struct row row;

	row_format(&row, g, named);
	for (size_t i = 0; i < COLUMNS; i++) {
		size_t wide = wrap_columns(row.cell[i]);

		if (t->width[i] < wide)
			t->width[i] = wide;
	}
	if (field_is_number(first, "generation") &&
		field_number(first, "generation") != field_number(g->cluster, "generation"))
		t->shown[COLUMN_GENERATION] = true;
}

static bool has_bar(const struct table *t, size_t column)
{
	return t->bar > 0 && (column == COLUMN_CPU || column == COLUMN_MEMORY);
}

size_t table_columns(const struct table *t)
{
	size_t sum = 0;

	for (size_t i = 0; i < COLUMNS; i++)
		if (t->shown[i])
			sum += strlen("  ") + t->width[i] + (has_bar(t, i) ? 1 + t->bar : 0);
	return sum;
}

void table_fit(struct table *t, size_t most, const enum column *gives_way, size_t count)
{
	if (table_columns(t) > most)
		t->bar = 0;
	for (size_t i = 0; i < count && table_columns(t) > most; i++)
		t->shown[gives_way[i]] = false;
}

/* ---- rows ---- */

static void put_cell(const struct table *t, struct wrap *lines, size_t column, const char *text,
	enum colour colour)
{
	size_t wide = wrap_columns(text);
	size_t pad = wide < t->width[column] ? t->width[column] - wide : 0;
	bool right = column_heads[column].right;
	/* the mark of a sorted column may stand in the gap */
	size_t gap = right && wide > t->width[column] ? 1 : 2;

	wrap_spaces(lines, gap + (right ? pad : 0));
	wrap_put(lines, colour, text);
	wrap_spaces(lines, right ? 0 : pad);
}

void table_put_titles(
	const struct table *t, struct wrap *lines, enum column sorted, const char *mark)
{
	for (size_t i = 0; i < COLUMNS; i++) {
		char title[24];

		if (!t->shown[i])
			continue;
		snprintf(title, sizeof(title), "%s%s", column_heads[i].title,
			i == sorted ? mark : "");
		put_cell(t, lines, i, title, i == sorted ? BOLD : DIM);
		wrap_spaces(lines, has_bar(t, i) ? 1 + t->bar : 0);
	}
	if (t->last != NULL) {
		wrap_spaces(lines, 2);
		wrap_put(lines, DIM, t->now ? "LAST EXIT, NOW" : column_last);
	}
}

static void put_bar(const struct table *t, struct wrap *lines, size_t column,
	const struct sums *sums, size_t count)
{
	double mean = sums->of[column] / (double)count;

	wrap_spaces(lines, 1);
	if (column == COLUMN_CPU)
		render_bar(lines, render_level(mean / 100), mean / 100, t->bar);
	else
		render_bar(lines, PLAIN, t->memory > 0 ? mean / t->memory : 0, t->bar);
}

void table_put_row(const struct table *t, struct wrap *lines, const struct group *g, bool named)
{
	struct row row;

	row_format(&row, g, named);
	for (size_t i = 0; i < COLUMNS; i++) {
		if (!t->shown[i])
			continue;
		put_cell(t, lines, i, row.cell[i],
			i == COLUMN_STATE ? row_colour(group_worker(g, 0)) : PLAIN);
		if (has_bar(t, i))
			put_bar(t, lines, i, &row.sums, g->count);
	}
	if (t->last == NULL)
		return;
	wrap_spaces(lines, 2);
	if (!group_put(lines, g, "", t->now ? GROUP_LAST | GROUP_NOW : GROUP_LAST))
		wrap_put(lines, PLAIN, t->last);
}

/* ---- the table of a status ---- */

static void lay_out(struct table *t, struct group g, bool crowded, bool named)
{
	*t = (struct table){.last = "-"};
	table_begin(t);
	while (group_next(&g, crowded))
		table_measure(t, &g, named);
}

/* Returns whether the cluster's name stands before each slot. */
static bool fit_table(struct table *t, struct group g, bool crowded, size_t width)
{
	/* columns are left out in this order; slot and state stay */
	static const enum column gives_way[] = {COLUMN_CPU, COLUMN_MEMORY, COLUMN_RESTARTS,
		COLUMN_GENERATION, COLUMN_PID, COLUMN_UP};
	size_t most = width != 0 ? width - strlen("  ") - strlen(column_last) : SIZE_MAX;
	const char *name = field_raw(g.cluster, "name");
	bool named = *name != '\0' && wrap_columns(name) <= NAME_MOST;

	lay_out(t, g, crowded, named);
	if (named && table_columns(t) > most) {
		named = false;
		lay_out(t, g, crowded, named);
	}
	table_fit(t, most, gives_way, COUNT_OF(gives_way));
	return named;
}

/* Add why the slot has no worker that is ready, unless the cause stands above. */
static void put_cause(struct wrap *lines, const json_t *worker, const char *above[2])
{
	const char *key;
	const char *text = row_cause(worker, &key);

	if (*text == '\0' || strstr(above[0], text) != NULL || strstr(above[1], text) != NULL)
		return;
	above[0] = text;
	wrap_spaces(lines, INDENT);
	field_put(lines, RED, *key == 'c' ? "" : "last output: ", worker_failure(worker), key);
	wrap_end(lines, INDENT);
}

void table_put(struct wrap *lines, const json_t *cluster, bool crowded)
{
	const char *causes[2] = {field_raw(json_object_get(cluster, "trouble"), "text"),
		field_raw(json_object_get(cluster, "failed_restart"), "text")};
	struct group g = {.cluster = cluster};
	struct table t;
	bool named = fit_table(&t, g, crowded, lines->width);
	size_t indent = table_columns(&t) + strlen("  ");

	if (json_array_size(json_object_get(cluster, "workers")) == 0)
		return;
	if (lines->width != 0 && indent + LAST_COLUMN_WIDE > lines->width)
		indent = INDENT;
	table_put_titles(&t, lines, COLUMNS, "");
	wrap_end(lines, indent);
	while (group_next(&g, crowded)) {
		const json_t *latest = group_latest(&g);

		table_put_row(&t, lines, &g, named);
		wrap_end(lines, indent);
		if (group_put(lines, &g, "      ", GROUP_NOW))
			wrap_end(lines, INDENT);
		put_cause(lines, latest != NULL ? latest : group_worker(&g, 0), causes);
	}
}
