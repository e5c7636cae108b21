/* SPDX-License-Identifier: MIT */
/* What clients and workers may send on a connection that is handed on. */
#include "fuzz.h"

#include "protocol/httphead.h"

#define MORE 64

static void close_head(const char *head, size_t size, bool strict)
{
	char *to = malloc(2 * size + MORE);
	char *again = malloc(2 * size + MORE);
	size_t len = httphead_close(to, 2 * size + MORE, head, size);

	/* it always fits there, and ends where the head had its end */
	require(len > 0 && httphead_size(to, len) == len);
	/* nothing is left to replace, and no other request has come of it */
	if (strict) {
		struct httphead_request r;

		require(httphead_close(again, 2 * size + MORE, to, len) == len);
		require(memcmp(to, again, len) == 0);
		require(len > HTTPHEAD_MOST || httphead_request(to, len, &r) == HTTPHEAD_OK);
	}
	free(to);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct httphead_request r;
	struct httphead_request cut;
	enum httphead_verdict verdict = httphead_request(text, size, &r);
	size_t head = httphead_size(text, size);

	require(head <= size);
	if (head > 0)
		close_head(text, head, verdict == HTTPHEAD_OK);
	if (verdict != HTTPHEAD_OK)
		return 0;
	require(r.head == head);
	require(!httphead_may_hand_on(&r, size) || r.head + r.body == size);
	require(httphead_request(text, r.head, &cut) == HTTPHEAD_OK);
	require(httphead_request(text, r.head - 1, &cut) == HTTPHEAD_INCOMPLETE);
	return 0;
}
