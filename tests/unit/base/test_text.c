/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "base/buffer.h"
#include "base/text.h"

#include <stdint.h>

static const struct {
	nsec_t age;
	const char *text;
} ages[] = {{-1, "0.0 s"}, {0, "0.0 s"}, {49 * MSEC, "0.0 s"}, {50 * MSEC, "0.1 s"},
	{1234 * MSEC, "1.2 s"}, {9949 * MSEC, "9.9 s"}, {9950 * MSEC, "10 s"},
	{179 * SECOND, "179 s"}, {180 * SECOND, "3 min"}, {629 * SECOND, "10 min"},
	{179 * MINUTE, "179 min"}, {180 * MINUTE, "3 h"}, {71 * HOUR, "71 h"}, {72 * HOUR, "3 d"},
	{NSEC_NEVER, "106751 d"}};

TEST_LOOP(an_age_has_two_or_three_digits, 0, (int)(sizeof(ages) / sizeof(*ages)))
{
	char text[16];

	ck_assert_str_eq(text_age(text, ages[_i].age), ages[_i].text);
}

static const struct {
	uint64_t n;
	unsigned base;
	const char *text;
} numbers[] = {{0, 10, "0"}, {0, 16, "0"}, {7, 10, "7"}, {1234567890, 10, "1234567890"},
	{0xbeef, 16, "beef"}, {UINT64_MAX, 10, "18446744073709551615"},
	{UINT64_MAX, 16, "ffffffffffffffff"}};

TEST_LOOP(a_number_has_its_digits, 0, (int)(sizeof(numbers) / sizeof(*numbers)))
{
	struct buffer out;

	buffer_init(&out, 0);
	ck_assert_int_eq(buffer_number(&out, numbers[_i].n, numbers[_i].base), 0);
	ck_assert_str_eq(buffer_text(&out), numbers[_i].text);
	buffer_fini(&out);
}

/* `line`: of a worker's own; NULL: as `text`. */
static const struct {
	const char *from;
	const char *text;
	const char *line;
} escapes[] = {
	{"a\tb\x01\xff\xc2\x9b\x7f", "a b\\x01\\xff\\xc2\\x9b\\x7f", NULL},
	{"\xe6\x97\xa5 \xc3\xa9", "\xe6\x97\xa5 \xc3\xa9", NULL},
	{"\xd8\x9b\xe2\x80\x8d\xe2\x80\xa7\xe2\x80\xaf\xe2\x81\xa5\xe2\x81\xaa",
		"\xd8\x9b\xe2\x80\x8d\xe2\x80\xa7\xe2\x80\xaf\xe2\x81\xa5\xe2"
		"\x81\xaa",
		NULL},
	{"\xd8\x9c", "\\xd8\\x9c", "\xd8\x9c"},
	{"\xe2\x80\x8e", "\\xe2\\x80\\x8e", "\xe2\x80\x8e"},
	{"\xe2\x80\x8f", "\\xe2\\x80\\x8f", "\xe2\x80\x8f"},
	{"\xe2\x80\xa8", "\\xe2\\x80\\xa8", "\xe2\x80\xa8"},
	{"\xe2\x80\xae", "\\xe2\\x80\\xae", "\xe2\x80\xae"},
	{"\xe2\x81\xa6", "\\xe2\\x81\\xa6", "\xe2\x81\xa6"},
	{"\xe2\x81\xa9", "\\xe2\\x81\\xa9", "\xe2\x81\xa9"},
};

TEST_LOOP(what_is_not_harmless_is_escaped, 0, (int)(sizeof(escapes) / sizeof(*escapes)))
{
	const char *from = escapes[_i].from;
	const char *line = escapes[_i].line;
	char text[64];

	text_escape(text, sizeof(text), from, strlen(from));
	ck_assert_str_eq(text, escapes[_i].text);
	text_escape_line(text, sizeof(text), from, strlen(from));
	ck_assert_str_eq(text, line != NULL ? line : escapes[_i].text);
}

TEST(a_hash_is_that_of_all_bytes_in_pieces_or_not)
{
	uint64_t hash = text_hash(TEXT_HASH, "foo", 3);

	ck_assert_uint_eq(text_hash(TEXT_HASH, "", 0), TEXT_HASH);
	ck_assert_uint_eq(
		text_hash(hash, "bar", 3), UINT64_C(0x85944171f73967e8)); /* of FNV's own vectors */
}
