/* SPDX-License-Identifier: MIT */
#include "describe.h"

#include "base/scope.h"
#include "cli/verb.h"
#include "cli/wrap.h"
#include "config/config.h"
#include "config/option.h"
#include "protocol/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_LENGTH 78

/* The lists of options, verbs and events in the manual pages, as mdoc(7), and the sample file. */

static void put_option(struct buffer *out, const struct option_row *row)
{
	(void)buffer_string(out, ".It ");
	if (row->letter != 0) {
		(void)buffer_printf(out, "Fl %c", row->letter);
		if (row->argument != NULL)
			(void)buffer_printf(out, " Ar %s", row->argument);
		(void)buffer_string(out, " , ");
	}
	(void)buffer_printf(out, "Fl -%s", row->name);
	if (row->argument != NULL)
		(void)buffer_printf(out, " Ar %s", row->argument);
	(void)buffer_string(out, "\n");
}

/* Those that only a command line has, and the common ones, in a few words; all
 * others are in the list of keys. */
int describe_mdoc_options(struct buffer *out)
{
	(void)buffer_string(out, ".Bl -tag -width Ds\n");
	for (size_t i = 0; i < option_count; i++) {
		const struct option_row *row = &option_rows[i];

		if (row->section != NULL && !row->common)
			continue;
		put_option(out, row);
		describe_text(out, "OPTION", row->name);
	}
	return buffer_string(out, ".El\n");
}

/* ---- the verbs ---- */

static void put_verb_option(struct buffer *out, const struct verb_option_row *row)
{
	(void)buffer_string(out, " Oo ");
	if (row->letter != 0)
		(void)buffer_printf(out, "Fl %c | ", row->letter);
	(void)buffer_printf(out, "Fl \\-%s", row->name);
	if (row->argument != NULL)
		(void)buffer_printf(out, " Ar %s", row->argument);
	(void)buffer_string(out, " Oc");
}

static void put_words_mdoc(struct buffer *out, enum verb_words words)
{
	static const char *const texts[] = {[WORDS_NONE] = "",
		[WORDS_TARGET] = " Oo Ar TARGET Oc",
		[WORDS_COUNT] = " Oo Ar TARGET Oc Ar N | +N | \\-N",
		[WORDS_SIGNAL] = " Oo Ar TARGET Oc Ar SIGNAL",
		[WORDS_MESSAGE] = " Oo Ar TARGET Oc Ar JSON",
		[WORDS_VERB] = " Oo Ar VERB Oc",
		[WORDS_COMMAND] = " Oo Fl \\- Oc Ar COMMAND Oo Ar ARG ... Oc",
		[WORDS_RESTART] = " Oo Ar TARGET Oc",
		[WORDS_TRIAL] = " Oo Fl \\- Ar COMMAND Oo Ar ARG ... Oc Oc"};

	(void)buffer_string(out, texts[words]);
}

/* roff reads '-' as a hyphen; each sentence begins a line, so that the
 * spacing behind the one before is right. */
static void put_text_mdoc(struct buffer *out, const char *text)
{
	struct buffer sentence;
	struct wrap lines;
	const char *whole;

	buffer_init(&sentence, 0);
	wrap_init(&lines, out, LINE_MAX_LENGTH, false);
	for (; *text != '\0'; text++) {
		if (*text == '-')
			(void)buffer_string(&sentence, "\\-");
		else
			(void)buffer_append(&sentence, text, 1);
		if (text[0] != '.' || (text[1] != ' ' && text[1] != '\0'))
			continue;
		whole = buffer_text(&sentence);
		if (whole == NULL)
			break;
		wrap_put(&lines, PLAIN, whole);
		wrap_end(&lines, 0);
		buffer_clear(&sentence);
		text += text[1] == ' ';
	}
	out->failed |= sentence.failed;
	wrap_fini(&lines);
	buffer_fini(&sentence);
}

/* The verbs stand in the table in groups; this is the first of each. */
static const struct group {
	const char *first;
	const char *title;
} groups[] = {
	{"status", "Look"},
	{"start", "Change"},
	{"stop", "Stop"},
	{"doctor", "Tools"},
};

/* Before a verb that begins a group: the end of the list before, and its title. */
static void put_group(
	struct buffer *out, const struct verb *v, const char *before, const char *after)
{
	for (size_t i = 0; i < COUNT_OF(groups); i++)
		if (strcmp(v->name, groups[i].first) == 0)
			(void)buffer_printf(out, "%s%s %s\n%s", v == verbs ? "" : ".El\n", before,
				groups[i].title, after);
}

int describe_mdoc_glance(struct buffer *out)
{
	for (const struct verb *v = verbs; v->name != NULL; v++) {
		put_group(out, v, ".Pp\n.Em",
			".Bl -column -compact -offset indent undrain \"take this host out of "
			"service\"\n");
		(void)buffer_printf(out, ".It %s Ta %s\n", v->name, v->help);
	}
	return buffer_string(out, ".El\n");
}

int describe_mdoc_verbs(struct buffer *out)
{
	for (const struct verb *v = verbs; v->name != NULL; v++) {
		put_group(out, v, ".Ss", ".Bl -tag -width Ds\n");
		(void)buffer_printf(out, ".It Cm %s", v->name);
		/* a command is the last there is, options go before it */
		if (v->words != WORDS_TRIAL)
			put_words_mdoc(out, v->words);
		for (size_t i = 0; verb_option_row(i) != NULL; i++)
			if ((v->options & verb_option_row(i)->option &
				    ~(unsigned)(OPTION_HELP | OPTION_RUNTIME)) != 0)
				put_verb_option(out, verb_option_row(i));
		if (v->words == WORDS_TRIAL || v->words == WORDS_RESTART)
			put_words_mdoc(out, WORDS_TRIAL);
		(void)buffer_append(out, "\n", 1);
		put_text_mdoc(out, v->manual);
	}
	return buffer_string(out, ".El\n");
}

/* ---- the events ---- */

int describe_mdoc_events(struct buffer *out)
{
	size_t column = LINE_MAX_LENGTH;

	for (size_t i = 0; i < event_kind_count; i++) {
		size_t len = strlen(event_kinds[i]) + 3;

		if (column + len > LINE_MAX_LENGTH) {
			(void)buffer_string(out, i > 0 ? "\n.Li" : ".Li");
			column = 3;
		}
		(void)buffer_printf(
			out, " %s %s", event_kinds[i], i + 1 < event_kind_count ? "," : ".");
		column += len;
	}
	return buffer_string(out, "\n");
}

/* ---- the sample file ---- */

/* ";key = value" is a setting, "# text" a remark: take the ';' away and the
 * file still can be read. */
static void put_sample(struct buffer *out, const struct option_row *row)
{
	const char *value = row->fallback != NULL ? row->fallback : row->example;

	(void)buffer_printf(out, "\n# %s", row->help);
	if (row->fallback == NULL && row->unset != NULL)
		(void)buffer_printf(out, " (default: %s; example:)", row->unset);
	(void)buffer_printf(out, "\n;%s = %s\n", option_key(row, 0), value);
}

static void put_samples(struct buffer *out, enum option_group group)
{
	const struct option_row *row = NULL;

	if (group != GROUP_INSTANCE)
		(void)buffer_printf(out, "\n# ---- %s ----\n", describe_group(group));
	while ((row = option_next(NULL, row)) != NULL)
		if (row->group == group && row->type != &type_command &&
			row->type != &type_workers && row->type != &type_listen)
			put_sample(out, row); /* the others are in its beginning */
}

int describe_sample_ini(struct buffer *out)
{
	(void)buffer_string(out,
		"# What nclust runs.  Start it with 'nclust -c FILE', look for "
		"mistakes with\n"
		"# 'nclust config --check -c FILE', apply a change with "
		"'nclust reload'.\n"
		"# Each program has a section.  Relative paths are relative to "
		"this file.\n"
		"\n"
		"[cluster:web]\n"
		"# what every worker runs; quotes as in a shell, but no shell\n"
		"command = ./myserver --quiet\n"
		"# how many workers: 4, auto (one for each CPU), 2x+1, 50%, "
		"2..8\n"
		"workers = auto\n"
		"# the port that they share; not needed if the server opens it "
		"by itself\n"
		"listen = 8000, name=http\n"
		"# More programs: [cluster:api], [cluster:jobs].  Keys for all "
		"of them stand in\n"
		"# [defaults]; 'include = conf.d/*.ini' in [nclust] reads more "
		"files.\n"
		"\n"
		"# All other keys follow, with their defaults or, where it says so, an "
		"example.\n"
		"# Take the ';' away to set one.  More in nclust.ini(5).\n");
	for (enum option_group group = GROUP_NONE + 1; group < GROUP_INSTANCE; group++)
		put_samples(out, group);
	(void)buffer_printf(out, "\n# ---- %s ----\n[nclust]\n", describe_group(GROUP_INSTANCE));
	put_samples(out, GROUP_INSTANCE);
	return out->failed ? -1 : 0;
}
