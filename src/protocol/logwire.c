/* SPDX-License-Identifier: MIT */
#include "protocol/logwire.h"

#include "base/text.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
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
		return text_is_name(p->cluster);
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

/* ---- logline ---- */

#define SECONDS_MOST 9000000000U

size_t logline_head(char to[LOGLINE_HEAD], int64_t ms, unsigned stream, int pid)
{
	int n = snprintf(to, LOGLINE_HEAD, "%" PRId64 ".%03d %u %d ", ms / 1000, (int)(ms % 1000),
		stream, pid);

	return n > 0 && n < LOGLINE_HEAD ? (size_t)n : 0;
}

/* Take a number, and the byte behind it. */
static bool take_number(uint64_t *n, uint64_t most, char after, const char **at, size_t *len)
{
	size_t used = text_number(n, *at, *len, most);

	if (used == 0 || used >= *len || (*at)[used] != after)
		return false;
	*at += used + 1;
	*len -= used + 1;
	return true;
}

static bool take_head(struct logline *l, const char **line, size_t *len)
{
	uint64_t seconds;
	uint64_t ms;
	uint64_t stream;
	uint64_t pid;

	if (!take_number(&seconds, SECONDS_MOST, '.', line, len) ||
		!take_number(&ms, 999, ' ', line, len) ||
		!take_number(&stream, 2, ' ', line, len) || stream == 0 ||
		!take_number(&pid, INT_MAX, ' ', line, len))
		return false;
	*l = (struct logline){
		.ms = (int64_t)(seconds * 1000 + ms),
		.stream = (unsigned)stream,
		.pid = (int)pid,
	};
	return true;
}

static bool is_kind(char c)
{
	return c == LOGLINE_BEGINS || c == LOGLINE_GOES_ON || c == LOGLINE_LEFT_OUT;
}

bool logline_parse(struct logline *l, const char *line, size_t len)
{
	if (len > 0 && is_kind(*line) ? l->stream == 0 : !take_head(l, &line, &len))
		return false;
	if (len == 0 || !is_kind(*line))
		return false;
	l->kind = (enum logline_kind) * line;
	l->text = line + 1;
	l->len = len - 1;
	return true;
}
