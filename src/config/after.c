/* SPDX-License-Identifier: MIT */
#include "config/after.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/types.h"

#include <errno.h>
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

static void put(struct buffer *out, const struct dependency *d)
{
	(void)buffer_printf(
		out, "%s%s%s", out->len > 0 ? ", " : "", d->name, d->done ? ": done" : "");
}

static bool is_twice(const char *list, const char *name)
{
	struct dependency d;

	while (after_next(&list, &d))
		if (strcmp(d.name, name) == 0)
			return true;
	return false;
}

int parse_after(const struct field *f, char **text, struct error *err)
{
	const char *at = *text;
	struct dependency d;
	scoped_buffer out = {0};
	bool none = strcmp(*text, "none") == 0;
	int got = 0;

	while (!none && (got = next(&at, &d)) == 1) {
		if (out.len > 0 && is_twice(buffer_text(&out), d.name))
			return error_set(err, 0, "'%s' is given twice", d.name);
		put(&out, &d);
	}
	if (!none && (got == -1 || out.len == 0))
		return value_wanted(err, *text, "names of clusters, as in 'db, job: done'");
	if (!none && text_take(text, &out, err) == -1)
		return -1;
	if (none)
		text_none(text);
	*(const char **)f->at = *text;
	return 0;
}

int after_drop(struct cluster_settings *c, const char *name, struct error *err)
{
	const char *at = c->after;
	scoped_buffer out = {0};
	struct dependency d;

	while (after_next(&at, &d))
		if (strcmp(d.name, name) != 0)
			put(&out, &d);
	if (out.len == 0)
		(void)buffer_string(&out, "none");
	return buffer_text(&out) != NULL ? field_set_key("cluster", c, "after", out.data, err)
					 : error_set(err, ENOMEM, "cannot keep a setting");
}
