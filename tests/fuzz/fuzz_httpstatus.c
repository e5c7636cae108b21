/* SPDX-License-Identifier: MIT */
/* What a worker may answer to a check. */
#include "fuzz.h"

#include "protocol/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct httpanswer whole;
	struct httpanswer pieces;

	httpanswer_init(&whole, false);
	httpanswer_init(&pieces, false);
	httpanswer_take(&whole, (const char *)data, size);
	require(whole.status == 0 || (whole.status >= 100 && whole.status <= 599));
	/* it is the same, however it comes in pieces */
	for (size_t i = 0; i < size; i++)
		httpanswer_take(&pieces, (const char *)data + i, 1);
	require(pieces.state == whole.state && pieces.status == whole.status);
	return 0;
}
