/* SPDX-License-Identifier: MIT */
#include "protocol/json.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 16U

void json_begin(struct json_writer *w, struct buffer *out)
{
	*w = (struct json_writer){.out = out};
}

/* Write the comma or nothing before a value or a key. */
static void put_separator(struct json_writer *w)
{
	uint32_t here = UINT32_C(1) << w->depth;

	if (w->keyed) {
		w->keyed = false;
		return;
	}
	if (w->depth > 0 && (w->started & here) != 0)
		buffer_append(w->out, ",", 1);
	w->started |= here;
}

static void literal(struct json_writer *w, const char *text)
{
	put_separator(w);
	buffer_string(w->out, text); /* a failure sets the buffer's flag */
}

static void open_level(struct json_writer *w, const char *bracket)
{
	literal(w, bracket);
	assert(w->depth < DEPTH_MAX);
	w->depth++;
	w->started &= ~(UINT32_C(1) << w->depth);
}

static void close_level(struct json_writer *w, const char *bracket)
{
	assert(w->depth > 0 && !w->keyed);
	w->depth--;
	buffer_string(w->out, bracket);
}

void json_open_object(struct json_writer *w)
{
	open_level(w, "{");
}

void json_close_object(struct json_writer *w)
{
	close_level(w, "}");
}

void json_open_array(struct json_writer *w)
{
	open_level(w, "[");
}

void json_close_array(struct json_writer *w)
{
	close_level(w, "]");
}

void json_key(struct json_writer *w, const char *key)
{
	assert(!w->keyed && w->depth > 0);
	put_separator(w);
	buffer_json(w->out, key, strlen(key));
	buffer_append(w->out, ":", 1);
	w->keyed = true;
}

void json_bytes(struct json_writer *w, const char *text, size_t len)
{
	put_separator(w);
	buffer_json(w->out, text, len);
}

void json_text(struct json_writer *w, const char *text)
{
	if (text == NULL)
		json_nil(w);
	else
		json_bytes(w, text, strlen(text));
}

void json_int(struct json_writer *w, int64_t n)
{
	put_separator(w);
	if (n < 0)
		buffer_append(w->out, "-", 1);
	buffer_number(w->out, n < 0 ? -(uint64_t)n : (uint64_t)n, 10);
}

/* A time or a percentage, as nearly all numbers here are: small enough to be a whole
 * number of its last decimal. */
static bool small_decimal(struct json_writer *w, double d, int decimals)
{
	char text[32];
	size_t at = sizeof(text);
	double whole = fabs(d);
	uint64_t n;

	for (int i = 0; i < decimals; i++)
		whole *= 10;
	if (whole > 1e15)
		return false;
	n = (uint64_t)(whole + 0.5);
	put_separator(w);
	if (d < 0 && n > 0)
		buffer_append(w->out, "-", 1);
	for (int i = 0; i <= decimals || n > 0; i++) {
		if (i == decimals && i > 0)
			text[--at] = '.';
		text[--at] = (char)('0' + n % 10);
		n /= 10;
	}
	buffer_append(w->out, text + at, sizeof(text) - at);
	return true;
}

void json_decimal(struct json_writer *w, double d, int decimals)
{
	char text[400]; /* the largest double has 309 digits */

	if (!isfinite(d)) {
		json_nil(w); /* JSON cannot express NaN and infinity */
		return;
	}
	assert(decimals >= 0 && decimals <= 20);
	if (small_decimal(w, d, decimals))
		return;
	snprintf(text, sizeof(text), "%.*f", decimals, d);
	/* the locale may have another point */
	for (char *c = text; *c != '\0'; c++)
		if (*c != '-' && (*c < '0' || *c > '9'))
			*c = '.';
	literal(w, text);
}

void json_nil(struct json_writer *w)
{
	literal(w, "null");
}

void json_raw(struct json_writer *w, const char *json)
{
	literal(w, json);
}

void json_put_text(struct json_writer *w, const char *key, const char *text)
{
	json_key(w, key);
	json_text(w, text);
}

void json_put_int(struct json_writer *w, const char *key, int64_t n)
{
	json_key(w, key);
	json_int(w, n);
}

void json_put_real(struct json_writer *w, const char *key, double d, int decimals)
{
	json_key(w, key);
	json_decimal(w, d, decimals);
}

void json_put_bool(struct json_writer *w, const char *key, bool b)
{
	json_key(w, key);
	literal(w, b ? "true" : "false");
}

void json_put_null(struct json_writer *w, const char *key)
{
	json_key(w, key);
	json_nil(w);
}
