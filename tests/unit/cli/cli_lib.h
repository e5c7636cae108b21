/* SPDX-License-Identifier: MIT */
#pragma once

#include "../quoted.h"

#include <jansson.h>

static inline json_t *json_of(const char *text)
{
	json_t *value = json_loads(quoted(text), 0, NULL);

	ck_assert_ptr_nonnull(value);
	return value;
}

#define has(text, piece) ck_assert_msg(strstr(text, piece) != NULL, "no '%s' in: %s", piece, text)
#define has_no(text, piece) ck_assert_msg(strstr(text, piece) == NULL, "'%s' in: %s", piece, text)
