/* SPDX-License-Identifier: MIT */
#include "describe.h"

#include "base/scope.h"
#include "cli/verb.h"
#include "config/config.h"
#include "config/option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The keys of nclust.ini(5) in their groups, and the index of keys and verbs. */

#define TEXTS "man/settings.mdoc"
#define VERBS_MAX 60

const char *describe_group(enum option_group group)
{
	static const char *const titles[] = {
		[GROUP_NONE] = "",
		[GROUP_PROCESSES] = "Processes",
		[GROUP_SOCKETS] = "Sockets",
		[GROUP_READINESS] = "Readiness",
		[GROUP_HEALTH] = "Health",
		[GROUP_RESTARTS] = "Restarts after a failure",
		[GROUP_STOPPING] = "Stopping",
		[GROUP_ROLLOUTS] = "Rollouts",
		[GROUP_ORDER] = "Order",
		[GROUP_LIMITS] = "Limits",
		[GROUP_LOGS] = "Logs",
		[GROUP_EVENTS] = "Signals and events",
		[GROUP_MESSAGES] = "Between workers",
		[GROUP_INSTANCE] = "The instance",
	};

	_Static_assert(COUNT_OF(titles) == OPTION_GROUPS, "a group has no title");
	return titles[group];
}

void describe_text(struct buffer *out, const char *kind, const char *name)
{
	FILE *file = fopen(TEXTS, "re");
	scoped_buffer mark = {0};
	char *line = NULL;
	size_t room = 0;
	bool found = false;
	bool ours = false;

	(void)buffer_printf(&mark, ".\\\" %s %s\n", kind, name);
	while (file != NULL && getline(&line, &room, file) != -1) {
		if (strncmp(line, ".\\\" ", 4) == 0) {
			ours = !mark.failed && strcmp(line, buffer_text(&mark)) == 0;
			found |= ours;
		} else if (ours) {
			(void)buffer_string(out, line);
		}
	}
	free(line);
	if (file != NULL)
		(void)fclose(file);
	if (!found) {
		(void)fprintf(stderr, TEXTS ": nothing of '%s %s'\n", kind, name);
		out->failed = true;
	}
}

/* ---- the keys ---- */

/* What may be written: the words of a choice; else the argument and the words beside it. */
static void put_values(struct buffer *out, const struct option_row *row)
{
	if (row->type == &type_bool) {
		(void)buffer_string(out, "yes | no");
		return;
	}
	if (row->type != &type_choice)
		(void)buffer_string(out, row->argument);
	for (size_t i = 0; row->type == &type_choice && row->choices[i] != NULL; i++)
		(void)buffer_printf(out, "%s%s", i > 0 ? " | " : "", row->choices[i]);
	if (row->automatic)
		(void)buffer_string(out, " | auto");
	if (row->word != NULL)
		(void)buffer_printf(out, " | %s", row->word);
}

/* The key, its values, the letter that nclust.ini(5) explains, and the default. */
static void put_head(struct buffer *out, const struct option_row *row)
{
	static const char letters[] = {[CHANGE_NONE] = '?',
		[CHANGE_LIVE] = 'L',
		[CHANGE_ROLL] = 'R',
		[CHANGE_RESTART] = 'S'};

	(void)buffer_printf(out, ".It Cm %s No = Ar ", row->name);
	put_values(out, row);
	(void)buffer_printf(out, " Bo %c%s Bc ", letters[row->change], row->repeatable ? "+" : "");
	if (row->fallback != NULL)
		(void)buffer_printf(out, "Pq default : Cm %s\n", row->fallback);
	else
		(void)buffer_printf(out, "Pq default : %s\n", row->unset);
}

int describe_mdoc_keys(struct buffer *out)
{
	const struct option_row *row = NULL;

	while ((row = option_next(NULL, row)) != NULL) {
		if (row->section == NULL || row->group != GROUP_NONE)
			continue;
		(void)fprintf(stderr, "src/config/options.c: '%s' is in no group\n", row->name);
		out->failed = true;
	}
	for (enum option_group group = GROUP_NONE + 1; group < OPTION_GROUPS; group++) {
		(void)buffer_printf(out, ".Ss %s\n", describe_group(group));
		describe_text(out, "GROUP", describe_group(group));
		(void)buffer_string(out, ".Bl -tag -width Ds\n");
		while ((row = option_next(NULL, row)) != NULL) {
			if (row->group != group)
				continue;
			put_head(out, row);
			describe_text(out, "SETTING", row->name);
		}
		(void)buffer_string(out, ".El\n");
	}
	return out->failed ? -1 : 0;
}

/* ---- the index ---- */

/* Each page of nclust's that a text refers to, as "nclust-NAME 7" or "nclust-NAME(7)". */
static void put_pages(struct buffer *out, const char *text)
{
	const char *at = text;

	while ((at = strstr(at, "nclust-")) != NULL) {
		size_t len = strspn(at, "abcdefghijklmnopqrstuvwxyz-");
		char page[40];

		(void)snprintf(page, sizeof(page), "%.*s", (int)len + 2, at);
		if ((strcmp(page + len, " 7") == 0 || strcmp(page + len, "(7") == 0) &&
			strstr(text, page) == at)
			(void)buffer_printf(out, " ,\n.Xr %.*s 7", (int)len, at);
		at += len;
	}
	(void)buffer_string(out, "\n");
}

static int by_key(const void *a, const void *b)
{
	const struct option_row *const *one = a;
	const struct option_row *const *other = b;

	return strcmp((*one)->name, (*other)->name);
}

static void put_index_of_keys(struct buffer *out)
{
	const struct option_row *rows[OPTIONS_MAX];
	const struct option_row *row = NULL;
	size_t count = 0;

	while ((row = option_next(NULL, row)) != NULL)
		if (row->section != NULL)
			rows[count++] = row;
	qsort(rows, count, sizeof(rows[0]), by_key);
	for (size_t i = 0; i < count; i++) {
		scoped_buffer text = {0};

		describe_text(&text, "SETTING", rows[i]->name);
		out->failed |= text.failed;
		(void)buffer_printf(out, ".It Cm %s\n%s.\n.Em %s", rows[i]->name, rows[i]->help,
			describe_group(rows[i]->group));
		if (!out->failed)
			put_pages(out, buffer_text(&text));
	}
}

/* The verbs that take the option. */
static void put_index_of_option(struct buffer *out, const struct verb_option_row *row)
{
	const char *before = ".\n.Ic";

	(void)buffer_string(out, ".It ");
	if (row->letter != 0)
		(void)buffer_printf(out, "Fl %c , ", row->letter);
	(void)buffer_printf(out, "Fl \\-%s\n%s", row->name, row->help);
	for (const struct verb *v = verbs; v->name != NULL; v++) {
		if ((v->options & row->option) == 0)
			continue;
		(void)buffer_printf(out, "%s %s", before, v->name);
		before = " ,";
	}
	(void)buffer_string(out, "\n");
}

static int by_verb(const void *a, const void *b)
{
	const struct verb *const *one = a;
	const struct verb *const *other = b;

	return strcmp((*one)->name, (*other)->name);
}

static void put_index_of_verbs(struct buffer *out)
{
	const struct verb *rows[VERBS_MAX];
	size_t count = 0;

	for (const struct verb *v = verbs; v->name != NULL; v++) {
		if (count == VERBS_MAX) {
			(void)fprintf(stderr, "tools/keys.c: more verbs than VERBS_MAX\n");
			out->failed = true;
			return;
		}
		rows[count++] = v;
	}
	qsort(rows, count, sizeof(rows[0]), by_verb);
	for (size_t i = 0; i < count; i++) {
		(void)buffer_printf(
			out, ".It Cm %s\n%s.\n.Xr nclust 1", rows[i]->name, rows[i]->help);
		put_pages(out, rows[i]->manual);
	}
}

int describe_mdoc_index(struct buffer *out)
{
	static const char list[] = ".Bl -tag -width accept-per-address -compact\n";

	(void)buffer_printf(out, ".Sh KEYS\n%s", list);
	put_index_of_keys(out);
	(void)buffer_printf(out, ".El\n.Sh VERBS\n%s", list);
	put_index_of_verbs(out);
	(void)buffer_printf(out, ".El\n.Sh OPTIONS OF VERBS\n%s", list);
	for (size_t i = 0; verb_option_row(i) != NULL; i++)
		put_index_of_option(out, verb_option_row(i));
	(void)buffer_string(out, ".El\n");
	return out->failed ? -1 : 0;
}
