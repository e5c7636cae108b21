/* SPDX-License-Identifier: MIT */
#include "logger/source.h"

#include "base/scope.h"
#include "base/text.h"
#include "protocol/logwire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct source *source_find(struct source *list, uint64_t worker)
{
	return list_find(source, list, source->worker == worker);
}

struct source *source_get(struct source **list, struct clusters *clusters, uint64_t worker,
	uint32_t slot, const char *cluster)
{
	struct source *source;

	for (; *list != NULL; list = &(*list)->next)
		if ((*list)->worker == worker)
			return *list;
	source = calloc(1, sizeof(*source));
	if (source == NULL || (source->cluster = clusters_get(clusters, cluster)) == NULL) {
		free(source);
		return NULL;
	}
	source->cluster->sources++;
	source->worker = worker;
	source->slot = slot;
	source->ring.fd = -1;
	for (size_t i = 0; i < COUNT_OF(source->pipes); i++) {
		source->pipes[i].source = source;
		source->pipes[i].readable.fd = -1;
	}
	*list = source;
	return source;
}

void source_free(struct source **list, struct source *source)
{
	list_remove(*list, source);
	source->cluster->sources--;
	for (size_t i = 0; i < COUNT_OF(source->pipes); i++)
		buffer_fini(&source->pipes[i].part);
	linering_close(&source->ring);
	free(source);
}

unsigned source_width(const struct source *source)
{
	unsigned width = (unsigned)strlen(source->cluster->name) + 2;

	for (uint32_t slot = source->slot; slot > 9; slot /= 10)
		width++;
	return width;
}

void source_prefix(
	struct source_prefix *p, const struct source *source, unsigned width, bool colour)
{
	/* readable on light and dark; red is for errors */
	static const unsigned colours[] = {36, 33, 32, 35, 34, 96};
	unsigned own = source_width(source);
	size_t pick = source->slot;
	char before[16] = "";
	int n;

	for (const char *c = source->cluster->name; *c != '\0'; c++)
		pick += (unsigned char)*c;
	if (colour)
		snprintf(before, sizeof(before), "\x1b[%um", colours[pick % COUNT_OF(colours)]);
	n = snprintf(p->text, sizeof(p->text), "%s%s.%" PRIu32 " %*s|%s ", before,
		source->cluster->name, source->slot, width > own ? (int)(width - own) : 0, "",
		colour ? "\x1b[0m" : "");
	p->len = n > 0 && (size_t)n < sizeof(p->text) ? (size_t)n : 0;
	p->mark = p->len - (colour ? sizeof("|\x1b[0m ") - 1 : 2);
}

/* ---- lines ---- */

/* Arguments of one source_split(), for each step. */
struct split {
	struct source_pipe *pipe;
	bool newline; /* lines end by one, and not with the pipe */
	lines_take *take;
	void *context;
};

/* Where to cut `len` bytes: not inside of a character. */
static size_t cut_at(const char *text, size_t len)
{
	for (size_t back = 1; back <= 3 && back < len; back++) {
		unsigned char c = (unsigned char)text[len - back];

		if ((c & 0xc0) == 0x80)
			continue;
		if (c >= 0xc0 && text_utf8(text + len - back, back) == 0)
			return len - back;
		break;
	}
	return len;
}

/* Hand on bytes of a line in pieces; `behind` were read after them. */
static void hand_on(const struct split *s, const char *text, size_t len, bool ended, size_t behind)
{
	while (len > 0 || ended) {
		size_t n = len > LINES_MAX ? cut_at(text, LINES_MAX) : len;
		const struct line line = {
			.of = s->pipe->source,
			.is_stderr = s->pipe != s->pipe->source->pipes,
			.text = text,
			.len = n,
			.goes_on = s->pipe->cut,
			.ends = ended && n == len,
			.newline = ended && n == len && s->newline,
			.behind = behind + len - n,
		};

		s->take(s->context, &line);
		s->pipe->cut = !line.ends;
		ended = ended && !line.ends;
		text += n;
		len -= n;
	}
}

/* Hand on the kept part and the bytes that follow it: as one, unless there is no memory for that. */
static void end_part(const struct split *s, const char *text, size_t len, bool ended, size_t behind)
{
	struct buffer *part = &s->pipe->part;

	if (ended && buffer_append(part, text, len) == 0) {
		hand_on(s, part->data, part->len, true, behind);
	} else {
		hand_on(s, part->data, part->len, false, behind + len);
		hand_on(s, text, len, ended, behind);
	}
	buffer_fini(part);
}

void source_split(
	struct source_pipe *pipe, const char *data, size_t len, lines_take *take, void *context)
{
	const struct split s = {pipe, data != NULL, take, context};
	const char *end;

	if (data == NULL) {
		if (pipe->part.len > 0)
			end_part(&s, NULL, 0, true, 0);
		pipe->cut = false;
		return;
	}
	while ((end = memchr(data, '\n', len)) != NULL) {
		size_t n = (size_t)(end - data);

		len -= n + 1;
		if (pipe->part.len > 0)
			end_part(&s, data, n, true, len);
		else
			hand_on(&s, data, n, true, len);
		data = end + 1;
	}
	/* Keep the bytes of a line without its end, or hand them on if they are too many. */
	if (len > 0 &&
		(pipe->source->shows || pipe->part.len + len > LINES_WHOLE ||
			buffer_append(&pipe->part, data, len) == -1))
		end_part(&s, data, len, false, 0);
}

/* ---- tail ---- */

static const char joint[] = " / ";

/* The length of the escape sequence at the start (ECMA-48), at least 1. */
static size_t sequence_length(const char *s, size_t len)
{
	size_t i = 2;

	if (len < 2 || (s[1] != '[' && s[1] != ']'))
		return len < 2 ? len : 2;
	while (i < len &&
		!(s[1] == '[' ? s[i] >= 0x40 && s[i] <= 0x7e : s[i] == '\a' || s[i - 1] == '\x1b'))
		i++;
	return i < len ? i + 1 : len;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static size_t strip_escapes(char *to, size_t size, const char *from, size_t len)
{
	size_t used = 0;

	while (len > 0 && used < size) {
		size_t n = *from == '\x1b' ? sequence_length(from, len) : 1;

		if (*from != '\x1b')
			to[used++] = *from;
		from += n;
		len -= n;
	}
	return used;
}

/* The line as a person would read it; returns its length. */
static size_t clean_line(char to[TAIL_TEXT], const char *line, size_t len, bool *indented)
{
	char plain[2 * TAIL_TEXT];
	const char *text = plain;

	len = strip_escapes(plain, sizeof(plain), line, len);
	*indented = len > 0 && is_blank(*text);
	for (; len > 0 && is_blank(*text); text++)
		len--;
	while (len > 0 && is_blank(text[len - 1]))
		len--;
	return text_escape(to, TAIL_TEXT, text, len);
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
		{"refused", false}, {"denied", false}, {"cannot", false}, {"can't", false},
		{"failed", false}, {"no such", false}, {"in use", false}};
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
	bool indented;

	if (clean_line(text, line, len, &indented) == 0)
		return;
	memmove(e->lines + 1, e->lines, sizeof(e->lines) - sizeof(*e->lines));
	memcpy(e->lines[0], text, sizeof(text));
	e->count += e->count < TAIL_LINES;
	e->in_use |= strcasestr(text, "address already in use") != NULL ||
		strcasestr(text, "EADDRINUSE") != NULL;
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
			len - n <= TAIL_NEAR)
			note_ending(&e, l.text, l.len);
		text += n + 1;
		len -= n + 1;
	}
	tell_ending(&e, started, to);
	return e.in_use;
}
