/* SPDX-License-Identifier: MIT */
#include "base/scope.h"
#include "cli/target.h"

#include <check.h>

static const char *const shop_clusters[] = {"web", "thumbs"};
static const char *const blog_clusters[] = {"web", "api", "api.2"};
static const char *const solo_clusters[] = {"solo"};

static const struct known running[] = {
	{"shop", shop_clusters, COUNT_OF(shop_clusters)},
	{"blog", blog_clusters, COUNT_OF(blog_clusters)},
	{"solo", solo_clusters, COUNT_OF(solo_clusters)},
};

static struct resolved out;
static struct error err;

static void means(
	const char *text, const char *instance, const char *target, bool slot)
{
	ck_assert_msg(target_resolve(&out, text, running, COUNT_OF(running),
			      &err) == 0,
		"'%s': %s", text, err.text);
	ck_assert_str_eq(running[out.instance].instance, instance);
	ck_assert_str_eq(out.target, target);
	ck_assert_int_eq(out.slot, slot);
}

static void refuses(
	const char *text, size_t count, int status, const char *sentence)
{
	ck_assert_int_eq(target_resolve(&out, text, running, count, &err), -1);
	ck_assert_str_eq(err.text, sentence);
	ck_assert_int_eq(err.status, status);
}

START_TEST(an_instance_is_the_whole_of_it)
{
	means("shop", "shop", "", false);
	/* its one cluster often has the same name */
	means("solo", "solo", "", false);
	means("solo/solo", "solo", "solo", false);
}
END_TEST

START_TEST(a_cluster_is_found_where_it_is_unique)
{
	means("thumbs", "shop", "thumbs", false);
	means("api", "blog", "api", false);
	means("blog/web", "blog", "web", false);
	refuses("web", 3, 64,
		"'web' is in several instances: write 'shop/web' or "
		"'blog/web'");
}
END_TEST

START_TEST(a_slot_is_a_cluster_and_a_number)
{
	means("thumbs.0", "shop", "thumbs.0", true);
	means("shop/web.12", "shop", "web.12", true);
	means("solo.1", "solo", "solo.1", true);
	refuses("web.1", 3, 64,
		"'web.1' is in several instances: write 'shop/web.1' or "
		"'blog/web.1'");
}
END_TEST

START_TEST(a_cluster_of_that_name_wins_over_a_slot)
{
	means("api.2", "blog", "api.2", false);
	means("api.1", "blog", "api.1", true);
	means("api.2.0", "blog", "api.2.0", true);
}
END_TEST

START_TEST(without_a_target_there_must_be_one)
{
	ck_assert_int_eq(target_resolve(&out, NULL, running, 1, &err), 0);
	ck_assert_uint_eq(out.instance, 0);
	ck_assert_str_eq(out.target, "");
	refuses(NULL, 0, 69, "no instance is running");
	refuses(NULL, 3, 64,
		"several instances are running; name one: shop, blog, solo");
}
END_TEST

START_TEST(what_is_not_there_is_told_with_what_is_near)
{
	refuses("shopp", 3, 69,
		"no instance 'shopp' is running, and none has such a cluster; "
		"did you mean 'shop'?");
	refuses("thumbz", 3, 69,
		"no instance 'thumbz' is running, and none has such a cluster; "
		"did you mean 'thumbs'?");
	refuses("other", 2, 69,
		"no instance 'other' is running, and none has such a cluster; "
		"running: shop, blog");
	refuses("shop/thumb.1", 3, 69,
		"instance 'shop' has no cluster 'thumb.1'; did you mean "
		"'shop/thumbs'?");
	refuses("mars/web", 3, 69, "no instance 'mars' is running");
	refuses("shop", 0, 69,
		"no instance 'shop' is running, and none has such a cluster");
}
END_TEST

START_TEST(what_is_no_target_is_a_usage_error)
{
	static const char *const bad[] = {
		"", "/", "a/b/c", "../x", "a b", "-x", "shop/"};

	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		ck_assert_msg(
			target_resolve(&out, bad[i], running, 3, &err) == -1,
			"'%s' was taken", bad[i]);
		ck_assert_int_eq(err.status, 64);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli target");
	TCase *tcase = tcase_create("resolve");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, an_instance_is_the_whole_of_it);
	tcase_add_test(tcase, a_cluster_is_found_where_it_is_unique);
	tcase_add_test(tcase, a_slot_is_a_cluster_and_a_number);
	tcase_add_test(tcase, a_cluster_of_that_name_wins_over_a_slot);
	tcase_add_test(tcase, without_a_target_there_must_be_one);
	tcase_add_test(tcase, what_is_not_there_is_told_with_what_is_near);
	tcase_add_test(tcase, what_is_no_target_is_a_usage_error);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
