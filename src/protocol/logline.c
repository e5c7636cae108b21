/* SPDX-License-Identifier: MIT */
#include "protocol/logwire.h"

#include "base/text.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

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
