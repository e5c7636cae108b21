/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/place/sharedmem.h"

#define HEAD 16 /* bytes before the lines */
#define LINERING_SIZE (128U * 1024)
#define LINERING_LINE (8U * 1024)

static struct linering ring;
static struct linering_text t;
static struct error err;

static void begin(void)
{
	ck_assert_int_eq(linering_make(&ring, &linering_events, "test", &err), 0);
}

static void end(void)
{
	linering_drop(&t);
	linering_close(&ring);
}

static void add(int number)
{
	char line[120];
	int len = snprintf(line, sizeof(line), "number %d %.*s.", number, number % 80,
		"--------------------------------------------------------------"
		"------------------");

	if (linering_add(&ring, line, (size_t)len) == -1)
		ck_abort_msg("cannot add %d", number);
}

static void read_from(uint64_t from)
{
	linering_drop(&t);
	ck_assert_int_eq(linering_read(&ring, from, &t), 0);
}

/* All lines that are there are whole and follow each other.  The last one. */
static int check_lines(void)
{
	const char *at = t.text;
	int last = -1;
	int n;

	while (at < t.text + t.len) {
		const char *stop = memchr(at, '\n', (size_t)(t.text + t.len - at));

		/* an assertion costs more than all the rest */
		if (stop == NULL || sscanf(at, "number %d ", &n) != 1 || stop[-1] != '.' ||
			(last != -1 && n != last + 1))
			ck_abort_msg("after %d: '%.40s'", last, at);
		last = n;
		at = stop + 1;
	}
	return last;
}

FIXTURE(begin, end)

TEST(one_can_read_on_where_one_was)
{
	uint64_t at;

	for (int i = 0; i < 300; i++)
		add(i);
	read_from(0);
	at = t.at + t.len;
	read_from(at);
	ck_assert_uint_eq(t.len, 0);
	ck_assert_uint_eq(t.at, at);
	add(300);
	add(301);
	read_from(at);
	ck_assert_int_eq(strncmp(t.text, "number 300 ", 11), 0);
	ck_assert_int_eq(check_lines(), 301);

	/* who was away for too long goes on with the oldest */
	for (int i = 302; i < 9000; i++)
		add(i);
	read_from(at);
	ck_assert_uint_gt(t.at, at);
	ck_assert_uint_gt(t.len, LINERING_SIZE - 2 * LINERING_LINE);
	ck_assert_int_eq(check_lines(), 8999);
}

TEST(a_line_that_is_too_long_is_absent)
{
	static char line[LINERING_LINE];

	memset(line, 'x', sizeof(line));
	add(1);
	os_fails(linering_add(&ring, line, sizeof(line)), EMSGSIZE);
	add(2);
	read_from(0);
	ck_assert_int_eq(check_lines(), 2);
	ck_assert_int_eq(linering_add(&ring, line, sizeof(line) - 1), 0);
}

/* So many bytes of a line are written, and not yet the mark. */
static void write_part(const char *line, size_t n)
{
	uint64_t place = ring.end % (LINERING_SIZE - HEAD);
	size_t room = LINERING_SIZE - HEAD - place;
	size_t first = room < n ? room : n;

	ck_assert(pwrite(ring.fd, line, first, (off_t)(HEAD + place)) == (ssize_t)first);
	ck_assert(pwrite(ring.fd, line + first, n - first, HEAD) == (ssize_t)(n - first));
}

/* Killed after each byte of the longest line that there is, or when a shorter one
 * was written: what was there is there. */
TEST(a_write_that_is_cut_off_harms_no_line)
{
	static char line[LINERING_LINE];
	struct linering other;

	memset(line, 'x', sizeof(line));
	for (int i = 0; i < 9000; i++)
		add(i);
	for (size_t n = 1; n <= sizeof(line); n += n < 16 ? 1 : 509) {
		for (int whole = 0; whole < 2; whole++) {
			line[n - 1] = whole ? '\n' : 'x';
			write_part(line, n);
			ck_assert(linering_take(&other, &linering_events, ring.fd));
			ck_assert_uint_eq(other.end, ring.end);
			read_from(0);
			ck_assert_int_eq(check_lines(), 8999);
		}
		line[n - 1] = 'x';
	}
	ck_assert(linering_take(&ring, &linering_events, ring.fd));
	add(9000);
	read_from(0);
	ck_assert_int_eq(check_lines(), 9000);
}

TEST(an_empty_one_has_no_memory)
{
	struct linering other;
	struct stat st;

	ck_assert_int_eq(fstat(ring.fd, &st), 0);
	ck_assert_int_eq(st.st_blocks, 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600); /* others may not write */
	ck_assert(linering_take(&other, &linering_events, ring.fd));
	ck_assert_uint_eq(other.end, 0);
	read_from(0);
	ck_assert_uint_eq(t.len, 0);
	ck_assert_uint_eq(t.at, 0);
	ck_assert_int_eq(fstat(ring.fd, &st), 0);
	ck_assert_int_eq(st.st_blocks, 0);
}

TEST(what_is_none_is_not_taken)
{
	struct linering other;
	int plain = memfd_create("plain", MFD_CLOEXEC);
	int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);

	ck_assert(!linering_take(&other, &linering_events, -1));
	ck_assert(!linering_take(&other, &linering_events, zero));
	ck_assert_int_eq(ftruncate(plain, LINERING_SIZE), 0);
	ck_assert(!linering_take(&other, &linering_events, plain)); /* it can be cut off */
	ck_assert_int_eq(pwrite(ring.fd, "?", 1, 0), 1);
	ck_assert(!linering_take(&other, &linering_events, ring.fd));
}

TEST(a_mark_that_is_wrong_is_no_more_than_wrong_lines)
{
	const uint64_t wrong[] = {5, 100000, UINT64_MAX, UINT64_MAX / 2};

	for (int i = 0; i < 100; i++)
		add(i);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		ck_assert_int_eq(pwrite(ring.fd, &wrong[i], 8, 8), 8);
		ck_assert(linering_take(&ring, &linering_events, ring.fd));
		read_from(0);
		read_from(wrong[i] / 2);
		ck_assert_uint_le(t.len, LINERING_SIZE);
	}
}

/* A reader that is slower than the writer: what it gets is whole all the same. */
TEST(another_process_reads_while_it_is_written)
{
	struct linering other;
	uint64_t at = 0;
	int last = -1;

	for (int i = 0; i < 20000; i++) {
		add(i);
		if (i % 700 != 0)
			continue;
		ck_assert(linering_take(&other, &linering_events, ring.fd));
		/* it has looked, and then much comes before it reads */
		for (int k = 0; i % 1400 == 0 && k < 900; k++)
			add(++i);
		linering_drop(&t);
		ck_assert_int_eq(linering_read(&other, at, &t), 0);
		at = t.at + t.len;
		if (t.len > 0)
			last = check_lines();
	}
	ck_assert_int_gt(last, 10000);
}

TEST(lines_are_put_in_one_piece)
{
	static const char lines[] = "number 1 .\nnumber 2 -.\n";
	static char much[LINERING_LINE + 1];

	ck_assert_int_eq(linering_put(&ring, lines, sizeof(lines) - 1), 0);
	add(3);
	read_from(0);
	ck_assert_int_eq(check_lines(), 3);
	os_fails(linering_put(&ring, much, sizeof(much)), EMSGSIZE);
}

TEST(without_room_there_is_none)
{
	const struct rlimit none = {LINERING_SIZE / 2, RLIM_INFINITY};
	const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
	struct linering other;

	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
	ck_assert_int_eq(linering_make(&other, &linering_events, "test", &err), -1);
	ck_assert_int_eq(other.fd, -1);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &all), 0);
	ck_assert_int_eq(linering_read(&other, 0, &t), 0);
	ck_assert_uint_eq(t.len, 0);
}
