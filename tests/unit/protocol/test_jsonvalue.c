/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "protocol/json.h"

/* From memory of its own size, so that what is read beside it is found. */
static bool is_value(const char *text, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);
	bool got;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, len);
	got = jsonvalue_check(copy, len);
	free(copy);
	return got;
}

static const char *const good[] = {
	"null", "true", "false", "0", "-0", "1234567890123456789012345678901234567890", "-1.5e-300",
	"1E+9", "\"\"", "\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"",
	"\"\\ud800\"", /* lone: JSON.stringify() writes it so */
	"\"\\u0000\"", "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\x98 \x7f\"", "[]", "{}",
	" [ 1 , [ ] , { } , \"x\" ]\t", "{\"a\":{\"b\":[{\"c\":null}]},\"\":1}\r",
	"{\"a\":1,\"a\":2}", /* whose value it is is not our business */
};

TEST_LOOP(values_are_taken, 0, COUNT_OF(good))
{
	size_t len = strlen(good[_i]);

	ck_assert_msg(is_value(good[_i], len), "%s", good[_i]);
	/* and no value is a value cut short, but for numbers */
	if (strchr("-0123456789 ", *good[_i]) == NULL && len > 1 && good[_i][len - 1] != '\r')
		ck_assert_msg(!is_value(good[_i], len - 1), "%s", good[_i]);
}

TEST(each_byte_of_a_long_string_is_seen)
{
	char text[64];

	for (size_t at = 1; at < sizeof(text) - 2; at++)
		for (int byte = 0; byte < 256; byte++) {
			bool plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';

			memset(text, 'x', sizeof(text));
			text[0] = text[sizeof(text) - 1] = '"';
			text[at] = (char)byte;
			ck_assert_msg(
				is_value(text, sizeof(text)) == plain, "byte %d at %zu", byte, at);
		}
}

static const char *const bad[] = {"", " ", "nul", "nulll", "True", "NaN", "Infinity", "+1", "01",
	"1.", ".5", "1e", "1e+", "-", "0x10", "'a'", "\"\\qtrue", "\"a", "\"a\tb\"", "\"\\x41\"",
	"\"\\u12g4\"", "\"\\u123\"", "\"\\", "\"\xff\"", "\"\xc3\"",
	"\"\xed\xa0\x80\"", /* a surrogate in UTF-8 */
	"\xef\xbb\xbf[1]", "[1,]", "[,1]", "[1 2]", "[1}", "[", "]", "{", "{\"a\"}", "{\"a\":}",
	"{\"a\":1,}", "{a:1}", "{1:1}", "{\"a\" 1}", "{\"a\":1]", "1 2", "{} {}", "[]]", "\"a\"x",
	"// c\n1"};

TEST_LOOP(all_else_is_refused, 0, COUNT_OF(bad))
{
	ck_assert_msg(!is_value(bad[_i], strlen(bad[_i])), "%s", bad[_i]);
}

TEST(a_nul_ends_nothing)
{
	ck_assert(!is_value("1\0", 2));
	ck_assert(!is_value("\"\0\"", 3));
	ck_assert(!is_value("\"\\\0\"", 4));
}

static bool nests(size_t depth, char open, char close)
{
	char *text = malloc(2 * depth);
	bool got;

	ck_assert_ptr_nonnull(text);
	memset(text, open, depth);
	memset(text + depth, close, depth);
	got = is_value(text, 2 * depth);
	free(text);
	return got;
}

TEST(depth_is_bounded)
{
	ck_assert(nests(JSONVALUE_DEPTH, '[', ']'));
	ck_assert(!nests(JSONVALUE_DEPTH + 1, '[', ']'));
	ck_assert(!nests(100000, '[', ']'));
}

TEST(space_around_it_is_taken_off)
{
	const char text[] = " \t{ } \r";
	size_t len = sizeof(text) - 1;
	const char *got = jsonvalue_trim(text, &len);

	ck_assert_uint_eq(len, 3);
	ck_assert_mem_eq(got, "{ }", 3);
	len = 2;
	(void)jsonvalue_trim("  ", &len);
	ck_assert_uint_eq(len, 0);
}
