/* SPDX-License-Identifier: MIT */
#include "protocol/http.h"

#include "base/text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- httpstatus ---- */

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

/* ---- httpanswer ---- */

#define LENGTH_MOST ((uint64_t)1 << 60)

void httpanswer_init(struct httpanswer *h, bool bodiless)
{
	*h = (struct httpanswer){.bodiless = bodiless};
}

/* The beginning of a status line, each digit as 'N'. */
static const char like[] = "HTTP/1.N NNN";

/* Can a line that begins like this be a status line? */
static bool is_like_status(const char *line, size_t len)
{
	for (size_t i = 0; i < len && like[i] != '\0'; i++)
		if (like[i] == 'N' ? !isdigit((unsigned char)line[i]) : line[i] != like[i])
			return false;
	return true;
}

/* The value of a field, if the line has that name; or NULL. */
static const char *field_value(const char *line, const char *name)
{
	size_t len = strlen(name);

	if (strncasecmp(line, name, len) != 0 || line[len] != ':')
		return NULL;
	return line + len + 1 + strspn(line + len + 1, " \t");
}

static enum httpanswer_state take_status(struct httpanswer *h)
{
	const char *code = h->line + strlen("HTTP/1.1 ");
	unsigned long status;
	char *end;

	if (h->line_len < strlen(like) || !is_like_status(h->line, h->line_len))
		return HTTPANSWER_BAD;
	status = strtoul(code, &end, 10);
	if (status < 100 || status > 599 || (*end != '\0' && *end != ' '))
		return HTTPANSWER_BAD;
	h->status = (unsigned)status;
	if (status == 101)
		return HTTPANSWER_BAD;
	return HTTPANSWER_FIELDS;
}

static enum httpanswer_state take_length(struct httpanswer *h, const char *text)
{
	size_t len = strspn(text, "0123456789");
	uint64_t left;

	if (text_number(&left, text, len, LENGTH_MOST) != len || len == 0 ||
		text[len + strspn(text + len, " \t")] != '\0' || (h->has_length && h->left != left))
		return HTTPANSWER_BAD;
	h->has_length = true;
	h->left = left;
	return HTTPANSWER_FIELDS;
}

static enum httpanswer_state begin_body(struct httpanswer *h)
{
	if (h->status < 200) {
		bool bodiless = h->bodiless;
		size_t head = h->head;

		httpanswer_init(h, bodiless);
		h->head = head;
		return HTTPANSWER_STATUS;
	}
	if (h->bodiless || h->status == 204 || h->status == 304)
		return HTTPANSWER_WHOLE;
	if (h->chunked)
		return HTTPANSWER_SIZE;
	if (!h->has_length)
		return HTTPANSWER_OPEN_BODY;
	return h->left > 0 ? HTTPANSWER_BODY : HTTPANSWER_WHOLE;
}

static enum httpanswer_state take_field(struct httpanswer *h)
{
	const char *text;

	if (*h->line == '\0')
		return begin_body(h);
	text = field_value(h->line, "Content-Length");
	if (text != NULL)
		return take_length(h, text);
	text = field_value(h->line, "Transfer-Encoding");
	if (text != NULL && strcasecmp(text, "chunked") != 0)
		return HTTPANSWER_BAD;
	h->chunked |= text != NULL;
	return HTTPANSWER_FIELDS;
}

static enum httpanswer_state take_size(struct httpanswer *h)
{
	size_t digits = strspn(h->line, "0123456789abcdefABCDEF");
	char after = h->line[digits];

	if (digits == 0 || digits > 15 || (after != '\0' && after != ';' && !isblank((int)after)))
		return HTTPANSWER_BAD;
	h->left = strtoull(h->line, NULL, 16);
	return h->left > 0 ? HTTPANSWER_CHUNK : HTTPANSWER_TRAILER;
}

static enum httpanswer_state take_line(struct httpanswer *h)
{
	if (h->line_len > 0 && h->line[h->line_len - 1] == '\r')
		h->line_len--;
	h->line[h->line_len] = '\0';
	switch (h->state) {
	case HTTPANSWER_STATUS:
		return take_status(h);
	case HTTPANSWER_FIELDS:
		return take_field(h);
	case HTTPANSWER_SIZE:
		return take_size(h);
	case HTTPANSWER_CHUNK_END:
		return *h->line == '\0' ? HTTPANSWER_SIZE : HTTPANSWER_BAD;
	default:
		return *h->line == '\0' ? HTTPANSWER_WHOLE : HTTPANSWER_TRAILER;
	}
}

/* Take the part of a line that is there; of a line that is too long only the
 * beginning is kept. */
static size_t take_text(struct httpanswer *h, const char *data, size_t len)
{
	const char *end = memchr(data, '\n', len);
	size_t taken = end != NULL ? (size_t)(end - data) + 1 : len;
	size_t text = end != NULL ? taken - 1 : taken;
	size_t room = sizeof(h->line) - 1 - h->line_len;

	if (text > room)
		text = room;
	memcpy(h->line + h->line_len, data, text);
	h->line_len += text;
	h->head += taken;
	if (end != NULL) {
		h->state = take_line(h);
		h->line_len = 0;
	}
	/* each chunk has a line of its own */
	if (h->state == HTTPANSWER_CHUNK)
		h->head = 0;
	if (h->head > HTTPANSWER_HEAD_MAX ||
		(h->state == HTTPANSWER_STATUS && !is_like_status(h->line, h->line_len)))
		h->state = HTTPANSWER_BAD;
	return taken;
}

static size_t take_body(struct httpanswer *h, size_t len)
{
	if (h->state == HTTPANSWER_OPEN_BODY)
		return len;
	if (len > h->left)
		len = (size_t)h->left;
	h->left -= len;
	if (h->left == 0)
		h->state = h->state == HTTPANSWER_CHUNK ? HTTPANSWER_CHUNK_END : HTTPANSWER_WHOLE;
	return len;
}

void httpanswer_take(struct httpanswer *h, const char *data, size_t len)
{
	while (len > 0 && h->state < HTTPANSWER_WHOLE) {
		bool body = h->state == HTTPANSWER_BODY || h->state == HTTPANSWER_CHUNK ||
			h->state == HTTPANSWER_OPEN_BODY;
		size_t taken = body ? take_body(h, len) : take_text(h, data, len);

		data += taken;
		len -= taken;
	}
}

bool httpanswer_ended(const struct httpanswer *h)
{
	return h->state == HTTPANSWER_WHOLE || h->state == HTTPANSWER_OPEN_BODY;
}
