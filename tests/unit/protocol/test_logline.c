/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "protocol/logwire.h"

static struct logline l;

static void begin(void)
{
	l = (struct logline){0};
}

static bool parse(const char *line)
{
	return logline_parse(&l, line, strlen(line));
}

FIXTURE(begin, NULL)

TEST(what_is_written_is_read)
{
	char line[LOGLINE_HEAD + 8];
	size_t n = logline_head(line, 1795167360007, 2, 4711);

	strcpy(line + n, "|a b");
	ck_assert_str_eq(line, "1795167360.007 2 4711 |a b");
	ck_assert(parse(line));
	ck_assert_int_eq(l.ms, 1795167360007);
	ck_assert_uint_eq(l.stream, 2);
	ck_assert_int_eq(l.pid, 4711);
	ck_assert_int_eq(l.kind, LOGLINE_BEGINS);
	ck_assert_uint_eq(l.len, 3);
	ck_assert(memcmp(l.text, "a b", 3) == 0);
}

TEST(a_line_has_the_head_of_the_one_before)
{
	ck_assert(!parse("|x"));
	ck_assert(parse("1.000 1 5 |"));
	ck_assert_uint_eq(l.len, 0);
	ck_assert(parse("+y"));
	ck_assert_int_eq(l.kind, LOGLINE_GOES_ON);
	ck_assert_int_eq(l.ms, 1000);
	ck_assert_int_eq(l.pid, 5);
	ck_assert(parse("~12"));
	ck_assert_int_eq(l.kind, LOGLINE_LEFT_OUT);
}

TEST(what_is_none_is_refused)
{
	static const char *const none[] = {"", " ", "x", "1", "1.", "1.1", "1.000", "1.000 1",
		"1.000 1 5", "1.000 1 5 ", "1.000 1 5 x", "1.000 0 5 |", "1.000 3 5 |",
		"1.1000 1 5 |", "-1.000 1 5 |", "99999999999.000 1 5 |", "1.000 1 99999999999 |",
		"1.000 1 -5 |", "1,000 1 5 |"};

	for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
		if (parse(none[i]))
			ck_abort_msg("'%s' was taken", none[i]);
}
