/* SPDX-License-Identifier: MIT */
#include "protocol/logwire.h"

#include "base/text.h"

#include <string.h>

static bool is_ended(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static bool is_holding(const struct logwire_packet *p)
{
	const uint32_t of_worker = LOGWIRE_PIDFD | LOGWIRE_NOTIFY | LOGWIRE_TRAP | LOGWIRE_STDOUT |
		LOGWIRE_STDERR | LOGWIRE_CHANNEL;

	if (p->what == LOGWIRE_A_LISTENER)
		return p->which == LOGWIRE_SOCKET;
	if (p->what == LOGWIRE_A_SEGMENT)
		return p->which == LOGWIRE_MEMORY;
	return p->what == LOGWIRE_A_WORKER && text_is_name(p->cluster) &&
		(p->which & LOGWIRE_PIDFD) != 0 && (p->which & ~of_worker) == 0;
}

struct logwire_packet logwire_hello(void)
{
	return (struct logwire_packet){
		.kind = LOGWIRE_HELLO,
		.sink = LOGWIRE_COPY,
		.which = LOGWIRE_CAN_REMEMBER | LOGWIRE_CAN_ROUTE,
	};
}

unsigned logwire_count(uint32_t which)
{
	return (unsigned)__builtin_popcount(which);
}

bool logwire_check(const struct logwire_packet *p, size_t len)
{
	if (len != sizeof(*p) || !is_ended(p->cluster, sizeof(p->cluster)) ||
		!is_ended(p->text, sizeof(p->text)))
		return false;
	switch (p->kind) {
	case LOGWIRE_ADD:
		return p->stream >= 1 && p->stream <= 3 && p->quiet <= 1 &&
			(p->sink == 0 || p->sink == LOGWIRE_COPY) && text_is_name(p->cluster);
	case LOGWIRE_SINK:
		return p->sink <= LOGWIRE_PREFIX && p->flag <= 1;
	case LOGWIRE_DROPPED:
	case LOGWIRE_LINES:
		return p->worker > 0 && text_is_name(p->cluster);
	case LOGWIRE_LAST:
		return p->address_in_use <= 1;
	case LOGWIRE_HOLD:
		return is_holding(p);
	case LOGWIRE_DROP:
		return p->what <= LOGWIRE_A_SEGMENT;
	case LOGWIRE_ROUTE:
		return text_is_name(p->cluster) && p->quiet <= 1 && p->slot <= LOGWIRE_ROUTES_MAX &&
			(p->slot == 0 || p->which < p->slot) && p->what <= LOGWIRE_TO_SYSLOG;
	case LOGWIRE_OPENED:
	case LOGWIRE_ASK:
		return text_is_name(p->cluster) && p->which < LOGWIRE_ROUTES_MAX &&
			p->what <= LOGWIRE_ASK_ROTATED;
	case LOGWIRE_REOPEN:
		return text_is_name(p->cluster) && (*p->text == '\0' || text_is_name(p->text));
	case LOGWIRE_ENDED:
	case LOGWIRE_HELLO:
	case LOGWIRE_KEEP:
	case LOGWIRE_LEAVE:
	case LOGWIRE_OUTPUT:
	case LOGWIRE_GIVEN:
		return true;
	default:
		return false;
	}
}
