/* SPDX-License-Identifier: MIT */
#include "config/value.h"

#include "base/scope.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* What is run or asked: commands, and the probes that may be one. */

/* Of an http probe; far less than a server takes. */
#define PATH_LENGTH_MAX 1000
#define HEADER_LENGTH_MAX 500

static int no_memory(struct error *err)
{
	return error_set(err, ENOMEM, "cannot keep a command");
}

/* As the user wrote it, unless an INI line would be cut there: then the words
 * as value_quote() writes them.  Heap, or NULL. */
static char *text_of(const struct strings *words, const char *text)
{
	if (strstr(text, " ;") == NULL && strstr(text, "\t;") == NULL)
		return strdup(text);
	return value_join(words);
}

int value_command(struct strings *words, char **text, const char *from, struct error *err)
{
	struct strings got = {0};
	char *copy;

	if (value_split(&got, from, err) == -1)
		return -1;
	if (got.count == 0 || got.list[0][0] == '\0') {
		strings_clear(&got);
		return value_wanted(err, from, "a command");
	}
	copy = text_of(&got, from);
	if (copy == NULL) {
		strings_clear(&got);
		return no_memory(err);
	}
	value_command_clear(words, text);
	*words = got;
	*text = copy;
	return 0;
}

int value_command_words(struct strings *words, char **text, char *const *from, size_t count)
{
	struct strings got = {0};
	char *joined;

	for (size_t i = 0; i < count; i++)
		if (strings_add(&got, from[i]) == -1)
			goto fail;
	joined = value_join(&got);
	if (joined == NULL)
		goto fail;
	value_command_clear(words, text);
	*words = got;
	*text = joined;
	return 0;
fail:
	strings_clear(&got);
	return -1;
}

void value_command_clear(struct strings *words, char **text)
{
	free(*text);
	strings_clear(words);
	*text = NULL;
}

void value_probe_clear(struct probe *p)
{
	value_command_clear(&p->command, &p->text);
	p->kind = PROBE_NONE;
}

bool value_is_probe(const char *text)
{
	return strcmp(text, "tcp") == 0 || strncmp(text, "http:", 5) == 0 ||
		strncmp(text, "exec:", 5) == 0;
}

#define ALPHANUMERIC "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/* What may stand in a request line as it is, perhaps after "//HOST". */
static bool is_http_path(const char *path)
{
	size_t host = 0;
	size_t len = 0;

	for (; path[len] != '\0'; len++)
		if (path[len] <= ' ' || path[len] > '~' || path[len] == '#')
			return false;
	if (strncmp(path, "//", 2) == 0)
		host = strspn(path + 2, ALPHANUMERIC "-._:[]");
	path += host > 0 ? host + 2 : 0;
	return path[0] == '/' && path[1] != '/' && len <= PATH_LENGTH_MAX;
}

static int parse_http(struct probe *out, const char *text, struct error *err)
{
	const char *path = text + strlen("http:");

	if (!is_http_path(path))
		return value_wanted(err, text,
			"a path after 'http:' or 'http://HOST', of at most %d "
			"bytes and without blanks, such as 'http:/health'",
			PATH_LENGTH_MAX);
	out->text = strdup(path);
	return out->text != NULL ? 0 : no_memory(err);
}

int value_header(const char *text, struct error *err)
{
	size_t len = strspn(text, ALPHANUMERIC "!#$%&'*+-.^_`|~");

	if (strncasecmp(text, "Host:", 5) == 0)
		return error_set(err, 0, "the Host of the request is set by 'http://HOST/path'");
	for (const char *at = text; *at != '\0'; at++)
		if (((unsigned char)*at < ' ' && *at != '\t') || *at == 0x7f)
			len = 0;
	if (len == 0 || text[len] != ':' || strlen(text) > HEADER_LENGTH_MAX)
		return value_wanted(err, text,
			"a header line of at most %d bytes, such as "
			"'X-Forwarded-Proto: https'",
			HEADER_LENGTH_MAX);
	return 0;
}

int value_probe(struct probe *out, const char *text, struct error *err)
{
	struct probe got = {.kind = PROBE_TCP};

	if (strncmp(text, "http:", 5) == 0) {
		got.kind = PROBE_HTTP;
		if (parse_http(&got, text, err) == -1)
			return -1;
	} else if (strncmp(text, "exec:", 5) == 0) {
		got.kind = PROBE_EXEC;
		if (value_command(&got.command, &got.text, text + 5, err) == -1)
			return -1;
	} else if (strcmp(text, "tcp") != 0) {
		return value_wanted(err, text, "'tcp', 'http:/path' or 'exec:COMMAND'");
	}
	value_probe_clear(out);
	*out = got;
	return 0;
}

int value_format_probe(struct buffer *out, const struct probe *p)
{
	switch (p->kind) {
	case PROBE_NONE:
		return buffer_string(out, "off");
	case PROBE_TCP:
		return buffer_string(out, "tcp");
	case PROBE_HTTP:
		return buffer_printf(out, "http:%s", p->text);
	case PROBE_EXEC:
		return buffer_printf(out, "exec:%s", p->text);
	}
	return 0;
}
