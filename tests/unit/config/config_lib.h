/* SPDX-License-Identifier: MIT */
#pragma once

#include "../unit.h"
#include "config/argv.h"
#include "config/check.h"
#include "config/config.h"
#include "config/describe.h"
#include "config/inifile.h"
#include "config/option.h"
#include "config/origin.h"

#include <stdarg.h>
#include <stdio.h>

/*
 * What the tests of config/ share: read a text as if it were shop.ini, or a
 * command line, and look at the faults.
 */
struct reading {
	struct settings *s; /* NULL if there were faults on a command line */
	struct faults faults;
};

static inline struct reading read_bytes(const char *text, size_t len)
{
	struct reading r = {.s = settings_new()};
	char *data = malloc(len + 1);

	ck_assert_ptr_nonnull(r.s);
	ck_assert_ptr_nonnull(data);
	memcpy(data, text, len);
	r.s->config_file = strdup("/etc/shop.ini");
	r.s->origins->file = strdup("shop.ini");
	inifile_parse(r.s, "shop.ini", data, len, &r.faults);
	settings_check(r.s, &r.faults);
	free(data);
	return r;
}

static inline struct reading read_text(const char *text)
{
	return read_bytes(text, strlen(text));
}

__attribute__((format(printf, 1, 2))) static inline struct reading read_format(
	const char *format, ...)
{
	char text[4000];
	va_list args;

	va_start(args, format);
	ck_assert_int_lt(vsnprintf(text, sizeof(text), format, args), (int)sizeof(text));
	va_end(args);
	return read_text(text);
}

/* A command line behind "nclust"; the last argument is NULL. */
static inline struct reading read_argv(const char *first, ...)
{
	static const char *const verbs[] = {"status", "restart", "stop", "help", NULL};
	struct reading r = {0};
	struct invocation inv;
	char *argv[40] = {(char[]){"nclust"}};
	int argc = 1;
	va_list args;

	va_start(args, first);
	for (const char *a = first; a != NULL; a = va_arg(args, char *))
		argv[argc++] = strdup(a);
	va_end(args);
	r.faults = (struct faults){0};
	if (config_read(&inv, argc, argv, verbs, &r.faults) == 0) {
		ck_assert_int_eq(inv.kind, INVOKE_RUN);
		r.s = inv.settings;
	}
	while (argc > 1)
		free(argv[--argc]);
	return r;
}

static inline const char *faults_of(struct reading *r)
{
	return buffer_text(&r->faults.text);
}

static inline void forget(struct reading *r)
{
	settings_free(r->s);
	faults_fini(&r->faults);
}

/* As the file that they would be; the caller frees it. */
static inline char *described(const struct settings *s)
{
	struct buffer out;

	buffer_init(&out, 0);
	ck_assert_int_eq(describe_settings(&out, s, false, true), 0);
	ck_assert_ptr_nonnull(buffer_text(&out));
	return out.data;
}

/* The values of "web.env", as a user would write them, with " | " between several. */
static inline void ck_assert_value(const struct settings *s, const char *name, const char *values)
{
	const char *key = strrchr(name, '.') + 1;
	size_t len = (size_t)(key - name) - 1;
	const struct option_row *row;
	size_t at = INSTANCE;
	struct buffer out;
	char of_family[40];
	int member;

	for (size_t i = 0; i < s->cluster_count; i++)
		if (strncmp(s->clusters[i]->name, name, len) == 0 &&
			s->clusters[i]->name[len] == '\0')
			at = i;
	row = option_find(at == INSTANCE ? "nclust" : "cluster", key, &member);
	ck_assert_msg(row != NULL, "no %s", name);
	buffer_init(&out, 0);
	for (size_t n = 0; n < field_count(row, settings_base(s, at)); n++) {
		const void *base = settings_base(s, at);

		if (strcmp(field_key(row, base, n, of_family), key) != 0)
			continue;
		if (out.len > 0)
			buffer_string(&out, " | ");
		buffer_string(&out, field_at(row, base, n));
	}
	ck_assert_msg(strcmp(out.len > 0 ? buffer_text(&out) : "", values) == 0, "%s: %s", name,
		out.len > 0 ? buffer_text(&out) : "");
	buffer_fini(&out);
}

/* Of what has no faults: "web.env = A=1 | B=2", a line each; frees it. */
static inline void expect_values(struct reading r, const char *lines)
{
	char line[200];

	ck_assert_str_eq(buffer_text(&r.faults.text), "");
	while (*lines != '\0') {
		size_t len = strcspn(lines, "\n");
		char *equals;

		snprintf(line, sizeof(line), "%.*s", (int)len, lines);
		equals = strstr(line, " = ");
		*equals = '\0';
		ck_assert_value(r.s, line, equals + 3);
		lines += len + (lines[len] == '\n');
	}
	settings_free(r.s);
	faults_fini(&r.faults);
}

/* Exactly these faults, each ended by '\n'; "" for none. */
#define ck_assert_faults(reading, expected) ck_assert_str_eq(faults_of(&(reading)), expected)

/* So many faults as these lines, and they begin so. */
static inline void ck_assert_begins(struct reading *r, const char *start)
{
	size_t len = strlen(start);
	size_t lines = start[len - 1] != '\n';

	for (size_t i = 0; i < len; i++)
		lines += start[i] == '\n';
	ck_assert_msg(r->faults.count == lines && strncmp(faults_of(r), start, len) == 0, "%s",
		faults_of(r));
}

static inline void expect_faults(const char *text, const char *faults)
{
	struct reading r = read_text(text);

	ck_assert_faults(r, faults);
	forget(&r);
}
