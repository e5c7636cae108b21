/* SPDX-License-Identifier: MIT */
#include "config/diff.h"

#include "base/text.h"
#include "config/option.h"
#include "config/origin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What differs between two settings, and digests of settings. */

/* All texts of a setting, and what they stand for on this machine: equal where the values
 * are equal. */
static void put_all(struct buffer *out, const struct option_row *row, const void *base)
{
	const struct cluster_settings *c = base;
	size_t count = field_count(row, base);
	char key[40];

	for (size_t n = 0; n < count; n++)
		buffer_printf(
			out, "%s=%s%c", field_key(row, base, n, key), field_at(row, base, n), '\0');
	/* the file's content may have changed */
	if (row->type == &type_fallback && c->fallback_page != NULL)
		buffer_string(out, c->fallback_page);
	/* the same name may have become another id */
	if (row->type == &type_user) {
		buffer_append(out, &c->uid, sizeof(c->uid));
		buffer_append(out, &c->user_gid, sizeof(c->user_gid));
		buffer_append(out, c->groups, c->group_count * sizeof(*c->groups));
	}
	if (row->type == &type_group && c->group != NULL)
		buffer_append(out, &c->gid, sizeof(c->gid));
}

/* 1: the same, 0: not, -1: out of memory. */
static int is_same(const struct option_row *row, const void *a, const void *b)
{
	scoped_buffer x = {0};
	scoped_buffer y = {0};

	put_all(&x, row, a);
	put_all(&y, row, b);
	if (x.failed || y.failed)
		return -1;
	return x.len == y.len && (x.len == 0 || memcmp(x.data, y.data, x.len) == 0);
}

/* A change from sinks to other sinks need not reach workers. */
static enum change change_of(const struct option_row *row, const void *a, const void *b)
{
	const struct cluster_settings *old = a;
	const struct cluster_settings *new = b;

	/* Node's workers get their connections from nclust, or no more, by this alone */
	if (strcmp(row->name, "max-requests") == 0 && new->balance == BALANCE_AUTO &&
		(old->max_requests == 0) != (new->max_requests == 0))
		return CHANGE_ROLL;
	return row->type == &type_log && old->log == LOG_SINKS && new->log == LOG_SINKS
		? CHANGE_LIVE
		: row->change;
}

/* The only value of a setting, if it is a plain word or number; else NULL. */
static const char *plain_value(const struct option_row *row, const void *base)
{
	char key[40];
	bool alone =
		field_count(row, base) == 1 && strcmp(field_key(row, base, 0, key), row->name) == 0;
	const char *value = alone ? field_at(row, base, 0) : NULL;
	size_t len = value != NULL ? strlen(value) : 0;
	size_t plain =
		value != NULL ? strspn(value, "0123456789abcdefghijklmnopqrstuvwxyz.%-KMGT") : 0;

	return len > 0 && len <= 16 && plain == len ? value : NULL;
}

/* "workers 2 → 3", or the name alone. */
static void put_key(char keys[256], const struct option_row *row, const void *old, const void *new)
{
	const char *was = plain_value(row, old);
	const char *is = plain_value(row, new);
	size_t used = strlen(keys);
	char text[96];

	if (was != NULL && is != NULL && strcmp(was, is) != 0)
		snprintf(text, sizeof(text), "%s %s → %s", row->name, was, is);
	else
		text_copy(text, sizeof(text), row->name);
	if (used + 2 + strlen(text) < 256)
		snprintf(keys + used, 256 - used, "%s%s", used > 0 ? ", " : "", text);
}

/* Compare all settings of a section.  `cluster`: gets what matters to a cluster, or NULL. */
static int compare_section(const char *section, const void *a, const void *b, enum change *change,
	char keys[256], struct diff_cluster *cluster)
{
	const struct option_row *row = NULL;

	while ((row = option_next(section, row)) != NULL) {
		int same = is_same(row, a, b);

		if (same == -1)
			return -1;
		if (same == 1)
			continue;
		if (change_of(row, a, b) > *change)
			*change = change_of(row, a, b);
		put_key(keys, row, a, b);
		if (cluster != NULL && row->type == &type_workers)
			cluster->workers_changed = true;
		if (cluster != NULL && row->type == &type_command)
			cluster->command_changed = true;
	}
	return 0;
}

int diff_settings(struct diff *d, const struct settings *old, const struct settings *new)
{
	*d = (struct diff){0};
	d->clusters = calloc(old->cluster_count + new->cluster_count + 1, sizeof(*d->clusters));
	if (d->clusters == NULL ||
		compare_section("nclust", old, new, &d->instance, d->instance_keys, NULL) == -1)
		goto fail;
	for (size_t i = 0; i < new->cluster_count; i++) {
		struct diff_cluster *c = &d->clusters[d->count++];

		size_t was;

		c->new = new->clusters[i];
		was = settings_find(old, old->cluster_count, c->new->name);
		if (was == SIZE_MAX)
			continue;
		c->old = old->clusters[was];
		if (compare_section("cluster", c->old, c->new, &c->change, c->keys, c) == -1)
			goto fail;
	}
	for (size_t i = 0; i < old->cluster_count; i++)
		if (settings_find(new, new->cluster_count, old->clusters[i]->name) == SIZE_MAX)
			d->clusters[d->count++].old = old->clusters[i];
	return 0;
fail:
	diff_fini(d);
	return -1;
}

void diff_fini(struct diff *d)
{
	free(d->clusters);
	*d = (struct diff){0};
}

/* ---- digests ---- */

static uint64_t digest_of(const struct cluster_settings *c, bool workers)
{
	const struct option_row *row = NULL;
	scoped_buffer text = {0};

	while ((row = option_next("cluster", row)) != NULL)
		if ((workers ? row->type == &type_workers : row->change >= CHANGE_ROLL) &&
			/* the next nclust may be started elsewhere */
			!(c->directory_of_nclust && strcmp(row->name, "directory") == 0))
			put_all(&text, row, c);
	/* 0: unlike any other */
	return text.failed ? 0 : text_hash(TEXT_HASH, text.data, text.len);
}

uint64_t config_digest(const struct cluster_settings *c)
{
	return digest_of(c, false);
}

uint64_t config_digest_workers(const struct cluster_settings *c)
{
	return digest_of(c, true);
}
