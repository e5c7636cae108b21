/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "protocol/handover.h"

#include "base/nsec.h"

#include <stdio.h>

static const struct handover_version ours = {1, 2};
static struct handover_writer w;
static struct buffer b;

struct thing {
	bool on;
	uint8_t small;
	uint16_t middle;
	unsigned count;
	uint64_t big;
	int number;
	long far;
	nsec_t due;
	char name[6];
	nsec_t times[3];
	unsigned char shade;
	int fd;
};

static const struct plain_row thing_rows[] = {PLAIN(1, thing, on, BOOL),
	PLAIN(2, thing, small, UNSIGNED), PLAIN(3, thing, middle, UNSIGNED),
	PLAIN(4, thing, count, UNSIGNED), PLAIN(5, thing, big, UNSIGNED),
	PLAIN(6, thing, number, SIGNED), PLAIN(7, thing, far, SIGNED), PLAIN(8, thing, due, WHEN),
	PLAIN(9, thing, name, TEXT), PLAIN(10, thing, times, WORDS),
	PLAIN_ENUM(11, thing, shade, 3), PLAIN(12, thing, fd, FD)};
#define ROWS (sizeof(thing_rows) / sizeof(thing_rows[0]))

static void open_reader(struct handover_reader *r, const struct buffer *in)
{
	struct handover_version version;
	struct error err;

	ck_assert_msg(handover_open_for_reading(r, in->data, in->len, 1, &version, &err) == 0, "%s",
		err.text);
	ck_assert_uint_eq(version.major, ours.major);
	ck_assert_uint_eq(version.minor, ours.minor);
}

static void begin_thing(void)
{
	buffer_init(&b, 0);
	handover_begin(&w, &b);
	handover_open(&w, 1);
}

static void write_thing(const struct thing *thing)
{
	begin_thing();
	for (size_t i = 0; i < ROWS; i++)
		handover_put_member(&w, &thing_rows[i], thing);
	handover_close(&w);
	ck_assert_int_eq(handover_end(&w, &ours), 0);
}

static int read_thing(const struct buffer *in, struct thing *thing)
{
	struct handover_reader r;
	struct handover_field f;

	open_reader(&r, in);
	ck_assert(handover_next(&r, &f));
	ck_assert_uint_eq(f.tag, 1);
	handover_clear_members(thing_rows, ROWS, thing);
	handover_enter(&r, &f);
	while (handover_next(&r, &f))
		for (size_t i = 0; i < ROWS; i++)
			if (thing_rows[i].tag == f.tag &&
				handover_take_member(&thing_rows[i], thing, &f) == -1)
				return -1;
	return 0;
}

TEST(fields_of_every_type_come_back)
{
	static const uint64_t numbers[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX};
	static const int64_t signs[] = {0, -1, 1, 63, -64, 64, INT64_MIN, INT64_MAX, NSEC_NEVER};
	struct handover_reader r;
	struct handover_field f;
	char *text;

	buffer_init(&b, 0);
	handover_begin(&w, &b);
	for (size_t i = 0; i < 8; i++)
		handover_put_u64(&w, 1, numbers[i]);
	for (size_t i = 0; i < 9; i++)
		handover_put_i64(&w, HANDOVER_TAG_MAX, signs[i]);
	handover_put_bytes(&w, 3, "a\0b", 3);
	handover_put_text(&w, 4, "tl\xc3\xa4");
	handover_put_text(&w, 5, NULL);
	handover_put_text(&w, 6, "");
	ck_assert_int_eq(handover_end(&w, &ours), 0);

	open_reader(&r, &b);
	for (size_t i = 0; i < 8; i++) {
		ck_assert(handover_next(&r, &f));
		ck_assert(f.tag == 1 && f.type == HANDOVER_U64);
		ck_assert_uint_eq(f.u, numbers[i]);
	}
	for (size_t i = 0; i < 9; i++) {
		ck_assert(handover_next(&r, &f));
		ck_assert(f.tag == HANDOVER_TAG_MAX && f.type == HANDOVER_I64);
		ck_assert_int_eq(f.i, signs[i]);
	}
	ck_assert(handover_next(&r, &f) && f.tag == 3 && f.len == 3);
	ck_assert(memcmp(f.data, "a\0b", 3) == 0 && handover_text(&f) == NULL);
	ck_assert(handover_next(&r, &f) && f.tag == 4);
	text = handover_text(&f);
	ck_assert_str_eq(text, "tl\xc3\xa4");
	free(text);
	ck_assert(handover_next(&r, &f) && f.tag == 6 && f.len == 0);
	ck_assert(!handover_next(&r, &f));
	buffer_fini(&b);
}

TEST(structs_come_back_as_they_were)
{
	const struct thing was = {
		.on = true,
		.small = 200,
		.middle = 40000,
		.count = 4000000000U,
		.big = UINT64_MAX,
		.number = -5,
		.far = -6000000000L,
		.due = 17,
		.name = "abcde",
		.times = {0, 9, 0},
		.shade = 3,
		.fd = 0,
	};
	struct thing is;

	memset(&is, 0xa5, sizeof(is));
	write_thing(&was);
	ck_assert_int_eq(read_thing(&b, &is), 0);
	ck_assert(is.on && is.small == 200 && is.middle == 40000);
	ck_assert(is.count == 4000000000U && is.big == UINT64_MAX);
	ck_assert(is.number == -5 && is.far == -6000000000L && is.due == 17);
	ck_assert_str_eq(is.name, "abcde");
	ck_assert(is.times[0] == 0 && is.times[1] == 9 && is.times[2] == 0);
	ck_assert(is.shade == 3 && is.fd == 0);
	buffer_fini(&b);
}

TEST(members_that_are_missing_are_empty)
{
	const struct thing was = {.due = NSEC_NEVER, .fd = -1};
	struct thing is;

	memset(&is, 0xa5, sizeof(is));
	write_thing(&was);
	ck_assert_uint_le(b.len, HANDOVER_HEAD + 16);
	ck_assert_int_eq(read_thing(&b, &is), 0);
	ck_assert(!is.on && is.count == 0 && is.far == 0);
	ck_assert_int_eq(is.due, NSEC_NEVER);
	ck_assert_int_eq(is.fd, -1);
	ck_assert_str_eq(is.name, "");
	buffer_fini(&b);
}

static int end_thing(struct thing *is)
{
	int result;

	handover_close(&w);
	ck_assert_int_eq(handover_end(&w, &ours), 0);
	result = read_thing(&b, is);
	buffer_fini(&b);
	return result;
}

/* One field of the wrong kind or out of range, each. */
TEST_LOOP(values_that_no_member_can_have_are_refused, 0, 8)
{
	struct thing is;

	begin_thing();
	if (_i == 0)
		handover_put_u64(&w, 1, 2);
	else if (_i == 1)
		handover_put_u64(&w, 2, 256);
	else if (_i == 2)
		handover_put_i64(&w, 6, INT64_C(1) << 31);
	else if (_i == 3)
		handover_put_u64(&w, 6, 1);
	else if (_i == 4)
		handover_put_text(&w, 9, "abcdef");
	else if (_i == 5)
		handover_put_bytes(&w, 9, "a", 1);
	else if (_i == 6)
		handover_put_bytes(&w, 10, "123456789", 9);
	else
		handover_put_u64(&w, 11, 4);
	ck_assert_int_eq(end_thing(&is), -1);
}

TEST(unknown_numbers_are_skipped)
{
	struct thing is;

	begin_thing();
	handover_open(&w, 99);
	handover_put_u64(&w, 1, 5);
	handover_close(&w);
	handover_put_text(&w, 100, "of a later version");
	handover_put_u64(&w, 4, 12);
	ck_assert_int_eq(end_thing(&is), 0);
	ck_assert_uint_eq(is.count, 12);
	ck_assert(!is.on);
}

static bool is_refused(const void *data, size_t len, struct error *err)
{
	struct handover_version version;
	struct handover_reader r;

	return handover_open_for_reading(&r, data, len, 1, &version, err) == -1;
}

TEST(what_is_cut_or_changed_is_refused)
{
	const struct thing was = {.name = "abc", .count = 7};
	struct error err;

	write_thing(&was);
	ck_assert(!is_refused(b.data, b.len, &err));
	for (size_t len = 0; len < b.len; len++) {
		char *cut = malloc(len + 1);

		ck_assert_ptr_nonnull(cut);
		memcpy(cut, b.data, len);
		ck_assert(is_refused(cut, len, &err));
		free(cut);
	}
	for (size_t i = 0; i < b.len * 8; i++) {
		if (i / 8 == 10 || i / 8 == 11)
			continue; /* the minor version may be any */
		b.data[i / 8] = (char)(b.data[i / 8] ^ (1 << i % 8));
		ck_assert_msg(is_refused(b.data, b.len, &err), "bit %zu", i);
		b.data[i / 8] = (char)(b.data[i / 8] ^ (1 << i % 8));
	}
	buffer_fini(&b);
}

TEST(another_major_version_is_refused_by_name)
{
	const struct handover_version theirs = {2, 4};
	struct error err;
	char wanted[40];

	buffer_init(&b, 0);
	handover_begin(&w, &b);
	ck_assert_int_eq(handover_end(&w, &theirs), 0);
	ck_assert(is_refused(b.data, b.len, &err));
	snprintf(wanted, sizeof(wanted), "version %u.4", 2);
	ck_assert_msg(strstr(err.text, wanted) != NULL, "%s", err.text);
	buffer_fini(&b);
}

/* The head's sum is right: what is inside must be found to be wrong. */
static bool fields_are_refused(const char *fields, size_t len)
{
	struct error err;
	bool refused;

	buffer_init(&b, 0);
	handover_begin(&w, &b);
	buffer_append(&b, fields, len);
	ck_assert_int_eq(handover_end(&w, &ours), 0);
	refused = is_refused(b.data, b.len, &err);
	buffer_fini(&b);
	return refused;
}

TEST(fields_that_are_none_are_refused)
{
#define REFUSED(text) ck_assert(fields_are_refused(text, sizeof(text) - 1))
	ck_assert(!fields_are_refused("\x08\x01", 2));
	REFUSED("\x08");                                         /* no value */
	REFUSED("\x08\x80");                                     /* cut */
	REFUSED("\x08\x80\x00");                                 /* longer than needed */
	REFUSED("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"); /* too big */
	REFUSED("\x00\x01");                                     /* number 0 */
	REFUSED("\x80\x80\x04\x01");                             /* number 8192 */
	REFUSED("\x0d\x01");                                     /* no such type */
	REFUSED("\x0b\x02x");                                    /* text beyond the end */
	REFUSED("\x0b\x02x\0");                                  /* NUL in a text */
	REFUSED("\x0c\x01\0\0");                                 /* length cut */
	REFUSED("\x0c\x01\0\0\0\x08");                           /* a field cut by its group */
	REFUSED("\x0c\xff\xff\xff\xffx");                        /* group beyond the end */
	REFUSED("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x");
#undef REFUSED
}

TEST(groups_go_so_deep_and_no_deeper)
{
	struct handover_reader r;
	struct buffer deeper;
	struct buffer deep;

	buffer_init(&deep, 0);
	handover_begin(&w, &deep);
	for (int i = 0; i < HANDOVER_DEPTH; i++)
		handover_open(&w, 1);
	for (int i = 0; i < HANDOVER_DEPTH; i++)
		handover_close(&w);
	ck_assert_int_eq(handover_end(&w, &ours), 0);
	open_reader(&r, &deep);

	buffer_init(&deeper, 0);
	handover_begin(&w, &deeper);
	handover_open(&w, 1);
	buffer_append(&deeper, deep.data + HANDOVER_HEAD, deep.len - HANDOVER_HEAD);
	handover_close(&w);
	ck_assert(fields_are_refused(deeper.data + HANDOVER_HEAD, deeper.len - HANDOVER_HEAD));
	buffer_fini(&deep);
	buffer_fini(&deeper);
}

TEST(out_of_memory_is_told_at_the_end)
{

	buffer_init(&b, HANDOVER_HEAD + 4);
	handover_begin(&w, &b);
	handover_put_text(&w, 1, "more than there is room for");
	handover_open(&w, 2);
	handover_close(&w);
	ck_assert_int_eq(handover_end(&w, &ours), -1);
	buffer_fini(&b);
}
