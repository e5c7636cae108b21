/* SPDX-License-Identifier: MIT */
#include "cli/wrap.h"

#include "base/scope.h"
#include "base/text.h"

#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* In a line bytes below 0x20 are marks: a colour begins, or the space of a
 * wrap_join().  Pieces have none, because such bytes are shown as \xNN. */
#define HARD_SPACE '\x10'

static const char *const codes[] = {[PLAIN] = "",
	[BOLD] = "\033[1m",
	[DIM] = "\033[2m",
	[RED] = "\033[31m",
	[GREEN] = "\033[32m",
	[YELLOW] = "\033[33m",
	[CYAN] = "\033[36m"};

void wrap_locale(void)
{
	const char *codeset;

	(void)setlocale(LC_CTYPE, "");
	codeset = nl_langinfo(CODESET);
	if (strcmp(codeset, "UTF-8") == 0)
		return;
	/* where no locale is set, as in containers, terminals take UTF-8; with
	 * another character set they do not */
	(void)setlocale(LC_CTYPE, strcmp(codeset, "ANSI_X3.4-1968") == 0 ? "C.UTF-8" : "C");
}

/* ---- characters ---- */

/* The character at a place in a piece. */
struct glyph {
	size_t bytes;
	size_t columns;
	bool hex; /* shown as \xNN for each of its bytes */
};

static struct glyph glyph_at(const char *text, size_t len)
{
	struct glyph g = {.bytes = text_utf8(text, len)};
	mbstate_t state = {0};
	wchar_t c = L'\0';
	int wide = -1;

	if (g.bytes == 0)
		g.bytes = 1;
	else if (text_is_harmless(text, g.bytes) && mbrtowc(&c, text, g.bytes, &state) == g.bytes)
		wide = wcwidth(c);
	g.hex = wide < 0;
	g.columns = g.hex ? strlen("\\xNN") * g.bytes : (size_t)wide;
	return g;
}

size_t wrap_columns(const char *text)
{
	size_t left = SIZE_MAX;

	(void)wrap_fit(text, strlen(text), &left);
	return SIZE_MAX - left;
}

size_t wrap_fit(const char *text, size_t len, size_t *columns)
{
	size_t at = 0;

	while (at < len) {
		struct glyph g = glyph_at(text + at, len - at);

		if (g.columns > *columns)
			break;
		*columns -= g.columns;
		at += g.bytes;
	}
	return at;
}

bool wrap_has(wchar_t character)
{
	return wcwidth(character) == 1;
}

/* ---- pieces ---- */

void wrap_init(struct wrap *w, struct buffer *out, size_t width, bool colour)
{
	*w = (struct wrap){.out = out, .width = width, .colour = colour};
}

void wrap_fini(struct wrap *w)
{
	buffer_fini(&w->line);
}

static void put_mark(struct wrap *w, enum colour colour)
{
	char mark = (char)colour;

	buffer_append(&w->line, &mark, 1);
}

static void put_glyph(struct wrap *w, const char *text, const struct glyph *g)
{
	if (*text == '\t')
		buffer_append(&w->line, " ", 1);
	else if (!g->hex)
		buffer_append(&w->line, text, g->bytes);
	else
		for (size_t i = 0; i < g->bytes; i++)
			buffer_printf(&w->line, "\\x%02x", (unsigned)(unsigned char)text[i]);
}

void wrap_bytes(struct wrap *w, enum colour colour, const char *text, size_t len)
{
	put_mark(w, colour);
	while (len > 0) {
		struct glyph g = glyph_at(text, len);

		put_glyph(w, text, &g);
		text += g.bytes;
		len -= g.bytes;
	}
	put_mark(w, PLAIN);
}

void wrap_put(struct wrap *w, enum colour colour, const char *text)
{
	wrap_bytes(w, colour, text, strlen(text));
}

size_t wrap_mark(const struct wrap *w)
{
	return w->line.len;
}

void wrap_join(struct wrap *w, size_t mark)
{
	for (size_t i = mark; i < w->line.len; i++)
		if (w->line.data[i] == ' ')
			w->line.data[i] = HARD_SPACE;
}

void wrap_putf(struct wrap *w, enum colour colour, const char *format, ...)
{
	scoped_str text = NULL;
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n != -1)
		wrap_bytes(w, colour, text, (size_t)n);
	else
		text = NULL;
	w->line.failed |= n == -1;
}

void wrap_spaces(struct wrap *w, size_t count)
{
	buffer_printf(&w->line, "%*s", (int)count, "");
}

/* ---- lines ---- */

struct pen {
	const struct wrap *wrap;
	size_t indent;
	size_t column;
	char colour; /* of the terminal now */
	char wanted;
};

static bool is_colour(char c)
{
	return c >= PLAIN && c <= CYAN;
}

static bool is_space(char c)
{
	return c == ' ' || c == HARD_SPACE;
}

/* Switch the terminal to that colour. */
static void set_colour(struct pen *p, char colour)
{
	struct buffer *out = p->wrap->out;

	if (!p->wrap->colour || p->colour == colour)
		return;
	if (p->wrap->marks) {
		buffer_append(out, &colour, 1);
	} else {
		if (p->colour != PLAIN)
			buffer_string(out, "\033[0m");
		buffer_string(out, codes[(size_t)colour]);
	}
	p->colour = colour;
}

static void break_line(struct pen *p)
{
	set_colour(p, PLAIN);
	buffer_printf(p->wrap->out, "\n%*s", (int)p->indent, "");
	p->column = p->indent;
}

static bool is_full(const struct pen *p, size_t more)
{
	return p->wrap->width != 0 && p->column + more > p->wrap->width;
}

/* The bytes up to the next space, and their columns without the marks. */
static size_t measure_word(const char *text, size_t len, bool hard_ends, size_t *columns)
{
	size_t at = 0;

	*columns = 0;
	while (at < len && text[at] != ' ') {
		struct glyph g = glyph_at(text + at, len - at);

		if (text[at] == HARD_SPACE && hard_ends)
			break;
		if (text[at] == HARD_SPACE)
			*columns += 1;
		else if (!is_colour(text[at]))
			*columns += g.columns;
		at += g.bytes;
	}
	return at;
}

static void put_word(struct pen *p, const char *text, size_t len)
{
	while (len > 0) {
		struct glyph g = glyph_at(text, len);

		if (is_colour(*text)) {
			p->wanted = *text;
		} else {
			bool hard = *text == HARD_SPACE;
			size_t columns = hard ? 1 : g.columns;

			if (is_full(p, columns))
				break_line(p);
			set_colour(p, p->wanted);
			buffer_append(p->wrap->out, hard ? " " : text, g.bytes);
			p->column += columns;
		}
		text += g.bytes;
		len -= g.bytes;
	}
}

/* The spaces before a word, or a new line instead. */
static void put_gap(struct pen *p, size_t spaces, size_t word)
{
	bool full = is_full(p, spaces + word);

	if (full && p->column > p->indent) {
		break_line(p);
		return;
	}
	if (full && spaces > p->indent - p->column)
		spaces = p->indent - p->column;
	/* spaces get a colour only between two words of that colour */
	if (p->colour != p->wanted)
		set_colour(p, PLAIN);
	buffer_printf(p->wrap->out, "%*s", (int)spaces, "");
	p->column += spaces;
}

void wrap_end(struct wrap *w, size_t indent)
{
	struct pen pen = {.wrap = w, .indent = indent, .colour = PLAIN, .wanted = PLAIN};
	const char *text = w->line.data;
	size_t len = w->line.len;
	size_t at = 0;

	while (at < len) {
		size_t spaces = 0;
		size_t columns;
		size_t word;

		for (; at < len && (is_space(text[at]) || is_colour(text[at])); at++)
			if (is_space(text[at]))
				spaces++;
			else
				pen.wanted = text[at];
		word = measure_word(text + at, len - at, false, &columns);
		if (w->width != 0 && columns + indent > w->width)
			word = measure_word(text + at, len - at, true, &columns);
		if (word > 0)
			put_gap(&pen, spaces, columns);
		put_word(&pen, text + at, word);
		at += word;
	}
	set_colour(&pen, PLAIN);
	buffer_append(w->out, "\n", 1);
	w->out->failed |= w->line.failed;
	buffer_clear(&w->line);
}
