/* SPDX-License-Identifier: MIT */
#include "config/expand.h"

#include "base/scope.h"
#include "config/value.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Debuggers' options, by a part of the word, and the port if the word has none. */
static const struct {
	const char *part;
	unsigned port;
} inspectors[] = {
	{"--inspect", 9229}, {"debugpy", 5678}, {"jdwp", 5005}, {"--remote-debugging", 9222}};

static bool goes_on(char c)
{
	return c != '\0' && (isalnum((unsigned char)c) || strchr("_.-+", c));
}

/* Copy a word with `by` in the place of `part`, which must stand by itself there ("9100" in
 * "--metrics=:9100").  False: it does not, or `to` is too small. */
static bool swap_part(char *to, size_t size, const char *word, const char *part, const char *by)
{
	size_t len = strlen(part);

	for (const char *at = strstr(word, part); at != NULL; at = strstr(at + 1, part))
		if ((at == word || !goes_on(at[-1])) && !goes_on(at[len]))
			return snprintf(to, size, "%.*s%s%s", (int)(at - word), word, by,
				       at + len) < (int)size;
	return false;
}

static bool swap_port(char *to, size_t size, const char *word, unsigned port)
{
	char part[16];
	char by[24];

	snprintf(part, sizeof(part), "%u", port);
	snprintf(by, sizeof(by), "{slot+%u}", port);
	return swap_part(to, size, word, part, by);
}

/* Is "NAME=value" a variable of the port, or of such options?  Others may be secret. */
static bool is_plain(const char *word, unsigned port)
{
	size_t len = strspn(word, NAME_BYTES);
	uint64_t n;

	return len == 0 || word[len] != '=' || value_digits(&n, word + len + 1, port, port) ||
		strncmp(word, "NODE_OPTIONS=", 13) == 0 ||
		strncmp(word, "JAVA_TOOL_OPTIONS=", 18) == 0;
}

bool slotword_port(char *to, size_t size, const char *word, unsigned port)
{
	const char *at = strstr(word, inspectors[0].part);

	if (!is_plain(word, port))
		return false;
	if (swap_port(to, size, word, port))
		return true;
	return at != NULL && port == inspectors[0].port && strpbrk(at, "= ") == NULL &&
		snprintf(to, size, "%s={slot+%u}", word, port) < (int)size;
}

bool slotword_find(char *to, size_t size, char *const *words, unsigned port)
{
	for (; words != NULL && *words != NULL; words++)
		if (slotword_port(to, size, *words, port))
			return true;
	return false;
}

static bool opens_inspector(const char *word, unsigned port)
{
	char ignored[512];

	for (size_t i = 0; i < COUNT_OF(inspectors); i++)
		if (strstr(word, inspectors[i].part) != NULL)
			return port == inspectors[i].port ||
				swap_port(ignored, sizeof(ignored), word, port);
	return false;
}

bool slotword_inspects(char *const *words, unsigned port)
{
	for (; words != NULL && *words != NULL; words++)
		if (is_plain(*words, port) && opens_inspector(*words, port))
			return true;
	return false;
}
