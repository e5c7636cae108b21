/* SPDX-License-Identifier: MIT */
#include "cli/top.h"

#include "base/text.h"
#include "cli/render.h"

#include <stdio.h>
#include <string.h>

void top_view_init(struct top_view *v)
{
	*v = (struct top_view){.height = 24, .turned = json_object()};
}

void top_view_fini(struct top_view *v)
{
	json_decref(v->status);
	json_decref(v->turned);
	buffer_fini(&v->list);
	buffer_fini(&v->text);
}

int top_view_look(struct top_view *v, json_t *status)
{
	json_decref(v->status);
	v->status = status;
	return top_view_make(v); /* rows point into the status of before */
}

/* ---- rows ---- */

/* Out of memory: text.failed. */
static void add_row(struct top_view *v, const struct top_row *row)
{
	v->list.len = v->count * sizeof(*row);
	if (buffer_append(&v->list, row, sizeof(*row)) == 0)
		v->count++;
	else
		v->text.failed = true;
	v->rows = (struct top_row *)(void *)v->list.data;
}

/* Add a row for each line that was added to the text. */
static void add_lines(struct top_view *v, enum top_kind kind, const json_t *cluster, size_t from)
{
	while (from < v->text.len) {
		const char *line = v->text.data + from;
		const char *end = memchr(line, '\n', v->text.len - from);

		if (end == NULL)
			return; /* out of memory */
		add_row(v, &(struct top_row){.kind = kind, .text = from, .group = {cluster, 0, 0}});
		from += (size_t)(end - line) + 1;
		kind = TOP_TEXT;
	}
}

/* The column's value as a number to sort by. */
static double value_of(const struct top_row *row, enum column column)
{
	if (column == COLUMN_UP)
		return row->sums.has[column] ? (double)row->sums.youngest : -1;
	return row->sums.of[column];
}

bool top_view_ascends(const struct top_view *v)
{
	bool usual = v->sort == COLUMN_SLOT || v->sort == COLUMN_UP;

	return usual != v->backwards;
}

static int compare_rows(const void *left, const void *right, void *data)
{
	const struct top_view *v = data;
	const struct top_row *a = left;
	const struct top_row *b = right;
	double x = value_of(a, v->sort);
	double y = value_of(b, v->sort);
	int order = a->group.first < b->group.first ? -1 : 1;

	if (v->sort == COLUMN_SLOT)
		return v->backwards ? -order : order;
	if (x < y || x > y)
		order = (x < y) == top_view_ascends(v) ? -1 : 1;
	return order;
}

static bool matches_filter(const struct top_view *v, const json_t *cluster, const json_t *worker)
{
	char name[128];

	snprintf(name, sizeof(name), "%s.%lld", field_raw(cluster, "name"),
		field_number(worker, "slot"));
	return strcasestr(name, v->filter) != NULL ||
		strcasestr(field_raw(worker, "state"), v->filter) != NULL ||
		strcasestr(field_raw(worker_failure(worker), "text"), v->filter) != NULL;
}

/* `named`: the filter matches all workers, by the cluster's name; else those that it matches
 * have a row each. */
static void add_workers(struct top_view *v, const json_t *cluster, bool named)
{
	size_t count = json_array_size(json_object_get(cluster, "workers"));
	bool turned = json_object_get(v->turned, field_raw(cluster, "name")) != NULL;
	bool grouped = named && (count > RENDER_MANY || count > v->height) != turned;
	struct group g = {.cluster = cluster};
	size_t first = v->count;

	while (group_next(&g, grouped)) {
		struct top_row row = {.kind = TOP_WORKERS, .group = g};

		group_sum(&row.sums, &g);
		if (matches_filter(v, cluster, group_worker(&g, 0)))
			add_row(v, &row);
	}
	if (v->count > first)
		qsort_r(v->rows + first, v->count - first, sizeof(*v->rows), compare_rows, v);
}

static void add_cluster(struct top_view *v, struct render *r, const json_t *cluster)
{
	bool named = strcasestr(field_raw(cluster, "name"), v->filter) != NULL;
	size_t from = v->text.len;
	size_t before = v->count;
	size_t lines;

	render_cluster(r, cluster);
	add_lines(v, TOP_CLUSTER, cluster, from);
	lines = v->count;
	add_workers(v, cluster, named);
	if (v->count == lines && !named)
		v->count = before; /* nothing of it matches */
}

/* ---- the selected row ---- */

static long long slot_at(const struct top_row *row, size_t i)
{
	return field_number(group_worker(&row->group, i), "slot");
}

static void remember_selected(struct top_view *v)
{
	const struct top_row *row = top_view_row(v);

	if (row == NULL)
		return;
	v->pick = (struct top_pick){.kind = row->kind};
	text_copy(v->pick.cluster, sizeof(v->pick.cluster), field_raw(row->group.cluster, "name"));
	if (row->kind == TOP_WORKERS)
		v->pick.slot = slot_at(row, 0);
}

static bool is_picked(const struct top_row *row, const struct top_pick *pick)
{
	return row->kind == pick->kind &&
		strcmp(field_raw(row->group.cluster, "name"), pick->cluster) == 0 &&
		(row->kind != TOP_WORKERS ||
			(pick->slot >= slot_at(row, 0) &&
				pick->slot <= slot_at(row, row->group.count - 1)));
}

/* Move the selection to a row that can be selected, and scroll to it. */
static void settle_selection(struct top_view *v)
{
	size_t height = v->height > 0 ? v->height : 1;

	if (v->selected >= v->count)
		v->selected = v->count > 0 ? v->count - 1 : 0;
	while (v->selected > 0 && v->rows[v->selected].kind == TOP_TEXT)
		v->selected--; /* the first row is never a TOP_TEXT */
	if (v->first + height > v->count)
		v->first = v->count > height ? v->count - height : 0;
	if (v->selected < v->first)
		v->first = v->selected;
	if (v->selected >= v->first + height)
		v->first = v->selected - height + 1;
}

int top_view_make(struct top_view *v)
{
	struct wrap lines;
	struct render r = {.lines = &lines, .bars = true};
	const json_t *cluster;
	size_t i;

	buffer_clear(&v->text);
	wrap_init(&lines, &v->text, 0, true);
	lines.marks = true;
	v->count = 0;
	if (v->status != NULL) {
		render_head(&lines, v->status);
		add_lines(v, TOP_INSTANCE, NULL, 0);
	}
	json_array_foreach(json_object_get(v->status, "clusters"), i, cluster)
	{
		add_cluster(v, &r, cluster);
	}
	wrap_fini(&lines);
	/* Select the row that was selected before; if it is gone, the row in its place. */
	for (i = v->count; i-- > 0;)
		if (is_picked(&v->rows[i], &v->pick))
			v->selected = i;
	settle_selection(v);
	return v->text.failed ? -1 : 0;
}

const struct top_row *top_view_row(const struct top_view *v)
{
	return v->selected < v->count ? &v->rows[v->selected] : NULL;
}

void top_view_move(struct top_view *v, long rows)
{
	long last = (long)v->count - 1;
	long to = (long)v->selected + rows;

	if (v->count == 0)
		return;
	to = to < 0 ? 0 : to > last ? last : to;
	while (rows > 0 && to < last && v->rows[to].kind == TOP_TEXT)
		to++;
	v->selected = (size_t)to;
	settle_selection(v);
	remember_selected(v);
}

void top_view_sort(struct top_view *v, enum column column)
{
	v->backwards = v->sort == column && !v->backwards;
	v->sort = column;
}

void top_view_turn(struct top_view *v)
{
	const struct top_row *row = top_view_row(v);
	const char *name;

	if (row == NULL || row->group.cluster == NULL)
		return;
	name = field_raw(row->group.cluster, "name");
	if (json_object_del(v->turned, name) == -1)
		(void)json_object_set_new(v->turned, name, json_true());
}

const char *top_view_target(
	const struct top_view *v, enum control_method method, char to[TOP_TARGET])
{
	const struct top_row *row = top_view_row(v);
	const char *name = row != NULL ? field_raw(row->group.cluster, "name") : "";

	if (row != NULL && row->kind == TOP_WORKERS && row->group.count == 1 &&
		(method == METHOD_RESTART || method == METHOD_EVENTS))
		snprintf(to, TOP_TARGET, "%s.%lld", name, slot_at(row, 0));
	else
		text_copy(to, TOP_TARGET, name);
	return to;
}
