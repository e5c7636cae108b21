/* SPDX-License-Identifier: MIT */
/* What passes for a value stands in a line for programs: jansson must take it
 * there, too, but for what it refuses on purpose (surrogates, numbers too
 * large, "\\u0000" in a key); and what jansson takes must pass. */
#include "fuzz.h"

#include "protocol/json.h"

#include <jansson.h>

static bool is_deep(const char *text, size_t len)
{
	size_t open = 0;

	for (size_t i = 0; i < len; i++)
		open += text[i] == '[' || text[i] == '{';
	return open > JSONVALUE_DEPTH;
}

static bool is_refused_on_purpose(const json_error_t *why)
{
	return strstr(why->text, "Unicode") != NULL ||
		strstr(why->text, "NUL byte in object key") != NULL ||
		strstr(why->text, "too big") != NULL || strstr(why->text, "overflow") != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	bool taken = jsonvalue_check(text, size);
	size_t len = size;
	const char *bare = jsonvalue_trim(text, &len);
	json_error_t why;
	json_t *value;

	if (memchr(text, '\0', size) != NULL) {
		require(!taken); /* jansson takes it for an end */
		return 0;
	}
	value = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);

	require(bare >= text && bare + len <= text + size);
	require(taken == jsonvalue_check(bare, len));
	if (value != NULL)
		require(taken || is_deep(text, size));
	else
		require(!taken || is_refused_on_purpose(&why));
	json_decref(value);
	return 0;
}
