/* SPDX-License-Identifier: MIT */
#include "../unit.h"

/* What the logger is made of: lines, last words, sinks. */
#include "logger/lines.h"
#include "logger/sink.h"
#include "logger/source.h"
#include "logger/tail.h"
#include "os/descriptors.h"

#include "base/scope.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct buffer taken;
static struct lines lines;
static struct tail tail;
static struct lanes lanes;

static void set_up(void)
{
	buffer_init(&taken, 0);
	lines_init(&lines);
	tail_init(&tail);
	lanes_init(&lanes, 100000);
}

static void tear_down(void)
{
	lanes_fini(&lanes);
	tail_fini(&tail);
	lines_fini(&lines);
	buffer_fini(&taken);
}

/* --- Lines --- */

/* Everything taken: '|' before a line, '+' before a piece that goes on. */
static void note_line(void *context, const struct line *line)
{
	(void)context;
	(void)buffer_string(&taken, line->goes_on ? "+" : "|");
	(void)buffer_append(&taken, line->text, line->len);
}

CASE(parts)
FIXTURE(set_up, tear_down)

static void split(const char *text, size_t len, size_t step)
{
	for (size_t at = 0; at < len; at += step)
		lines_split(&lines, text + at, len - at < step ? len - at : step, note_line, NULL);
}

TEST_LOOP(lines_do_not_depend_on_how_they_were_read, 1, 16)
{
	static const char text[] = "one\n\ntwo\nthree";

	split(text, strlen(text), (size_t)_i);
	ck_assert_str_eq(buffer_text(&taken), "|one||two");
	lines_end(&lines, note_line, NULL);
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
	ck_assert_uint_eq(lines.part.len, 0);
	buffer_clear(&taken);
	lines_split(&lines, "x\n", 2, note_line, NULL);
	ck_assert_str_eq(buffer_text(&taken), "|x");
}

TEST(a_line_of_exactly_the_limit_is_one_line)
{
	char text[LINES_MAX + 1];

	(void)memset(text, 'x', sizeof(text));
	text[LINES_MAX] = '\n';
	lines_split(&lines, text, LINES_MAX, note_line, NULL);
	ck_assert_uint_eq(taken.len, 0);
	lines_split(&lines, "\n", 1, note_line, NULL);
	lines_split(&lines, text, sizeof(text), note_line, NULL);
	ck_assert_uint_eq(taken.len, 2 * (LINES_MAX + 1));
	ck_assert_ptr_null(memchr(taken.data, '+', taken.len));
}

TEST(memory_is_kept_only_for_incomplete_lines)
{
	split("part", 4, 4);
	split("\n", 1, 1);
	ck_assert_ptr_null(lines.part.data);
	ck_assert_str_eq(buffer_text(&taken), "|part");
}

/* --- Last words --- */

static char text[TAIL_TEXT];

static const char *told(void)
{
	tail_text(&tail, text);
	return text;
}

static void note(const char *line)
{
	tail_note(&tail, line, strlen(line), false, 0);
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
	char line[2000];

	(void)memset(line, 'x', sizeof(line));
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
	tail.started = true;
	ck_assert_str_eq(told(), "ERROR: no memory");
}

TEST(what_explained_long_ago_explains_nothing)
{
	char line[100];

	note("Error: a bad request");
	(void)memset(line, 'x', sizeof(line));
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
	ck_assert_int_eq(tail_says_in_use(&tail), rows[_i].in_use);
}

TEST(pieces_of_a_line_are_no_lines)
{
	note("begin");
	tail_note(&tail, "EADDRINUSE", 10, true, 0);
	ck_assert_str_eq(told(), "begin");
	ck_assert(tail_says_in_use(&tail));
}

/* --- Lanes --- */

static void put_lines(const char *cluster, uint64_t worker, int count)
{
	char line[101];

	(void)memset(line, 'x', sizeof(line));
	line[0] = cluster[0];
	line[1] = (char)('0' + worker);
	line[99] = '\n';
	for (int i = 0; i < count; i++)
		lanes_put(&lanes, cluster, worker, line, 100);
}

/* How many lines of what was taken begin like that. */
static int taken_of(const char *begin)
{
	int count = 0;

	for (size_t at = 0; at < taken.len; at += 100)
		count += memcmp(taken.data + at, begin, strlen(begin)) == 0;
	return count;
}

TEST(one_that_floods_costs_its_own_lines)
{
	put_lines("a", 1, 5000);
	ck_assert_uint_eq(lanes.dropped, 4000);
	put_lines("b", 2, 300);
	put_lines("a", 1, 5000);
	put_lines("a", 3, 100); /* another one of the same cluster */
	ck_assert_uint_le(lanes.waiting, 100000);
	ck_assert(!lanes.over);
	lanes_take(&lanes, &taken, SIZE_MAX);
	ck_assert(lanes_are_empty(&lanes) && lanes.over);
	ck_assert_int_eq(taken_of("b2"), 300);
	ck_assert_int_eq(taken_of("a3"), 100);
	ck_assert_int_eq(taken_of("a1"), 600);
	ck_assert_uint_eq(lanes.dropped, 9400);
}

TEST(clusters_have_equal_turns_and_so_have_workers_of_one)
{
	lanes_init(&lanes, 400000);
	for (uint64_t worker = 1; worker <= 4; worker++)
		put_lines("a", worker, 500);
	put_lines("b", 5, 2000);
	lanes_take(&lanes, &taken, 160000);
	ck_assert_int_ge(taken_of("b"), 760);
	ck_assert_int_ge(taken_of("a"), 760);
	for (int i = 1; i <= 4; i++) {
		const char begin[] = {'a', (char)('0' + i), '\0'};

		ck_assert_int_ge(taken_of(begin), 160);
	}
}

TEST(a_line_longer_than_a_turn_waits_for_some)
{
	static char line[9000];

	(void)memset(line, 'l', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	lanes_put(&lanes, "a", 1, line, sizeof(line));
	put_lines("b", 2, 200);
	lanes_take(&lanes, &taken, 8000);
	ck_assert_int_eq(taken_of("b2"), 81);
	lanes_take(&lanes, &taken, SIZE_MAX);
	ck_assert_uint_eq(taken.len, 29000);
}

/* --- Sinks --- */

static struct ev_loop *loop;
static struct sink sink;
static int fds[2]; /* a pipe */
static const struct sink_mark nobodys = {.cluster = "", .before = ""};

static void loop_open(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	loop = ev_loop_new(EVFLAG_NOENV);
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
}

static void loop_close(void)
{
	sink_close(&sink);
	ev_loop_destroy(loop);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

CASE(sinks)
FIXTURE(loop_open, loop_close)

static void put(const char *line)
{
	const struct sink_mark mark = {.cluster = "web", .before = "web.0 | ", .before_len = 8};

	sink_put(&sink, &mark, line, strlen(line));
	sink_flush(&sink);
}

static void expect(int fd, const char *wanted)
{
	char got[1000] = "";

	(void)!read(fd, got, sizeof(got) - 1);
	ck_assert_str_eq(got, wanted);
}

TEST(a_reader_that_comes_back_is_told_what_it_missed)
{
	char path[] = "/tmp/test_logger.XXXXXX";
	char fifo[64];
	int reader;
	int writer;

	ck_assert_ptr_nonnull(mkdtemp(path));
	(void)snprintf(fifo, sizeof(fifo), "%s/fifo", path);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	writer = open(fifo, O_WRONLY | O_CLOEXEC);
	sink_open(&sink, loop, writer);
	put("one");
	expect(reader, "web.0 | one\n");
	(void)close(reader);
	put("two");
	put("three");
	reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	put("four");
	expect(reader,
		"nclust: 2 lines of output were dropped, Broken pipe\n"
		"web.0 | four\n");
	put("five");
	expect(reader, "web.0 | five\n");
	(void)unlink(fifo);
	(void)rmdir(path);
	(void)close(reader);
	(void)close(writer);
}

TEST(a_full_disk_is_counted_line_by_line)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	sink_open(&sink, loop, full);
	for (int i = 0; i < 10; i++)
		put("line");
	ck_assert_uint_eq(sink.dropped, 10);
	for (int i = 0; i < 3; i++)
		sink_put(&sink, &nobodys, "more", 4);
	sink_flush(&sink);
	ck_assert_uint_eq(sink.dropped, 13);
	ck_assert_uint_eq(sink.queue.len, 0);
	(void)close(full);
}

TEST(what_is_given_is_never_made_non_blocking)
{
	sink_open(&sink, loop, fds[1]);
	ck_assert(sink.is_ours && !sink.can_block);
	ck_assert_int_eq(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(sink.fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(sink.fd, F_GETFD) & FD_CLOEXEC, 0);
	for (int i = 0; i < 100000; i++)
		put("nobody reads this"); /* and it does not block */
	ck_assert(sink.full);
	ck_assert_uint_le(sink.queue.len, SINK_QUEUE_MAX);
	ck_assert_uint_gt(sink.lanes.dropped, 50000);
}

static void fill(void)
{
	for (int i = 0; i < 20000; i++)
		put("somebody reads this");
}

TEST(who_writes_waits_for_a_reader_that_reads_and_no_other)
{
	char got[4096];

	ck_assert_int_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	sink_open(&sink, loop, fds[1]);
	put("a line");
	ck_assert(!sink_is_behind(&sink));
	fill();
	sink.patience.repeat = 0.01;
	ck_assert(sink_is_behind(&sink));
	/* as much in each period as it has to take */
	for (int i = 0; i < 5; i++) {
		sink.taken = SINK_TAKES;
		(void)ev_run(loop, EVRUN_ONCE);
		ck_assert(sink_is_behind(&sink));
	}
	while (sink_is_behind(&sink))
		(void)ev_run(loop, EVRUN_ONCE);
	ck_assert(!sink_is_empty(&sink));
	/* it reads again; but so soon it is not waited for again */
	while (read(fds[0], got, sizeof(got)) > 0 || !sink_is_empty(&sink)) {
		(void)ev_run(loop, EVRUN_NOWAIT);
		sink_flush(&sink);
	}
	fill();
	ck_assert(!sink_is_behind(&sink));
}

TEST(one_that_cannot_be_opened_anew_is_asked_first)
{
	sink_open(&sink, loop, fds[1]);
	(void)close(sink.fd);
	sink.fd = fds[1]; /* as if it had been refused */
	sink.is_ours = false;
	sink.can_block = true;
	ev_io_set(&sink.writable, fds[1], EV_WRITE);
	for (int i = 0; i < 100000; i++)
		put("nobody reads this");
	ck_assert(sink.full);
}

TEST(lines_stay_whole_in_a_pipe_that_others_write_to)
{
	char got[70000];
	ssize_t n = 0;

	sink_open(&sink, loop, fds[1]);
	for (int i = 0; i < 20000; i++)
		sink_put(&sink, &nobodys, "a line of the pipe", 18);
	sink_flush(&sink);
	n = read(fds[0], got, sizeof(got));
	ck_assert_int_gt(n, 60000);
	ck_assert_int_eq(got[n - 1], '\n');
}

TEST(one_file_under_two_descriptors_is_known)
{
	struct sink other;

	sink_open(&sink, loop, fds[1]);
	sink_open(&other, loop, fds[1]);
	ck_assert(descriptors_same(sink.fd, other.fd));
	sink_close(&other);
	sink_open(&other, loop, STDOUT_FILENO);
	ck_assert(!descriptors_same(sink.fd, other.fd));
	sink_close(&other);
}

/* --- Sources --- */

CASE(parts)

TEST(sources_are_found_by_worker)
{
	struct source_table table = {.count = 0};
	struct source *s;
	const char *prefix;

	ck_assert_ptr_null(source_find(&table, 1));
	for (uint64_t i = 0; i < 1000; i++) {
		ck_assert_ptr_nonnull(source_get(&table, 2 * i, 3, "web"));
		ck_assert_ptr_nonnull(source_get(&table, 2 * i + 1, 4, "api"));
	}
	ck_assert_uint_eq(table.count, 2000);
	for (uint64_t i = 1; i < 2000; i += 2) {
		s = source_find(&table, i);
		ck_assert_ptr_nonnull(s);
		ck_assert_uint_eq(s->slot, 4);
		ck_assert_uint_eq(s->worker, i);
	}
	ck_assert_ptr_null(source_find(&table, 2000));
	ck_assert_uint_eq(source_prefix(s, &prefix, 0, false, false), 8);
	ck_assert_str_eq(prefix, "api.4 | ");
	(void)source_prefix(s, &prefix, 7, true, false);
	ck_assert_str_eq(prefix, "api.4   + ");
	ck_assert_ptr_eq(source_get(&table, 7, 9, "other"), table.list[7]);
	for (uint64_t i = 0; i < 2000; i += 2)
		source_free(&table, source_find(&table, i));
	ck_assert_ptr_null(source_find(&table, 4));
	ck_assert_ptr_nonnull(source_find(&table, 5));
	while (table.count > 0)
		source_free(&table, table.list[0]);
	free(table.list);
}
