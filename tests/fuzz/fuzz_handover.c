/* SPDX-License-Identifier: MIT */
/*
 * A state that an nclust leaves to the next: what is taken as one can be read
 * to its end and written again, byte for byte.
 */
#include "fuzz.h"

#include "protocol/handover.h"

struct inner {
	uint32_t n;
	char text[8];
};

struct outer {
	bool yes;
	uint8_t small;
	uint16_t middle;
	int number;
	int64_t when;
	uint64_t words[4];
	struct inner inner;
};

static const struct plain_row inner_rows[] = {
	PLAIN_ENUM(1, inner, n, 9),
	PLAIN(2, inner, text, TEXT),
};
static const struct plain_table inner_table = PLAIN_TABLE(inner_rows, inner);
static const struct plain_row outer_rows[] = {
	PLAIN(1, outer, yes, BOOL),
	PLAIN(2, outer, small, UNSIGNED),
	PLAIN(3, outer, middle, UNSIGNED),
	PLAIN(4, outer, number, SIGNED),
	PLAIN(5, outer, when, WHEN),
	PLAIN(6, outer, words, WORDS),
	PLAIN_IN(7, outer, inner, &inner_table),
};
static const struct plain_table outer_table = PLAIN_TABLE(outer_rows, outer);

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

	handover_clear_plain(&outer_table, &first);
	while (handover_next(&r, &f))
		if (handover_take_plain(&outer_table, &first, &f) == -1)
			return;
	require(memchr(first.inner.text, '\0', sizeof(first.inner.text)) != NULL);
	require(first.inner.n <= 9);
	buffer_init(&out, 0);
	handover_begin(&w, &out);
	handover_put_plain(&w, &outer_table, &first);
	require(handover_end(&w, &version) == 0);
	require(handover_open_for_reading(&r, out.data, out.len, 1, &version, &err) == 0);
	handover_clear_plain(&outer_table, &second);
	while (handover_next(&r, &f))
		require(handover_take_plain(&outer_table, &second, &f) == 1);
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
