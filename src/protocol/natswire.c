/* SPDX-License-Identifier: MIT */
#include "protocol/natswire.h"

#include "protocol/json.h"

#include <string.h>

#define FORMAT "{\"nclust\":"
#define ID ",\"id\":\""
#define FROM "\"from\":{\"cluster\":\""
#define SLOT "\",\"slot\":"
#define HOST ",\"host\":\""
#define MESSAGE "\"},\"message\":"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_named(char c)
{
	char letter = (char)(c | 0x20);

	return (letter >= 'a' && letter <= 'z') || is_digit(c) || c == '.' || c == '_' || c == '-';
}

struct scan {
	const char *at;
	size_t left;
};

static bool take_word(struct scan *s, const char *word, size_t len)
{
	if (s->left < len || memcmp(s->at, word, len) != 0)
		return false;
	s->at += len;
	s->left -= len;
	return true;
}

#define TAKE(s, word) take_word(s, word, sizeof(word) - 1)

/* From 1 to `most` such bytes; where they begin. */
static const char *take_of(struct scan *s, bool (*is)(char), size_t most, size_t *len)
{
	const char *at = s->at;

	for (*len = 0; *len < s->left && is(s->at[*len]);)
		++*len;
	s->at += *len;
	s->left -= *len;
	return *len > 0 && *len <= most ? at : NULL;
}

void natswire_head(struct buffer *to, const char *id)
{
	buffer_string(to, FORMAT);
	buffer_number(to, NATSWIRE_FORMAT, 10);
	buffer_string(to, ID);
	buffer_string(to, id);
	buffer_string(to, "\",");
}

void natswire_host(char host[NATSWIRE_HOST])
{
	for (char *at = host; *at != '\0'; at++)
		if (!is_named(*at))
			*at = '-';
}

enum natswire_kind natswire_read(const char *line, size_t len, const char *cluster, const char *id,
	const char **from, unsigned *format)
{
	struct scan s = {line, len};
	const char *number;
	bool own;

	if (!TAKE(&s, FORMAT) || (number = take_of(&s, is_digit, 6, &len)) == NULL)
		return NATSWIRE_NONSENSE;
	*format = 0;
	while (len-- > 0)
		*format = *format * 10 + (unsigned)(*number++ - '0');
	if (*format != NATSWIRE_FORMAT)
		return NATSWIRE_OTHER;
	own = TAKE(&s, ID) && take_word(&s, id, strlen(id));
	if (own)
		return NATSWIRE_OWN;
	if (take_of(&s, is_named, NATSWIRE_ID - 1, &len) == NULL || !TAKE(&s, "\","))
		return NATSWIRE_NONSENSE;
	*from = s.at;
	if (!TAKE(&s, FROM) || !take_word(&s, cluster, strlen(cluster)) || !TAKE(&s, SLOT) ||
		(number = take_of(&s, is_digit, 9, &len)) == NULL || (*number == '0' && len > 1) ||
		!TAKE(&s, HOST) || take_of(&s, is_named, NATSWIRE_HOST - 1, &len) == NULL ||
		!TAKE(&s, MESSAGE) || s.left == 0 || s.at[s.left - 1] != '}' ||
		!jsonvalue_check(s.at, s.left - 1))
		return NATSWIRE_NONSENSE;
	return NATSWIRE_MESSAGE;
}
