/* SPDX-License-Identifier: MIT */
#include "base/buffer.h"

#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buffer_init(struct buffer *b, size_t limit)
{
	*b = (struct buffer){.limit = limit};
}

void buffer_fini(struct buffer *b)
{
	free(b->data);
	*b = (struct buffer){.limit = b->limit};
}

void buffer_clear(struct buffer *b)
{
	b->len = 0;
	b->failed = false;
}

static int grow_to(struct buffer *b, size_t more)
{
	size_t cap = b->cap != 0 ? b->cap : 128;
	char *data;

	while (cap < b->len + more)
		cap *= 2;
	data = realloc(b->data, cap);
	if (data == NULL) {
		b->failed = true;
		return -1;
	}
	b->data = data;
	b->cap = cap;
	return 0;
}

int buffer_reserve(struct buffer *b, size_t more)
{
	if (more > (size_t)-1 / 2 - b->len || (b->limit != 0 && b->len + more > b->limit)) {
		b->failed = true;
		errno = ENOBUFS;
		return -1;
	}
	return b->len + more <= b->cap ? 0 : grow_to(b, more);
}

int buffer_append(struct buffer *b, const void *data, size_t len)
{
	if (len == 0)
		return 0;
	if (buffer_reserve(b, len) == -1)
		return -1;
	memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

int buffer_string(struct buffer *b, const char *text)
{
	return buffer_append(b, text, strlen(text));
}

int buffer_number(struct buffer *b, uint64_t n, unsigned base)
{
	char digits[24];
	size_t at = sizeof(digits);

	do {
		digits[--at] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n > 0);
	return buffer_append(b, digits + at, sizeof(digits) - at);
}

int buffer_printf(struct buffer *b, const char *format, ...)
{
	char small[256];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(small, sizeof(small), format, args);
	va_end(args);
	if (n < 0) {
		b->failed = true;
		return -1;
	}
	if ((size_t)n < sizeof(small))
		return buffer_append(b, small, (size_t)n);
	/* vsnprintf writes a NUL, which the limit need not have room for */
	if (buffer_reserve(b, (size_t)n + 1) == -1)
		return -1;
	va_start(args, format);
	vsnprintf(b->data + b->len, (size_t)n + 1, format, args);
	va_end(args);
	b->len += (size_t)n;
	return 0;
}

void buffer_consume(struct buffer *b, size_t len)
{
	if (len >= b->len) {
		b->len = 0;
		return;
	}
	memmove(b->data, b->data + len, b->len - len);
	b->len -= len;
}

const char *buffer_text(struct buffer *b)
{
	size_t limit = b->limit;
	int got;

	b->limit = 0; /* the NUL is not content */
	got = buffer_reserve(b, 1);
	b->limit = limit;
	if (got == -1)
		return NULL;
	b->data[b->len] = '\0';
	return b->data;
}

char *buffer_take(struct buffer *b)
{
	char *text = NULL;

	if (!b->failed && buffer_text(b) != NULL)
		text = realloc(b->data, b->len + 1);
	if (text != NULL)
		b->data = NULL;
	buffer_fini(b);
	return text;
}

/* ---- JSON ---- */

/* The escaped form of the `n` bytes at `s` (0: one byte of no UTF-8), or NULL
 * where they may stand as they are. */
static const char *escape_of(char to[8], const char *s, size_t n)
{
	unsigned c = (unsigned char)s[0];

	if (n == 0)
		return "\xef\xbf\xbd"; /* U+FFFD */
	if (n > 1 ? text_is_harmless(s, n) : c >= 0x20 && c != 0x7f && c != '"' && c != '\\')
		return NULL;
	if (n > 1) /* two or three bytes: a C1 control, or what turns text around */
		c &= n == 2 ? 0x1f : 0x0f;
	for (size_t i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)s[i] & 0x3f);
	switch (c) {
	case '"':
		return "\\\"";
	case '\\':
		return "\\\\";
	case '\n':
		return "\\n";
	case '\t':
		return "\\t";
	default:
		snprintf(to, 8, "\\u%04x", c);
		return to;
	}
}

/* Nearly every byte of nearly every string: ASCII that is not escaped. */
static bool is_plain(char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Copy plain bytes into memory that is reserved; returns how many. */
static size_t copy_plain(struct buffer *out, const char *text, size_t len)
{
	char *to = out->data + out->len;
	size_t n = 0;

	for (; n < len && is_plain(text[n]); n++)
		to[n] = text[n];
	out->len += n;
	return n;
}

int buffer_json(struct buffer *out, const char *text, size_t len)
{
	char hex[8];
	size_t i = 0;

	buffer_append(out, "\"", 1);
	while (i < len && buffer_reserve(out, len - i) == 0) {
		const char *other;
		size_t n;

		i += copy_plain(out, text + i, len - i);
		if (i == len)
			break;
		n = text_utf8(text + i, len - i);
		other = escape_of(hex, text + i, n);
		if (n == 0)
			n = 1;
		if (other == NULL)
			buffer_append(out, text + i, n);
		else
			buffer_string(out, other);
		i += n;
	}
	return buffer_append(out, "\"", 1);
}
