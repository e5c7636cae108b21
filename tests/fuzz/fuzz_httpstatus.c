/* SPDX-License-Identifier: MIT */
/* What a worker may answer to a check. */
#include "fuzz.h"

#include "protocol/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	unsigned whole = 0;
	enum httpstatus_kind kind = httpstatus_parse(text, size, &whole);

	require(kind != HTTPSTATUS_CODE ||
		(whole >= 101 && whole <= 599 && (whole == 101 || whole >= 200)));
	/* however it comes in pieces: once it is decided, it stays so */
	for (size_t len = 0; len < size && len < 600; len++) {
		char *piece = malloc(len + 1);
		unsigned code = 0;
		enum httpstatus_kind now;

		require(piece != NULL);
		if (piece == NULL)
			return 0;
		memcpy(piece, data, len);
		now = httpstatus_parse(piece, len, &code);
		require(now == HTTPSTATUS_MORE ||
			(now == kind && (now == HTTPSTATUS_NONE || code == whole)));
		free(piece);
	}
	return 0;
}
