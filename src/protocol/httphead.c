/* SPDX-License-Identifier: MIT */
#include "protocol/httphead.h"

#include "base/text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define LENGTH_MOST ((uint64_t)1 << 60)

struct piece {
	const char *at;
	size_t len;
};

static bool is_word(struct piece p, const char *word)
{
	return p.len == strlen(word) && strncasecmp(p.at, word, p.len) == 0;
}

/* The token at the beginning (RFC 9110, 5.6.2). */
static struct piece token_of(struct piece text)
{
	size_t n = 0;

	while (n < text.len && text.at[n] != '\0' &&
		(isalnum((unsigned char)text.at[n]) ||
			strchr("!#$%&'*+-.^_`|~", text.at[n]) != NULL))
		n++;
	return (struct piece){text.at, n};
}

static struct piece cut(struct piece p, size_t from)
{
	return (struct piece){p.at + from, p.len - from};
}

static struct piece trim(struct piece p)
{
	while (p.len > 0 && (*p.at == ' ' || *p.at == '\t'))
		p = cut(p, 1);
	while (p.len > 0 && strchr(" \t\r\n", p.at[p.len - 1]) != NULL && p.at[p.len - 1] != '\0')
		p.len--;
	return p;
}

/* Take the next line, with its end.  False: it has no end. */
static bool next_line(struct piece *rest, struct piece *line)
{
	const char *end = rest->len > 0 ? memchr(rest->at, '\n', rest->len) : NULL;

	if (end == NULL)
		return false;
	*line = (struct piece){rest->at, (size_t)(end - rest->at) + 1};
	*rest = cut(*rest, line->len);
	return true;
}

/* Take the next item of a list with commas; an item may be empty. */
static bool next_item(struct piece *list, struct piece *item)
{
	const char *end;

	if (list->len == 0)
		return false;
	end = memchr(list->at, ',', list->len);
	item->at = list->at;
	item->len = end != NULL ? (size_t)(end - list->at) : list->len;
	*list = cut(*list, item->len + (end != NULL ? 1 : 0));
	*item = trim(*item);
	return true;
}

/* ---- requests ---- */

static bool take_request_line(struct piece line, struct httphead_request *to)
{
	static const char version[] = " HTTP/1.1";
	const size_t tail = sizeof(version) - 1;
	struct piece method = token_of(line);

	if (method.len == 0 || line.len < method.len + 2 + tail || line.at[method.len] != ' ' ||
		memcmp(line.at + line.len - tail, version, tail) != 0)
		return false;
	for (size_t i = method.len + 1; i < line.len - tail; i++)
		if (line.at[i] <= 0x20 || line.at[i] >= 0x7f)
			return false;
	/* the line has 11 bytes at least */
	to->is_head = memcmp(line.at, "HEAD ", 5) == 0;
	to->is_bound = memcmp(line.at, "CONNECT ", 8) == 0;
	return true;
}

static bool take_field(struct piece line, struct httphead_request *to)
{
	struct piece name = token_of(line);
	struct piece value;
	struct piece item;

	if (name.len == 0 || name.len == line.len || line.at[name.len] != ':')
		return false;
	value = cut(line, name.len + 1);
	for (size_t i = 0; i < value.len; i++)
		if (iscntrl((unsigned char)value.at[i]) && value.at[i] != '\t')
			return false;
	value = trim(value);
	if (is_word(name, "Content-Length"))
		return to->lengths++ == 0 && value.len > 0 &&
			text_number(&to->body, value.at, value.len, LENGTH_MOST) == value.len;
	to->hosts += is_word(name, "Host");
	to->has_transfer_encoding |= is_word(name, "Transfer-Encoding");
	to->expects |= is_word(name, "Expect");
	to->is_bound |= is_word(name, "Upgrade");
	if (is_word(name, "Authorization") || is_word(name, "Proxy-Authorization"))
		to->is_bound |=
			is_word(token_of(value), "NTLM") || is_word(token_of(value), "Negotiate");
	if (is_word(name, "Connection"))
		while (next_item(&value, &item))
			to->is_bound |= is_word(item, "Upgrade");
	return true;
}

enum httphead_verdict httphead_request(const char *data, size_t len, struct httphead_request *to)
{
	struct piece rest = {data, len < HTTPHEAD_MOST ? len : HTTPHEAD_MOST};
	struct piece line;

	*to = (struct httphead_request){0};
	while (next_line(&rest, &line)) {
		bool first = line.at == data;

		if (line.len < 2 || line.at[line.len - 2] != '\r')
			return HTTPHEAD_BAD;
		line.len -= 2;
		to->head = (size_t)(rest.at - data);
		if (line.len == 0 && !first)
			return to->hosts == 1 && !(to->lengths > 0 && to->has_transfer_encoding)
				? HTTPHEAD_OK
				: HTTPHEAD_BAD;
		if (first ? !take_request_line(line, to) : !take_field(line, to))
			return HTTPHEAD_BAD;
	}
	return len < HTTPHEAD_MOST ? HTTPHEAD_INCOMPLETE : HTTPHEAD_BAD;
}

bool httphead_may_hand_on(const struct httphead_request *r, size_t len)
{
	return r->head + r->body == len && !r->has_transfer_encoding && !r->expects && !r->is_bound;
}

/* ---- both ---- */

size_t httphead_size(const char *data, size_t len)
{
	struct piece rest = {data, len};
	struct piece line;

	while (next_line(&rest, &line))
		if (line.at != data && (line.len == 1 || (line.len == 2 && *line.at == '\r')))
			return (size_t)(rest.at - data);
	return 0;
}

struct head {
	char *to;
	size_t room;
	size_t len; /* more than `room`: it did not fit */
};

static void put(struct head *h, const char *text, size_t len)
{
	if (h->len <= h->room && len <= h->room - h->len)
		memcpy(h->to + h->len, text, len);
	h->len += len;
}

/* A field Connection without the names that the courier replaces; nothing if no other is left. */
static void put_connection(struct head *h, struct piece list)
{
	struct piece item;
	bool begun = false;

	while (next_item(&list, &item)) {
		if (item.len == 0 || is_word(item, "close") || is_word(item, "keep-alive"))
			continue;
		put(h, begun ? ", " : "Connection: ", begun ? 2 : 12);
		put(h, item.at, item.len);
		begun = true;
	}
	if (begun)
		put(h, "\r\n", 2);
}

/* The word comes first: of two fields Python's http.server and http.client look at the first. */
size_t httphead_close(char *to, size_t room, const char *head, size_t size)
{
	static const char word[] = "Connection: close\r\n";
	struct head h = {to, room, 0};
	struct piece rest = {head, size};
	struct piece line;
	bool drops = false; /* the field, with the lines into which it is folded */

	while (next_line(&rest, &line)) {
		struct piece name = token_of(line);
		bool is_field = name.len < line.len && line.at[name.len] == ':';
		bool is_connection = is_field && is_word(name, "Connection");

		if (*line.at != ' ' && *line.at != '\t')
			drops = is_connection || (is_field && is_word(name, "Keep-Alive"));
		if (is_connection)
			put_connection(&h, trim(cut(line, name.len + 1)));
		else if (!drops)
			put(&h, line.at, line.len);
		if (line.at == head)
			put(&h, word, sizeof(word) - 1);
	}
	return h.len <= room ? h.len : 0;
}
