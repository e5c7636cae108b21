/* SPDX-License-Identifier: MIT */
/* A packet on the logger's channel: what passes is safe to use. */
#include "fuzz.h"

#include "protocol/logwire.h"

#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct logwire_packet p = {0};
	size_t n = size < sizeof(p) ? size : sizeof(p);

	if (n > 0)
		memcpy(&p, data, n);
	if (!logwire_check(&p, size))
		return 0;
	require(size == sizeof(p));
	require((p.kind >= LOGWIRE_ADD && p.kind <= LOGWIRE_LINES) ||
		(p.kind >= LOGWIRE_ROUTE && p.kind <= LOGWIRE_ASK));
	require(strnlen(p.cluster, sizeof(p.cluster)) < sizeof(p.cluster));
	require(strnlen(p.text, sizeof(p.text)) < sizeof(p.text));
	if (p.kind == LOGWIRE_ADD)
		require(text_is_name(p.cluster) && p.stream >= 1 && p.stream <= 3);
	if (p.kind == LOGWIRE_HOLD)
		require(logwire_count(p.which) >= 1 && logwire_count(p.which) <= LOGWIRE_FDS_MAX);
	if (p.kind >= LOGWIRE_ROUTE)
		require(text_is_name(p.cluster));
	if (p.kind == LOGWIRE_ROUTE && p.slot > 0)
		require(p.which < p.slot && p.slot <= LOGWIRE_ROUTES_MAX);
	if (p.kind == LOGWIRE_OPENED || p.kind == LOGWIRE_ASK)
		require(p.which < LOGWIRE_ROUTES_MAX);
	if (p.kind == LOGWIRE_SINK)
		require(p.sink == LOGWIRE_DISCARD || p.sink == LOGWIRE_PREFIX);
	return 0;
}
