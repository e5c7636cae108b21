/* SPDX-License-Identifier: MIT */
#include "protocol/http.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

size_t httpstatus_host(const char *what, const char **host)
{
	if (strncmp(what, "//", 2) != 0)
		return strlen(*host);
	*host = what + 2;
	return strcspn(*host, "/");
}

size_t httpstatus_request(
	char *to, size_t size, const char *what, const char *host, char *const *lines, size_t count)
{
	static const char agent[] = "User-Agent: nclust-check\r\n";
	size_t len = httpstatus_host(what, &host);
	bool named = false;
	size_t used;

	for (const char *at = what; *at != '\0'; at++)
		if ((unsigned char)*at <= 0x20 || (unsigned char)*at >= 0x7f)
			return 0;
	used = (size_t)snprintf(to, size, "GET %s HTTP/1.1\r\nHost: %.*s\r\nAccept: */*\r\n",
		host == what + 2 ? host + len : what, (int)len, host);
	for (size_t i = 0; i < count && used < size; i++) {
		named |= strncasecmp(lines[i], agent, strlen("User-Agent:")) == 0;
		used += (size_t)snprintf(to + used, size - used, "%s\r\n", lines[i]);
	}
	if (used < size)
		used += (size_t)snprintf(
			to + used, size - used, "%sConnection: close\r\n\r\n", named ? "" : agent);
	return used < size ? used : 0;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "HTTP/1.x NNN", of a line that has `len` bytes so far. */
static enum httpstatus_kind parse_line(const char *line, size_t len, bool whole, unsigned *code)
{
	static const char like[] = "HTTP/1.x NNN";
	const size_t need = sizeof(like) - 1;

	for (size_t i = 0; i < len && i < need; i++) {
		bool fits =
			like[i] == 'x' || like[i] == 'N' ? is_digit(line[i]) : line[i] == like[i];

		if (!fits)
			return HTTPSTATUS_NONE;
	}
	if (len < need || (len == need && !whole))
		return whole ? HTTPSTATUS_NONE : HTTPSTATUS_MORE;
	if (len > need && line[need] != ' ' && line[need] != '\r')
		return HTTPSTATUS_NONE;
	*code = (unsigned)(line[9] - '0') * 100 + (unsigned)(line[10] - '0') * 10 +
		(unsigned)(line[11] - '0');
	return *code >= 100 && *code <= 599 ? HTTPSTATUS_CODE : HTTPSTATUS_NONE;
}

/* The text behind the empty line that ends a head; NULL: not there yet. */
static const char *skip_head(const char *at, const char *end)
{
	while (at < end) {
		const char *line = at;

		at = memchr(at, '\n', (size_t)(end - at));
		if (at == NULL)
			return NULL;
		at++;
		if (at - line == 1 || (at - line == 2 && *line == '\r'))
			return at;
	}
	return NULL;
}

enum httpstatus_kind httpstatus_parse(const char *data, size_t len, unsigned *code)
{
	const char *end = data + len;

	for (;;) {
		size_t left = (size_t)(end - data);
		const char *stop = memchr(data, '\n', left);
		size_t line = stop != NULL ? (size_t)(stop - data) : left;
		enum httpstatus_kind kind = parse_line(data, line, stop != NULL, code);

		if (kind != HTTPSTATUS_CODE || *code >= 200 || *code == 101)
			return kind;
		data = skip_head(data, end);
		if (data == NULL)
			return HTTPSTATUS_MORE;
	}
}
