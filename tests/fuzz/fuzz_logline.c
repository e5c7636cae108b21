/* SPDX-License-Identifier: MIT */
/* Lines that a logger has kept: what is taken of one is inside of it. */
#include "fuzz.h"

#include "protocol/logwire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *)data;
	struct logline l = {0};

	while (size > 0) {
		const char *end = memchr(at, '\n', size);
		size_t len = end != NULL ? (size_t)(end - at) : size;

		if (logline_parse(&l, at, len)) {
			require(l.stream == 1 || l.stream == 2);
			require(l.pid >= 0 && l.ms >= 0);
			require(l.text > at && l.text + l.len == at + len);
		}
		len += end != NULL;
		at += len;
		size -= len;
	}
	return 0;
}
