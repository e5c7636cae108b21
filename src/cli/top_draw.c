/* SPDX-License-Identifier: MIT */
#include "cli/top.h"

#include "base/scope.h"
#include "base/text.h"
#include "cli/render.h"
#include "os/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NAME_MOST 12  /* a longer name does not stand before each slot */
#define LAST_LEAST 16 /* the last column has so many columns, or is left out */
#define BAR_NARROW 5  /* columns */
#define WIDE 110      /* a screen that has room for longer bars */
#define SILENT (3 * SECOND)

static const char help[] = "\n"
			   "  arrows, j k, PgUp PgDn, Home End   select\n"
			   "  Enter   of a cluster or a group: a row for each worker, and back;\n"
			   "          of a worker: its output\n"
			   "  l e     the output, or the events, of what is selected; any key "
			   "goes back\n"
			   "  /       show only what contains a text: a name, a state, an exit\n"
			   "  S U R C M   sort by slot, up, restarts, CPU, memory; again: "
			   "backwards\n"
			   "\n"
			   "  r       restart the worker, the cluster, or all\n"
			   "  s       stop the cluster, or all\n"
			   "  + -     run more or fewer workers; again: one more, or one fewer\n"
			   "          Nothing is done before you have said y.\n"
			   "\n"
			   "  Esc     all of it: ends the filter, and clears the last line\n"
			   "  ^L      draw anew        ^Z   suspend        q, ^C   quit\n"
			   "\n"
			   "  CPU% is of one CPU, since the last look; a bar of a group is the "
			   "mean.\n"
			   "  A bar of MEM is full for the worker that has most.\n";

static void draw_line(struct top *t, size_t line, attr_t attributes)
{
	wrap_end(&t->lines, 0);
	if (t->drawn.len > 0)
		screen_put(&t->screen, line, t->drawn.data, t->drawn.len - 1, attributes);
	buffer_clear(&t->drawn);
}

/* ---- the first line ---- */

static struct sums sum_of_all(const json_t *status, struct tally *tally)
{
	struct sums all = {0};
	const json_t *cluster;
	size_t i;

	json_array_foreach(json_object_get(status, "clusters"), i, cluster)
	{
		struct group g = {cluster, 0, json_array_size(json_object_get(cluster, "workers"))};
		struct sums sums;

		group_sum(&sums, &g);
		all.of[COLUMN_CPU] += sums.of[COLUMN_CPU];
		all.of[COLUMN_MEMORY] += sums.of[COLUMN_MEMORY];
	}
	tally_add(tally, status, false);
	return all;
}

static void put_use(struct wrap *w, const char *name, double part, const char *text, size_t bar)
{
	wrap_putf(w, PLAIN, "  %s [", name);
	render_bar(w, render_level(part), part, bar);
	wrap_putf(w, PLAIN, "] %s", text);
}

static void put_lost(const struct top *t, struct wrap *w, nsec_t now)
{
	char age[16];

	if (!t->connected) {
		wrap_putf(w, RED, "%s; connecting again", t->lost.text);
	} else if (t->asked && now - t->answered > SILENT) {
		wrap_putf(w, RED, "%s: no answer for %s", t->instance,
			text_age(age, now - t->answered));
	} else if (t->view.status == NULL) {
		wrap_putf(w, PLAIN, "%s ...", t->instance);
	}
}

static void draw_summary(struct top *t, size_t line)
{
	size_t bar = t->screen.columns < WIDE ? BAR_NARROW : RENDER_BAR;
	struct tally tally = {0};
	struct sums all = sum_of_all(t->view.status, &tally);
	double cpu = all.of[COLUMN_CPU];
	double memory = all.of[COLUMN_MEMORY];
	struct wrap *w = &t->lines;
	size_t mark = w->line.len;
	char text[48];

	put_lost(t, w, clock_now());
	if (w->line.len == mark) {
		wrap_putf(w, tally.lacking ? RED : GREEN, "%lu of %lu ready", tally.ready,
			tally.wanted);
		snprintf(text, sizeof(text), "%.0f%%", cpu);
		put_use(w, "CPU", cpu / 100 / (double)sysconf(_SC_NPROCESSORS_ONLN), text, bar);
		row_format_memory(text, sizeof(text), memory);
		memory /= (double)sysconf(_SC_PAGESIZE) * (double)sysconf(_SC_PHYS_PAGES);
		put_use(w, "MEM", memory, text, bar);
	}
	draw_line(t, line, A_NORMAL);
}

/* ---- the list ---- */

static bool is_named(const struct top_row *row)
{
	return wrap_columns(field_raw(row->group.cluster, "name")) <= NAME_MOST;
}

/* The end of the rows of the list that are on the screen. */
static size_t rows_end(const struct top *t)
{
	size_t end = t->view.first + top_list_rows(t);

	return end < t->view.count ? end : t->view.count;
}

static void lay_out(struct top *t)
{
	static const enum column gives_way[] = {
		COLUMN_GENERATION, COLUMN_RESTARTS, COLUMN_PID, COLUMN_UP, COLUMN_MEMORY};
	struct table *table = &t->table;

	table_begin(table);
	table->bar = t->screen.columns < WIDE ? BAR_NARROW : RENDER_BAR;
	table->memory = 0;
	table->now = true;
	for (size_t i = 0; i < t->view.count; i++) {
		const struct top_row *row = &t->view.rows[i];
		double mean;

		if (row->kind != TOP_WORKERS)
			continue;
		mean = row->sums.of[COLUMN_MEMORY] / (double)row->group.count;
		if (mean > table->memory)
			table->memory = mean;
		if (i >= t->view.first && i < rows_end(t))
			table_measure(table, &row->group, is_named(row));
	}
	table_fit(table, t->screen.columns, gives_way, COUNT_OF(gives_way));
	table->last = table_columns(table) + LAST_LEAST <= t->screen.columns ? "" : NULL;
}

static void draw_titles(struct top *t, size_t line)
{
	static const char *const marks[2][2] = {{"v", "^"}, {"▼", "▲"}};
	const struct top_view *v = &t->view;

	table_put_titles(&t->table, &t->lines, v->sort, marks[wrap_has(L'▲')][top_view_ascends(v)]);
	draw_line(t, line, A_NORMAL);
}

static void draw_list(struct top *t, size_t line)
{
	const struct top_view *v = &t->view;
	size_t end = rows_end(t);

	for (size_t i = v->first; i < end; i++, line++) {
		const struct top_row *row = &v->rows[i];
		attr_t attributes = i == v->selected ? A_REVERSE : A_NORMAL;
		const char *text = v->text.data + row->text;

		if (row->kind == TOP_WORKERS) {
			table_put_row(&t->table, &t->lines, &row->group, is_named(row));
			draw_line(t, line, attributes);
		} else {
			screen_put(&t->screen, line, text, (size_t)(strchr(text, '\n') - text),
				attributes);
		}
	}
}

/* ---- about the selected row, and what happened ---- */

static void put_command(struct wrap *w, const json_t *cluster)
{
	const json_t *word;
	size_t i;

	wrap_put(w, PLAIN, ":");
	json_array_foreach(json_object_get(cluster, "command"), i, word)
	{
		wrap_put(w, PLAIN, " ");
		wrap_bytes(w, PLAIN, json_string_value(word), json_string_length(word));
	}
}

static void put_worker(struct wrap *w, const struct top_row *row)
{
	const json_t *worker = group_latest(&row->group);
	const char *key;

	wrap_put(w, PLAIN, ": ");
	if (!group_put(w, &row->group, "", GROUP_LAST | GROUP_NOW))
		field_put(w, row_colour(worker), "", worker, "state");
	if (*row_cause(worker, &key) == '\0')
		return;
	wrap_put(w, PLAIN, *key == 'c' ? "; " : "; last output: ");
	field_put(w, RED, "", worker_failure(worker), key);
}

static void draw_rule(struct top *t, size_t line)
{
	const struct top_row *row = top_view_row(&t->view);
	const char *rule = wrap_has(L'─') ? "─" : "-";
	struct wrap *w = &t->lines;
	char target[TOP_TARGET];

	wrap_put(w, DIM, rule);
	wrap_put(w, PLAIN, " ");
	if (row != NULL && row->group.cluster != NULL) {
		wrap_put(w, BOLD, top_view_target(&t->view, METHOD_EVENTS, target));
		if (row->kind == TOP_WORKERS)
			put_worker(w, row);
		else
			put_command(w, row->group.cluster);
		wrap_put(w, PLAIN, " ");
	}
	for (size_t i = 0; i < t->screen.columns; i++)
		wrap_put(w, DIM, rule);
	draw_line(t, line, A_NORMAL);
}

static enum colour colour_of_level(const json_t *event)
{
	const char *level = field_raw(event, "level");

	if (strcmp(level, "error") == 0)
		return RED;
	return strcmp(level, "warn") == 0 ? YELLOW : PLAIN;
}

static void put_event(struct wrap *w, const json_t *event)
{
	time_t at = (time_t)field_number(event, "time");
	struct tm local;
	char stamp[16];

	if (localtime_r(&at, &local) != NULL && strftime(stamp, sizeof(stamp), "%T  ", &local) > 0)
		wrap_put(w, DIM, stamp);
	field_put(w, colour_of_level(event), "", event, "text");
	wrap_end(w, strlen("14:03:22  "));
}

/* Draw the latest events, in as many lines. */
static void draw_events(struct top *t, size_t line, size_t height)
{
	scoped_buffer text = {0};
	struct wrap w;
	const json_t *event;
	const char *at;
	size_t lines;
	size_t i;

	wrap_init(&w, &text, t->screen.columns, true);
	w.marks = true;
	json_array_foreach(t->happened, i, event)
	{
		put_event(&w, event);
	}
	lines = text_lines(text.data, text.len);
	at = text.data;
	for (i = 0; i < lines; i++) {
		const char *end = strchr(at, '\n');

		if (i + height >= lines)
			screen_put(&t->screen, line++, at, (size_t)(end - at), A_NORMAL);
		at = end + 1;
	}
	wrap_fini(&w);
}

/* ---- the last line ---- */

static void put_question(const struct top *t, struct wrap *w)
{
	const struct control_request *r = &t->request;
	const char *what = *r->target != '\0' ? r->target : t->instance;

	if (r->method == METHOD_SCALE)
		wrap_putf(w, BOLD, "run %d %s of %s?", abs(r->count),
			r->count < 0 ? "fewer" : "more", what);
	else if (r->method == METHOD_STOP)
		wrap_putf(w, BOLD, "stop all workers of %s%s?", what,
			*r->target != '\0' ? "" : ", and nclust itself");
	else
		wrap_putf(w, BOLD, "restart %s%s?",
			strrchr(r->target, '.') != NULL ? "" : "all of ", what);
	wrap_put(w, PLAIN, " y/n ");
}

static void draw_last(struct top *t, size_t line)
{
	struct wrap *w = &t->lines;

	if (t->mode == TOP_QUESTION) {
		put_question(t, w);
	} else if (t->mode == TOP_FILTER) {
		wrap_putf(w, BOLD, "/%s_", t->view.filter);
	} else if (*t->message != '\0') {
		wrap_put(w, t->tone, t->message);
	} else {
		if (*t->view.filter != '\0')
			wrap_putf(w, YELLOW, "only '%s' (Esc)  ", t->view.filter);
		wrap_put(w, DIM,
			"? help  / filter  l logs  e events  r restart  s stop  + - scale  q quit");
	}
	draw_line(t, line, A_NORMAL);
}

/* A quarter of the screen's rows is for events, if the screen has enough rows; four
 * are for all but these and the list. */
static size_t pane_rows(const struct top *t)
{
	return t->screen.rows >= 8 ? t->screen.rows / 4 : 0;
}

size_t top_list_rows(const struct top *t)
{
	size_t others = 4 + pane_rows(t);

	return t->screen.rows > others ? t->screen.rows - others : 1;
}

static void draw_help(struct top *t)
{
	const char *at = help;

	for (size_t line = 0; *at != '\0'; line++) {
		size_t len = strcspn(at, "\n");

		screen_put(&t->screen, line, at, len, A_NORMAL);
		at += len + 1;
	}
}

void top_draw(struct top *t)
{
	(void)t->screen.werase(*t->screen.stdscr);
	if (t->mode == TOP_HELP) {
		draw_help(t);
	} else {
		lay_out(t);
		draw_summary(t, 0);
		draw_titles(t, 1);
		draw_list(t, 2);
		draw_rule(t, 2 + top_list_rows(t));
		draw_events(t, 3 + top_list_rows(t), pane_rows(t));
	}
	if (t->screen.rows > 1)
		draw_last(t, t->screen.rows - 1);
	(void)t->screen.wrefresh(*t->screen.stdscr);
}
