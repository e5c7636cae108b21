/* SPDX-License-Identifier: MIT */
/* A readiness datagram as a worker may send it. */
#include "fuzz.h"

#include "protocol/notify.h"

#include "base/text.h"

static void is_sound(const struct notify_message *m)
{
	size_t len = strnlen(m->status, sizeof(m->status));

	require(len < sizeof(m->status));
	for (size_t i = 0; i < len; i += text_utf8(m->status + i, len - i))
		require(text_utf8(m->status + i, len - i) > 0);
	for (size_t i = 0; i < len; i++)
		require((unsigned char)m->status[i] >= 0x20 && m->status[i] != 0x7f);
	require(m->extend >= 0 && m->watchdog_time >= 0 && m->error >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct notify_message m;
	struct notify_message again;
	char text[2048];
	size_t len;

	if (notify_decode(&m, (const char *)data, size) == -1) {
		require(!m.ready && !m.stopping && !m.has_status);
		return 0;
	}
	is_sound(&m);
	len = notify_encode(text, sizeof(text), &m, 0);
	if (len == 0)
		return 0; /* it said nothing */
	require(notify_decode(&again, text, len) == 0);
	require(again.ready == m.ready && again.stopping == m.stopping &&
		again.reloading == m.reloading && again.watchdog == m.watchdog);
	require(again.has_status == m.has_status && strcmp(again.status, m.status) == 0);
	return 0;
}
