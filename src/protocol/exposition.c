/* SPDX-License-Identifier: MIT */
#include "protocol/exposition.h"

#include "base/scope.h"
#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LABELS_MAX 64U
#define NUMBER_MAX 64U
#define SLOT "slot"
#define EXPORTED "exported_"

struct span {
	const char *at;
	size_t len;
};

enum kind { HELP, TYPE, SAMPLE }; /* in the order in which they are written */
enum type { UNTYPED, COUNTER, GAUGE, HISTOGRAM, SUMMARY, DISPUTED };
static const char *const types[] = {[UNTYPED] = "untyped",
	[COUNTER] = "counter",
	[GAUGE] = "gauge",
	[HISTOGRAM] = "histogram",
	[SUMMARY] = "summary"};

struct exposition_line {
	enum kind kind;
	enum type type; /* TYPE */
	uint32_t slot;
	uint32_t order;
	struct span name;
	struct span labels; /* SAMPLE: the text between the braces */
	struct span rest;   /* SAMPLE: value and time; HELP: the text */
	size_t family;      /* bytes of the name that are its family's */
};

/* ---- one line ---- */

static void skip_blanks(struct span *s)
{
	while (s->len > 0 && (*s->at == ' ' || *s->at == '\t')) {
		s->at++;
		s->len--;
	}
}

static struct span take_line(struct span *s, size_t len)
{
	struct span taken = {s->at, len};

	s->at += len;
	s->len -= len;
	return taken;
}

static bool is_at(const struct span *s, char c)
{
	return s->len > 0 && *s->at == c;
}

static struct span take_word(struct span *s)
{
	size_t len = 0;

	while (len < s->len && s->at[len] != ' ' && s->at[len] != '\t')
		len++;
	return take_line(s, len);
}

/* The name of a metric, or with `colons` false of a label; empty: none. */
static struct span take_name(struct span *s, bool colons)
{
	size_t len = 0;

	for (; len < s->len; len++) {
		char c = s->at[len];
		bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
			(c == ':' && colons) || (c >= '0' && c <= '9' && len > 0);

		if (!fits)
			break;
	}
	return take_line(s, len);
}

static bool is_same(struct span a, struct span b)
{
	return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

static bool is_word(struct span s, const char *word)
{
	return s.len == strlen(word) && memcmp(s.at, word, s.len) == 0;
}

static bool is_utf8(struct span s)
{
	while (s.len > 0) {
		size_t len = text_utf8(s.at, s.len);

		if (len == 0)
			return false;
		(void)take_line(&s, len);
	}
	return true;
}

struct label {
	struct span name;
	struct span value; /* the text between the quotes */
};

static bool take_value(struct span *s, struct span *value)
{
	size_t len = 0;

	for (; len < s->len && s->at[len] != '"'; len++) {
		if (s->at[len] != '\\')
			continue;
		if (++len == s->len ||
			(s->at[len] != '\\' && s->at[len] != '"' && s->at[len] != 'n'))
			return false;
	}
	if (len >= s->len)
		return false;
	*value = take_line(s, len);
	(void)take_line(s, 1);
	return is_utf8(*value);
}

/* The next label, with the comma behind it.  1; 0: no more; -1: malformed. */
static int next_label(struct span *s, struct label *l)
{
	skip_blanks(s);
	if (s->len == 0 || *s->at == '}')
		return 0;
	l->name = take_name(s, false);
	skip_blanks(s);
	if (l->name.len == 0 || !is_at(s, '='))
		return -1;
	(void)take_line(s, 1);
	skip_blanks(s);
	if (!is_at(s, '"'))
		return -1;
	(void)take_line(s, 1);
	if (!take_value(s, &l->value))
		return -1;
	skip_blanks(s);
	if (is_at(s, ','))
		(void)take_line(s, 1);
	else if (s->len > 0 && *s->at != '}')
		return -1;
	return 1;
}

/* A number as Go's strconv.ParseFloat() takes it, but for hexadecimal ones. */
static bool is_number(struct span s)
{
	char text[NUMBER_MAX];
	char *end;
	double value;

	if (s.len == 0 || s.len >= sizeof(text) || memchr(s.at, '\0', s.len) != NULL)
		return false;
	memcpy(text, s.at, s.len);
	text[s.len] = '\0';
	if (strspn(text, "0123456789+-.eE") != s.len) {
		const char *word = text + (*text == '+' || *text == '-');

		return strcasecmp(text, "NaN") == 0 || strcasecmp(word, "Inf") == 0 ||
			strcasecmp(word, "Infinity") == 0;
	}
	value = strtod(text, &end);
	return *end == '\0' && isfinite(value);
}

static bool is_time(struct span s)
{
	size_t sign = s.len > 0 && *s.at == '-';
	uint64_t ms;

	return s.len > sign &&
		text_number(&ms, s.at + sign, s.len - sign, INT64_MAX) == s.len - sign;
}

/* Are the labels valid: no name twice, none of Prometheus' own, and a number where one is wanted? */
static bool are_labels_well(const struct exposition_line *line)
{
	struct label labels[LABELS_MAX];
	struct span left = line->labels;
	size_t count = 0;

	while (count < LABELS_MAX && next_label(&left, &labels[count]) == 1) {
		const struct label *l = &labels[count++];

		if (is_word(l->name, "__name__") ||
			(is_word(l->name, "le") && line->name.len > 7 &&
				memcmp(line->name.at + line->name.len - 7, "_bucket", 7) == 0 &&
				!is_number(l->value)))
			return false;
		for (size_t i = 0; i + 1 < count; i++)
			if (is_same(labels[i].name, l->name))
				return false;
	}
	return count < LABELS_MAX;
}

static bool parse_labels(struct span *s, struct exposition_line *line)
{
	struct label l;
	int got;

	(void)take_line(s, 1);
	line->labels.at = s->at;
	while ((got = next_label(s, &l)) == 1)
		;
	if (got == -1 || !is_at(s, '}'))
		return false;
	line->labels.len = (size_t)(s->at - line->labels.at);
	(void)take_line(s, 1);
	return are_labels_well(line);
}

static bool parse_sample(struct span s, struct exposition_line *line)
{
	struct span value;
	struct span when;

	line->kind = SAMPLE;
	line->name = take_name(&s, true);
	line->labels = (struct span){s.at, 0};
	skip_blanks(&s);
	if (line->name.len == 0 || (is_at(&s, '{') && !parse_labels(&s, line)))
		return false;
	skip_blanks(&s);
	line->rest = s;
	value = take_word(&s);
	skip_blanks(&s);
	when = take_word(&s);
	line->rest.len = (size_t)((when.len > 0 ? when.at + when.len : value.at + value.len) -
		line->rest.at);
	skip_blanks(&s);
	return value.at > line->name.at + line->name.len && s.len == 0 && is_number(value) &&
		(when.len == 0 || is_time(when));
}

static enum type type_of(struct span word)
{
	for (size_t i = 0; i < COUNT_OF(types); i++)
		if (is_word(word, types[i]))
			return (enum type)i;
	return UNTYPED; /* OpenMetrics has further types */
}

/* 1: a line that counts; 0: another comment; -1: malformed. */
static int parse_comment(struct span s, struct exposition_line *line)
{
	struct span word;

	(void)take_line(&s, 1);
	skip_blanks(&s);
	word = take_word(&s);
	if (!is_word(word, "HELP") && !is_word(word, "TYPE"))
		return 0;
	line->kind = is_word(word, "HELP") ? HELP : TYPE;
	skip_blanks(&s);
	line->name = take_name(&s, true);
	if (line->name.len == 0 || (s.len > 0 && *s.at != ' ' && *s.at != '\t'))
		return -1;
	skip_blanks(&s);
	line->rest = s;
	if (line->kind == TYPE)
		line->type = type_of(take_word(&s));
	return is_utf8(line->rest) ? 1 : -1;
}

static int parse_line(struct span s, struct exposition_line *line)
{
	skip_blanks(&s);
	if (s.len == 0)
		return 0;
	if (*s.at == '#')
		return parse_comment(s, line);
	return parse_sample(s, line) ? 1 : -1;
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

static int add_line(
	struct exposition *e, uint32_t slot, struct span s, const char *reserved, size_t most)
{
	struct exposition_line *line = make_room(e, most);
	int got;

	if (line == NULL)
		return -1;
	*line = (struct exposition_line){.slot = slot, .order = (uint32_t)e->count};
	got = parse_line(s, line);
	if (got == 1 &&
		(reserved == NULL || line->name.len < strlen(reserved) ||
			memcmp(line->name.at, reserved, strlen(reserved)) != 0))
		e->count++;
	return got;
}

int exposition_add(struct exposition *e, uint32_t slot, const char *text, size_t len,
	const char *reserved, struct error *err)
{
	struct span left = {text, len};
	size_t before = e->count;
	size_t most = EXPOSITION_LINES_MAX;
	unsigned number = 1;

	if (e->share > 0 && before + e->share < most)
		most = before + e->share;
	for (; left.len > 0; number++) {
		const char *end = memchr(left.at, '\n', left.len);
		struct span s = take_line(&left, end != NULL ? (size_t)(end - left.at) : left.len);

		if (add_line(e, slot, s, reserved, most) == -1) {
			bool full = e->count >= most;

			e->count = before;
			return full ? error_set(err, 0,
					      "it has over %zu lines, its "
					      "share of %u",
					      most - before, EXPOSITION_LINES_MAX)
				    : error_set(err, 0,
					      "line %u is not Prometheus' text "
					      "format",
					      number);
		}
		if (end != NULL)
			(void)take_line(&left, 1);
	}
	return 0;
}

/* ---- families ---- */

static int compare_names(struct span a, struct span b)
{
	int got = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);

	return got != 0 ? got : (a.len > b.len) - (a.len < b.len);
}

static int compare_lines(const void *one, const void *other)
{
	const struct exposition_line *a = one;
	const struct exposition_line *b = other;
	int got = compare_names(
		(struct span){a->name.at, a->family}, (struct span){b->name.at, b->family});

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
			into[count].family = into[count].name.len;
			count++;
		}
	qsort(into, count, sizeof(*into), compare_lines);
	for (size_t i = 0; i < count; i++) {
		if (kept == 0 || !is_same(into[kept - 1].name, into[i].name))
			into[kept++] = into[i];
		else if (into[kept - 1].type != into[i].type)
			into[kept - 1].type = DISPUTED;
	}
	return kept;
}

static enum type find_type(const struct exposition_line *known, size_t count, struct span name)
{
	size_t low = 0;

	while (count > 0) {
		size_t half = count / 2;
		int got = compare_names(known[low + half].name, name);

		if (got == 0)
			return known[low + half].type;
		if (got < 0) {
			low += half + 1;
			count -= half + 1;
		} else {
			count = half;
		}
	}
	return DISPUTED;
}

/* "x_sum" belongs to "x", if that is a histogram or a summary. */
static size_t family_of(const struct exposition_line *known, size_t count, struct span name)
{
	static const char *const suffixes[] = {"_sum", "_count", "_bucket"};

	for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
		size_t len = strlen(suffixes[i]);
		enum type type;

		if (name.len <= len || memcmp(name.at + name.len - len, suffixes[i], len) != 0)
			continue;
		type = find_type(known, count, (struct span){name.at, name.len - len});
		if (type == HISTOGRAM || (type == SUMMARY && i < 2))
			return name.len - len;
	}
	return name.len;
}

/* ---- writing ---- */

static bool has_label(struct span labels, struct span name, unsigned exported)
{
	size_t ahead = exported * strlen(EXPORTED);
	struct label l;

	while (next_label(&labels, &l) == 1)
		if (l.name.len == ahead + name.len &&
			memcmp(l.name.at + ahead, name.at, name.len) == 0 &&
			(exported == 0 || memcmp(l.name.at, EXPORTED, strlen(EXPORTED)) == 0))
			return true;
	return false;
}

static void put_span(struct buffer *out, struct span s)
{
	buffer_append(out, s.at, s.len);
}

static void put_label(struct buffer *out, const struct exposition_line *line, const struct label *l)
{
	unsigned exported = is_word(l->name, SLOT);

	buffer_string(out, ",");
	while (exported > 0 && has_label(line->labels, l->name, exported))
		exported++;
	while (exported-- > 0)
		buffer_string(out, EXPORTED);
	put_span(out, l->name);
	buffer_string(out, "=\"");
	put_span(out, l->value);
	buffer_string(out, "\"");
}

static void put_sample(struct buffer *out, const struct exposition_line *line)
{
	struct span left = line->labels;
	struct label l;

	put_span(out, line->name);
	buffer_string(out, "{" SLOT "=\"");
	buffer_number(out, line->slot, 10);
	buffer_string(out, "\"");
	while (next_label(&left, &l) == 1)
		put_label(out, line, &l);
	buffer_string(out, "} ");
	put_span(out, line->rest);
	buffer_string(out, "\n");
}

/* HELP of this format needs backslashes escaped. */
static void put_help(struct buffer *out, const struct exposition_line *line)
{
	struct span s = line->rest;

	buffer_string(out, "# HELP ");
	put_span(out, line->name);
	buffer_string(out, " ");
	while (s.len > 0) {
		bool escapes = *s.at == '\\' && s.len > 1 && (s.at[1] == '\\' || s.at[1] == 'n');

		if (*s.at == '\\' && !escapes)
			buffer_string(out, "\\");
		put_span(out, take_line(&s, escapes ? 2 : 1));
	}
	buffer_string(out, "\n");
}

static void put_type(struct buffer *out, struct span name, enum type type)
{
	if (type == DISPUTED)
		return;
	buffer_string(out, "# TYPE ");
	put_span(out, name);
	buffer_printf(out, " %s\n", types[type]);
}

void exposition_write(struct exposition *e, struct buffer *out)
{
	struct exposition_line *known = calloc(e->count + 1, sizeof(*known));
	struct span written[SAMPLE] = {{"", 0}, {"", 0}};
	size_t count;

	if (known == NULL) {
		out->failed = true;
		return;
	}
	count = collect_types(e, known);
	for (size_t i = 0; i < e->count; i++)
		e->lines[i].family = family_of(known, count, e->lines[i].name);
	if (e->count > 0)
		qsort(e->lines, e->count, sizeof(*e->lines), compare_lines);
	for (size_t i = 0; i < e->count; i++) {
		const struct exposition_line *line = &e->lines[i];

		if (line->kind == SAMPLE) {
			put_sample(out, line);
			continue;
		}
		if (line->family < line->name.len || is_same(written[line->kind], line->name))
			continue;
		written[line->kind] = line->name;
		if (line->kind == HELP)
			put_help(out, line);
		else
			put_type(out, line->name, find_type(known, count, line->name));
	}
	free(known);
}

void exposition_init(struct exposition *e)
{
	*e = (struct exposition){.lines = NULL};
}

void exposition_fini(struct exposition *e)
{
	free(e->lines);
	exposition_init(e);
}
