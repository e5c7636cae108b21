/* SPDX-License-Identifier: MIT */
#include "protocol/json.h"

#include "base/text.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct scan {
	const char *at;
	const char *end;
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

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
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
		if (!has_more(s) || !is_hex(*s->at++))
			return false;
	return true;
}

static bool take_character(struct scan *s)
{
	size_t n = text_utf8(s->at, (size_t)(s->end - s->at));

	s->at += n;
	return n > 0;
}

typedef signed char piece __attribute__((vector_size(16)));

/* Skip sixteen bytes at a time, as long as none of them is special: most are not. */
static void skip_plain(struct scan *s)
{
	union {
		piece bytes;
		uint64_t halves[2];
	} p;

	for (; s->end - s->at >= (ptrdiff_t)sizeof(p); s->at += sizeof(p)) {
		memcpy(&p, s->at, sizeof(p));
		/* as signed bytes, those from 0x80 on are below 0 */
		p.bytes = (p.bytes < ' ') | (p.bytes == '"') | (p.bytes == '\\');
		if ((p.halves[0] | p.halves[1]) != 0)
			break;
	}
}

static bool take_string(struct scan *s)
{
	if (!take_char(s, '"'))
		return false;
	while (skip_plain(s), has_more(s)) {
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
			if (!take_character(s))
				return false;
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
		return depth > 0 && take_members(s, '}', depth - 1);
	if (take_char(s, '['))
		return depth > 0 && take_members(s, ']', depth - 1);
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

bool jsonvalue_check(const char *text, size_t len)
{
	struct scan s = {.at = text, .end = text + len};

	return take_value(&s, JSONVALUE_DEPTH) && !has_more(&s);
}
