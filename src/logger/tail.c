/* SPDX-License-Identifier: MIT */
#include "logger/source.h"

#include "base/scope.h"
#include "base/text.h"

#include <string.h>
#include <strings.h>

static const char joint[] = " / ";

void tail_init(struct tail *tail)
{
	*tail = (struct tail){0};
	buffer_init(&tail->lines, TAIL_TEXT);
	buffer_init(&tail->why, 2 * TAIL_TEXT);
}

void tail_fini(struct tail *tail)
{
	buffer_fini(&tail->lines);
	buffer_fini(&tail->why);
}

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

/* Has the line nothing to clean?  Most lines have not. */
static bool is_plain(const char *line, size_t len)
{
	bool other = len == 0 || len >= TAIL_TEXT || is_blank(line[0]) || is_blank(line[len - 1]);

	for (size_t i = 0; i < len && !other; i++)
		other = line[i] < ' ' || line[i] > '~';
	return !other;
}

/* The line as a person would read it; returns its length. */
static size_t clean_line(char to[TAIL_TEXT], const char *line, size_t len)
{
	char plain[TAIL_TEXT];

	if (is_plain(line, len)) {
		memcpy(to, line, len);
		to[len] = '\0';
		return len;
	}
	len = strip_escapes(plain, sizeof(plain), line, len);
	while (len > 0 && is_blank(plain[len - 1]))
		len--;
	return text_escape(to, TAIL_TEXT, plain, len);
}

/* The length of the kept lines as tail_text() joins them; *count: how many lines these are. */
static size_t text_length(const struct tail *tail, size_t *count)
{
	const char *at = tail->lines.data;
	const char *end;
	size_t joints = 0;

	*count = 0;
	if (tail->lines.len == 0)
		return 0;
	end = at + tail->lines.len;
	while (at != end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		joints++;
		at++;
	}
	*count = joints + 1;
	return tail->lines.len + joints * (sizeof(joint) - 2);
}

static void forget_oldest(struct buffer *lines)
{
	const char *end = memchr(lines->data, '\n', lines->len);

	buffer_consume(lines, end != NULL ? (size_t)(end - lines->data) + 1 : lines->len);
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

#define PAIR(second) (1U << ((second)&31))

/* Can one of the words below begin here?  This is asked for each byte. */
static bool may_begin(const char *at)
{
	static const uint32_t second[32] = {
		['e' & 31] = PAIR('r') | PAIR('x'),
		['p' & 31] = PAIR('a'),
		['f' & 31] = PAIR('a'),
		['c' & 31] = PAIR('a'),
		['r' & 31] = PAIR('e'),
		['d' & 31] = PAIR('e'),
		['i' & 31] = PAIR('n'),
	};

	return (second[*at & 31] & PAIR(at[1])) != 0;
}

static enum worth worth_of(const char *text)
{
	static const struct {
		const char *word;
		bool labels;
	} words[] = {{"error", true}, {"exception", true}, {"panic", true}, {"fatal", true},
		{"refused", false}, {"denied", false}, {"cannot", false}, {"failed", false},
		{"in use", false}};
	enum worth worth = SAYS_NOTHING;

	for (const char *at = text; *at != '\0'; at++) {
		if (!may_begin(at))
			continue;
		for (size_t i = 0; i < COUNT_OF(words); i++) {
			size_t n;

			if ((*at | 0x20) != *words[i].word)
				continue;
			n = strlen(words[i].word);
			if (strncasecmp(at, words[i].word, n) != 0)
				continue;
			if (words[i].labels && is_label(at + n))
				return SAYS_IT;
			worth = SAYS_SOMETHING;
		}
	}
	return worth;
}

static bool is_near(const struct tail *tail, uint64_t at)
{
	return at > 0 && tail->seen - at <= TAIL_NEAR;
}

/* Keep the line if it explains the death; `text` is the line, cleaned. */
static void note_explanation(struct tail *tail, const char *text, size_t len, bool indented)
{
	enum worth worth = indented ? SAYS_NOTHING : worth_of(text);

	if (worth == SAYS_IT ||
		(worth == SAYS_SOMETHING && (!tail->why_strong || !is_near(tail, tail->why_at)))) {
		if (tail->why_strong != (worth == SAYS_IT))
			tail->errors = 0;
		tail->errors |= 1;
		buffer_clear(&tail->why);
		buffer_append(&tail->why, text, len);
		tail->why_at = tail->seen;
		tail->why_strong = worth == SAYS_IT;
		tail->why_open = text[len - 1] == ':';
		return;
	}
	if (!tail->why_open)
		return;
	tail->why_open = false;
	buffer_append(&tail->why, joint, sizeof(joint) - 1);
	buffer_append(&tail->why, text, len);
}

static void keep_line(struct tail *tail, const char *line, size_t len)
{
	char text[TAIL_TEXT];
	size_t n = clean_line(text, line, len);
	size_t count;
	bool indented;

	if (n == 0)
		return;
	indented = is_indented(line, len);
	tail->errors = indented ? 0 : tail->errors << 1;
	note_explanation(tail, text, n, indented);
	while (tail->lines.len > 0 &&
		(text_length(tail, &count) + sizeof(joint) - 1 + n >= TAIL_TEXT ||
			count >= TAIL_LINES))
		forget_oldest(&tail->lines);
	if (tail->lines.len > 0)
		buffer_append(&tail->lines, "\n", 1);
	/* out of memory: the death is logged without this line */
	buffer_append(&tail->lines, text, n);
}

static bool mentions_in_use(const char *line, size_t len)
{
	static const char *const words[] = {"address already in use", "EADDRINUSE"};

	for (size_t i = 0; i + 1 < len; i++) {
		int first = line[i] | 0x20;

		if ((first != 'a' && first != 'e') ||
			(line[i + 1] | 0x20) != (first == 'a' ? 'd' : 'a'))
			continue;
		for (size_t w = 0; w < COUNT_OF(words); w++) {
			size_t n = strlen(words[w]);

			if (n <= len - i && strncasecmp(line + i, words[w], n) == 0)
				return true;
		}
	}
	return false;
}

void tail_note(struct tail *tail, const char *line, size_t len, bool goes_on, size_t behind)
{
	bool early = tail->seen < TAIL_NEAR;

	tail->seen += len + 1;
	if (!early && behind > TAIL_NEAR)
		return;
	if (mentions_in_use(line, len)) {
		tail->in_use_at = tail->seen;
		tail->in_use_early = tail->in_use_early || early;
	}
	if (!goes_on)
		keep_line(tail, line, len);
}

/* If several of the kept lines explain: the first of them, and its length; else 0. */
static size_t first_error(const struct tail *tail, char to[TAIL_TEXT])
{
	const char *at = tail->lines.data;
	const char *end;
	size_t count;
	size_t len;
	unsigned errors;

	(void)text_length(tail, &count);
	errors = tail->errors & ((1U << count) - 1);
	if ((errors & (errors - 1)) == 0)
		return 0;
	end = at + tail->lines.len;
	while ((errors >> --count & 1) == 0)
		at = (char *)memchr(at, '\n', (size_t)(end - at)) + 1;
	/* another line follows */
	len = (size_t)((char *)memchr(at, '\n', (size_t)(end - at)) - at);
	memcpy(to, at, len);
	to[len] = '\0';
	return len;
}

void tail_text(const struct tail *tail, char to[TAIL_TEXT])
{
	size_t used = tail->started ? 0 : first_error(tail, to);

	if (used > 0)
		return;
	if (tail->why.len > 0 && is_near(tail, tail->why_at)) {
		used = tail->why.len < TAIL_TEXT ? tail->why.len : TAIL_TEXT - 1;
		memcpy(to, tail->why.data, used);
		to[used] = '\0';
		return;
	}
	for (size_t i = 0; i < tail->lines.len; i++) {
		bool joins = tail->lines.data[i] == '\n';
		size_t n = joins ? sizeof(joint) - 1 : 1;

		if (used + n >= TAIL_TEXT)
			break;
		memcpy(to + used, joins ? joint : tail->lines.data + i, n);
		used += n;
	}
	to[used] = '\0';
}

bool tail_says_in_use(const struct tail *tail)
{
	return tail->in_use_early || is_near(tail, tail->in_use_at);
}
