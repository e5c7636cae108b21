/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "cli/wrap.h"

#include <locale.h>

static struct buffer out;
static struct wrap w;

static void setup(void)
{
	(void)setenv("LC_ALL", "C.UTF-8", 1);
	wrap_locale();
	buffer_init(&out, 0);
	wrap_init(&w, &out, 40, false);
}

static void teardown(void)
{
	wrap_fini(&w);
	buffer_fini(&out);
}

/* What this text becomes as a line; in these, a break is at 40 columns. */
static const char *line(const char *text, size_t indent)
{
	buffer_clear(&out);
	wrap_put(&w, PLAIN, text);
	wrap_end(&w, indent);
	return buffer_text(&out);
}

FIXTURE(setup, teardown)

#define DIGITS40 "0123456789012345678901234567890123456789"
#define WIDE "\xe6\x97\xa5"
#define WIDE6 WIDE WIDE WIDE WIDE WIDE WIDE
#define WIDE19 WIDE6 WIDE6 WIDE6 WIDE

static const struct {
	const char *text;
	size_t indent;
	const char *lines;
} wrapped[] = {
	{"", 4, "\n"},
	{"all in one", 4, "all in one\n"},
	{"these words are forty columns in a line, these are not", 4,
		"these words are forty columns in a line,\n"
		"    these are not\n"},
	/* the spaces between two lines are gone, others stay */
	{"  a   b                                  c", 2, "  a   b\n  c\n"},
	/* a long word goes on in the next line */
	{"a " DIGITS40 "abc d", 2,
		"a 01234567890123456789012345678901234567\n"
		"  89abc d\n"},
	{"a word " DIGITS40 "abc d", 2,
		"a word\n"
		"  01234567890123456789012345678901234567\n"
		"  89abc d\n"},
	/* it is never too wide for its first line's spaces */
	{"                              01234567890123456789", 2, "  01234567890123456789\n"},
	/* 19 wide ones fill 38 columns; one more does not stand half outside */
	{WIDE19 "x" WIDE, 0, WIDE19 "x\n" WIDE "\n"},
	/* what is no text is shown as its bytes */
	{"\033[2J\r\n", 0, "\\x1b[2J\\x0d\\x0a\n"},
	{"a\tb", 0, "a b\n"},
	{"\xff\xc2", 0, "\\xff\\xc2\n"},
	{"\xc2\x9b", 0, "\\xc2\\x9b\n"},
	/* it would turn what follows */
	{"a\xe2\x80\xaetxt", 0, "a\\xe2\\x80\\xaetxt\n"},
	/* the bytes that are marks in a line are none in a piece */
	{"\x01\x02\x06\x10", 0, "\\x01\\x02\\x06\\x10\n"},
};

TEST_LOOP(words_that_do_not_fit_begin_a_line, 0, (int)COUNT_OF(wrapped))
{
	ck_assert_str_eq(line(wrapped[_i].text, wrapped[_i].indent), wrapped[_i].lines);
}

TEST(without_a_width_nothing_is_wrapped)
{
	w.width = 0;
	ck_assert_str_eq(line("  a   b                                  c", 2),
		"  a   b                                  c\n");
}

TEST(what_is_joined_stands_in_one_line)
{
	size_t mark;

	wrap_put(&w, PLAIN, "it will be tried once more, ");
	mark = wrap_mark(&w);
	wrap_put(&w, PLAIN, "or in 12 hours");
	wrap_join(&w, mark);
	wrap_end(&w, 2);
	ck_assert_str_eq(buffer_text(&out), "it will be tried once more,\n  or in 12 hours\n");
	/* unless no line is wide enough */
	buffer_clear(&out);
	mark = wrap_mark(&w);
	wrap_put(&w, PLAIN, "nclust restart a-cluster-of-a-long-name-too");
	wrap_join(&w, mark);
	wrap_end(&w, 2);
	ck_assert_str_eq(buffer_text(&out), "nclust\n  restart a-cluster-of-a-long-name-too\n");
}

TEST(columns_are_those_of_a_terminal)
{
	ck_assert_uint_eq(wrap_columns("abc"), 3);
	ck_assert_uint_eq(wrap_columns(WIDE WIDE), 4);
	ck_assert_uint_eq(wrap_columns("e\xcc\x81"), 1);
	ck_assert_uint_eq(wrap_columns("\xf0\x9f\x98\x80"), 2);
}

TEST(a_nul_is_shown_and_all_but_ascii_where_the_terminal_knows_no_more)
{
	wrap_bytes(&w, PLAIN, "a\0b", 3);
	wrap_end(&w, 0);
	ck_assert_str_eq(buffer_text(&out), "a\\x00b\n");
	ck_assert_str_eq(line("\xc3\xa9", 0), "\xc3\xa9\n");
	(void)setlocale(LC_CTYPE, "C");
	ck_assert_str_eq(line("\xc3\xa9", 0), "\\xc3\\xa9\n");
}

TEST(a_colour_does_not_cover_the_spaces_around_it)
{
	w.colour = true;
	wrap_put(&w, PLAIN, "one  ");
	wrap_put(&w, RED, "two three");
	wrap_put(&w, PLAIN, ", four");
	wrap_end(&w, 4);
	ck_assert_str_eq(buffer_text(&out), "one  \033[31mtwo three\033[0m, four\n");
	/* it ends with the line, and begins anew in the next one */
	buffer_clear(&out);
	wrap_put(&w, RED, "these words are forty columns in a line, not these");
	wrap_end(&w, 4);
	ck_assert_str_eq(buffer_text(&out),
		"\033[31mthese words are forty columns in a line,\033[0m\n"
		"    \033[31mnot these\033[0m\n");
}
