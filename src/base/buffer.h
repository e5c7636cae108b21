/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Bytes that are appended at the end and consumed from the front.  `limit` bounds
 * what a peer can make the buffer hold (0: no bound).  A failed append leaves the
 * content unchanged, and `failed` stays set until buffer_clear(), so that a row
 * of appends can be checked once.
 */
struct buffer {
	char *data; /* not NUL-terminated; see buffer_text() */
	size_t len;
	size_t cap;
	size_t limit;
	bool failed;
};

/* A buffer that is freed at the end of its scope: `scoped_buffer text = {.limit = 4096};` */
#define scoped_buffer __attribute__((cleanup(buffer_fini))) struct buffer

void buffer_init(struct buffer *b, size_t limit);
void buffer_fini(struct buffer *b);
void buffer_clear(struct buffer *b); /* keeps the memory */
int buffer_reserve(struct buffer *b, size_t more);
int buffer_append(struct buffer *b, const void *data, size_t len);
int buffer_string(struct buffer *b, const char *text);
/* Append a number in digits of base 10 or 16: what is written often, without a format. */
int buffer_number(struct buffer *b, uint64_t n, unsigned base);
int buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Append a string of JSON: control bytes, '"' and '\\' escaped, invalid UTF-8 becomes U+FFFD. */
int buffer_json(struct buffer *b, const char *text, size_t len);
void buffer_consume(struct buffer *b, size_t len); /* from the front */

/* The content with a NUL behind it; NULL when out of memory. */
const char *buffer_text(struct buffer *b);
/* The content as the caller's heap block, which leaves the buffer empty; NULL if an append failed. */
char *buffer_take(struct buffer *b);
