/* SPDX-License-Identifier: MIT */
#ifndef CLI_LIB_H
#define CLI_LIB_H

#include "../unit.h"

#include <jansson.h>

/* In these tests JSON is written with ' in place of "; this gives it as it is, until the
 * fourth call from now. */
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

static inline json_t *json_of(const char *text)
{
	json_t *value = json_loads(quoted(text), 0, NULL);

	ck_assert_ptr_nonnull(value);
	return value;
}

#define has(text, piece) \
	ck_assert_msg( \
		strstr(text, piece) != NULL, "no '%s' in: %s", piece, text)
#define has_no(text, piece) \
	ck_assert_msg(strstr(text, piece) == NULL, "'%s' in: %s", piece, text)

#endif
