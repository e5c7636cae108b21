/* SPDX-License-Identifier: MIT */
#include "config/origin.h"

#include "config/option.h"
#include "config_lib.h"

/* All pairs, a line each. */
static void take(void *to, const char *key, const char *text)
{
	buffer_printf(to, "%s = %s\n", key, text);
}

static void put_cluster(void *to, const char *key, const char *text)
{
	struct error err;

	ck_assert_msg(field_carry("cluster", to, key, text, &err) == 0, "%s = %s: %s", key, text,
		err.text);
}

static void put_instance(void *to, const char *key, const char *text)
{
	struct error err;

	ck_assert_int_eq(field_carry("nclust", to, key, text, &err), 0);
}

/* As a user would set it, with another value than its default if there is one
 * in the table. */
static void set_all(struct settings *s, size_t at, const char *section)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option_row *row = &option_rows[i];
		const char *text = row->example != NULL ? row->example : row->fallback;
		struct origin origin = {.kind = ORIGIN_FILE, .line = (unsigned)i + 1};
		struct error err;
		int signal = 0;

		if (row->section == NULL || strcmp(row->section, section) != 0 || text == NULL)
			continue;
		if (row->type == &type_user || row->type == &type_group ||
			row->type == &type_control_group)
			text = "#0";
		if (row->type == &type_signal_rule) {
			signal = 12;
			text = "upgrade";
		}
		ck_assert_msg(settings_set(s, at, row, signal, text, origin, &err) == 0,
			"%s = %s: %s", row->name, text, err.text);
	}
}

static struct settings *made(void)
{
	struct settings *s = settings_new();
	struct faults faults = {0};

	ck_assert_ptr_nonnull(s);
	ck_assert_uint_eq(settings_add_cluster(s, "web", (struct origin){0}), 0);
	s->origins->file = strdup("shop.ini");
	set_all(s, INSTANCE, "nclust");
	set_all(s, 0, "cluster");
	settings_check(s, &faults); /* fills in; some do not go together */
	faults_fini(&faults);
	return s;
}

static struct cluster_settings *rebuilt(const struct cluster_settings *c)
{
	struct cluster_settings *again = cluster_settings_new();

	ck_assert_ptr_nonnull(again);
	field_each("cluster", c, put_cluster, again);
	cluster_settings_finish(again);
	again->name = strdup(c->name);
	again->uid = c->uid;
	again->gid = c->gid;
	again->user_gid = c->user_gid;
	ck_assert_int_eq(again->uid >= 0 ? login_find(again) : 0, 0);
	return again;
}

static char *pairs_of(const struct cluster_settings *c)
{
	struct buffer out;

	buffer_init(&out, 0);
	field_each("cluster", c, take, &out);
	ck_assert_ptr_nonnull(buffer_text(&out));
	return out.data;
}

/* A reload would find nothing to do.  Frees both. */
static void expect_no_change(struct settings *s, struct cluster_settings *again)
{
	struct settings with = *s;
	struct diff d;

	with.clusters = &again;
	with.cluster_count = 1;
	ck_assert_int_eq(diff_settings(&d, s, &with), 0);
	ck_assert_msg(d.count == 1 && d.clusters[0].change == CHANGE_NONE, "changed: %s",
		d.clusters[0].keys);
	diff_fini(&d);
	cluster_settings_unref(again);
	settings_free(s);
}

TEST(every_key_of_a_cluster_comes_back)
{
	struct settings *s = made();
	struct cluster_settings *again = rebuilt(s->clusters[0]);
	scoped_str before = pairs_of(s->clusters[0]);
	scoped_str after = pairs_of(again);

	ck_assert_str_eq(before, after);
	ck_assert_ptr_nonnull(strstr(after, "stop-signal"));
	ck_assert_int_eq(again->stop_count, s->clusters[0]->stop_count);
	for (unsigned i = 0; i < again->stop_count; i++)
		ck_assert_int_eq(again->stop[i].timeout, s->clusters[0]->stop[i].timeout);
	expect_no_change(s, again);
}

static void put_origin(
	void *to, const char *key, enum origin_kind kind, unsigned line, const char *file)
{
	ck_assert_int_eq(origins_set(to, INSTANCE, key, kind, line, file), 0);
}

TEST(the_instance_comes_back_with_its_origins)
{
	struct settings *s = made();
	struct settings *again = settings_new();
	scoped_str before = NULL;
	scoped_str after = NULL;

	field_each("nclust", s, put_instance, again);
	again->origins->file = strdup(s->origins->file);
	origins_each(s, INSTANCE, put_origin, again);
	s->cluster_count = 0; /* of these the other tests tell */
	s->config_file = strdup("/x/shop.ini");
	again->config_file = strdup("/x/shop.ini");
	before = described(s);
	after = described(again);
	s->cluster_count = 1;
	ck_assert_str_eq(before, after);
	ck_assert_ptr_nonnull(strstr(after, "/x/shop.ini:"));
	settings_free(again);
	settings_free(s);
}

TEST(unknown_keys_and_bad_values_are_told)
{
	struct cluster_settings *c = cluster_settings_new();
	struct settings *s = settings_new();
	struct error err;

	ck_assert_int_eq(field_carry("cluster", c, "no-such-key", "1", &err), 1);
	ck_assert_int_eq(field_carry("cluster", c, "signal-NOSUCH", "all", &err), 1);
	ck_assert_int_eq(field_carry("cluster", c, "workers", "many", &err), -1);
	ck_assert_int_eq(field_carry("nclust", s, "workers", "2", &err), 1);
	/* who is gone meanwhile was somebody once */
	ck_assert_int_eq(field_carry("cluster", c, "user", "nobody-of-that-name", &err), 0);
	ck_assert_int_eq(origins_set(s, INSTANCE, "no-such-key", ORIGIN_FILE, 1, NULL), 0);
	cluster_settings_unref(c);
	settings_free(s);
}
