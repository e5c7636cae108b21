/* SPDX-License-Identifier: MIT */
/* However a stream is cut into reads, its lines are the same. */
#include "fuzz.h"

#include "protocol/line_reader.h"

#define MOST 20

/* In reads of so many bytes; what was heard, in brackets. */
static void hear(
	const char *text, size_t size, size_t step, struct buffer *heard, uint64_t *skipped)
{
	struct line_reader l;

	line_reader_init(&l, MOST);
	for (size_t at = 0; at < size; at += step) {
		size_t n = size - at < step ? size - at : step;
		const char *line;
		size_t len;
		char copy[256];

		memcpy(copy, text + at, n);
		line_reader_begin(&l, copy, n);
		while (line_reader_next(&l, &line, &len)) {
			require(len <= MOST);
			buffer_string(heard, "[");
			buffer_append(heard, line, len);
		}
		require(l.part.len <= MOST);
	}
	*skipped = l.skipped;
	line_reader_fini(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer one;
	struct buffer other;
	uint64_t first;
	uint64_t second;

	if (size < 1 || size > 4096)
		return 0;
	buffer_init(&one, 0);
	buffer_init(&other, 0);
	hear((const char *)data + 1, size - 1, 256, &one, &first);
	hear((const char *)data + 1, size - 1, data[0] % 32 + 1U, &other, &second);
	require(first == second);
	require(one.len == other.len);
	require(one.len == 0 || memcmp(one.data, other.data, one.len) == 0);
	buffer_fini(&one);
	buffer_fini(&other);
	return 0;
}
