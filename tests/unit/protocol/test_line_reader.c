/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "protocol/line_reader.h"

#define MOST 8

static struct line_reader l;
static char heard[200]; /* each line in brackets */

static void begin(void)
{
	line_reader_init(&l, MOST);
	*heard = '\0';
}

static void end(void)
{
	line_reader_fini(&l);
}

/* From memory of its own, so that what is read beside it is found. */
static void feed(const char *text)
{
	size_t len = strlen(text);
	char *copy = malloc(len + 1);
	const char *line;
	size_t n;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, len);
	line_reader_begin(&l, copy, len);
	while (line_reader_next(&l, &line, &n)) {
		strcat(heard, "[");
		strncat(heard, n > 0 ? line : "", n);
		strcat(heard, "]");
	}
	free(copy);
}

FIXTURE(begin, end)

TEST(lines_come_whole_however_they_were_cut)
{
	feed("one\ntw");
	ck_assert_str_eq(heard, "[one]");
	ck_assert(!line_reader_at_start(&l));
	feed("o");
	feed("\n\nthree\n");
	ck_assert_str_eq(heard, "[one][two][][three]");
	ck_assert(line_reader_at_start(&l));
	ck_assert_ptr_null(l.part.data); /* no memory between lines */
}

TEST(too_long_a_line_is_skipped_to_its_end)
{
	feed("12345678\n123456789\n1\n");
	ck_assert_str_eq(heard, "[12345678][1]");
	ck_assert_uint_eq(l.skipped, 1);
	feed("12345");
	feed("67890");
	ck_assert_ptr_null(l.part.data);
	ck_assert(!line_reader_at_start(&l));
	for (int i = 0; i < 1000; i++)
		feed("endless");
	ck_assert_ptr_null(l.part.data);
	feed("\nx\n");
	ck_assert_str_eq(heard, "[12345678][1][x]");
	ck_assert_uint_eq(l.skipped, 2);
}

TEST(it_may_be_as_long_as_it_may_be_in_pieces)
{
	feed("1234");
	feed("5678");
	feed("\n");
	ck_assert_str_eq(heard, "[12345678]");
	ck_assert_uint_eq(l.skipped, 0);
}
