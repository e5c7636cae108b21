/* SPDX-License-Identifier: MIT */
#include "config/value.h"

#include "base/scope.h"
#include "base/text.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

int value_wanted(struct error *err, const char *found, const char *format, ...)
{
	char wanted[240];
	char shown[160];
	va_list args;

	va_start(args, format);
	vsnprintf(wanted, sizeof(wanted), format, args);
	va_end(args);
	text_escape(shown, sizeof(shown), found, strlen(found));
	return error_set(err, 0, "wanted %s, found '%s'", wanted, shown);
}

int value_no_memory(struct error *err)
{
	return error_set(err, ENOMEM, "cannot keep a setting");
}

static bool is_gap(char c)
{
	return c == ' ' || c == '\t' || c == ',';
}

bool value_next_word(const char **at, char *to, size_t size)
{
	const char *word = *at;
	size_t len = 0;

	while (is_gap(*word))
		word++;
	for (; *word != '\0' && !is_gap(*word); word++) {
		word += *word == '\\' && is_gap(word[1]);
		if (len < size)
			to[len++] = *word;
	}
	*at = word;
	if (len < size)
		to[len] = '\0';
	else
		memcpy(&to[size - 2], " ", 2);
	return len > 0;
}

void value_put_word(struct buffer *out, const char *word)
{
	for (; *word != '\0'; word++) {
		buffer_append(out, "\\", is_gap(*word));
		buffer_append(out, word, 1);
	}
}

const char *value_next_part(const char **at, size_t *len)
{
	const char *part = *at;

	if (part == NULL)
		return NULL;
	*len = strcspn(part, ",");
	*at = part[*len] == ',' ? part + *len + 1 : NULL;
	for (; *len > 0 && is_gap(*part); part++)
		--*len;
	while (*len > 0 && is_gap(part[*len - 1]))
		--*len;
	return part;
}

int value_index_of(const char *text, size_t len, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (words[i] != NULL && strlen(words[i]) == len &&
			strncmp(words[i], text, len) == 0)
			return (int)i;
	return -1;
}

int value_index(const char *text, const char *const *words, size_t count)
{
	return value_index_of(text, strlen(text), words, count);
}

size_t value_number(uint64_t *out, const char *text, uint64_t most)
{
	return text_number(out, text, strlen(text), most);
}

bool value_digits(uint64_t *out, const char *text, uint64_t least, uint64_t most)
{
	uint64_t n;
	size_t len = value_number(&n, text, most);

	if (len == 0 || text[len] != '\0' || n < least)
		return false;
	*out = n;
	return true;
}

int value_count(unsigned *out, const char *text, unsigned least, unsigned most, struct error *err)
{
	uint64_t n;

	if (!value_digits(&n, text, least, most))
		return value_wanted(err, text, "a whole number from %u to %u", least, most);
	*out = (unsigned)n;
	return 0;
}

int value_wanted_time(
	struct error *err, const char *found, const char *before, nsec_t least, nsec_t most)
{
	char low[24];
	char high[24];

	return value_wanted(err, found,
		"%sa time from %s to %s in ms, s, m, h or d, such as 90s or 1h30m", before,
		text_duration(low, least), text_duration(high, most));
}

int value_duration(nsec_t *out, const char *text, nsec_t least, nsec_t most, struct error *err)
{
	nsec_t t;

	if (!text_parse_duration(&t, text) || t < least || t > most)
		return value_wanted_time(err, text, "", least, most);
	*out = t;
	return 0;
}

int value_size(uint64_t *out, const char *text, uint64_t most, struct error *err)
{
	static const char *const letters[] = {"", "k", "m", "g", "t"};
	static const char *const ends[] = {"", "i", "b", "ib"}; /* all are powers of 1024 */
	struct decimal d;
	size_t len = text_decimal(&d, text);
	const char *word = text + len + strspn(text + len, " ");
	char unit[4];
	char shown[32];

	for (size_t i = 0; len > 0 && i < COUNT_OF(letters) * COUNT_OF(ends); i++) {
		snprintf(unit, sizeof(unit), "%s%s", letters[i / 4], ends[i % 4]);
		if (strcasecmp(word, unit) == 0 &&
			text_of_unit(out, d, UINT64_C(1) << (10 * (i / 4)), most))
			return 0;
	}
	return value_wanted(err, text, "a size of at most %s " SIZE_UNITS ", such as 4096 or 64M",
		value_format_size(shown, most));
}

const char *value_format_size(char to[32], uint64_t bytes)
{
	static const char letters[] = "kMGT";
	size_t n = 0;

	while (n < strlen(letters) && bytes > 0 && bytes % 1024 == 0) {
		bytes /= 1024;
		n++;
	}
	snprintf(to, 32, "%" PRIu64 "%.*s", bytes, n > 0, n > 0 ? letters + n - 1 : "");
	return to;
}

int value_bool(bool *out, const char *text, struct error *err)
{
	static const char *const words[] = {"no", "yes", "off", "on", "false", "true"};

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (strcasecmp(text, words[i]) != 0)
			continue;
		*out = i % 2 == 1;
		return 0;
	}
	return value_wanted(err, text, "'yes' or 'no'");
}

int value_octal(int *out, const char *text, struct error *err)
{
	size_t len = strlen(text);
	long mode = strtol(text, NULL, 8);

	if (len == 0 || len > 5 || strspn(text, "01234567") != len || mode > 0777)
		return value_wanted(err, text, "an octal number from 0 to 0777");
	*out = (int)mode;
	return 0;
}

/* 0: a number, 1: a name, -1: refused.  (uid_t)-1 means "leave it" to the kernel and
 * is no user's id. */
static int parse_id(long *id, const char *text, const char *what, struct error *err)
{
	uint64_t n;

	if (text[0] == '#' && value_digits(&n, text + 1, 0, UINT32_MAX - 1)) {
		*id = (long)n;
		return 0;
	}
	if (text[0] != '#' && text[strspn(text, "0123456789")] != '\0')
		return 1;
	(void)value_wanted(err, text, "a %s, or '#NUMBER'", what);
	if (text[0] != '#' && text[0] != '\0')
		error_hint(err, "for the number write '#%.20s'", text);
	return -1;
}

/* At boot the user database of the network may not be reachable yet. */
static int is_not_there(struct error *err, const char *text, const char *what)
{
	(void)value_wanted(err, text, "%s", what);
	return error_status(err, EX_TEMPFAIL);
}

int value_user(long *uid, long *gid, const char *text, struct error *err)
{
	const struct passwd *entry;
	int kind = parse_id(uid, text, "user's name", err);

	if (kind == -1)
		return -1;
	if (kind == 0 && gid == NULL)
		return 0;
	errno = 0;
	entry = kind == 0 ? getpwuid((uid_t)*uid) : getpwnam(text);
	if (entry == NULL && kind == 1)
		return is_not_there(err, text, "a user that exists");
	if (entry != NULL)
		*uid = (long)entry->pw_uid;
	if (gid != NULL)
		*gid = entry != NULL ? (long)entry->pw_gid : -1;
	return 0;
}

int value_group(long *gid, const char *text, struct error *err)
{
	const struct group *entry;
	int kind = parse_id(gid, text, "group's name", err);

	if (kind != 1)
		return kind;
	entry = getgrnam(text);
	if (entry == NULL)
		return is_not_there(err, text, "a group that exists");
	*gid = (long)entry->gr_gid;
	return 0;
}

int strings_add(struct strings *s, const char *text)
{
	char *copy = strdup(text);

	if (copy == NULL || !array_grow(s->list, s->count + 1)) {
		free(copy);
		return -1;
	}
	s->list[s->count++] = copy;
	s->list[s->count] = NULL;
	return 0;
}

void strings_clear(struct strings *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->list[i]);
	free(s->list);
	*s = (struct strings){0};
}

/* One word, quotes taken off, into `word`.  The position behind it, or NULL
 * and `err`. */
static const char *split_word(struct buffer *word, const char *s, struct error *err)
{
	const char *const start = s;
	char quote = '\0';

	for (; *s != '\0'; s++) {
		if (quote == '\0' && (*s == ' ' || *s == '\t' || *s == '\n'))
			break;
		if (*s == quote) {
			quote = '\0';
			continue;
		}
		if (quote == '\0' && (*s == '\'' || *s == '"')) {
			quote = *s;
			continue;
		}
		if (*s == '\\' && quote != '\'' &&
			(quote == '\0' || (s[1] != '\0' && strchr("\"\\$`", s[1])))) {
			if (*++s == '\0') {
				(void)value_wanted(err, start, "a character after the backslash");
				return NULL;
			}
		}
		if (buffer_append(word, s, 1) == -1)
			break; /* the caller looks at `failed` */
	}
	if (quote != '\0' && !word->failed) {
		(void)value_wanted(err, start, "a closing %c", quote);
		return NULL;
	}
	return s;
}

/* Does an operator of a shell stand at `s`, such as "|", ">>", "2>&1" or "&>log", or "~/"? */
static bool is_operator(const char *s)
{
	static const char *const whole[] = {"|", "||", "&", "&&", "|&"};
	size_t len = strcspn(s, " \t\n'\"\\");
	const char *to = s + strspn(s, "0123456789&");

	return *to == '<' || *to == '>' || strncmp(s, "~/", 2) == 0 ||
		value_index_of(s, len, whole, COUNT_OF(whole)) != -1;
}

/* The same, or a comment, or "x;" */
static bool is_shell_word(const char *s)
{
	size_t len = strcspn(s, " \t\n'\"\\");

	return is_operator(s) || *s == '#' ||
		(len > 0 && s[len - 1] == ';' && s[len] != '\'' && s[len] != '"');
}

/* Does the name of a variable stand at `s`, and `end` behind it? */
static bool is_variable(const char *s, const char *end)
{
	size_t len = strspn(s, NAME_BYTES);

	return len > 0 && strchr("0123456789", *s) == NULL &&
		strncmp(s + len, end, strlen(end)) == 0;
}

const char *value_meant_for_shell(const struct strings *words)
{
	for (size_t i = 0; i < words->count; i++) {
		const char *word = words->list[i];
		bool is_script = i > 0 && strcmp(words->list[i - 1], "-c") == 0;

		if (is_script || strpbrk(word, " \t\n") != NULL)
			continue;
		if (is_operator(word) || strncmp(word, "$(", 2) == 0)
			return word;
		for (const char *s = word; (s = strchr(s, '$')) != NULL; s++) {
			const char *from = s + (s[1] == '{' ? 2 : 1);
			scoped_str name = strndup(from, strspn(from, NAME_BYTES));

			if (name != NULL && getenv(name) != NULL)
				return word;
		}
	}
	return NULL;
}

const char *value_shell_part(const char *text)
{
	bool begins = true;
	char quote = '\0';

	text += strspn(text, " \t\n");
	if (is_variable(text, "=") || text_is_of_shell(text))
		return text;
	for (const char *s = text; *s != '\0'; s++) {
		if (quote == '\0' && begins && is_shell_word(s))
			return s;
		if (quote == '\0' &&
			(*s == '`' ||
				(*s == '$' &&
					(s[1] == '(' || s[1] == '{' || is_variable(s + 1, "")))))
			return s;
		begins = strchr(" \t\n", *s) != NULL;
		if (*s == '\\' && quote != '\'' && s[1] != '\0')
			s++;
		else if (*s == quote)
			quote = '\0';
		else if (quote == '\0' && (*s == '"' || *s == '\''))
			quote = *s;
	}
	return NULL;
}

const char *value_expansion(const char *text, bool and_braces)
{
	for (const char *s = text; (s = strchr(s, '$')) != NULL; s++) {
		const char *name = s + 1;
		size_t len = strspn(name, NAME_BYTES);

		if (s > text && s[-1] == '\\')
			continue;
		if (*name == '(' || (*name == '{' && and_braces) ||
			(len > 1 && is_variable(name, "") && strspn(name, NAME_CAPITALS) == len))
			return s;
	}
	return NULL;
}

int value_split(struct strings *out, const char *text, struct error *err)
{
	scoped_buffer word = {0};

	while (text != NULL && text[strspn(text, " \t\n")] != '\0') {
		buffer_clear(&word);
		text = split_word(&word, text + strspn(text, " \t\n"), err);
		if (text != NULL &&
			(word.failed || buffer_text(&word) == NULL ||
				strings_add(out, word.data) == -1)) {
			(void)error_set(err, ENOMEM, "cannot split");
			text = NULL;
		}
	}
	if (text == NULL)
		strings_clear(out);
	return text != NULL ? 0 : -1;
}

/* Characters that need no quotes: in a shell, and without a shell. */
#define PLAIN \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" \
	"_@%+=:,./-{}"

/* `bare`: a character that must not stand inside of quotes; '\'' never does. */
static int put_quoted(struct buffer *out, const char *word, const char *plain, char bare)
{
	if (*word != '\0' && word[strspn(word, plain)] == '\0')
		return buffer_string(out, word);
	buffer_string(out, "'");
	for (; *word != '\0'; word++) {
		if (*word == '\'' || *word == bare)
			buffer_printf(out, "'\\%c'", *word);
		else
			buffer_append(out, word, 1);
	}
	return buffer_string(out, "'");
}

int value_quote(struct buffer *out, const char *word)
{
	return put_quoted(out, word, PLAIN "^!*?[]", ';');
}

char *value_join(const struct strings *words)
{
	scoped_buffer out = {0};

	for (size_t i = 0; i < words->count; i++) {
		const char *word = words->list[i];
		bool is_part = i == 0 && (is_variable(word, "=") || text_is_of_shell(word));

		/* in quotes "PORT=80" and "exec" are programs, as here */
		buffer_string(&out, i > 0 ? " " : is_part ? "\"\"" : "");
		(void)value_quote(&out, word);
	}
	return buffer_take(&out);
}

int value_quote_shell(struct buffer *out, const char *word)
{
	return put_quoted(out, word, PLAIN, '\'');
}
