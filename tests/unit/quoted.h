/* SPDX-License-Identifier: MIT */
#pragma once

#include "unit.h"

/* JSON is easier to read with ' in place of "; this gives it as it is, until the fourth call
 * from now. */
static inline const char *quoted(const char *text)
{
	static char texts[4][8192];
	static unsigned turn;
	char *to = texts[turn++ % 4];
	size_t len = strlen(text);

	ck_assert_uint_lt(len, sizeof(texts[0]));
	for (size_t i = 0; i <= len; i++)
		to[i] = text[i] == '\'' ? '"' : text[i];
	return to;
}

/* The other way round, in place. */
static inline void unquote(char *text)
{
	for (; (text = strchr(text, '"')) != NULL; text++)
		*text = '\'';
}
