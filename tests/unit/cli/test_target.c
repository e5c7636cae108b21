/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "cli/client.h"
#include "cli/session.h"

#define NAMES(...) \
	(char *[]) \
	{ \
		__VA_ARGS__ \
	}
#define NAME(text) \
	(char[]) \
	{ \
		text \
	}

static const struct client running[] = {
	{.name = "shop", .clusters = NAMES(NAME("web"), NAME("thumbs")), .cluster_count = 2},
	{.name = "blog",
		.clusters = NAMES(NAME("web"), NAME("api"), NAME("api.2")),
		.cluster_count = 3},
	{.name = "solo", .clusters = NAMES(NAME("solo")), .cluster_count = 1},
};

static struct resolved out;
static struct error err;

static void means(const char *text, const char *instance, const char *target, bool slot)
{
	ck_assert_msg(target_resolve(&out, text, running, COUNT_OF(running), &err) == 0, "'%s': %s",
		text, err.text);
	ck_assert_str_eq(running[out.instance].name, instance);
	ck_assert_str_eq(out.target, target);
	ck_assert_int_eq(out.slot, slot);
}

static void refuses(const char *text, size_t count, int status, const char *sentence)
{
	ck_assert_int_eq(target_resolve(&out, text, running, count, &err), -1);
	ck_assert_str_eq(err.text, sentence);
	ck_assert_int_eq(err.status, status);
}

TEST(an_instance_is_the_whole_of_it)
{
	means("shop", "shop", "", false);
	/* its one cluster often has the same name */
	means("solo", "solo", "", false);
	means("solo/solo", "solo", "solo", false);
}

TEST(a_cluster_is_found_where_it_is_unique)
{
	means("thumbs", "shop", "thumbs", false);
	means("api", "blog", "api", false);
	means("blog/web", "blog", "web", false);
	refuses("web", 3, 64,
		"'web' is in several instances: write 'shop/web' or "
		"'blog/web'");
}

TEST(a_slot_is_a_cluster_and_a_number)
{
	means("thumbs.0", "shop", "thumbs.0", true);
	means("shop/web.12", "shop", "web.12", true);
	means("solo.1", "solo", "solo.1", true);
	refuses("web.1", 3, 64,
		"'web.1' is in several instances: write 'shop/web.1' or "
		"'blog/web.1'");
}

TEST(a_cluster_of_that_name_wins_over_a_slot)
{
	means("api.2", "blog", "api.2", false);
	means("api.1", "blog", "api.1", true);
	means("api.2.0", "blog", "api.2.0", true);
}

TEST(without_a_target_there_must_be_one)
{
	ck_assert_int_eq(target_resolve(&out, NULL, running, 1, &err), 0);
	ck_assert_uint_eq(out.instance, 0);
	ck_assert_str_eq(out.target, "");
	refuses(NULL, 0, 69, "found no running instance");
	refuses(NULL, 3, 64, "several instances are running; name one: shop, blog, solo");
}

TEST(what_is_not_there_is_told_with_what_is_near)
{
	refuses("shopp", 3, 69,
		"found no running instance 'shopp', and none with such a cluster; "
		"did you mean 'shop'?");
	refuses("thumbz", 3, 69,
		"found no running instance 'thumbz', and none with such a cluster; "
		"did you mean 'thumbs'?");
	refuses("other", 2, 69,
		"found no running instance 'other', and none with such a cluster; "
		"running: shop, blog");
	refuses("shop/thumb.1", 3, 69,
		"instance 'shop' has no cluster 'thumb.1'; did you mean "
		"'shop/thumbs'?");
	refuses("mars/web", 3, 69, "found no running instance 'mars'; running: shop, blog, solo");
	refuses("blogg/api", 3, 69, "found no running instance 'blogg'; did you mean 'blog/api'?");
	refuses("all", 2, 69,
		"found no running instance 'all', and none with such a cluster; "
		"leave 'all' out for the whole of it; running: shop, blog");
	refuses("shop", 0, 69, "found no running instance 'shop', and none with such a cluster");
}

TEST(what_is_no_target_is_a_usage_error)
{
	static const char *const bad[] = {"", "/", "a/b/c", "../x", "a b", "-x", "shop/"};

	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		ck_assert_msg(target_resolve(&out, bad[i], running, 3, &err) == -1,
			"'%s' was taken", bad[i]);
		ck_assert_int_eq(err.status, 64);
	}
}
