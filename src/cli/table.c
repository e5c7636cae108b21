/* SPDX-License-Identifier: MIT */
#include "cli/render.h"

#include "base/scope.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* If the last column is narrower than this, its text continues on lines of its own, indented. */
#define INDENT 6
#define LAST_COLUMN_WIDE 30
/* A cluster's name of up to so many columns stands before each slot. */
#define NAME_MOST 20

/* ---- columns ---- */

/* Columns are left out in this order; slot and state stay. */
static const enum column gives_way[] = {
	COLUMN_CPU, COLUMN_MEMORY, COLUMN_RESTARTS, COLUMN_GENERATION, COLUMN_PID, COLUMN_UP};

struct table {
	struct wrap *lines;
	const json_t *workers;
	const char *name;     /* the cluster's, before each slot; "": left out */
	struct group *groups; /* heap */
	size_t count;
	size_t width[COLUMNS];
	bool shown[COLUMNS];
	size_t indent;         /* where continuation lines of the last column begin */
	const char *causes[2]; /* causes that stand in the lines above */
};

static const json_t *worker_at(const struct table *t, size_t i)
{
	return json_array_get(t->workers, i);
}

static void choose_groups(struct table *t, const char *target, bool crowded)
{
	size_t total = json_array_size(t->workers);

	if (*target == '\0') {
		t->count = row_groups(t->groups, t->workers, crowded);
		return;
	}
	for (size_t i = 0; i < total; i++)
		if (worker_is_target(worker_at(t, i), target))
			t->count = row_add_group(t->groups, t->count, i, 1);
}

/* ---- how wide ---- */

static size_t slot_width(const struct table *t)
{
	size_t name = *t->name != '\0' ? wrap_columns(t->name) + 1 : 0;
	size_t wide = name + t->width[COLUMN_SLOT];
	size_t title = strlen(column_heads[COLUMN_SLOT].title);

	return wide > title ? wide : title;
}

/* Where the last column begins. */
static size_t last_column(const struct table *t)
{
	size_t sum = strlen("  ");

	for (size_t i = 0; i < COLUMNS; i++)
		if (t->shown[i])
			sum += strlen("  ") + (i == COLUMN_SLOT ? slot_width(t) : t->width[i]);
	return sum;
}

static bool fits_width(const struct table *t)
{
	return t->lines->width == 0 || last_column(t) + strlen(column_last) <= t->lines->width;
}

static void fit_columns(struct table *t)
{
	size_t width = t->lines->width;

	for (size_t i = 1; i < COLUMNS; i++)
		if (t->width[i] < strlen(column_heads[i].title))
			t->width[i] = strlen(column_heads[i].title);
	if (wrap_columns(t->name) > NAME_MOST || !fits_width(t))
		t->name = "";
	for (size_t i = 0; i < COUNT_OF(gives_way) && !fits_width(t); i++)
		t->shown[gives_way[i]] = false;
	t->indent = last_column(t);
	if (width != 0 && t->indent + LAST_COLUMN_WIDE > width)
		t->indent = INDENT;
}

static void lay_out(struct table *t, long long generation)
{
	struct row row;

	for (size_t i = 0; i < COLUMNS; i++)
		t->shown[i] = i != COLUMN_GENERATION;
	for (size_t i = 0; i < t->count; i++) {
		const json_t *worker = worker_at(t, t->groups[i].first);

		row_format(&row, t->workers, &t->groups[i]);
		row_measure(&row, t->width);
		if (field_is_number(worker, "generation") &&
			field_number(worker, "generation") != generation)
			t->shown[COLUMN_GENERATION] = true;
	}
	fit_columns(t);
}

/* ---- what is said of a worker ---- */

/* Add why the slot has no worker that is ready, unless the cause stands above. */
static void put_cause(struct table *t, const json_t *worker)
{
	const char *key;
	const char *text = row_cause(worker, &key);

	if (*text == '\0' || strstr(t->causes[0], text) != NULL ||
		strstr(t->causes[1], text) != NULL)
		return;
	t->causes[0] = text;
	wrap_spaces(t->lines, INDENT);
	wrap_put(t->lines, RED, *key == 'c' ? "" : "last output: ");
	field_put(t->lines, RED, worker_failure(worker), key);
	wrap_end(t->lines, INDENT);
}

/* ---- rows ---- */

static void put_cell(const struct table *t, const char *name, const char *text, enum column column,
	enum colour colour)
{
	size_t wide = wrap_columns(name) + wrap_columns(text);
	size_t width = column == COLUMN_SLOT ? slot_width(t) : t->width[column];
	size_t pad = wide < width ? width - wide : 0;

	wrap_spaces(t->lines, 2 + (column_heads[column].right ? pad : 0));
	wrap_put(t->lines, colour, name);
	wrap_put(t->lines, colour, text);
	wrap_spaces(t->lines, column_heads[column].right ? 0 : pad);
}

static void put_titles(const struct table *t)
{
	for (size_t i = 0; i < COLUMNS; i++)
		if (t->shown[i])
			put_cell(t, "", column_heads[i].title, (enum column)i, DIM);
	wrap_spaces(t->lines, 2);
	wrap_put(t->lines, DIM, column_last);
	wrap_end(t->lines, t->indent);
}

static void put_row(struct table *t, const struct group *g)
{
	const json_t *first = worker_at(t, g->first);
	const json_t *latest = row_latest(t->workers, g);
	const char *dot = *t->name != '\0' ? "." : "";
	char label[64];
	struct row row;

	row_format(&row, t->workers, g);
	snprintf(label, sizeof(label), "%s%s", dot, row.cell[COLUMN_SLOT]);
	put_cell(t, t->name, label, COLUMN_SLOT, PLAIN);
	for (size_t i = COLUMN_SLOT + 1; i < COLUMNS; i++)
		if (t->shown[i])
			put_cell(t, "", row.cell[i], (enum column)i,
				i == COLUMN_STATE ? row_colour(first) : PLAIN);
	wrap_spaces(t->lines, 2);
	if (!row_put_last(t->lines, t->workers, g))
		wrap_put(t->lines, PLAIN, "-");
	wrap_end(t->lines, t->indent);
	put_cause(t, latest != NULL ? latest : first);
}

/* How many rows of ready workers are shown, and of others. */
struct share {
	size_t ready;
	size_t others;
};

static bool is_ready_group(const struct table *t, const struct group *g)
{
	return worker_is(worker_at(t, g->first), "ready");
}

/* Where neighbours differ so much that grouping does not help, workers that are not
 * ready go first. */
static struct share share_rows(const struct table *t, bool crowded)
{
	struct share share = {(size_t)-1, (size_t)-1};
	size_t others = 0;

	if (!crowded || t->count <= RENDER_MANY)
		return share;
	for (size_t i = 0; i < t->count; i++)
		others += !is_ready_group(t, &t->groups[i]);
	share.others = others < RENDER_MANY ? others : RENDER_MANY;
	share.ready = RENDER_MANY - share.others;
	return share;
}

static void put_left_out(struct table *t, size_t ready, size_t others)
{
	size_t mark;

	if (ready + others == 0)
		return;
	wrap_putf(t->lines, DIM, "  ... and %zu more", ready + others);
	if (others > 0)
		wrap_putf(t->lines, DIM, ", %zu of them not ready", others);
	wrap_put(t->lines, DIM, "; all of them: ");
	mark = wrap_mark(t->lines);
	wrap_put(t->lines, DIM, "nclust status --all");
	wrap_join(t->lines, mark);
	wrap_end(t->lines, INDENT);
}

static void put_rows(struct table *t, bool crowded)
{
	struct share share = share_rows(t, crowded);
	struct share left_out = {0, 0};

	put_titles(t);
	for (size_t i = 0; i < t->count; i++) {
		const struct group *g = &t->groups[i];
		bool ready = is_ready_group(t, g);
		size_t *left = ready ? &share.ready : &share.others;

		if (*left > 0) {
			--*left;
			put_row(t, g);
		} else if (ready) {
			left_out.ready += g->count;
		} else {
			left_out.others += g->count;
		}
	}
	put_left_out(t, left_out.ready, left_out.others);
}

void table_put(struct render *r, const json_t *cluster, const char *target, bool crowded)
{
	char name[256];
	struct table t = {.lines = r->lines,
		.workers = json_object_get(cluster, "workers"),
		.name = field_text(cluster, "name", name, sizeof(name), ""),
		.causes = {field_raw(json_object_get(cluster, "trouble"), "text"),
			field_raw(json_object_get(cluster, "failed_restart"), "text")},
		.width = {0}};

	t.groups = calloc(json_array_size(t.workers) + 1, sizeof(*t.groups));
	if (t.groups == NULL) {
		r->lines->out->failed = true;
		return;
	}
	choose_groups(&t, target, crowded);
	if (t.count > 0) {
		lay_out(&t, field_number(cluster, "generation"));
		put_rows(&t, crowded);
	}
	free(t.groups);
}

/* ---- row ---- */

/* Groups of fewer workers are not made, so that their pids are shown. */
#define GROUP_LEAST 3
#define STATE_MOST 12

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
const char column_last[] = "LAST EXIT";

enum colour row_state_colour(const char *state)
{
	static const struct {
		const char *state;
		enum colour colour;
	} table[] = {{"ready", GREEN}, {"running", GREEN}, {"failed", RED}, {"degraded", RED},
		{"backoff", RED}, {"stopped", PLAIN}, {"ended", PLAIN}, {"empty", PLAIN}};

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

enum likeness {
	LIKE_NONE,
	LIKE_WELL,  /* ready and well, of one generation */
	LIKE_STATE, /* also those in one state that failed in the same way */
};

static bool is_well(const json_t *worker)
{
	return worker_is(worker, "ready") && !field_is_true(worker, "stopped") &&
		!worker_failed_lately(worker) && !worker_is_unhealthy(worker);
}

static bool are_alike(const json_t *a, const json_t *b, enum likeness likeness)
{
	if (field_number(b, "slot") != field_number(a, "slot") + 1 ||
		field_number(a, "generation") != field_number(b, "generation") ||
		strcmp(field_raw(a, "state"), field_raw(b, "state")) != 0 ||
		is_well(a) != is_well(b))
		return false;
	if (is_well(a))
		return likeness != LIKE_NONE;
	return likeness == LIKE_STATE &&
		field_is_true(a, "stopped") == field_is_true(b, "stopped") &&
		strcmp(field_raw(worker_failure(a), "text"),
			field_raw(worker_failure(b), "text")) == 0;
}

size_t row_add_group(struct group *to, size_t used, size_t first, size_t count)
{
	if (count >= GROUP_LEAST) {
		to[used++] = (struct group){first, count};
		return used;
	}
	for (size_t i = 0; i < count; i++)
		to[used++] = (struct group){first + i, 1};
	return used;
}

static size_t make_groups(struct group *to, const json_t *workers, enum likeness likeness)
{
	size_t total = json_array_size(workers);
	size_t first = 0;
	size_t count = 0;

	for (size_t i = 1; i <= total; i++) {
		if (i < total &&
			are_alike(json_array_get(workers, i - 1), json_array_get(workers, i),
				likeness))
			continue;
		count = row_add_group(to, count, first, i - first);
		first = i;
	}
	return count;
}

size_t row_groups(struct group *to, const json_t *workers, bool crowded)
{
	size_t count = make_groups(to, workers, crowded ? LIKE_WELL : LIKE_NONE);

	if (crowded && count > RENDER_MANY)
		count = make_groups(to, workers, LIKE_STATE);
	return count;
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

static void add_number(const json_t *worker, const char *key, bool *has, double *sum)
{
	const json_t *value = json_object_get(worker, key);

	if (!json_is_number(value))
		return;
	*has = true;
	*sum += json_number_value(value);
}

static void add_worker(struct sums *s, const json_t *worker)
{
	s->pids += field_is_number(worker, "pid");
	add_number(worker, "cpu_percent", &s->has_cpu, &s->cpu);
	add_number(worker, "memory_bytes", &s->has_memory, &s->memory);
	if (field_is_number(worker, "restarts")) {
		s->has_restarts = true;
		(void)__builtin_add_overflow(
			s->restarts, field_number(worker, "restarts"), &s->restarts);
	}
	if (field_is_number(worker, "uptime")) {
		nsec_t up = field_seconds(worker, "uptime");

		if (!s->has_age || up < s->youngest)
			s->youngest = up;
		if (!s->has_age || up > s->oldest)
			s->oldest = up;
		s->has_age = true;
	}
}

/* "12 s", or "12 s+" where some workers are older. */
static void format_age(char *to, size_t size, const struct sums *s)
{
	char youngest[16];
	char oldest[16];

	text_age(youngest, s->youngest);
	text_age(oldest, s->oldest);
	snprintf(to, size, "%s%s", youngest, strcmp(youngest, oldest) != 0 ? "+" : "");
}

static void format_sums(struct row *row, const struct sums *s)
{
	size_t size = sizeof(row->cell[0]);

	if (s->has_age)
		format_age(row->cell[COLUMN_UP], size, s);
	if (s->has_restarts)
		snprintf(row->cell[COLUMN_RESTARTS], size, "%lld", s->restarts);
	if (s->has_cpu)
		snprintf(row->cell[COLUMN_CPU], size, "%.1f", s->cpu);
	if (s->has_memory)
		row_format_memory(row->cell[COLUMN_MEMORY], size, s->memory);
}

static void format_state(char *to, size_t size, const json_t *worker)
{
	char state[24];

	(void)field_text(worker, "state", state, sizeof(state), "?");
	wrap_shorten(state, STATE_MOST);
	snprintf(to, size, "%s%s", state, field_is_true(worker, "stopped") ? ", stopped" : "");
}

void row_sum(struct sums *s, const json_t *workers, const struct group *g)
{
	*s = (struct sums){0};
	for (size_t i = 0; i < g->count; i++)
		add_worker(s, json_array_get(workers, g->first + i));
}

void row_format(struct row *row, const json_t *workers, const struct group *g)
{
	const json_t *first = json_array_get(workers, g->first);
	const json_t *last = json_array_get(workers, g->first + g->count - 1);
	struct sums sums;
	size_t size = sizeof(row->cell[0]);

	for (size_t i = 0; i < COLUMNS; i++)
		text_copy(row->cell[i], size, "-");
	row_sum(&sums, workers, g);
	if (g->count > 1)
		snprintf(row->cell[COLUMN_SLOT], size, "%lld-%lld", field_number(first, "slot"),
			field_number(last, "slot"));
	else if (field_is_number(first, "slot"))
		snprintf(row->cell[COLUMN_SLOT], size, "%lld", field_number(first, "slot"));
	if (field_is_number(first, "generation"))
		snprintf(row->cell[COLUMN_GENERATION], size, "%lld",
			field_number(first, "generation"));
	if (g->count > 1 && sums.pids > 0)
		snprintf(row->cell[COLUMN_PID], size, "%u pids", sums.pids);
	else if (sums.pids > 0)
		snprintf(row->cell[COLUMN_PID], size, "%lld", field_number(first, "pid"));
	format_state(row->cell[COLUMN_STATE], size, first);
	format_sums(row, &sums);
}

void row_measure(const struct row *row, size_t width[COLUMNS])
{
	for (size_t i = 0; i < COLUMNS; i++) {
		size_t wide = wrap_columns(row->cell[i]);

		if (wide > width[i])
			width[i] = wide;
	}
}

/* ---- what is said of a worker ---- */

const json_t *row_latest(const json_t *workers, const struct group *g)
{
	const json_t *latest = NULL;
	nsec_t least = NSEC_NEVER;

	if (g->count == 1)
		return json_array_get(workers, g->first);
	for (size_t i = 0; i < g->count; i++) {
		const json_t *worker = json_array_get(workers, g->first + i);
		const json_t *last = worker_failure(worker);
		nsec_t ago = field_seconds(last, "ago");

		if (*field_raw(last, "text") == '\0' || (latest != NULL && ago >= least))
			continue;
		latest = worker;
		least = ago;
	}
	return latest;
}

bool row_put_last(struct wrap *lines, const json_t *workers, const struct group *g)
{
	const json_t *latest = row_latest(workers, g);
	bool any = false;

	if (g->count > 1 && latest != NULL)
		wrap_putf(lines, PLAIN, "%lld: ", field_number(latest, "slot"));
	worker_put_failure(lines, latest, &any);
	if (g->count == 1)
		worker_put_sayings(lines, latest, &any);
	return any;
}

const char *row_cause(const json_t *worker, const char **key)
{
	const json_t *last = worker_failure(worker);
	bool known = *field_raw(last, "cause") != '\0';

	*key = known ? "cause" : "last_output";
	return worker_is(worker, "ready") ? "" : field_raw(last, *key);
}
