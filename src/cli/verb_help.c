/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"

#include "base/log.h"
#include "cli/output.h"
#include "cli/verb.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define HELP_WIDTH 78
#define HELP_COLUMN 26

int cli_describe_help(struct buffer *out)
{
	for (const struct verb *v = verbs; v->name != NULL; v++) {
		char usage[64];

		(void)snprintf(usage, sizeof(usage), "%s %s", v->name,
			v->words == WORDS_COMMAND ? "-- COMMAND"
						  : v->words_text);
		(void)buffer_printf(
			out, "  %-*s%s\n", HELP_COLUMN - 2, usage, v->help);
	}
	return out->failed ? -1 : 0;
}

static void put_option(struct buffer *out, const struct verb_option_row *row)
{
	char letter[8] = "";
	char text[64];

	if (row->letter != 0)
		(void)snprintf(letter, sizeof(letter), "-%c, ", row->letter);
	(void)snprintf(text, sizeof(text), "%s--%s%s%s", letter, row->name,
		row->argument != NULL ? " " : "",
		row->argument != NULL ? row->argument : "");
	(void)buffer_printf(
		out, "  %-*s%s\n", HELP_COLUMN - 2, text, row->help);
}

static void put_verb(struct buffer *out, const struct verb *v)
{
	(void)buffer_printf(out, "usage: nclust %s%s%s%s\n\n", v->name,
		v->words == WORDS_COMMAND ? "" : " [OPTION]...",
		*v->words_text != '\0' ? " " : "", v->words_text);
	output_fill(out, v->manual, 0, 0, HELP_WIDTH);
	(void)buffer_append(out, "\n", 1);
	for (size_t i = 0; verb_option_row(i) != NULL; i++)
		if ((v->options & verb_option_row(i)->option) != 0)
			put_option(out, verb_option_row(i));
	if (v->words != WORDS_TARGET && v->words != WORDS_COUNT &&
		v->words != WORDS_SIGNAL && v->words != WORDS_MESSAGE)
		return;
	(void)buffer_string(out,
		"\nTARGET is an instance (shop), a cluster in it (shop/web, or "
		"web where that is\nunique), or a slot (web.2, shop/web.2). "
		"Without one: the instance that runs.\n");
}

static void put_all(struct buffer *out)
{
	(void)buffer_string(out,
		"usage: nclust [OPTION]... -- COMMAND [ARG]...  run one "
		"cluster, in the foreground\n"
		"       nclust [OPTION]... -c FILE              run the "
		"clusters of an INI file\n"
		"       nclust VERB [TARGET] [OPTION]...        talk to a "
		"running nclust\n\n");
	(void)cli_describe_help(out);
	(void)buffer_string(out,
		"\nMore: nclust help VERB, nclust --help (the options of a "
		"run)\n");
}

int verb_help(const struct arguments *a)
{
	const struct verb *v = NULL;
	struct buffer out;

	if (a->topic != NULL) {
		v = verb_find(a->topic);
		if (v == NULL) {
			log_error("help: there is no verb '%s'; try 'nclust "
				  "help'",
				a->topic);
			return EX_USAGE;
		}
	}
	buffer_init(&out, 0);
	if (v != NULL)
		put_verb(&out, v);
	else
		put_all(&out);
	return output_buffer(STDOUT_FILENO, &out, output_write) == 0 ? 0 : 1;
}

int verb_version(const struct arguments *a)
{
	static const char text[] = "nclust " NCLUST_VERSION "\n";
	static const char json[] =
		"{\"name\":\"nclust\",\"version\":\"" NCLUST_VERSION "\"}\n";
	const char *out = arguments_has(a, OPTION_JSON) ? json : text;

	return output_write(STDOUT_FILENO, out, strlen(out)) == 0 ? 0 : 1;
}
