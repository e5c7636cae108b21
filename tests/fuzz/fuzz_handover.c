/* SPDX-License-Identifier: MIT */
/*
 * A state that an nclust leaves to the next: what is taken as one can be read
 * to its end and written again, byte for byte.
 */
#include "fuzz.h"

#include "protocol/handover.h"

struct outer {
	bool yes;
	uint8_t small;
	uint16_t middle;
	int number;
	int64_t when;
	uint64_t words[4];
	uint32_t n;
	char text[8];
};

static const struct plain_row outer_rows[] = {
	PLAIN(1, outer, yes, BOOL),
	PLAIN(2, outer, small, UNSIGNED),
	PLAIN(3, outer, middle, UNSIGNED),
	PLAIN(4, outer, number, SIGNED),
	PLAIN(5, outer, when, WHEN),
	PLAIN(6, outer, words, WORDS),
	PLAIN_ENUM(7, outer, n, 9),
	PLAIN(8, outer, text, TEXT),
};
#define ROWS (sizeof(outer_rows) / sizeof(outer_rows[0]))

/* 1: stored; 0: there is no such member; -1: it does not fit. */
static int take(struct outer *to, const struct handover_field *f)
{
	for (size_t i = 0; i < ROWS; i++)
		if (outer_rows[i].tag == f->tag)
			return handover_take_member(&outer_rows[i], to, f);
	return 0;
}

static void write_again(struct handover_writer *w, struct handover_reader *r)
{
	struct handover_field f;

	while (handover_next(r, &f)) {
		struct handover_reader inner;

		switch (f.type) {
		case HANDOVER_U64:
			handover_put_u64(w, f.tag, f.u);
			break;
		case HANDOVER_I64:
			handover_put_i64(w, f.tag, f.i);
			break;
		case HANDOVER_BYTES:
			handover_put_bytes(w, f.tag, f.data, f.len);
			break;
		case HANDOVER_TEXT: {
			char *text = handover_text(&f);

			require(text != NULL && strlen(text) == f.len);
			handover_put_text(w, f.tag, text);
			free(text);
			break;
		}
		case HANDOVER_GROUP:
			handover_open(w, f.tag);
			handover_enter(&inner, &f);
			write_again(w, &inner);
			handover_close(w);
			break;
		default:
			abort();
		}
	}
}

/* A struct that was read is written and read again as the same. */
static void read_struct(struct handover_reader r)
{
	struct handover_version version = {1, 0};
	struct outer first = {0};
	struct outer second = {0};
	struct handover_writer w;
	struct handover_field f;
	struct buffer out;
	struct error err;

	handover_clear_members(outer_rows, ROWS, &first);
	while (handover_next(&r, &f))
		if (take(&first, &f) == -1)
			return;
	require(memchr(first.text, '\0', sizeof(first.text)) != NULL);
	require(first.n <= 9);
	buffer_init(&out, 0);
	handover_begin(&w, &out);
	for (size_t i = 0; i < ROWS; i++)
		handover_put_member(&w, &outer_rows[i], &first);
	require(handover_end(&w, &version) == 0);
	require(handover_open_for_reading(&r, out.data, out.len, 1, &version, &err) == 0);
	handover_clear_members(outer_rows, ROWS, &second);
	while (handover_next(&r, &f))
		require(take(&second, &f) == 1);
	require(memcmp(&first, &second, sizeof(first)) == 0);
	buffer_fini(&out);
}

/* The fields alone: no head of a fuzzer's would ever have the right sum. */
static void read_fields(const uint8_t *data, size_t size)
{
	struct handover_version version = {1, 3};
	struct handover_writer w;
	struct handover_reader r;
	struct buffer in;
	struct buffer out;
	struct error err;

	buffer_init(&in, 0);
	buffer_init(&out, 0);
	handover_begin(&w, &in);
	buffer_append(&in, data, size);
	require(handover_end(&w, &version) == 0);
	if (handover_open_for_reading(&r, in.data, in.len, 1, &version, &err) == 0) {
		require(version.minor == 3);
		read_struct(r);
		handover_begin(&w, &out);
		write_again(&w, &r);
		require(handover_end(&w, &version) == 0);
		require(out.len == in.len && memcmp(out.data, in.data, in.len) == 0);
	}
	buffer_fini(&in);
	buffer_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct handover_version version;
	struct handover_reader r;
	struct error err;

	(void)handover_open_for_reading(&r, data, size, 1, &version, &err);
	read_fields(data, size);
	return 0;
}
