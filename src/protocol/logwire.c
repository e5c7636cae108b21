/* SPDX-License-Identifier: MIT */
#include "protocol/logwire.h"

#include "base/text.h"

#include <string.h>

static bool is_ended(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

bool logwire_check(const struct logwire_packet *p, size_t len)
{
	if (len != sizeof(*p) || !is_ended(p->cluster, sizeof(p->cluster)) ||
		!is_ended(p->text, sizeof(p->text)))
		return false;
	switch (p->kind) {
	case LOGWIRE_ADD:
		return (p->stream == 1 || p->stream == 2) && p->quiet <= 1 &&
			text_is_name(p->cluster);
	case LOGWIRE_SINK:
		return p->sink <= LOGWIRE_PREFIX && p->colour <= 1;
	case LOGWIRE_LAST:
		return p->address_in_use <= 1;
	case LOGWIRE_ENDED:
	case LOGWIRE_HELLO:
		return true;
	default:
		return false;
	}
}
