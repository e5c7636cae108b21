/* SPDX-License-Identifier: MIT */
#include "cli/facts.h"

#include "base/text.h"
#include "cli/output.h"
#include "os/privilege.h"
#include "os/process.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_COLUMN 6
#define TEXT_COLUMN 25

static const char *const marks[] = {
	[FACT_OK] = "ok", [FACT_NOTE] = "note", [FACT_WARN] = "warn", [FACT_BAD] = "bad"};

static const char *const colours[] = {[FACT_OK] = "\033[32m",
	[FACT_NOTE] = "\033[36m",
	[FACT_WARN] = "\033[33m",
	[FACT_BAD] = "\033[31m"};

void facts_add(struct facts *f, enum fact_mark mark, const char *name, const char *does,
	const char *format, ...)
{
	struct fact *fact = &f->list[f->count];
	char raw[sizeof(fact->found)];
	va_list args;

	assert(f->count < FACTS_MAX);
	*fact = (struct fact){.name = name, .mark = mark, .does = does};
	va_start(args, format);
	(void)vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	/* paths and variables are whatever somebody made them */
	(void)text_escape(fact->found, sizeof(fact->found), raw, strlen(raw));
	f->count++;
}

void facts_held(struct facts *f, enum fact_mark mark, int capability, const char *name,
	const char *with, const char *without)
{
	bool held = privilege_has(capability);

	facts_add(f, held ? FACT_OK : mark, name, held ? with : without, "%s",
		held ? "held" : "not held");
}

bool facts_bad(const struct facts *f)
{
	for (size_t i = 0; i < f->count; i++)
		if (f->list[i].mark == FACT_BAD)
			return true;
	return false;
}

static void put_fact(struct buffer *out, const struct fact *fact, size_t width, bool colour)
{
	char text[sizeof(fact->found) + 240];

	(void)buffer_printf(out, "%s%s%s%*s%-*s", colour ? colours[fact->mark] : "",
		marks[fact->mark], colour ? "\033[0m" : "",
		NAME_COLUMN - (int)strlen(marks[fact->mark]), "", TEXT_COLUMN - NAME_COLUMN,
		fact->name);
	(void)snprintf(text, sizeof(text), "%s%s%s", fact->found, fact->does[0] != '\0' ? "; " : "",
		fact->does);
	output_fill(out, text, TEXT_COLUMN, TEXT_COLUMN, width);
}

void facts_format(const struct facts *f, size_t n, struct buffer *out, size_t width, bool colour)
{
	for (size_t i = n; i < f->count; i++)
		put_fact(out, &f->list[i], width, colour);
}

void facts_put(const struct facts *f, struct json_writer *w)
{
	json_key(w, "facts");
	json_open_array(w);
	for (size_t i = 0; i < f->count; i++) {
		json_open_object(w);
		json_put_text(w, "name", f->list[i].name);
		json_put_text(w, "mark", marks[f->list[i].mark]);
		json_put_text(w, "found", f->list[i].found);
		json_put_text(w, "does", f->list[i].does);
		json_close_object(w);
	}
	json_close_array(w);
}

void facts_encode(const struct facts *f, struct buffer *out)
{
	struct json_writer w;

	json_begin(&w, out);
	json_open_object(&w);
	json_put_bool(&w, "ok", !facts_bad(f));
	facts_put(f, &w);
	json_close_object(&w);
}

const char *facts_read(const char *path, char *to, size_t size)
{
	(void)process_read_path(path, to, size);
	to[strcspn(to, "\n")] = '\0';
	return to;
}

long facts_number(const char *path, long missing)
{
	char text[32];

	return *facts_read(path, text, sizeof(text)) != '\0' ? strtol(text, NULL, 10) : missing;
}
