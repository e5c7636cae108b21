/* SPDX-License-Identifier: MIT */
#include "cli/render.h"

#include "base/scope.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

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
