/* SPDX-License-Identifier: MIT */
#include "config/envfile.h"

#include <stdbool.h>
#include <string.h>

#define BLANK " \t\r"

static bool is_blank(char c)
{
	return c != '\0' && strchr(BLANK, c) != NULL;
}

/* From its opening quote on; what follows the closing one. */
static char *take_quoted(struct envfile *f, char *value, struct error *err)
{
	const char quote = *value;
	char *to = value;
	char *s = value + 1;

	for (; *s != quote; s++) {
		if (quote == '"' && *s == '\\' && (*++s == '\0' || strchr("\"\\$`", *s) == NULL)) {
			(void)error_set(err, 0,
				"between double quotes a '\\' can only stand before \" \\ $ or `, "
				"as systemd and others differ in the rest; use single quotes, or "
				"break the line itself in place of '\\n'");
			return NULL;
		}
		if (*s == '\0') {
			(void)error_set(err, 0, "the quote is not closed");
			return NULL;
		}
		f->more += *s == '\n';
		*to++ = *s;
	}
	*to = '\0';
	for (to = ++s; is_blank(*s); s++)
		;
	if (*s == '#' && s > to)
		s += strcspn(s, "\n");
	if (*s == '\0' || *s == '\n')
		return s;
	(void)error_set(err, 0, "wanted a line's end or ' # comment' after the closing quote");
	return NULL;
}

/* To the end of the line. */
static char *take_plain(char *value, struct error *err)
{
	char *next = value + strcspn(value, "\n");
	char *end = next;

	while (end > value && is_blank(end[-1]))
		end--;
	for (const char *s = value; s < end; s++)
		if (*s == '\\' || (*s == '#' && is_blank(s[-1]))) {
			(void)error_set(err, 0,
				"systemd and others differ in what '%s' means without quotes; put "
				"the value in single quotes",
				*s == '\\' ? "\\" : " #");
			return NULL;
		}
	if (end < next)
		*end = '\0';
	return next;
}

/* Blanks, and lines without a variable. */
static void skip(struct envfile *f)
{
	f->line += 1 + f->more;
	f->more = 0;
	for (;; f->rest++, f->line++) {
		f->rest += strspn(f->rest, BLANK);
		if (*f->rest == '#' || *f->rest == ';')
			f->rest += strcspn(f->rest, "\n");
		if (*f->rest != '\n')
			return;
	}
}

int envfile_next(struct envfile *f, char **entry, struct error *err)
{
	char *key;
	char *value;
	char *next;
	size_t len;

	skip(f);
	if (*f->rest == '\0')
		return 0;
	key = f->rest;
	if (strncmp(key, "export", 6) == 0 && is_blank(key[6]))
		key += 6 + strspn(key + 6, BLANK);
	len = strcspn(key, "= \t\r\n");
	value = key + len + strspn(key + len, BLANK);
	if (len == 0 || *value != '=')
		return error_set(err, 0, "wanted KEY=VALUE");
	value++;
	value += strspn(value, BLANK);
	next = *value == '"' || *value == '\'' ? take_quoted(f, value, err)
					       : take_plain(value, err);
	if (next == NULL)
		return -1;
	f->rest = next;
	if (*next == '\n')
		*f->rest++ = '\0';
	key[len] = '=';
	(void)memmove(key + len + 1, value, strlen(value) + 1);
	*entry = key;
	return 1;
}
