/* SPDX-License-Identifier: MIT */
#include "logger/source.h"

#include "base/scope.h"
#include "base/text.h"
#include "protocol/logwire.h"

#include <stdio.h>
#include <string.h>

static const char joint[] = " / ";

/* The length of the escape sequence at the start (ECMA-48), at least 1. */
static size_t sequence_length(const char *s, size_t len)
{
	size_t i = 2;

	if (len < 2)
		return len;
	if (s[1] == '[') {
		while (i < len && (s[i] < 0x40 || s[i] > 0x7e))
			i++;
	} else if (s[1] == ']') {
		while (i < len && s[i] != '\a' && s[i] != '\x1b')
			i++;
		if (i + 1 < len && s[i] == '\x1b')
			i++;
	} else {
		return 2;
	}
	return i < len ? i + 1 : len;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Copy text without escape sequences and the blanks at the beginning. */
static size_t strip_escapes(char *to, size_t size, const char *from, size_t len)
{
	size_t used = 0;

	while (len > 0 && used < size) {
		size_t n = *from == '\x1b' ? sequence_length(from, len) : 1;

		if (*from != '\x1b' && (used > 0 || !is_blank(*from)))
			to[used++] = *from;
		from += n;
		len -= n;
	}
	return used;
}

/* The line as a person would read it; returns its length. */
static size_t clean_line(char to[TAIL_TEXT], const char *line, size_t len)
{
	char plain[TAIL_TEXT];

	len = strip_escapes(plain, sizeof(plain), line, len);
	while (len > 0 && is_blank(plain[len - 1]))
		len--;
	return text_escape(to, TAIL_TEXT, plain, len);
}

/* ---- the line that explains ---- */

static bool is_indented(const char *line, size_t len)
{
	while (len > 0 && *line == '\x1b') {
		size_t n = sequence_length(line, len);

		line += n;
		len -= n;
	}
	return len > 0 && is_blank(*line);
}

/* "Error:", "error[E0308]:", "Error [ERR_REQUIRE_ESM]:" */
static bool is_label(const char *behind)
{
	const char *end = behind;

	if (*end == ' ' && end[1] == '[')
		end++;
	if (*end == '[') {
		end = strchr(end, ']');
		if (end == NULL)
			return false;
		end++;
	}
	return *end == ':';
}

enum worth { SAYS_NOTHING, SAYS_SOMETHING, SAYS_IT };

static enum worth worth_of(const char *text)
{
	static const struct {
		const char *word;
		bool labels;
	} words[] = {{"error", true}, {"exception", true}, {"panic", true}, {"fatal", true},
		{"refused", false}, {"denied", false}, {"cannot", false}, {"failed", false},
		{"in use", false}};
	enum worth worth = SAYS_NOTHING;

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		const char *at = text;

		while ((at = strcasestr(at, words[i].word)) != NULL) {
			at += strlen(words[i].word);
			if (words[i].labels && is_label(at))
				return SAYS_IT;
			worth = SAYS_SOMETHING;
		}
	}
	return worth;
}

static bool mentions_in_use(const char *text)
{
	return strcasestr(text, "address already in use") != NULL ||
		strcasestr(text, "EADDRINUSE") != NULL;
}

bool tail_mentions_in_use(const char *line, size_t len)
{
	char text[TAIL_TEXT];

	(void)clean_line(text, line, len);
	return mentions_in_use(text);
}

/* ---- the end ---- */

/* The last lines that are not empty, cleaned; and what explains the death, so far. */
struct ending {
	char lines[TAIL_LINES][TAIL_TEXT]; /* the latest first */
	size_t count;
	unsigned errors; /* bit n: lines[n] explains */
	char why[2 * TAIL_TEXT];
	bool why_strong;
	bool why_open; /* it ends with a colon: the next line belongs to it */
	bool in_use;
};

/* Keep the latest line if it explains the death. */
static void note_explanation(struct ending *e, bool indented)
{
	const char *text = e->lines[0];
	enum worth worth = indented ? SAYS_NOTHING : worth_of(text);

	if (worth == SAYS_IT || (worth == SAYS_SOMETHING && !e->why_strong)) {
		if (e->why_strong != (worth == SAYS_IT))
			e->errors = 0;
		e->errors |= 1;
		e->why_strong = worth == SAYS_IT;
		e->why_open = text[text_copy(e->why, TAIL_TEXT, text) - 1] == ':';
	} else if (e->why_open) {
		size_t len = strlen(e->why);

		e->why_open = false;
		snprintf(e->why + len, sizeof(e->why) - len, "%s%s", joint, text);
	}
}

static void note_ending(struct ending *e, const char *line, size_t len)
{
	char text[TAIL_TEXT];
	bool indented = is_indented(line, len);

	if (clean_line(text, line, len) == 0)
		return;
	memmove(e->lines + 1, e->lines, sizeof(e->lines) - sizeof(*e->lines));
	memcpy(e->lines[0], text, sizeof(text));
	e->count += e->count < TAIL_LINES;
	e->in_use |= mentions_in_use(text);
	e->errors = indented ? 0 : e->errors << 1;
	note_explanation(e, indented);
}

/* How many of the last lines fit into the text. */
static size_t count_fitting(const struct ending *e)
{
	size_t len = 0;
	size_t n = 0;

	for (; n < e->count; n++) {
		len += strlen(e->lines[n]) + (n > 0 ? strlen(joint) : 0);
		if (len >= TAIL_TEXT)
			break;
	}
	return n;
}

static void tell_ending(const struct ending *e, bool started, char to[TAIL_TEXT])
{
	size_t count = count_fitting(e);
	unsigned errors = e->errors & ((1U << count) - 1);
	size_t used = 0;

	*to = '\0';
	if (!started && (errors & (errors - 1)) != 0) { /* several: the first of them */
		while ((errors >> --count & 1) == 0)
			continue;
		text_copy(to, TAIL_TEXT, e->lines[count]);
	} else if (*e->why != '\0') {
		text_copy(to, TAIL_TEXT, e->why);
	} else {
		while (count-- > 0)
			used += (size_t)snprintf(to + used, TAIL_TEXT - used, "%s%s",
				used > 0 ? joint : "", e->lines[count]);
	}
}

bool tail_tell(const char *text, size_t len, int pid, bool started, char to[TAIL_TEXT])
{
	struct ending e = {.count = 0};
	struct logline l = {.stream = 0};
	const char *end;

	while (len > 0 && (end = memchr(text, '\n', len)) != NULL) {
		size_t n = (size_t)(end - text);

		if (logline_parse(&l, text, n) && l.pid == pid && l.kind == LOGLINE_BEGINS &&
			len <= TAIL_NEAR)
			note_ending(&e, l.text, l.len);
		text += n + 1;
		len -= n + 1;
	}
	tell_ending(&e, started, to);
	return e.in_use;
}
