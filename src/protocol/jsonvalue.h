/* SPDX-License-Identifier: MIT */
#ifndef PROTOCOL_JSONVALUE_H
#define PROTOCOL_JSONVALUE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Is it exactly one value of JSON (RFC 8259), in UTF-8, nested no deeper than
 * JSONVALUE_DEPTH?  The value is not parsed: a valid one may stand, byte for
 * byte, where a value stands in other JSON.  Escapes are not resolved, so lone
 * surrogates and \u0000 pass, as they do in JSON.parse() of ECMAScript.
 */
#define JSONVALUE_DEPTH 512

bool jsonvalue_check(const char *text, size_t len);

/* The text without the white space around it; *len follows. */
const char *jsonvalue_trim(const char *text, size_t *len);

#endif
