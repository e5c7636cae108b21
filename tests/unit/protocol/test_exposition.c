/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "protocol/exposition.h"

/* What several workers say, as one text: right for Prometheus, whatever they say. */

static struct exposition all;
static struct buffer out;
static struct error why;

static void begin(void)
{
	exposition_init(&all, 1);
	buffer_init(&out, 0);
}

static void end(void)
{
	exposition_fini(&all);
	buffer_fini(&out);
}

static int add(uint32_t slot, const char *text)
{
	return exposition_add(&all, slot, text, strlen(text), &why);
}

static const char *written(void)
{
	exposition_write(&all, &out);
	return buffer_text(&out);
}

FIXTURE(begin, end)

TEST(a_family_stands_together_under_one_head)
{
	ck_assert_int_eq(add(0,
				 "# HELP a Some a.\n# TYPE a counter\na 1\n"
				 "b{x=\"y\"} 2 1700000000000\n"),
		0);
	ck_assert_int_eq(add(2,
				 "b 4\n# HELP a Other a.\n# TYPE a counter\n"
				 "a{ x = \"1\" , } 3"),
		0);
	ck_assert_str_eq(written(),
		"# HELP a Some a.\n# TYPE a counter\n"
		"a{slot=\"0\"} 1\na{slot=\"2\",x=\"1\"} 3\n"
		"b{slot=\"0\",x=\"y\"} 2 1700000000000\nb{slot=\"2\"} 4\n");
}

TEST(histograms_and_summaries_keep_their_parts_in_order)
{
	ck_assert_int_eq(add(1,
				 "# TYPE h histogram\nh_bucket{le=\"1\"} 1\n"
				 "h_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n"
				 "# TYPE h_a gauge\nh_a 1\n"
				 "# TYPE s summary\ns{quantile=\"0.5\"} 1\n"
				 "s_sum 1\ns_count 1\ns_bucket 7\n"),
		0);
	ck_assert_str_eq(written(),
		"# TYPE h histogram\nh_bucket{slot=\"1\",le=\"1\"} 1\n"
		"h_bucket{slot=\"1\",le=\"+Inf\"} 2\nh_sum{slot=\"1\"} 3\n"
		"h_count{slot=\"1\"} 2\n"
		"# TYPE h_a gauge\nh_a{slot=\"1\"} 1\n"
		"# TYPE s summary\ns{slot=\"1\",quantile=\"0.5\"} 1\n"
		"s_sum{slot=\"1\"} 1\ns_count{slot=\"1\"} 1\n"
		"s_bucket{slot=\"1\"} 7\n");
}

TEST(a_label_slot_of_its_own_is_exported)
{
	ck_assert_int_eq(add(3,
				 "a{slot=\"mine\"} 1\n"
				 "b{exported_slot=\"x\",slot=\"y\"} 1\n"),
		0);
	ck_assert_str_eq(written(),
		"a{slot=\"3\",exported_slot=\"mine\"} 1\n"
		"b{slot=\"3\",exported_exported_slot=\"x\",exported_slot=\"y\"} 1\n");
}

TEST(workers_that_differ_about_a_type_leave_none)
{
	ck_assert_int_eq(add(0, "# TYPE a counter\na 1\n"), 0);
	ck_assert_int_eq(add(1, "# TYPE a gauge\na 2\n"), 0);
	ck_assert_str_eq(written(), "a{slot=\"0\"} 1\na{slot=\"1\"} 2\n");
}

TEST(escapes_stay)
{
	ck_assert_int_eq(add(0,
				 "# HELP a \\n and \\\\\n"
				 "a{x=\"\\\"\\\\\\n}\"} NaN\n"),
		0);
	ck_assert_str_eq(written(),
		"# HELP a \\n and \\\\\n"
		"a{slot=\"0\",x=\"\\\"\\\\\\n}\"} NaN\n");
}

static const char *const well[] = {"", "\n\n", "# a comment\n#\n# EOF\n", "# TYPE a unknown\n",
	"# HELP a\n", "a +Inf\n", "a -inf\n", "a 1e-3\n", "a .5\n", "  a\t1 \n", "a{} 1\n",
	"a{b=\"\"}1\n", "a:b_c9 1 -1\n", "a{b=\"\xc3\xa9\"} 1\n"};

TEST_LOOP(what_is_that_format_is_taken, 0, sizeof(well) / sizeof(*well))
{
	ck_assert_msg(add(0, well[_i]) == 0, "'%s': %s", well[_i], why.text);
}

static const char *const bad[] = {"a\n", "a b\n", "9a 1\n", "a{b=\"c\" 1\n", "a{b=c} 1\n",
	"a{b=\"c\"d=\"e\"} 1\n", "a{b=\"\\x\"} 1\n", "a{b=\"\xff\"} 1\n", "a{\"b\"} 1\n",
	"a{=\"b\"} 1\n", "a{b=\"c\"} 1 2 3\n", "a 1\r\n", "# TYPE 9 gauge\n", "# HELP a \xff\n",
	"<html>\n", "good 1\nbad\n"};

TEST_LOOP(what_is_not_is_refused_and_nothing_of_it_stays, 0, sizeof(bad) / sizeof(*bad))
{
	ck_assert_int_eq(add(0, "c 1\n"), 0);
	ck_assert_msg(add(1, bad[_i]) == -1, "'%s'", bad[_i]);
	ck_assert_ptr_nonnull(strstr(why.text, "is not Prometheus' text format"));
	ck_assert_str_eq(written(), "c{slot=\"0\"} 1\n");
}

TEST(reserved_names_and_bytes_of_zero_do_not_pass)
{
	static const char zero[] = "a 1\0\n";
	static const char ours[] = "nclust_a 1\nnclust 1\n# TYPE nclust_b gauge\n";

	ck_assert_int_eq(add(0, ours), 0);
	ck_assert_int_eq(exposition_add(&all, 1, zero, sizeof(zero) - 1, &why), -1);
	ck_assert_str_eq(written(), "nclust{slot=\"0\"} 1\n");
}

TEST(there_is_an_end_to_it)
{
	struct buffer many;

	buffer_init(&many, 0);
	for (unsigned i = 0; i < EXPOSITION_LINES_MAX; i++)
		buffer_string(&many, "a 1\n");
	all.share = 2;
	ck_assert_int_eq(add(2, "b 1\nb{x=\"y\"} 1\nc 1\n"), -1);
	ck_assert_str_eq(why.text, "it has over 2 lines, its share of 100000");
	exposition_fini(&all);
	exposition_init(&all, 1);
	ck_assert_int_eq(add(0, buffer_text(&many)), 0);
	buffer_fini(&many);
}
