/* SPDX-License-Identifier: MIT */
#include "base/terminal.h"

#include "base/text.h"

#include <string.h>

static bool is_one_of(char c, const char *list)
{
	return c != '\0' && strchr(list, c) != NULL;
}

/* The length of ESC [ parameters end at the start of `s`, or 0. */
static size_t sequence_length(const char *s, size_t len, const char *parameters, const char *ends)
{
	size_t i = 2;

	if (len < 3 || s[0] != '\x1b' || s[1] != '[')
		return 0;
	while (i < len && is_one_of(s[i], parameters))
		i++;
	return i < len && is_one_of(s[i], ends) ? i + 1 : 0;
}

int terminal_put(struct buffer *out, const char *text, size_t len)
{
	static const char plain[] = "\x1b[0m";
	bool coloured = false;

	/* text_escape_line() makes up to four bytes of one, and a NUL */
	if (buffer_reserve(out, 4 * len + sizeof(plain)) == -1)
		return -1;
	while (len > 0) {
		size_t n = sequence_length(text, len, "0123456789;:", "m"); /* a colour */
		size_t from = n > 0 ? n : 1;
		const char *next = memchr(text + from, '\x1b', len - from);

		if (n > 0) {
			buffer_append(out, text, n);
			coloured = true;
		} else {
			/* of a line that is redrawn: to its start (G), erase it (K), hide the cursor
			 * (?25l) */
			n = sequence_length(text, len, "?0125", "GKhl");
		}
		if (n == 0) {
			n = next != NULL ? (size_t)(next - text) : len;
			out->len += text_escape_line(out->data + out->len, 4 * n + 1, text, n);
		}
		text += n;
		len -= n;
	}
	if (coloured)
		buffer_append(out, plain, sizeof(plain) - 1);
	return 0;
}

size_t terminal_redrawn(const char **text, size_t len)
{
	const char *last;

	while (len > 0 && (*text)[len - 1] == '\r')
		len--;
	last = len > 0 ? memrchr(*text, '\r', len) : NULL;
	if (last == NULL)
		return len;
	len -= (size_t)(last + 1 - *text);
	*text = last + 1;
	return len;
}
