/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "base/buffer.h"

/* The logger as it is: a process, a channel, pipes, and readers of its own. */
#include "logger/logger.h"

#include "base/text.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "os/place/sharedmem.h"
#include "protocol/logwire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE 20000 /* ms; a bound, never waited for when all is well */

static pid_t logger;
static int channel;
static int out = -1; /* read ends of its stdout and stderr */
static int err = -1;
static struct buffer said[2]; /* what came on them so far */
static struct linering ring;  /* the memory of the slot */
static bool quiet;            /* the worker's lines are only kept */

/* --- A logger of our own --- */

static void start_at(int its_channel, int its_out, int its_err)
{
	logger = fork();
	ck_assert_int_ne(logger, -1);
	if (logger == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)dup2(its_out, STDOUT_FILENO);
		(void)dup2(its_err, STDERR_FILENO);
		(void)dup2(its_channel, 3);
		for (int fd = 4; fd < 1024; fd++)
			(void)close(fd);
		_exit(logger_main(3, 65533));
	}
}

static void start_on(int its_out, int its_err)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	start_at(pair[1], its_out, its_err);
	channel = pair[0];
	(void)close(pair[1]);
}

/* Its output is a socket. */
static void start_on_socket(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	start_on(pair[1], pair[1]);
	(void)close(pair[1]);
	out = pair[0];
}

static void start(void)
{
	int o[2];
	int e[2];

	ck_assert_int_eq(pipe2(o, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(e, O_CLOEXEC), 0);
	start_on(o[1], e[1]);
	(void)close(o[1]);
	(void)close(e[1]);
	out = o[0];
	err = e[0];
}

static void setup(void)
{
	struct error error;

	ck_assert_int_eq(linering_make(&ring, &linering_output, "test", &error), 0);
	quiet = false;
	buffer_init(&said[0], 0);
	buffer_init(&said[1], 0);
}

static void teardown(void)
{
	if (logger > 0) {
		(void)kill(logger, SIGKILL);
		(void)waitpid(logger, NULL, 0);
	}
	linering_close(&ring);
	buffer_fini(&said[0]);
	buffer_fini(&said[1]);
}

static void await_input(int fd)
{
	struct pollfd at = {.fd = fd, .events = POLLIN};

	ck_assert_int_eq(poll(&at, 1, PATIENCE), 1);
}

static struct logwire_packet receive(void)
{
	struct logwire_packet packet;
	struct fdpass_message m;

	/* what is counted is told whenever it is */
	do {
		await_input(channel);
		ck_assert_int_eq(fdpass_receive(channel, &packet, sizeof(packet), &m), 1);
		ck_assert_uint_eq(m.fd_count, 0);
		ck_assert(logwire_check(&packet, (size_t)m.len));
	} while (packet.kind == LOGWIRE_DROPPED || packet.kind == LOGWIRE_LINES);
	return packet;
}

static void expect_text(const char *text)
{
	const struct logwire_packet packet = receive();

	ck_assert_str_eq(packet.text, text);
}

static void send_packet(const struct logwire_packet *packet, const int *fd)
{
	struct pollfd at = {.fd = channel, .events = POLLOUT};

	while (fdpass_send(channel, packet, sizeof(*packet), fd, fd != NULL ? 1 : 0) == -1) {
		ck_assert_int_eq(errno, EAGAIN);
		ck_assert_int_eq(poll(&at, 1, PATIENCE), 1);
	}
}

static void tell_terminal(bool colour)
{
	struct logwire_packet packet = {
		.kind = LOGWIRE_SINK, .sink = LOGWIRE_PREFIX, .flag = colour};

	ck_assert_uint_eq(receive().kind, LOGWIRE_HELLO);
	send_packet(&packet, NULL);
}

static void start_prefixed(void)
{
	start();
	tell_terminal(false);
}

static void start_discarding(void)
{
	start_prefixed();
	quiet = true;
}

/* A pipe whose lines are worker 7's, in slot 2 of "web". */
static void add_pipe(uint32_t stream, enum logwire_sink sink, int read_end)
{
	struct logwire_packet packet = {.kind = LOGWIRE_ADD,
		.slot = 2,
		.worker = 7,
		.stream = stream,
		.sink = sink,
		.flag = 1,
		.quiet = quiet,
		.cluster = "web"};

	ck_assert_int_eq(
		fdpass_send(channel, &packet, sizeof(packet), (const int[]){read_end, ring.fd}, 2),
		0);
}

/* One more of them; its write end. */
static int add(uint32_t stream)
{
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	add_pipe(stream, 0, fds[0]);
	(void)close(fds[0]);
	return fds[1];
}

/* One that is copied.  Its read end stays ours too, as the supervisor's does. */
static int add_copied(uint32_t stream, int *read_end)
{
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	add_pipe(stream, LOGWIRE_COPY, fds[0]);
	*read_end = fds[0];
	return fds[1];
}

static void end_worker(void)
{
	struct logwire_packet packet = {
		.kind = LOGWIRE_ENDED, .slot = 2, .worker = 7, .cluster = "web"};

	send_packet(&packet, NULL);
}

static void say(int fd, const char *text)
{
	ck_assert_int_eq(write(fd, text, strlen(text)), (int)strlen(text));
}

static void ends_well(void)
{
	int status;

	(void)close(channel);
	ck_assert_int_eq(waitpid(logger, &status, 0), logger);
	logger = 0;
	ck_assert_int_eq(status, 0);
}

/* --- Its readers --- */

static bool read_more(int fd, struct buffer *to)
{
	ssize_t n;

	await_input(fd);
	ck_assert_int_eq(buffer_reserve(to, 65536), 0);
	n = read(fd, to->data + to->len, 65536);
	if (n <= 0)
		return false; /* EOF; EIO of a terminal */
	to->len += (size_t)n;
	return true;
}

static bool ends_with(const struct buffer *b, const char *text)
{
	size_t n = strlen(text);

	return b->len >= n && memcmp(b->data + b->len - n, text, n) == 0;
}

static void expect(int fd, const char *text)
{
	struct buffer *got = &said[fd == err ? 1 : 0];

	while (!ends_with(got, text))
		ck_assert_msg(read_more(fd, got), "wanted '%s', got '%s'", text, buffer_text(got));
	ck_assert_str_eq(buffer_text(got), text);
	buffer_clear(got);
}

static void expect_end(int fd)
{
	struct buffer *got = &said[fd == err ? 1 : 0];

	while (read_more(fd, got))
		continue;
	ck_assert_str_eq(buffer_text(got), "");
}

/* --- Lines --- */

FIXTURE(setup, teardown)

TEST(both_pipes_come_at_once_with_the_memory_of_the_slot)
{
	const struct logwire_packet packet = {
		.kind = LOGWIRE_ADD, .slot = 2, .worker = 7, .stream = 3, .cluster = "web"};
	struct linering_text lines;
	int o[2];
	int e[2];

	start_prefixed();
	ck_assert_int_eq(pipe2(o, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(e, O_CLOEXEC), 0);
	ck_assert_int_eq(fdpass_send(channel, &packet, sizeof(packet),
				 (const int[]){o[0], e[0], ring.fd}, 3),
		0);
	say(o[1], "one\n");
	expect(out, "web.2 | one\n");
	say(e[1], "two\n");
	expect(err, "web.2 | two\n");
	(void)close(o[1]);
	(void)close(e[1]);
	ends_well();
	ck_assert_int_eq(linering_look(&ring), 0);
	ck_assert_int_eq(linering_read(&ring, 0, &lines), 0);
	ck_assert_ptr_nonnull(memmem(lines.text, lines.len, "one\n", 4));
	ck_assert_ptr_nonnull(memmem(lines.text, lines.len, "two\n", 4));
	linering_drop(&lines);
}

TEST(lines_get_the_name_of_their_worker_and_go_where_they_went)
{
	int o;
	int e;

	start_prefixed();
	o = add(1);
	e = add(2);
	say(o, "hello\nworld\n\n");
	expect(out, "web.2 | hello\nweb.2 | world\nweb.2 | \n");
	say(e, "oh\n");
	expect(err, "web.2 | oh\n");
	(void)close(o);
	(void)close(e);
	ends_well();
	expect_end(out);
	expect_end(err);
}

TEST(a_line_is_written_when_it_is_whole_or_at_the_end)
{
	int o;
	int e;

	start_prefixed();
	o = add(1);
	e = add(2);
	say(o, "begun, ");
	say(e, "first\n");
	expect(err, "web.2 | first\n");
	say(o, "done\nbegun again");
	expect(out, "web.2 | begun, done\n");
	(void)close(o);
	expect(out, "web.2 | begun again\n");
}

TEST(bytes_of_every_kind_pass)
{
	static const char bytes[] = "a\0b\x1b[31m\xff\r\n";
	int o;

	start_prefixed();
	o = add(1);
	ck_assert_int_eq(write(o, bytes, sizeof(bytes) - 1), 11);
	while (said[0].len < 19)
		ck_assert(read_more(out, &said[0]));
	ck_assert_uint_eq(said[0].len, 19);
	ck_assert_mem_eq(said[0].data, "web.2 | a\0b\x1b[31m\xff\r\n", 19);
}

TEST(a_long_line_comes_in_pieces_that_are_marked)
{
	char line[10000];

	memset(line, 'x', sizeof(line));
	start_prefixed();
	ck_assert_int_eq(dprintf(add(1), "%.*s\nend\n", (int)sizeof(line), line), sizeof(line) + 5);
	while (!ends_with(&said[0], "\nweb.2 | end\n"))
		ck_assert(read_more(out, &said[0]));
	ck_assert_mem_eq(said[0].data, "web.2 | xx", 10);
	ck_assert_ptr_nonnull(strstr(said[0].data, "x\nweb.2 + xx"));
	ck_assert_uint_eq(said[0].len, sizeof(line) + 8 + 1 + 8 + 1 + 12);
}

static int open_terminal(int *other)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	char name[64];

	ck_assert_int_ne(master, -1);
	ck_assert_int_eq(grantpt(master), 0);
	ck_assert_int_eq(unlockpt(master), 0);
	ck_assert_int_eq(ptsname_r(master, name, sizeof(name)), 0);
	*other = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	ck_assert_int_ne(*other, -1);
	return master;
}

/* Those that are copied elsewhere are lines here too. */
TEST_LOOP(on_a_terminal_bytes_are_harmless, 0, 4)
{
	static const struct {
		uint32_t sink;
		bool colour;
		const char *text, *shown;
	} rows[] = {
		{0, true, "\x1b]0;title\a\xff gr\xc3\xbc\xc3\x9f\r\n",
			"web.2 |\x1b[0m \\x1b]0;title\\x07\\xff "
			"gr\xc3\xbc\xc3\x9f\r\n"},
		{0, false, "\x1b[1;31mred\x1b[m \x1b[31 \x1b[2J\n",
			"web.2 | \x1b[1;31mred\x1b[m "
			"\\x1b[31 \\x1b[2J\x1b[0m\r\n"},
		{0, false, "|\x1b[1G\x1b[0K/\x1b[1G\n", "web.2 | |/\r\n"}, /* npm's */
		{LOGWIRE_COPY, false, "\x1b]0;title\a\n", "web.2 | \\x1b]0;title\\x07\r\n"},
	};
	int fds[2];
	int terminal;

	out = open_terminal(&terminal);
	start_on(terminal, terminal);
	tell_terminal(rows[_i].colour);
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	add_pipe(1, rows[_i].sink, fds[0]);
	say(fds[1], rows[_i].text);
	while (!ends_with(&said[0], "\n"))
		ck_assert(read_more(out, &said[0]));
	if (rows[_i].colour)
		ck_assert_mem_eq(said[0].data, "\x1b[3", 3);
	ck_assert_str_eq(buffer_text(&said[0]) + (rows[_i].colour ? 5 : 0), rows[_i].shown);
	(void)close(terminal);
}

/* --- Slow readers --- */

/* Lines that came, and lines of which was said that they did not. */
static void count(const struct buffer *b, unsigned long *came, unsigned long *dropped)
{
	static const char notice[] = "nclust: ";
	const char *at = b->data;
	const char *end = at + b->len;

	*came = 0;
	*dropped = 0;
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		if (newline == NULL)
			return; /* the rest is still to come */
		if (strncmp(at, notice, strlen(notice)) == 0)
			*dropped += strtoul(at + strlen(notice), NULL, 10);
		else
			*came += 1;
		at = newline + 1;
	}
}

/* So many have come or were dropped; how many were dropped? */
static unsigned long expect_all(unsigned long lines)
{
	unsigned long came = 0;
	unsigned long dropped = 0;

	while (came + dropped < lines) {
		ck_assert(read_more(out, &said[0]));
		count(&said[0], &came, &dropped);
	}
	ck_assert_uint_eq(came + dropped, lines);
	return dropped;
}

/* Lines that are kept in the memory of the slot, and those of which it says that they are not. */
static unsigned long lines_known(void)
{
	struct linering_text lines;
	struct logline l = {.stream = 0};
	unsigned long known = 0;

	ck_assert_int_eq(linering_look(&ring), 0);
	ck_assert_int_eq(linering_read(&ring, 0, &lines), 0);
	for (const char *at = lines.text, *end = at + lines.len; at < end; at += l.len + 1) {
		ck_assert(logline_parse(&l, at, strcspn(at, "\n")));
		known += l.kind == LOGLINE_BEGINS;
		known += l.kind == LOGLINE_LEFT_OUT ? strtoul(l.text, NULL, 10) : 0;
		at = l.text;
	}
	linering_drop(&lines);
	return known;
}

/* What is written at once is read at once, but for the first bytes. */
TEST(lines_that_are_not_kept_are_counted_also_before_a_very_long_one)
{
	char block[50001] = "";
	int o;

	memset(block, 'x', sizeof(block) - 1);
	for (size_t i = 0; i < 400; i++)
		block[i * 100 + 99] = '\n';
	start_prefixed();
	o = add(1);
	say(o, block);
	ck_assert_uint_eq(expect_all(400), 0);
	say(o, "\n");
	(void)close(o);
	ends_well();
	ck_assert_uint_eq(lines_known(), 401);
}

static unsigned long kib_of(const char *in, const char *field)
{
	char path[64];
	char line[256];
	unsigned long value = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)logger, in);
	file = fopen(path, "re");
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, field, strlen(field)) == 0)
			value = strtoul(line + strlen(field) + 1, NULL, 10);
	(void)fclose(file);
	return value;
}

static void flood(int fd, unsigned long lines)
{
	char block[100 * 50 + 1] = "";

	for (int i = 0; i < 50; i++)
		for (int j = 0; j < 100; j++)
			block[i * 100 + j] = j == 99 ? '\n' : (char)('a' + i % 26);
	for (unsigned long i = 0; i < lines / 50; i++)
		say(fd, block);
}

TEST(a_supervisor_that_has_ended_is_nothing_to_complain_of)
{
	int pair[2];
	int e[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(pipe2(e, O_CLOEXEC), 0);
	(void)close(pair[0]);
	start_at(pair[1], e[1], e[1]);
	(void)close(pair[1]);
	(void)close(e[1]);
	err = e[0];
	expect_end(err);
	ends_well();
}

TEST(a_slow_reader_costs_lines_but_no_memory_and_no_time)
{
	const unsigned long lines = 200000; /* 20 MB */
	unsigned long dropped;
	unsigned long before;
	int o;

	start_prefixed();
	o = add(1);
	say(o, "warm\n");
	expect(out, "web.2 | warm\n");
	before = kib_of("smaps_rollup", "Rss:"); /* VmRSS is less: pages are counted late */
	flood(o, lines); /* nobody reads; it comes to its end all the same */
	dropped = expect_all(lines);
	ck_assert_uint_gt(dropped, lines / 2);
	if (!UNIT_IS_SANITIZED)
		ck_assert_uint_lt(kib_of("status", "VmHWM:"), before + 1536);
	buffer_clear(&said[0]);
	say(o, "after\n");
	expect(out, "web.2 | after\n");
}

/* --- Copied --- */

/* The n-th byte of those that a copied worker writes. */
static char byte_at(size_t n)
{
	return (char)((n * 7 + n / 251) & 0xff);
}

/* Is it not in the midst of something, without a CPU? */
static bool sleeps(void)
{
	char path[64];
	char line[256] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)logger);
	file = fopen(path, "re");
	ck_assert_ptr_nonnull(file);
	(void)!fgets(line, sizeof(line), file);
	(void)fclose(file);
	return strstr(line, ") S ") != NULL;
}

/* Write until nothing more is taken for a while that would be enough. */
static size_t fill(int fd, size_t from)
{
	struct pollfd at = {.fd = fd, .events = POLLOUT};
	char block[1000];
	ssize_t n = 0;

	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	while (n != -1 || poll(&at, 1, 200) == 1 || !sleeps()) {
		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = byte_at(from + i);
		n = write(fd, block, sizeof(block));
		from += n > 0 ? (size_t)n : 0;
	}
	return from;
}

static void expect_bytes(int fd, struct buffer *got, size_t len)
{
	while (got->len < len)
		ck_assert(read_more(fd, got));
	ck_assert_uint_eq(got->len, len);
	for (size_t i = 0; i < len; i++)
		ck_assert_int_eq(got->data[i], byte_at(i));
}

TEST(what_is_copied_passes_at_once_and_as_it_is)
{
	int o;
	int e;
	int ends[2];

	start_prefixed();
	o = add_copied(1, &ends[0]);
	e = add_copied(2, &ends[1]);
	say(o, "no newline");
	expect(out, "no newline");
	say(e, "\xff\x1b[2Jcut\r");
	expect(err, "\xff\x1b[2Jcut\r");
	say(o, " yet\n\n");
	expect(out, " yet\n\n");
}

enum { TO_PIPE, TO_SOCKET, KILLED };

TEST_LOOP(who_is_copied_waits_for_the_reader_and_loses_nothing, TO_PIPE, KILLED + 1)
{
	struct logwire_packet last;
	size_t written;
	int kept;
	int o;

	if (_i == TO_SOCKET)
		start_on_socket();
	else
		start();
	tell_terminal(false);
	o = add_copied(1, &kept);
	written = fill(o, 0); /* the writer waits: it is not read */
	ck_assert_uint_ge(written, 60000);
	ck_assert_uint_lt(written, 1000000);
	if (_i == KILLED) {
		char path[64];
		int its_out;

		(void)kill(logger, SIGKILL);
		ck_assert_int_eq(waitpid(logger, NULL, 0), logger);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", out);
		its_out = open(path, O_WRONLY | O_CLOEXEC);
		start_on(its_out, its_out);
		tell_terminal(false);
		add_pipe(1, LOGWIRE_COPY, kept);
	} else {
		end_worker();
		/* its end is told at once, with what nobody has read yet */
		last = receive();
		ck_assert_uint_eq(last.kind, LOGWIRE_LAST);
		ck_assert_str_ne(last.text, "");
	}
	(void)close(o);
	(void)close(kept);
	expect_bytes(out, &said[0], written);
	ends_well();
}

TEST(what_waits_in_the_pipe_is_among_the_last_words)
{
	size_t written;
	int kept;
	int o;

	start_prefixed();
	o = add_copied(1, &kept);
	written = fill(o, 0);
	/* room for one line more in the pipe, and not yet in the sink */
	ck_assert_int_eq(fcntl(o, F_SETPIPE_SZ, 1 << 18), 1 << 18);
	say(o, "\nError: it was this\n");
	end_worker();
	expect_text("Error: it was this");
	(void)close(o);
	(void)close(kept);
	while (!ends_with(&said[0], "this\n"))
		ck_assert(read_more(out, &said[0]));
	ck_assert_uint_eq(said[0].len, written + 20);
}

TEST(a_reader_that_is_gone_stops_nobody_who_is_copied)
{
	int kept;
	int o;

	start_prefixed();
	o = add_copied(1, &kept);
	say(o, "first\n");
	expect(out, "first\n");
	(void)close(out);
	flood(o, 5000);
	say(o, "last\n");
	end_worker();
	ck_assert_msg(strstr(receive().text, "last") != NULL, "no last words");
	/* it is said where somebody reads, and once */
	expect(err,
		"nclust: nobody reads the workers' output: it is "
		"dropped\n");
}

/* --- Last words --- */

TEST(the_last_lines_of_a_dead_worker_are_told)
{
	struct logwire_packet last;
	int o;
	int e;

	start_discarding();
	o = add(1);
	e = add(2);
	for (int i = 0; i < 1000; i++)
		say(o, "noise\n");
	for (int unread = 1; unread > 0;) /* two streams have no order of their own */
		ck_assert_int_eq(ioctl(o, FIONREAD, &unread), 0);
	say(e, "1\n2\n\n\x1b[31m 3 \x1b[0m\r\n4\t\x01\n");
	say(e, "no newline");
	(void)close(o);
	(void)close(e);
	end_worker();
	last = receive();
	ck_assert_uint_eq(last.kind, LOGWIRE_LAST);
	ck_assert_uint_eq(last.worker, 7);
	ck_assert_uint_eq(last.slot, 2);
	ck_assert_str_eq(last.cluster, "web");
	ck_assert_str_eq(last.text, "1 / 2 / 3 / 4 \\x01 / no newline");
	ck_assert_uint_eq(last.address_in_use, 0);
	(void)close(channel);
	expect_end(out); /* it was to be discarded */
	expect_end(err);
}

TEST(the_lines_are_out_before_the_last_words_are_told)
{
	struct pollfd at = {.events = POLLIN};

	start_prefixed();
	for (int i = 0; i < 20; i++) {
		int o = add(1);

		say(o, "line\nno newline");
		(void)close(o);
		end_worker();
		ck_assert_uint_eq(receive().kind, LOGWIRE_LAST);
		at.fd = out;
		ck_assert_int_eq(poll(&at, 1, 0), 1);
		expect(out, "web.2 | line\nweb.2 | no newline\n");
	}
}

TEST(a_worker_that_said_nothing_has_no_last_words)
{
	start_prefixed();
	end_worker();
	expect_text("");
	(void)close(add(1));
	end_worker();
	expect_text("");
}

TEST_LOOP(a_complaint_in_the_middle_of_much_is_forgotten, 0, 4)
{
	int e;

	start_discarding();
	e = add(2);
	flood(e, 1000);
	say(e, "EADDRINUSE\n");
	flood(e, 50 * (uint32_t)_i);
	end_worker();
	ck_assert_uint_eq(receive().address_in_use, _i < 2);
}

TEST(a_crowd_of_deaths_gets_all_its_answers)
{
	struct logwire_packet packet = {.kind = LOGWIRE_ENDED, .cluster = "web"};

	start_discarding();
	for (uint64_t i = 0; i < 2000; i++) {
		packet.worker = i;
		send_packet(&packet, NULL);
	}
	for (uint64_t i = 0; i < 2000; i++)
		ck_assert_uint_eq(receive().worker, i);
}

/* --- The process --- */

TEST(it_ends_with_its_channel_even_if_a_pipe_stays_open)
{
	nsec_t begun = clock_now();
	int o;

	start_prefixed();
	o = add(1);
	say(o, "no newline");
	ends_well();
	expect(out, "web.2 | no newline\n");
	ck_assert_int_ge(clock_now() - begun, 1500 * MSEC);
	ck_assert_int_le(clock_now() - begun, 30 * SECOND); /* it may have to wait for a CPU */
	(void)close(o);
}

TEST(signals_of_a_terminal_do_not_end_it)
{
	static const int signals[] = {
		SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGTTOU, SIGPIPE, SIGUSR1, SIGUSR2};
	int o;

	start_prefixed();
	o = add(1);
	for (size_t i = 0; i < COUNT_OF(signals); i++)
		ck_assert_int_eq(kill(logger, signals[i]), 0);
	say(o, "alive\n");
	expect(out, "web.2 | alive\n");
}

TEST(packets_that_are_none_are_refused_and_their_descriptors_closed)
{
	struct logwire_packet packet = {.kind = LOGWIRE_ADD, .stream = 1};
	struct pollfd at = {.events = 0};
	int fds[2];
	int o;

	start_prefixed();
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	send_packet(&packet, &fds[0]); /* no cluster */
	ck_assert_int_eq(fdpass_send(channel, "x", 1, &fds[0], 1), 0);
	packet.cluster[0] = 'c';
	send_packet(&packet, NULL); /* no descriptor */
	(void)close(fds[0]);
	at.fd = fds[1];
	ck_assert_int_eq(poll(&at, 1, PATIENCE), 1);
	ck_assert_int_ne(at.revents & POLLERR, 0); /* no reader is left */
	o = add(1);
	say(o, "alive\n");
	expect(out, "web.2 | alive\n");
}

TEST(a_second_pipe_for_the_same_stream_is_refused)
{
	struct pollfd at = {.events = 0};
	int o;

	start_prefixed();
	o = add(1);
	at.fd = add(1);
	ck_assert_int_eq(poll(&at, 1, PATIENCE), 1);
	ck_assert_int_ne(at.revents & POLLERR, 0);
	say(o, "first\n");
	expect(out, "web.2 | first\n");
}

TEST(it_has_no_privilege)
{
	char path[64];
	char text[4096] = "";
	FILE *file;

	start_prefixed();
	snprintf(path, sizeof(path), "/proc/%d/status", (int)logger);
	file = fopen(path, "re");
	ck_assert_ptr_nonnull(file);
	(void)!fread(text, 1, sizeof(text) - 1, file);
	(void)fclose(file);
	ck_assert_ptr_nonnull(strstr(text, "CapEff:\t0000000000000000"));
	ck_assert_ptr_nonnull(strstr(text, "CapPrm:\t0000000000000000"));
	ck_assert_ptr_nonnull(strstr(text, "NoNewPrivs:\t1"));
	ck_assert_ptr_null(strstr(text, "Uid:\t0"));
}
