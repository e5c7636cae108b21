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
