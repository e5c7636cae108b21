/* SPDX-License-Identifier: MIT */
#include "config/option.h"

#include "config/value.h"

#include <stdio.h>
#include <string.h>

/* `workers`: a number, one computed from the number of CPUs, or a range of these. */

#define FACTOR_MOST 1000U

/* Parse the factor or divisor of the CPUs: returns the text behind it, or NULL. */
static const char *parse_factor(struct workers_count *c, const char *text)
{
	uint64_t n;
	size_t len;

	*c = (struct workers_count){.multiply = 1, .divide = 1};
	if (strncmp(text, "auto", 4) == 0) {
		text += 4;
		if (*text != '*' && *text != '/')
			return text;
		len = value_number(&n, text + 1, FACTOR_MOST);
		if (len == 0 || n == 0)
			return NULL;
		*(*text == '*' ? &c->multiply : &c->divide) = (unsigned)n;
		return text + 1 + len;
	}
	len = value_number(&n, text, 100U * FACTOR_MOST);
	if (len == 0 || n == 0)
		return NULL;
	c->multiply = (unsigned)n;
	if (text[len] == '%')
		c->divide = 100;
	else if (text[len] != 'x' || n > FACTOR_MOST)
		return NULL;
	return text + len + 1;
}

static bool parse_count(struct workers_count *c, const char *text)
{
	uint64_t n;

	if (value_digits(&n, text, 1, WORKERS_MAX)) {
		*c = (struct workers_count){.fixed = (unsigned)n};
		return true;
	}
	text = parse_factor(c, text);
	if (text == NULL || *text == '\0')
		return text != NULL;
	if ((*text != '+' && *text != '-') || !value_digits(&n, text + 1, 1, WORKERS_MAX))
		return false;
	c->plus = *text == '+' ? (int)n : -(int)n;
	return true;
}

/* Is MIN more than MAX, whatever the number of CPUs? */
static bool is_never(const struct workers_wanted *w)
{
	for (unsigned cpus = 1; cpus <= 1024; cpus++)
		if (workers_count(&w->least, cpus) <= workers_count(&w->most, cpus))
			return false;
	return true;
}

static int parse_range(
	struct workers_wanted *w, const char *text, const char *dots, struct error *err)
{
	char least[64];

	w->range = true;
	snprintf(least, sizeof(least), "%.*s", (int)(dots - text < 60 ? dots - text : 60), text);
	if ((strcmp(least, "0") != 0 && !parse_count(&w->least, least)) ||
		!parse_count(&w->most, dots + 2))
		return value_wanted(err, text, "a range such as '2..8', '0..4' or 'auto..2x'");
	if (strcmp(least, "0") != 0 && is_never(w))
		return value_wanted(
			err, text, "a range whose first number is not above the second");
	return 0;
}

static void put_count(struct buffer *out, const struct workers_count *c)
{
	if (c->fixed > 0)
		buffer_printf(out, "%u", c->fixed);
	else if (c->divide == 100)
		buffer_printf(out, "%u%%", c->multiply);
	else if (c->divide > 1)
		buffer_printf(out, "auto/%u", c->divide);
	else if (c->multiply > 1)
		buffer_printf(out, "%ux", c->multiply);
	else
		buffer_string(out, c->multiply > 0 ? "auto" : "0");
	if (c->plus != 0)
		buffer_printf(out, "%+d", c->plus);
}

static int parse_workers(const struct field *f, const char *text, struct error *err)
{
	struct workers_wanted w = {.range = false};
	const char *dots = strstr(text, "..");

	if (dots != NULL) {
		if (parse_range(&w, text, dots, err) == -1)
			return -1;
	} else if (parse_count(&w.least, text)) {
		w.most = w.least;
	} else {
		return value_wanted(err, text,
			"a number from 1 to %d, 'auto', 'auto-1', 'auto/2', '2x+1', '50%%' or a "
			"range",
			WORKERS_MAX);
	}
	put_count(f->out, &w.least);
	buffer_string(f->out, w.range ? ".." : "");
	if (w.range)
		put_count(f->out, &w.most);
	*(struct workers_wanted *)f->at = w;
	return 0;
}

const struct option_type type_workers = {parse_workers, NULL};

/* ---- threads ---- */

static int parse_threads(const struct field *f, const char *text, struct error *err)
{
	uint64_t n = THREADS_AUTO;

	if (strcmp(text, "off") == 0 || strcmp(text, "0") == 0)
		n = THREADS_OFF;
	else if (strcmp(text, "auto") != 0 && !value_digits(&n, text, 1, THREADS_MAX))
		return value_wanted(
			err, text, "'off', 'auto' or a whole number from 1 to %u", THREADS_MAX);
	*(unsigned *)f->at = (unsigned)n;
	return n == THREADS_OFF ? buffer_string(f->out, "off") : 0;
}

const struct option_type type_threads = {parse_threads, NULL};
