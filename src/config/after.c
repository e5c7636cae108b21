/* SPDX-License-Identifier: MIT */
#include "config/after.h"

#include "base/buffer.h"
#include "base/text.h"
#include "config/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLANK " \t"

/* One between commas, without blanks around it. */
static bool parse_one(struct dependency *d, const char *from, size_t len)
{
	const char *colon = memchr(from, ':', len);
	size_t name = colon != NULL ? (size_t)(colon - from) : len;
	const char *word = colon != NULL ? colon + 1 : "";
	size_t rest = colon != NULL ? len - name - 1 : 0;

	while (name > 0 && strchr(BLANK, from[name - 1]) != NULL)
		name--;
	while (rest > 0 && strchr(BLANK, *word) != NULL) {
		word++;
		rest--;
	}
	if (name >= sizeof(d->name))
		return false;
	(void)memcpy(d->name, from, name);
	d->name[name] = '\0';
	d->done = rest == 4 && memcmp(word, "done", 4) == 0;
	return text_is_name(d->name) &&
		(colon == NULL || d->done || (rest == 5 && memcmp(word, "ready", 5) == 0));
}

/* 1, or 0: there is no more; -1: it is none. */
static int next(const char **at, struct dependency *d)
{
	const char *from = *at;
	size_t len;
	size_t used;

	if (from == NULL || *from == '\0')
		return 0;
	from += strspn(from, BLANK);
	len = used = strcspn(from, ",");
	*at = from[used] == ',' ? from + used + 1 : from + used;
	if (from[used] == ',' && (*at)[strspn(*at, BLANK)] == '\0')
		return -1;
	while (len > 0 && strchr(BLANK, from[len - 1]) != NULL)
		len--;
	return parse_one(d, from, len) ? 1 : -1;
}

bool after_next(const char **at, struct dependency *d)
{
	return next(at, d) == 1;
}

static bool is_twice(const char *list, const char *name)
{
	struct dependency d;

	while (after_next(&list, &d))
		if (strcmp(d.name, name) == 0)
			return true;
	return false;
}

int after_parse(char **field, const char *text, struct error *err)
{
	const char *at = text;
	struct dependency d;
	scoped_buffer out = {0};
	const char *sofar = "";
	char *copy;
	int got;

	while ((got = next(&at, &d)) == 1) {
		if (is_twice(sofar, d.name))
			return error_set(err, 0, "'%s' is given twice", d.name);
		(void)buffer_printf(
			&out, "%s%s%s", out.len > 0 ? ", " : "", d.name, d.done ? ": done" : "");
		sofar = buffer_text(&out);
		if (sofar == NULL)
			break;
	}
	if (got == -1 || (got == 0 && out.len == 0))
		return value_wanted(err, text, "names of clusters, as in 'db, job: done'");
	copy = sofar != NULL ? strdup(sofar) : NULL;
	if (copy == NULL)
		return error_set(err, ENOMEM, "cannot keep a setting");
	free(*field);
	*field = copy;
	return 0;
}

void after_drop(char **field, const char *name)
{
	char *from = *field;
	const char *at = from;
	struct dependency d;

	while (from != NULL && after_next(&at, &d)) {
		size_t here = (size_t)(at - *field);

		if (strcmp(d.name, name) == 0) {
			at += strspn(at, BLANK);
			(void)memmove(from, at, strlen(at) + 1);
			if (*at == '\0' && from > *field)
				from[-2] = '\0'; /* the ", " before it */
			break;
		}
		from = *field + here + strspn(*field + here, BLANK);
	}
	if (*field != NULL && **field == '\0') {
		free(*field);
		*field = NULL;
	}
}
