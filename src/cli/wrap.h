/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <wchar.h>

/*
 * Lines for people that are never wider than the terminal.  A line is composed of
 * pieces.  When it ends, words that do not fit go to further lines, and a word
 * that is longer than a line is continued on the next one, so that no text is
 * lost.
 *
 * Columns are counted as terminals count them: two for a wide character, none for
 * a combining one.  Pieces may be any bytes: bytes that are no text, or would
 * move the cursor or turn the direction of the text, are shown as \xNN.
 */

enum colour { PLAIN = 1, BOLD, DIM, RED, GREEN, YELLOW, CYAN };

struct wrap {
	struct buffer *out;
	struct buffer line; /* the pieces, and their colours as single bytes */
	size_t width;       /* columns, at least 40; 0: no limit */
	bool colour;
	bool marks; /* colours go out as bytes of enum colour, for ncurses */
};

/* Let this process show text as its terminal understands it, UTF-8 by default.
 * Without this call all characters that are not ASCII are shown as \xNN. */
void wrap_locale(void);

void wrap_init(struct wrap *w, struct buffer *out, size_t width, bool colour);
void wrap_fini(struct wrap *w);

/* Add a piece. */
void wrap_put(struct wrap *w, enum colour colour, const char *text);
void wrap_bytes(struct wrap *w, enum colour colour, const char *text, size_t len);
void wrap_putf(struct wrap *w, enum colour colour, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void wrap_spaces(struct wrap *w, size_t count);
/* Keep text that was added since the mark together, if it fits in a line. */
size_t wrap_mark(const struct wrap *w);
void wrap_join(struct wrap *w, size_t mark);

/* End the line.  If it takes several lines, further ones begin at `indent`.  Out of
 * memory: out->failed. */
void wrap_end(struct wrap *w, size_t indent);

/* How many columns a piece takes. */
size_t wrap_columns(const char *text);
/* How many bytes of the text fit into *columns; sets *columns to what they leave. */
size_t wrap_fit(const char *text, size_t len, size_t *columns);
/* Does this terminal show that character, in one column? */
bool wrap_has(wchar_t character);
