/* SPDX-License-Identifier: MIT */
#include "protocol/exposition.h"

#include "base/scope.h"
#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SLOT "slot"
#define EXPORTED "exported_"
#define BLANKS " \t"
#define LABEL_BYTES "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
#define NAME_BYTES LABEL_BYTES ":"

enum kind { HELP, TYPE, SAMPLE }; /* in the order in which they are written */
enum type { UNTYPED, COUNTER, GAUGE, HISTOGRAM, SUMMARY, DISPUTED };
static const char *const types[] = {[UNTYPED] = "untyped",
	[COUNTER] = "counter",
	[GAUGE] = "gauge",
	[HISTOGRAM] = "histogram",
	[SUMMARY] = "summary"};

/* A line of a worker's text, to which the pointers lead. */
struct exposition_line {
	enum kind kind;
	enum type type; /* TYPE */
	uint32_t slot;
	uint32_t order;
	const char *name;
	size_t name_len;
	size_t family;      /* bytes of the name that are its family's */
	const char *labels; /* SAMPLE: they end with a '}' */
	const char *rest;   /* SAMPLE: value and time; HELP: the text */
	size_t rest_len;
};

/* ---- one line; each ends with a newline or a NUL ---- */

static const char *skip_blanks(const char *s)
{
	return s + strspn(s, BLANKS);
}

static size_t word_len(const char *s)
{
	return strcspn(s, BLANKS "\n");
}

static size_t name_len(const char *s, const char *bytes)
{
	return *s >= '0' && *s <= '9' ? 0 : strspn(s, bytes);
}

static bool is_word(const char *s, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(s, word, len) == 0;
}

static bool is_utf8(const char *s, size_t len)
{
	while (len > 0) {
		size_t n = text_utf8(s, len);

		if (n == 0)
			return false;
		s += n;
		len -= n;
	}
	return true;
}

struct label {
	const char *name;
	size_t len;
	const char *value; /* the text between the quotes */
	size_t value_len;
};

/* The next label, with the comma behind it.  False: *at is the '}' behind the last one, or
 * NULL: the labels are malformed. */
static bool next_label(const char **at, struct label *l)
{
	const char *s = skip_blanks(*at);

	*at = *s == '}' ? s : NULL;
	*l = (struct label){.name = s, .len = name_len(s, LABEL_BYTES)};
	s = skip_blanks(s + l->len);
	if (*at != NULL || l->len == 0 || *s != '=')
		return false;
	s = skip_blanks(s + 1);
	if (*s != '"')
		return false;
	for (l->value = ++s; *s != '"'; s++)
		if (*s == '\0' || *s == '\n' ||
			(*s == '\\' && *++s != '\\' && *s != '"' && *s != 'n'))
			return false;
	l->value_len = (size_t)(s - l->value);
	s = skip_blanks(s + 1);
	if (*s != ',' && *s != '}')
		return false;
	*at = *s == ',' ? s + 1 : s;
	return true;
}

/* The '}' behind the labels; NULL: they are malformed. */
static const char *skip_labels(const char *at)
{
	struct label l;

	while (next_label(&at, &l))
		continue;
	return at;
}

static bool is_number(const char *s, size_t len)
{
	char *end;

	(void)strtod(s, &end);
	return len > 0 && end == s + len;
}

static bool parse_sample(const char *s, struct exposition_line *line)
{
	size_t len = name_len(s, NAME_BYTES);
	const char *behind = s + len;

	line->kind = SAMPLE;
	line->name = s;
	line->name_len = len;
	line->labels = "}";
	s = skip_blanks(behind);
	if (len > 0 && *s == '{') {
		line->labels = s + 1;
		s = skip_labels(s + 1);
		if (s == NULL)
			return false;
		s = skip_blanks(s + 1);
	}
	line->rest = s;
	len = word_len(s);
	if (s == behind || !is_number(s, len))
		return false;
	line->rest_len = len;
	s = skip_blanks(s + len);
	len = word_len(s);
	if (len > 0)
		line->rest_len = (size_t)(s + len - line->rest);
	if (len > 0 && !is_number(s, len))
		return false;
	s = skip_blanks(s + len);
	return *s == '\n' || *s == '\0';
}

static enum type type_of(const char *s)
{
	for (size_t i = 0; i < COUNT_OF(types); i++)
		if (is_word(s, word_len(s), types[i]))
			return (enum type)i;
	return UNTYPED; /* OpenMetrics has further types */
}

/* 1: a line that counts; 0: another comment; -1: malformed. */
static int parse_comment(const char *s, struct exposition_line *line)
{
	size_t len;

	s = skip_blanks(s + 1);
	len = word_len(s);
	if (!is_word(s, len, "HELP") && !is_word(s, len, "TYPE"))
		return 0;
	line->kind = *s == 'H' ? HELP : TYPE;
	line->name = s = skip_blanks(s + len);
	line->name_len = name_len(s, NAME_BYTES);
	if (line->name_len == 0 || line->name_len != word_len(s))
		return -1;
	line->rest = s = skip_blanks(s + line->name_len);
	line->rest_len = strcspn(s, "\n");
	line->type = type_of(s);
	return 1;
}

static int parse_line(const char *s, size_t len, struct exposition_line *line)
{
	const char *text = skip_blanks(s);
	int got = 0;

	if (*text == '#')
		got = parse_comment(text, line);
	else if (text < s + len)
		got = parse_sample(text, line) ? 1 : -1;
	return got == 1 && !is_utf8(s, len) ? -1 : got;
}

/* ---- a worker's text ---- */

static struct exposition_line *make_room(struct exposition *e, size_t most)
{
	size_t room = e->room > 0 ? 2 * e->room : 256;
	struct exposition_line *lines;

	if (e->count >= most)
		return NULL;
	if (e->count < e->room)
		return &e->lines[e->count];
	lines = realloc(e->lines, room * sizeof(*lines));
	if (lines == NULL)
		return NULL;
	e->lines = lines;
	e->room = room;
	return &lines[e->count];
}

int exposition_add(
	struct exposition *e, uint32_t slot, const char *text, size_t len, struct error *err)
{
	const char *end = text + len;
	size_t before = e->count;
	size_t most = before + e->share;
	int got = 0;

	for (unsigned number = 1; text < end; number++) {
		size_t line = strcspn(text, "\n");
		struct exposition_line *to = make_room(e, most);

		if (to != NULL) {
			*to = (struct exposition_line){.slot = slot, .order = (uint32_t)e->count};
			/* a NUL before the end is malformed, too */
			got = text[line] == '\0' && text + line < end ? -1
								      : parse_line(text, line, to);
		}
		if (to == NULL || got == -1) {
			e->count = before;
			return to == NULL
				? error_set(err, 0, "it has over %zu lines, its share of %u",
					  most - before, EXPOSITION_LINES_MAX)
				: error_set(
					  err, 0, "line %u is not Prometheus' text format", number);
		}
		e->count +=
			got == 1 && strncmp(to->name, EXPOSITION_OWN, strlen(EXPOSITION_OWN)) != 0;
		text += line + 1;
	}
	return 0;
}

/* ---- families ---- */

static int by_family(const void *one, const void *other)
{
	const struct exposition_line *a = one;
	const struct exposition_line *b = other;
	int got = memcmp(a->name, b->name, a->family < b->family ? a->family : b->family);

	return got != 0 ? got : (a->family > b->family) - (a->family < b->family);
}

static int by_place(const void *one, const void *other)
{
	const struct exposition_line *a = one;
	const struct exposition_line *b = other;
	int got = by_family(a, b);

	if (got == 0)
		got = (int)a->kind - (int)b->kind;
	return got != 0 ? got : (a->order > b->order) - (a->order < b->order);
}

/* Collect the types by name; a type that workers do not agree about is DISPUTED.
 * Returns how many. */
static size_t collect_types(const struct exposition *e, struct exposition_line *into)
{
	size_t count = 0;
	size_t kept = 0;

	for (size_t i = 0; i < e->count; i++)
		if (e->lines[i].kind == TYPE) {
			into[count] = e->lines[i];
			into[count].family = into[count].name_len;
			count++;
		}
	qsort(into, count, sizeof(*into), by_place);
	for (size_t i = 0; i < count; i++) {
		if (kept == 0 || by_family(&into[kept - 1], &into[i]) != 0)
			into[kept++] = into[i];
		else if (into[kept - 1].type != into[i].type)
			into[kept - 1].type = DISPUTED;
	}
	return kept;
}

static enum type find_type(
	const struct exposition_line *known, size_t count, const char *name, size_t len)
{
	const struct exposition_line key = {.name = name, .family = len};
	const struct exposition_line *found = bsearch(&key, known, count, sizeof(key), by_family);

	return found != NULL ? found->type : DISPUTED;
}

/* "x_sum" belongs to "x", if that is a histogram or a summary. */
static size_t family_of(
	const struct exposition_line *known, size_t count, const struct exposition_line *line)
{
	static const char *const suffixes[] = {"_sum", "_count", "_bucket"};

	for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
		size_t len = strlen(suffixes[i]);
		size_t rest = line->name_len - len;
		enum type type;

		if (line->name_len <= len || memcmp(line->name + rest, suffixes[i], len) != 0)
			continue;
		type = find_type(known, count, line->name, rest);
		if (type == HISTOGRAM || (type == SUMMARY && i < 2))
			return rest;
	}
	return line->name_len;
}

/* ---- writing ---- */

/* "slot", "exported_slot": is it one of those that get one more "exported_" before them? */
static bool is_slot(struct label l)
{
	while (strncmp(l.name, EXPORTED, strlen(EXPORTED)) == 0) {
		l.name += strlen(EXPORTED);
		l.len -= strlen(EXPORTED);
	}
	return is_word(l.name, l.len, SLOT);
}

static void put_sample(struct buffer *out, const struct exposition_line *line)
{
	const char *at = line->labels;
	struct label l;

	buffer_append(out, line->name, line->name_len);
	buffer_string(out, "{" SLOT "=\"");
	buffer_number(out, line->slot, 10);
	buffer_string(out, "\"");
	while (next_label(&at, &l)) {
		buffer_string(out, is_slot(l) ? "," EXPORTED : ",");
		buffer_append(out, l.name, l.len);
		buffer_string(out, "=\"");
		buffer_append(out, l.value, l.value_len);
		buffer_string(out, "\"");
	}
	buffer_string(out, "} ");
	buffer_append(out, line->rest, line->rest_len);
	buffer_string(out, "\n");
}

void exposition_write(struct exposition *e, struct buffer *out)
{
	struct exposition_line *known = calloc(e->count + 1, sizeof(*known));
	const struct exposition_line *written[SAMPLE] = {NULL};
	size_t count;

	if (known == NULL) {
		out->failed = true;
		return;
	}
	count = collect_types(e, known);
	for (size_t i = 0; i < e->count; i++)
		e->lines[i].family = family_of(known, count, &e->lines[i]);
	if (e->count > 0)
		qsort(e->lines, e->count, sizeof(*e->lines), by_place);
	for (size_t i = 0; i < e->count; i++) {
		const struct exposition_line *line = &e->lines[i];
		enum type type;

		if (line->kind == SAMPLE) {
			put_sample(out, line);
			continue;
		}
		if (line->family < line->name_len ||
			(written[line->kind] != NULL && by_family(written[line->kind], line) == 0))
			continue;
		written[line->kind] = line;
		type = find_type(known, count, line->name, line->name_len);
		if (line->kind == HELP)
			buffer_printf(out, "# HELP %.*s %.*s\n", (int)line->name_len, line->name,
				(int)line->rest_len, line->rest);
		else if (type != DISPUTED)
			buffer_printf(out, "# TYPE %.*s %s\n", (int)line->name_len, line->name,
				types[type]);
	}
	free(known);
}

void exposition_init(struct exposition *e, size_t texts)
{
	*e = (struct exposition){.share = EXPOSITION_LINES_MAX / (texts > 0 ? texts : 1)};
}

void exposition_fini(struct exposition *e)
{
	free(e->lines);
	*e = (struct exposition){.lines = NULL};
}
