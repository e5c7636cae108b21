/* SPDX-License-Identifier: MIT */
#include "../unit.h"

/* What the logger is made of: lines, last words, sources. */
#include "logger/source.h"

static struct buffer taken;
static struct cluster cluster;
static struct source source = {.cluster = &cluster, .pipes[0].source = &source};
static struct source_pipe *const pipe_of = source.pipes;
static struct buffer memory; /* what the worker has written, as it is kept */

static void set_up(void)
{
	buffer_init(&taken, 0);
	cluster = (struct cluster){0};
	pipe_of->cut = false;
	buffer_init(&memory, 0);
}

static void tear_down(void)
{
	buffer_fini(&memory);
	buffer_fini(&pipe_of->part);
	buffer_fini(&taken);
}

/* --- Lines --- */

/* Everything taken: '|' before a line, '+' before a piece that goes on. */
static void note_line(void *context, const struct line *line)
{
	(void)context;
	buffer_string(&taken, line->goes_on ? "+" : "|");
	buffer_append(&taken, line->text, line->len);
}

CASE(parts)
FIXTURE(set_up, tear_down)

static void split(const char *text, size_t len, size_t step)
{
	for (size_t at = 0; at < len; at += step)
		source_split(
			pipe_of, text + at, len - at < step ? len - at : step, note_line, NULL);
}

TEST_LOOP(lines_do_not_depend_on_how_they_were_read, 1, 16)
{
	static const char text[] = "one\n\ntwo\nthree";

	split(text, strlen(text), (size_t)_i);
	ck_assert_str_eq(buffer_text(&taken), "|one||two");
	source_split(pipe_of, NULL, 0, note_line, NULL);
	ck_assert_str_eq(buffer_text(&taken), "|one||two|three");
}

/* Does every piece have at most LINES_MAX bytes, and is their sum `text`? */
static void check_pieces(const char *text, size_t len)
{
	size_t piece = 0;
	size_t at = 0;

	ck_assert_int_eq(taken.data[0], '|');
	for (size_t i = 1; i < taken.len; i++) {
		if (taken.data[i] == '+') {
			ck_assert_uint_ge(piece, LINES_MAX - 3);
			piece = 0;
			continue;
		}
		ck_assert_uint_lt(at, len);
		ck_assert_int_eq(taken.data[i], text[at]);
		/* no piece begins inside of a character */
		if (piece == 0)
			ck_assert_int_ne(taken.data[i] & 0xc0, 0x80);
		at++;
		ck_assert_uint_le(++piece, LINES_MAX);
	}
	ck_assert_uint_eq(at, len);
}

static const size_t steps[] = {1, 7, 4096, 8191, 8192, 8193, 65536};

TEST_LOOP(long_lines_are_cut_between_characters_and_nothing_is_lost, 0, COUNT_OF(steps))
{
	static char text[3 * LINES_MAX + 5];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = "\xf0\x9f\x90\x98\xe2\x82\xac"[i % 7];
	text[sizeof(text) - 1] = '\n';
	split(text, sizeof(text), steps[_i]);
	check_pieces(text, sizeof(text) - 1);
	ck_assert_uint_eq(pipe_of->part.len, 0);
	buffer_clear(&taken);
	split("x\n", 2, 2);
	ck_assert_str_eq(buffer_text(&taken), "|x");
}

TEST(a_line_of_exactly_the_limit_is_one_line)
{
	char text[LINES_MAX + 1];

	memset(text, 'x', sizeof(text));
	text[LINES_MAX] = '\n';
	split(text, LINES_MAX, LINES_MAX);
	ck_assert_uint_eq(taken.len, 0);
	split("\n", 1, 1);
	split(text, sizeof(text), sizeof(text));
	ck_assert_uint_eq(taken.len, 2 * (LINES_MAX + 1));
	ck_assert_ptr_null(memchr(taken.data, '+', taken.len));
}

TEST(what_is_too_long_to_be_kept_is_handed_on_at_once)
{
	static char text[LINES_WHOLE];

	memset(text, 'x', sizeof(text));
	split(text, sizeof(text), sizeof(text));
	ck_assert_uint_eq(taken.len, 0);
	split("more", 4, 4);
	ck_assert_uint_eq(taken.len, sizeof(text) + LINES_WHOLE / LINES_MAX + 5);
	ck_assert_int_eq(memcmp(taken.data + taken.len - 6, "x+more", 6), 0);
	ck_assert_ptr_null(pipe_of->part.data);
	buffer_clear(&taken);
	split("\nnext\n", 6, 6);
	ck_assert_str_eq(buffer_text(&taken), "+|next");
}

TEST(memory_is_kept_only_for_incomplete_lines)
{
	split("part", 4, 4);
	split("\n", 1, 1);
	ck_assert_ptr_null(pipe_of->part.data);
	ck_assert_str_eq(buffer_text(&taken), "|part");
}

/* --- Last words --- */

static char text[TAIL_TEXT];
static bool in_use;

static const char *told_of(bool started)
{
	in_use = tail_tell(memory.data, memory.len, 4711, started, text);
	return text;
}

static const char *told(void)
{
	return told_of(false);
}

static void note_of(const char *head, const char *line)
{
	buffer_string(&memory, head);
	buffer_string(&memory, line);
	buffer_string(&memory, "\n");
}

static void note(const char *line)
{
	note_of(memory.len == 0 ? "1795167360.123 1 4711 |" : "|", line);
}

TEST(the_last_five_lines_are_kept)
{
	ck_assert_str_eq(told(), "");
	note("1");
	ck_assert_str_eq(told(), "1");
	for (char c = '2'; c <= '9'; c++)
		note((char[]){c, '\0'});
	ck_assert_str_eq(told(), "5 / 6 / 7 / 8 / 9");
}

TEST(long_lines_push_older_ones_out)
{
	char line[TAIL_NEAR + 100];

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\0';
	note("old");
	note(line);
	ck_assert_uint_eq(strlen(told()), TAIL_TEXT - 1);
	note("new");
	ck_assert_str_eq(told(), "new");
	line[TAIL_TEXT - 1 - 6] = '\0'; /* just fits beside it */
	note(line);
	ck_assert_uint_eq(strlen(told()), TAIL_TEXT - 1);
	ck_assert_int_eq(strncmp(text, "new / xxx", 9), 0);
}

static const struct {
	const char *line;
	const char *told;
} words[] = {
	{"plain", "plain"},
	{"", ""},
	{" \t\r", ""},
	{"  in the middle  \r", "in the middle"},
	{"\x1b[1;31merror\x1b[0m: x", "error: x"},
	{"\x1b[0m", ""},
	{"\x1b]0;title\x07"
	 "a\x1b]8;;http://x\x1b\\b",
		"ab"},
	{"a\x1b", "a"},
	{"a\x1b[", "a"},
	{"a\x1b]never ended", "a"},
	{"\x1b(Bx\x1b"
	 "7y",
		"Bxy"},
	{"a\x01\xff\xc2\x9b", "a\\x01\\xff\\xc2\\x9b"},
	{"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
};

TEST_LOOP(last_words_are_cleaned, 0, COUNT_OF(words))
{
	note(words[_i].line);
	ck_assert_str_eq(told(), words[_i].told);
}

/* What is told of lines that the program wrote last. */
static const struct {
	const char *lines[9];
	const char *told;
} endings[] = {
	/* Node */
	{{"starting", "node:events:502", "      throw er; // Unhandled 'error' event", "",
		 "Error: bind EADDRINUSE null:80", "    at listen (node:net:1)",
		 "Emitted 'error' event on Server instance at:", "}", "Node.js v20.20.2"},
		"Error: bind EADDRINUSE null:80"},
	/* Python */
	{{"Traceback (most recent call last):", "  File \"a.py\", line 1",
		 "    raise ValueError('error: no')", "OSError: [Errno 98] Address already in use"},
		"OSError: [Errno 98] Address already in use"},
	/* Java: the last cause is the first one */
	{{"Exception in thread \"main\" java.lang.RuntimeException: x",
		 "\tat Main.main(Main.java:3)", "Caused by: java.net.BindException: in use",
		 "\t... 1 more"},
		"Caused by: java.net.BindException: in use"},
	/* Go */
	{{"panic: no database", "", "goroutine 1 [running]:", "main.main()", "\t/a.go:3 +0x1d"},
		"panic: no database"},
	/* Rust says what it is on the next line */
	{{"thread 'main' panicked at src/main.rs:2:5:", "no database",
		 "note: run with `RUST_BACKTRACE=1`"},
		"thread 'main' panicked at src/main.rs:2:5: / no database"},
	/* Perl, Ruby */
	{{"Can't locate X.pm in @INC at a.pl line 1.", "BEGIN failed--compilation aborted."},
		"Can't locate X.pm in @INC at a.pl line 1."},
	{{"a.rb:1:in `read': No such file or directory - x.rb (Errno::ENOENT)",
		 "\tfrom a.rb:1:in `b'", "\tfrom a.rb:9:in `<main>'"},
		"a.rb:1:in `read': No such file or directory - x.rb (Errno::ENOENT)"},
	{{"db1: Connection refused", "bye"}, "db1: Connection refused"},
	{{"Permission denied", "Access denied", "bye"}, "Permission denied"},
	{{"error[E0308]: types", "2 tasks failed"}, "error[E0308]: types"},
	{{"all is well", "bye"}, "all is well / bye"},
	{{"\x1b[31m  indented error: no\x1b[0m", "bye"}, "indented error: no / bye"},
	/* php-fpm, redis: the first says why, the others that it cannot start */
	{{"NOTICE: hi", "ERROR: /a.sock: in use", "ERROR: init failed"}, "ERROR: /a.sock: in use"},
	{{"bind: Address already in use", "so", "", "Failed listening", "bye"},
		"bind: Address already in use"},
	{{"error: 1", "error: 2", "a", "b", "c", "error: 3"}, "error: 2"},
};

TEST_LOOP(the_line_that_explains_is_told, 0, COUNT_OF(endings))
{
	for (size_t i = 0; i < COUNT_OF(endings[_i].lines); i++)
		if (endings[_i].lines[i] != NULL)
			note(endings[_i].lines[i]);
	ck_assert_str_eq(told(), endings[_i].told);
}

TEST(what_had_started_is_explained_by_its_last_error)
{
	note("ERROR: a bad request");
	note("ERROR: no memory");
	note("bye");
	ck_assert_str_eq(told(), "ERROR: a bad request");
	ck_assert_str_eq(told_of(true), "ERROR: no memory");
}

TEST(what_explained_long_ago_explains_nothing)
{
	char line[100];

	note("Error: a bad request");
	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\0';
	for (size_t i = 0; i < TAIL_NEAR / sizeof(line) - 1; i++)
		note(line);
	ck_assert_str_eq(told(), "Error: a bad request");
	note(line);
	note(line);
	note("bye");
	ck_assert_ptr_nonnull(strstr(told(), "bye"));
	note("it failed");
	ck_assert_str_eq(told(), "it failed");
}

TEST_LOOP(a_complaint_about_the_address_is_noticed, 0, 6)
{
	static const struct {
		const char *line;
		bool in_use;
	} rows[] = {
		{"bind: Address already in use", true},
		{"Error: listen EADDRINUSE: address already in use", true},
		{"[Errno 98] ADDRESS ALREADY IN USE", true},
		{"eaddrinuse", true},
		{"address is not in use", false},
		{"EADDRINUS E", false},
	};

	note(rows[_i].line);
	ck_assert_str_ne(told(), "");
	ck_assert_int_eq(in_use, rows[_i].in_use);
}

TEST(pieces_of_a_line_are_no_lines)
{
	note("begin");
	note_of("+", "Error: no");
	ck_assert_str_eq(told(), "begin");
}

TEST(lines_of_another_worker_of_the_slot_are_not_its)
{
	note("its");
	note_of("1795167360.456 2 4712 |", "Error: no");
	note_of("+", "more");
	note_of("1795167360.789 2 4711 |", "its, too");
	note_of("~", "2");
	ck_assert_str_eq(told(), "its / its, too");
}

/* --- Sources --- */

TEST(sources_are_found_by_worker)
{
	struct clusters clusters = {0};
	struct source *list = NULL;
	struct source *s;
	struct source_prefix prefix;

	ck_assert_ptr_null(source_find(list, 1));
	ck_assert_ptr_nonnull(source_get(&list, &clusters, 7, 4, "api"));
	ck_assert_ptr_nonnull(source_get(&list, &clusters, 8, 3, "web"));
	s = source_find(list, 7);
	ck_assert_uint_eq(s->slot, 4);
	ck_assert_ptr_eq(source_get(&list, &clusters, 7, 9, "other"), s);
	ck_assert_ptr_null(source_find(list, 9));
	source_prefix(&prefix, s, 0, false);
	ck_assert_str_eq(prefix.text, "api.4 | ");
	source_prefix(&prefix, s, 7, true);
	ck_assert_str_eq(prefix.text + 5, "api.4   |\x1b[0m ");
	source_free(&list, s);
	ck_assert_ptr_null(source_find(list, 7));
	source_free(&list, source_find(list, 8));
	ck_assert_ptr_null(list);
	while (clusters.list != NULL) {
		struct cluster *c = clusters.list;

		clusters.list = c->next;
		free(c);
	}
}
