/* SPDX-License-Identifier: MIT */
/* What a worker may answer to a scrape: with its head, and the text alone. */
#include "fuzz.h"

#include "protocol/exposition.h"
#include "protocol/http.h"

static void read_answer(const char *text, size_t len)
{
	struct httpanswer h;
	const char *piece;
	size_t n;
	size_t before = len;

	httpanswer_init(&h, false);
	while (httpanswer_next(&h, &text, &len, &piece, &n) != PIECE_NONE) {
		require(n > 0 && n <= before);
		before = len;
	}
	require(len == 0 || h.state >= HTTPANSWER_WHOLE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct exposition e;
	struct exposition again;
	struct buffer out;
	struct error err;

	require(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	read_answer(text, size);
	exposition_init(&e, 2);
	exposition_init(&again, 1);
	buffer_init(&out, 0);
	if (exposition_add(&e, 7, text, size, &err) == 0) {
		(void)exposition_add(&e, 8, text, size, &err);
		exposition_write(&e, &out);
		require(!out.failed);
		/* what was written is of the same format */
		require(exposition_add(&again, 9, buffer_text(&out), out.len, &err) == 0);
		require(again.count <= e.count);
	}
	exposition_fini(&e);
	exposition_fini(&again);
	buffer_fini(&out);
	free(text);
	return 0;
}
