/* SPDX-License-Identifier: MIT */
#include "config/pairs.h"

#include "base/scope.h"
#include "config/option.h"
#include "config/origin.h"

#include <errno.h>
#include <string.h>

/* ---- taking apart ---- */

int pairs_take(
	const char *section, const void *base, pair_taker *take, void *to)
{
	struct buffer text;
	int got = 0;

	buffer_init(&text, 0);
	for (size_t i = 0; i < option_count && got == 0; i++) {
		const struct option_row *row = &option_rows[i];
		size_t count =
			option_is_of(row, section) ? field_count(row, base) : 0;
		char key[40];

		for (size_t n = 0; n < count && got == 0; n++) {
			buffer_clear(&text);
			(void)field_format(row, base, n, &text);
			if (text.failed || buffer_text(&text) == NULL)
				got = -1;
			else
				take(to, field_key(row, base, n, key),
					buffer_text(&text));
		}
	}
	buffer_fini(&text);
	return got;
}

/* ---- putting together ---- */

/* Defaults of keys that may be repeated would stay beside what comes. */
static void clear_lists(const char *section, void *base)
{
	for (size_t i = 0; i < option_count; i++)
		if (option_is_of(&option_rows[i], section) &&
			option_rows[i].repeatable)
			field_clear(&option_rows[i], base);
}

struct settings *pairs_new_instance(void)
{
	struct settings *s = settings_new();

	if (s != NULL)
		clear_lists(PAIRS_NCLUST, s);
	return s;
}

struct cluster_settings *pairs_new_cluster(void)
{
	struct settings *s = settings_new();
	struct cluster_settings *c = NULL;

	if (s != NULL &&
		settings_add_cluster(s, NULL, (struct origin){0}) != SIZE_MAX)
		c = cluster_settings_ref(s->clusters[0]);
	settings_free(s);
	if (c != NULL)
		clear_lists(PAIRS_CLUSTER, c);
	return c;
}

/* Its number is carried: a user who is gone meanwhile is no mistake. */
static bool is_looked_up(const struct option_row *row)
{
	return row->type == OPT_USER || row->type == OPT_GROUP ||
		row->type == OPT_CONTROL_GROUP;
}

int pairs_put(const char *section, void *base, const char *key,
	const char *text, struct error *err)
{
	int signal;
	const struct option_row *row = option_find(section, key, &signal);
	char **field;
	char *copy;

	if (row == NULL || signal == -1)
		return 1;
	if (!is_looked_up(row))
		return field_set(row, base, signal, text, err);
	field = (char **)(void *)((char *)base + row->offset);
	copy = strdup(text);
	if (copy == NULL)
		return error_set(err, ENOMEM, "cannot keep '%s'", key);
	free(*field);
	*field = copy;
	return 0;
}

void pairs_finish_cluster(struct cluster_settings *c)
{
	for (unsigned i = 0; i < c->stop_count; i++)
		if (c->stop[i].wait == -1)
			c->stop[i].wait = c->stop_timeout;
}

int pairs_add_cluster(struct settings *s, struct cluster_settings *c)
{
	size_t at = settings_add_cluster(s, NULL, (struct origin){0});

	if (at == SIZE_MAX) {
		cluster_settings_unref(c);
		return -1;
	}
	cluster_settings_unref(s->clusters[at]);
	s->clusters[at] = c;
	return 0;
}

/* ---- where they came from ---- */

void pairs_origins(
	const struct settings *s, size_t at, origin_taker *take, void *to)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option_row *row = &option_rows[i];
		const struct origin *o;

		if (!option_is_of(
			    row, at == INSTANCE ? PAIRS_NCLUST : PAIRS_CLUSTER))
			continue;
		o = settings_origin(s, at, row);
		if (o->kind != ORIGIN_DEFAULT)
			take(to, row->name, o->kind, o->line);
	}
}

void pairs_set_origin(struct settings *s, size_t at, const char *key,
	enum origin_kind kind, unsigned line)
{
	const char *section = at == INSTANCE ? PAIRS_NCLUST : PAIRS_CLUSTER;

	/* by the row's name, which for signals is none that can be set */
	for (size_t i = 0; i < option_count; i++)
		if (option_is_of(&option_rows[i], section) &&
			strcmp(option_rows[i].name, key) == 0)
			*settings_origin(s, at, &option_rows[i]) =
				(struct origin){.kind = kind, .line = line};
}

const char *pairs_file(const struct settings *s)
{
	return s->origins->file;
}

int pairs_set_file(struct settings *s, const char *file)
{
	free(s->origins->file);
	s->origins->file = strdup(file);
	return s->origins->file != NULL ? 0 : -1;
}
