/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The one JSON writer: compact, into a buffer (a tree of 5,000 workers would cost the
 * supervisor megabytes).  Reading is jansson's.
 *
 * Strings: < 0x20, 0x7f-0x9f, '"', '\' are escaped, invalid UTF-8 becomes U+FFFD.
 * The writer puts the commas.  Failure (memory, limit) is the buffer's `failed`
 * flag.  Depth is bounded at 16 and asserted.
 *
 * No function here may have the name of one of jansson's, such as json_null or
 * json_real: the library would call the program's.
 */
struct json_writer {
	struct buffer *out;
	unsigned depth;
	uint32_t started; /* bit d: there is a value at depth d already */
	bool keyed;       /* a key was written, its value is next */
};

void json_begin(struct json_writer *w, struct buffer *out);
void json_open_object(struct json_writer *w);
void json_close_object(struct json_writer *w);
void json_open_array(struct json_writer *w);
void json_close_array(struct json_writer *w);
void json_key(struct json_writer *w, const char *key);
void json_text(struct json_writer *w, const char *text); /* NULL: null */
void json_bytes(struct json_writer *w, const char *text, size_t len);
void json_int(struct json_writer *w, int64_t n);
void json_decimal(struct json_writer *w, double d, int decimals);
void json_nil(struct json_writer *w);
void json_raw(struct json_writer *w, const char *json); /* a whole value */

/* key and value at once */
void json_put_text(struct json_writer *w, const char *key, const char *text);
void json_put_int(struct json_writer *w, const char *key, int64_t n);
void json_put_real(struct json_writer *w, const char *key, double d, int decimals);
void json_put_bool(struct json_writer *w, const char *key, bool b);
void json_put_null(struct json_writer *w, const char *key);
/* Open an object as a member; or, if it is not `there`, write null.  Returns `there`. */
static inline bool json_open_member(struct json_writer *w, const char *key, bool there)
{
	json_key(w, key);
	if (there)
		json_open_object(w);
	else
		json_nil(w);
	return there;
}
/* Open an array as a member. */
void json_open_list(struct json_writer *w, const char *key);

/* ---- jsonvalue ---- */

/*
 * Is it exactly one value of JSON (RFC 8259), in UTF-8, nested no deeper than
 * JSONVALUE_DEPTH?  The value is not parsed: a valid one may stand, byte for
 * byte, where a value stands in other JSON.  Escapes are not resolved, so lone
 * surrogates and \u0000 pass, as they do in JSON.parse() of ECMAScript.
 */
#define JSONVALUE_DEPTH 512

bool jsonvalue_check(const char *text, size_t len);
/* The length of such a value at the beginning of the text, with the white space around it;
 * 0: none is there. */
size_t jsonvalue_length(const char *text, size_t len);

/*
 * Is the text nested deeper than that?  Asked before parsing, which recurses.  Of
 * text that is no JSON the part before the mistake counts, which is as far as the
 * parser goes.
 */
bool jsonvalue_is_deep(const char *text, size_t len, unsigned most);

/* The text without the white space around it; *len follows. */
const char *jsonvalue_trim(const char *text, size_t *len);
