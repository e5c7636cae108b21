/* SPDX-License-Identifier: MIT */
#include "cli/verb_help.h"

#include "base/log.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/verb.h"
#include "cli/wrap.h"
#include "config/describe.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define HELP_WIDTH 78
#define HELP_COLUMN 26
#define HELP_HALF 30 /* columns of each half of a line */

/* Two verbs in a line. */
static void put_verbs(struct buffer *out)
{
	size_t count = 0;
	size_t half;

	while (verbs[count].name != NULL)
		count++;
	half = (count + 1) / 2;
	for (size_t i = 0; i < half; i++) {
		buffer_printf(out, "  %-8s %-*s", verbs[i].name, i + half < count ? HELP_HALF : 0,
			verbs[i].help);
		if (i + half < count)
			buffer_printf(out, "%-8s %s", verbs[i + half].name, verbs[i + half].help);
		buffer_string(out, "\n");
	}
}

int cli_describe_help(struct buffer *out)
{
	(void)describe_help(out);
	buffer_string(out, "\n");
	put_verbs(out);
	return buffer_string(out,
		"\nKeys of nclust.ini(5) are options, too.  "
		"E.g. nclust -n auto -- node server.js\n");
}

static void put_option(struct buffer *out, const struct verb_option_row *row)
{
	char letter[8] = "";
	char text[64];

	if (row->letter != 0)
		snprintf(letter, sizeof(letter), "-%c, ", row->letter);
	snprintf(text, sizeof(text), "%s--%s%s%s", letter, row->name,
		row->argument != NULL ? " " : "", row->argument != NULL ? row->argument : "");
	buffer_printf(out, "  %-*s%s\n", HELP_COLUMN - 2, text, row->help);
}

static void put_verb(struct buffer *out, const struct verb *v)
{
	static const char *const words[] = {
		[WORDS_NONE] = "",
		[WORDS_TARGET] = " [TARGET]",
		[WORDS_COUNT] = " [TARGET] N|+N|-N",
		[WORDS_SIGNAL] = " [TARGET] SIGNAL",
		[WORDS_MESSAGE] = " [TARGET] JSON",
		[WORDS_RESTART] = " [TARGET] [-- COMMAND]",
		[WORDS_VERB] = " [VERB|KEY]",
		[WORDS_TRIAL] = " [-- COMMAND]",
		[WORDS_COMMAND] = " [--] COMMAND [ARG]...",
	};
	struct wrap lines;

	buffer_printf(out, "usage: nclust %s%s%s\n\n", v->name,
		v->words == WORDS_COMMAND ? "" : " [OPTION]...", words[v->words]);
	wrap_init(&lines, out, HELP_WIDTH, false);
	wrap_put(&lines, PLAIN, v->manual);
	wrap_end(&lines, 0);
	wrap_fini(&lines);
	buffer_append(out, "\n", 1);
	for (size_t i = 0; verb_option_row(i) != NULL; i++)
		if ((v->options & verb_option_row(i)->option) != 0)
			put_option(out, verb_option_row(i));
	if (v->words != WORDS_TARGET && v->words != WORDS_COUNT && v->words != WORDS_SIGNAL &&
		v->words != WORDS_MESSAGE)
		return;
	buffer_string(out,
		"\nTARGET is an instance (shop), a cluster in it (shop/web, or "
		"web where that is\nunique), or a slot (web.2, shop/web.2). "
		"Without one: the instance that runs.\n");
}

int verb_help(struct arguments *a)
{
	const struct verb *v = a->target != NULL ? verb_find(a->target) : NULL;
	scoped_buffer out = {0};
	const char *near;

	if (v != NULL)
		put_verb(&out, v);
	else if (a->target == NULL)
		(void)cli_describe_help(&out);
	else if (!describe_option(&out, a->target)) {
		near = text_nearest(a->target, cli_verbs(), SIZE_MAX);
		log_error("help: '%s' is neither a verb nor a key of nclust.ini(5)%s%s%s",
			a->target, near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
			near != NULL ? "'?" : "; try 'nclust help'");
		return EX_USAGE;
	}
	return output_buffer(STDOUT_FILENO, &out, output_write) == 0 ? 0 : 1;
}

int verb_version(struct arguments *a)
{
	static const char text[] = "nclust " NCLUST_VERSION "\n";
	static const char json[] = "{\"name\":\"nclust\",\"version\":\"" NCLUST_VERSION "\"}\n";
	const char *out = arguments_has(a, OPTION_JSON) ? json : text;

	return output_write(STDOUT_FILENO, out, strlen(out)) == 0 ? 0 : 1;
}
