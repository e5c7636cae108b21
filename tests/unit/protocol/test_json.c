/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "protocol/json.h"

#include <math.h>

static struct buffer out;
static struct json_writer w;

static void setup(void)
{
	buffer_init(&out, 0);
	json_begin(&w, &out);
}

static void teardown(void)
{
	buffer_fini(&out);
}

FIXTURE(setup, teardown)

TEST(commas_and_colons_stand_where_they_must)
{
	json_open_object(&w);
	json_put_text(&w, "name", "shop");
	json_key(&w, "list");
	json_open_array(&w);
	json_int(&w, 1);
	json_open_array(&w);
	json_close_array(&w);
	json_open_object(&w);
	json_close_object(&w);
	json_int(&w, -2);
	json_close_array(&w);
	json_put_bool(&w, "yes", true);
	json_put_null(&w, "none");
	json_put_real(&w, "up", 12.54, 1);
	json_key(&w, "raw");
	json_raw(&w, "[1]");
	json_put_text(&w, "missing", NULL);
	json_put_int(&w, "least", INT64_MIN);
	json_close_object(&w);
	ck_assert_str_eq(buffer_text(&out),
		"{\"name\":\"shop\",\"list\":[1,[],{},-2],\"yes\":true,"
		"\"none\":null,\"up\":12.5,\"raw\":[1],\"missing\":null,"
		"\"least\":-9223372036854775808}");
}

static const struct {
	const char *from;
	size_t len;
	const char *to;
} strings[] = {
	{"plain", 5, "\"plain\""},
	{"", 0, "\"\""},
	{"a\"b\\c", 5, "\"a\\\"b\\\\c\""},
	{"\n\t\r\x1b", 4, "\"\\n\\t\\u000d\\u001b\""},
	{"a\0b", 3, "\"a\\u0000b\""},
	{"\x7f", 1, "\"\\u007f\""},
	{"\xc2\x80\xc2\x9f\xc2\xa0", 6, "\"\\u0080\\u009f\xc2\xa0\""},
	{"\xd8\x9c\xe2\x80\x8e\xe2\x80\xae\xe2\x81\xa9\xe2\x82\xac", 14,
		"\"\\u061c\\u200e\\u202e\\u2069\xe2\x82\xac\""},
	{"gr\xc3\xbc\xc3\x9f", 6, "\"gr\xc3\xbc\xc3\x9f\""},
	{"\xff", 1, "\"\xef\xbf\xbd\""},
	{"a\xc3", 2, "\"a\xef\xbf\xbd\""},
	{"\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
	{"\xf0\x9f\x90\x98!", 5, "\"\xf0\x9f\x90\x98!\""},
};

TEST_LOOP(strings_are_escaped, 0, (int)(sizeof(strings) / sizeof(strings[0])))
{
	json_bytes(&w, strings[_i].from, strings[_i].len);
	ck_assert_str_eq(buffer_text(&out), strings[_i].to);
}

TEST(keys_are_escaped_like_strings)
{
	json_open_object(&w);
	json_put_int(&w, "a\"\x1b", 1);
	json_close_object(&w);
	ck_assert_str_eq(buffer_text(&out), "{\"a\\\"\\u001b\":1}");
}

TEST(numbers_without_a_json_form_become_null)
{
	json_open_array(&w);
	json_decimal(&w, (double)NAN, 1);
	json_decimal(&w, (double)INFINITY, 1);
	json_decimal(&w, -0.25, 2);
	json_decimal(&w, 1e300, 0);
	json_close_array(&w);
	ck_assert_int_eq(strncmp(buffer_text(&out), "[null,null,-0.25,1", 18), 0);
	ck_assert_uint_eq(out.len, 18 + 300 + 1);
}

static const struct {
	double from;
	int decimals;
	const char *to;
} decimals[] = {{0, 0, "0"}, {0, 3, "0.000"}, {0.0004, 3, "0.000"}, {0.0006, 3, "0.001"},
	{-0.0004, 3, "-0.000"}, {-0.0006, 3, "-0.001"}, {0.05, 2, "0.05"}, {0.999, 2, "1.00"},
	{9.96, 1, "10.0"}, {100, 1, "100.0"}, {-12.345, 0, "-12"},
	{1795176707.125, 3, "1795176707.125"}, {999999999999999.0, 0, "999999999999999"},
	{4e15, 0, "4000000000000000"}, {-4e15, 1, "-4000000000000000.0"}};

TEST_LOOP(decimals_have_the_digits_asked_for, 0, (int)(sizeof(decimals) / sizeof(*decimals)))
{
	json_decimal(&w, decimals[_i].from, decimals[_i].decimals);
	ck_assert_str_eq(buffer_text(&out), decimals[_i].to);
}

TEST(a_full_buffer_is_told_once_at_the_end)
{
	buffer_fini(&out);
	buffer_init(&out, 10);
	json_open_array(&w);
	for (int i = 0; i < 10; i++)
		json_text(&w, "word");
	json_close_array(&w);
	ck_assert(out.failed);
	ck_assert_uint_le(out.len, 10);
}

TEST(sixteen_levels_are_enough)
{
	for (int i = 0; i < 16; i++)
		json_open_array(&w);
	for (int i = 0; i < 16; i++)
		json_close_array(&w);
	ck_assert_str_eq(buffer_text(&out), "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]");
}
