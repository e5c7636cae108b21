/* SPDX-License-Identifier: MIT */
#include "protocol/json.h"

#include "base/text.h"

#include <assert.h>
#include <ctype.h>
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

void json_raw(struct json_writer *w, const char *json)
{
	put_separator(w);
	buffer_string(w->out, json); /* a failure sets the buffer's flag */
}

static void open_level(struct json_writer *w, const char *bracket)
{
	json_raw(w, bracket);
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

void json_decimal(struct json_writer *w, double d, int decimals)
{
	char text[400]; /* the largest double has 309 digits */

	if (!isfinite(d)) {
		json_nil(w); /* JSON cannot express NaN and infinity */
		return;
	}
	assert(decimals >= 0 && decimals <= 20);
	snprintf(text, sizeof(text), "%.*f", decimals, d);
	/* the locale may have another point */
	for (char *c = text; *c != '\0'; c++)
		if (*c != '-' && (*c < '0' || *c > '9'))
			*c = '.';
	json_raw(w, text);
}

void json_nil(struct json_writer *w)
{
	json_raw(w, "null");
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
	json_raw(w, b ? "true" : "false");
}

void json_put_null(struct json_writer *w, const char *key)
{
	json_key(w, key);
	json_nil(w);
}

void json_open_list(struct json_writer *w, const char *key)
{
	json_key(w, key);
	json_open_array(w);
}

/* ---- jsonvalue ---- */

struct scan {
	const char *at;
	const char *end;
	bool deep; /* it ended because there were more levels than it may take */
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

const char *jsonvalue_trim(const char *text, size_t *len)
{
	while (*len > 0 && is_space(*text)) {
		text++;
		(*len)--;
	}
	while (*len > 0 && is_space(text[*len - 1]))
		(*len)--;
	return text;
}

static bool has_more(const struct scan *s)
{
	return s->at < s->end;
}

static void skip_space(struct scan *s)
{
	while (has_more(s) && is_space(*s->at))
		s->at++;
}

static bool take_char(struct scan *s, char c)
{
	if (!has_more(s) || *s->at != c)
		return false;
	s->at++;
	return true;
}

static bool is_digit(const struct scan *s)
{
	return has_more(s) && *s->at >= '0' && *s->at <= '9';
}

static bool take_digits(struct scan *s)
{
	if (!is_digit(s))
		return false;
	while (is_digit(s))
		s->at++;
	return true;
}

static bool take_number(struct scan *s)
{
	(void)take_char(s, '-');
	if (!take_char(s, '0') && !take_digits(s))
		return false;
	if (take_char(s, '.') && !take_digits(s))
		return false;
	if (!take_char(s, 'e') && !take_char(s, 'E'))
		return true;
	if (!take_char(s, '+'))
		(void)take_char(s, '-');
	return take_digits(s);
}

static bool take_word(struct scan *s, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
		return false;
	s->at += len;
	return true;
}

/* Take what follows a backslash. */
static bool take_escape(struct scan *s)
{
	char c;

	if (!has_more(s))
		return false;
	c = *s->at++;
	if (c != 'u')
		return c != '\0' && strchr("\"\\/bfnrt", c) != NULL;
	for (int i = 0; i < 4; i++)
		if (!has_more(s) || !isxdigit((unsigned char)*s->at++))
			return false;
	return true;
}

static bool take_string(struct scan *s)
{
	if (!take_char(s, '"'))
		return false;
	while (has_more(s)) {
		unsigned char c = (unsigned char)*s->at;

		if (c == '"') {
			s->at++;
			return true;
		}
		if (c == '\\') {
			s->at++;
			if (!take_escape(s))
				return false;
		} else if (c >= 0x80) {
			size_t n = text_utf8(s->at, (size_t)(s->end - s->at));

			if (n == 0)
				return false;
			s->at += n;
		} else if (c < 0x20) {
			return false;
		} else {
			s->at++;
		}
	}
	return false;
}

static bool take_key(struct scan *s)
{
	skip_space(s);
	if (!take_string(s))
		return false;
	skip_space(s);
	return take_char(s, ':');
}

static bool take_value(struct scan *s, unsigned depth);

/* Take what follows an opening bracket. */
static bool take_members(struct scan *s, char end, unsigned depth)
{
	if (depth-- == 0) {
		s->deep = true;
		return false;
	}
	skip_space(s);
	if (take_char(s, end))
		return true;
	do {
		if (end == '}' && !take_key(s))
			return false;
		if (!take_value(s, depth))
			return false;
	} while (take_char(s, ','));
	return take_char(s, end);
}

static bool take_bare(struct scan *s, unsigned depth)
{
	if (take_char(s, '{'))
		return take_members(s, '}', depth);
	if (take_char(s, '['))
		return take_members(s, ']', depth);
	if (has_more(s) && *s->at == '"')
		return take_string(s);
	return take_word(s, "true") || take_word(s, "false") || take_word(s, "null") ||
		take_number(s);
}

/* Take a value with the white space around it, and at most so many levels below it. */
static bool take_value(struct scan *s, unsigned depth)
{
	skip_space(s);
	if (!take_bare(s, depth))
		return false;
	skip_space(s);
	return true;
}

size_t jsonvalue_length(const char *text, size_t len)
{
	struct scan s = {.at = text, .end = text + len};

	return take_value(&s, JSONVALUE_DEPTH) ? (size_t)(s.at - text) : 0;
}

bool jsonvalue_check(const char *text, size_t len)
{
	return len > 0 && jsonvalue_length(text, len) == len;
}

bool jsonvalue_is_deep(const char *text, size_t len, unsigned most)
{
	struct scan s = {.at = text, .end = text + len};

	(void)take_value(&s, most);
	return s.deep;
}
