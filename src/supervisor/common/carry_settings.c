/* SPDX-License-Identifier: MIT */
#include "supervisor/common/carried.h"

#include "base/text.h"
#include "config/origin.h"

#include <errno.h>
#include <stdlib.h>

/* The settings of clusters and of the instance, as keys and texts. */

/* Members that no option of config's table sets. */
static const struct plain_row settings_rows[] = {
	PLAIN(1, cluster_settings, uid, SIGNED),
	PLAIN(2, cluster_settings, gid, SIGNED),
	PLAIN(3, cluster_settings, user_gid, SIGNED),
	PLAIN(4, cluster_settings, login, HEAP),
	PLAIN(5, cluster_settings, home, HEAP),
	PLAIN(6, cluster_settings, fallback_page, HEAP),
	PLAIN(7, cluster_settings, configured, HEAP),
	PLAIN(8, cluster_settings, directory_of_file, BOOL),
	PLAIN(9, cluster_settings, directory_now, HEAP),
	PLAIN(10, cluster_settings, directory_of_nclust, BOOL),
	PLAIN(11, cluster_settings, before_of_all, BOOL),
	PLAIN(12, cluster_settings, workers_by_default, BOOL),
	CARRY_BYTES(CARRY_GROUPS, cluster_settings, groups, group_count),
	PLAIN_MUST(CARRY_TEXT, cluster_settings, name, HEAP),
};

static const struct plain_row instance_rows[] = {
	PLAIN(1, settings, control_gid, SIGNED),
	PLAIN(2, settings, daemon, BOOL),
	PLAIN(3, settings, http_secret, HEAP),
	PLAIN(CARRY_TEXT, settings, config_file, HEAP),
};

/* ---- a pair, and where a setting came from ---- */

struct pair {
	char *key;
	char *text;
	enum origin_kind kind;
	unsigned line;
	char *file; /* the included file that sets the option, or NULL */
};

enum { PAIR_KEY = 1, PAIR_TEXT };
enum { ORIGIN_KEY = 1, ORIGIN_KIND, ORIGIN_LINE, ORIGIN_INCLUDED };

static const struct plain_row pair_rows[] = {
	PLAIN_MUST(PAIR_KEY, pair, key, HEAP),
	PLAIN_MUST(PAIR_TEXT, pair, text, HEAP),
};

static const struct carried carried_pair = {
	.called = "a setting",
	CARRIED_ROWS(pair_rows, pair),
};

static const struct plain_row origin_rows[] = {
	PLAIN_MUST(ORIGIN_KEY, pair, key, HEAP),
	PLAIN_ENUM(ORIGIN_KIND, pair, kind, ORIGIN_ARGV),
	PLAIN_ALWAYS(ORIGIN_LINE, pair, line, UNSIGNED),
	PLAIN(ORIGIN_INCLUDED, pair, file, HEAP),
};

static const struct carried carried_origin = {
	.called = "an origin",
	CARRIED_ROWS(origin_rows, pair),
};

static void put_pair(void *to, const char *key, const char *text)
{
	const struct pair p = {.key = (char *)(uintptr_t)key, .text = (char *)(uintptr_t)text};

	carry_put_one(to, CARRY_PAIR, &carried_pair, &p);
}

static void put_origin(
	void *to, const char *key, enum origin_kind kind, unsigned line, const char *file)
{
	const struct pair p = {.key = (char *)(uintptr_t)key,
		.kind = kind,
		.line = line,
		.file = (char *)(uintptr_t)file};

	carry_put_one(to, CARRY_ORIGIN, &carried_origin, &p);
}

static int get_pair(
	struct carry_reader *r, const struct handover_field *f, const char *section, void *base)
{
	struct pair p = {0};
	int got = carry_get_one(r, &carried_pair, &p, f);

	if (got == 1) {
		got = field_carry(section, base, p.key, p.text, r->err);
		if (got == 1) { /* a key of a later version is lost */
			r->skipped++;
			text_copy(r->skipped_key, sizeof(r->skipped_key), p.key);
		}
		if (got == -1)
			error_wrap(r->err, "setting '%s'", p.key);
	}
	free(p.key);
	free(p.text);
	return got == -1 ? -1 : 1;
}

static int get_origin(
	struct carry_reader *r, struct settings *s, size_t at, const struct handover_field *f)
{
	struct pair p = {0};
	int got = carry_get_one(r, &carried_origin, &p, f);

	if (got == 1 && origins_set(s, at, p.key, p.kind, p.line, p.file) == -1)
		got = error_set(r->err, ENOMEM, "an origin");
	free(p.key);
	free(p.file);
	return got;
}

/* ---- settings of a cluster ---- */

static void put_cluster(struct carry_writer *c, const void *of)
{
	field_each("cluster", of, put_pair, c);
	if (carry_variant.more)
		put_pair(c, "of-a-later-version", "yes");
}

static int take_of_cluster(struct carry_reader *r, void *to, const struct handover_field *f)
{
	return f->tag == CARRY_PAIR ? get_pair(r, f, "cluster", to) : 0;
}

static int cluster_done(struct carry_reader *r UNUSED, void *to)
{
	struct cluster_settings *s = to;

	cluster_settings_finish(s);
	/* an older nclust does not carry the user's groups */
	if (s->uid >= 0 && s->groups == NULL && login_find(s) == -1)
		return -1;
	return s->command.count > 0 ? 0 : -1;
}

static void *make_cluster(struct carry_reader *r UNUSED, void *owner UNUSED)
{
	return cluster_settings_new();
}

const struct carried carried_cluster = {
	.called = "the settings",
	CARRIED_ROWS(settings_rows, cluster_settings),
	.put = put_cluster,
	.take = take_of_cluster,
	.done = cluster_done,
	.make = make_cluster,
};

/* ---- settings of the instance ---- */

static void put_instance(struct carry_writer *c, const void *of)
{
	const struct settings *s = of;

	handover_put_text(&c->w, CARRY_WORD, s->origins->file);
	field_each("nclust", s, put_pair, c);
	origins_each(s, INSTANCE, put_origin, c);
	for (size_t i = 0; i < s->cluster_count; i++) {
		handover_open(&c->w, CARRY_CLUSTER);
		carry_put_index(c, CARRY_INDEX, CARRY_OF_SETTINGS, s->clusters[i]);
		origins_each(s, i, put_origin, c);
		handover_close(&c->w);
	}
}

/* Read an index of a cluster's settings, and append them to the instance's list. */
static int take_member(struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct settings *s = to;
	struct cluster_settings *cluster;

	if (f->tag == CARRY_ORIGIN)
		return get_origin(r, s, s->cluster_count - 1, f);
	if (f->tag != CARRY_INDEX)
		return 0;
	cluster = carry_at(r, CARRY_OF_SETTINGS, f);
	return cluster != NULL &&
			settings_take_cluster(
				s, cluster_settings_ref(cluster), (struct origin){0}) != SIZE_MAX
		? 1
		: -1;
}

static const struct carried carried_member = {
	.called = "the instance",
	.take = take_member,
};

static int get_member(struct carry_reader *r, struct settings *s, const struct handover_field *f)
{
	size_t before = s->cluster_count;

	if (carry_get_one(r, &carried_member, s, f) == -1)
		return -1;
	return s->cluster_count == before + 1 ? 1 : -1;
}

static int take_of_instance(struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct settings *s = to;

	switch (f->tag) {
	case CARRY_PAIR:
		return get_pair(r, f, "nclust", s);
	case CARRY_ORIGIN:
		return get_origin(r, s, INSTANCE, f);
	case CARRY_CLUSTER:
		return get_member(r, s, f);
	case CARRY_WORD:
		free(s->origins->file);
		s->origins->file = handover_text(f);
		return s->origins->file != NULL ? 1 : -1;
	default:
		return 0;
	}
}

static int instance_done(struct carry_reader *r UNUSED, void *to)
{
	return ((struct settings *)to)->name != NULL ? 0 : -1;
}

static void *make_instance(struct carry_reader *r UNUSED, void *owner UNUSED)
{
	return settings_new();
}

const struct carried carried_instance = {
	.called = "the instance",
	CARRIED_ROWS(instance_rows, settings),
	.put = put_instance,
	.take = take_of_instance,
	.make = make_instance,
	.done = instance_done,
};

/* ---- settings alone ---- */

struct alone {
	struct settings *settings;
};

static const struct plain_row alone_rows[] = {
	CARRY_REFERRED(CARRY_SETTINGS, &carried_cluster, CARRY_OF_SETTINGS),
	CARRY_GROUP(CARRY_INSTANCE, alone, settings, &carried_instance),
};

static const struct carried carried_alone = {
	.called = "the settings",
	CARRIED_ROWS(alone_rows, alone),
};

int settings_write(struct carry_writer *c, struct settings *s)
{
	const struct alone alone = {s};

	*c = (struct carry_writer){0};
	buffer_init(&c->out, HANDOVER_SIZE_MAX);
	buffer_init(&c->descriptors, 0);
	/* the first pass collects the settings of clusters, which are written first */
	handover_begin(&c->w, NULL);
	carry_put_all(c, &carried_alone, &alone);
	handover_begin(&c->w, &c->out);
	carry_put_all(c, &carried_alone, &alone);
	return handover_end(&c->w, &carry_variant.version);
}

struct settings *settings_read(const void *data, size_t len, struct error *err)
{
	struct carry_reader r = {.err = err};
	struct carry_list *list = &r.lists[CARRY_OF_SETTINGS];
	struct handover_reader in;
	struct alone alone = {NULL};

	*err->text = '\0';
	if (handover_open_for_reading(
		    &in, data, len, carry_variant.version.major, &r.version, err) == -1)
		return NULL;
	if (carry_get_all(&r, &carried_alone, &alone, &in) == -1) {
		settings_free(alone.settings);
		alone.settings = NULL;
	}
	for (size_t i = 0; i < list->count; i++)
		cluster_settings_unref(list->list[i]);
	free(list->list);
	return alone.settings;
}

struct cluster_settings *settings_copy(const struct cluster_settings *of, struct error *err)
{
	struct settings *alone = settings_new();
	struct settings *read = NULL;
	struct cluster_settings *copy = NULL;
	struct carry_writer c = {0};

	error_set(err, ENOMEM, "the settings of '%s'", of->name);
	if (alone != NULL && field_set_key("nclust", alone, "name", of->name, err) == 0 &&
		settings_take_cluster(alone, cluster_settings_ref(of), (struct origin){0}) !=
			SIZE_MAX &&
		settings_write(&c, alone) == 0)
		read = settings_read(c.out.data, c.out.len, err);
	if (read != NULL)
		copy = cluster_settings_ref(read->clusters[0]);
	carry_fini(&c);
	settings_free(read);
	settings_free(alone);
	return copy;
}
