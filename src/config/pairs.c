/* SPDX-License-Identifier: MIT */
#include "config/pairs.h"

#include "config/option.h"
#include "config/origin.h"

#include <stdlib.h>
#include <string.h>

void pairs_take(const char *section, const void *base, pair_taker *take, void *to)
{
	const struct option_row *row = NULL;
	char key[40];

	while ((row = option_next(section, row)) != NULL)
		for (size_t n = 0; n < field_count(row, base); n++)
			take(to, field_key(row, base, n, key), field_at(row, base, n));
}

int pairs_put(const char *section, void *base, const char *key, const char *text, struct error *err)
{
	int signal;
	const struct option_row *row = option_find(section, key, &signal);

	return row == NULL || signal == -1 ? 1 : field_carry(row, base, signal, text, err);
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

void pairs_origins(const struct settings *s, size_t at, origin_taker *take, void *to)
{
	const struct option_row *row = NULL;

	while ((row = option_next(section_of(at), row)) != NULL) {
		const struct origin *o = settings_origin(s, at, row);

		if (o->kind != ORIGIN_DEFAULT)
			take(to, row->name, o->kind, o->line,
				o->file > 0 ? origin_path(s->origins, o) : NULL);
	}
}

/* The number of a file, which is noted if it is new; or -1. */
static int file_of(struct origin_table *t, const char *file)
{
	size_t n = 0;

	if (file == NULL)
		return 0;
	while (n < t->included_count && strcmp(t->included[n].path, file) != 0)
		n++;
	if (n == t->included_count && origin_include(t, file, (struct origin){0}) == -1)
		return -1;
	return (int)n + 1;
}

int pairs_set_origin(struct settings *s, size_t at, const char *key, enum origin_kind kind,
	unsigned line, const char *file)
{
	const struct option_row *row = NULL;
	int number = file_of(s->origins, file);

	if (number == -1)
		return -1;

	/* by the row's name, which for signals is none that can be set */
	while ((row = option_next(section_of(at), row)) != NULL)
		if (strcmp(row->name, key) == 0)
			*settings_origin(s, at, row) = (struct origin){
				.kind = kind, .line = line, .file = (unsigned)number};
	return 0;
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
