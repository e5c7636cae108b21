/* SPDX-License-Identifier: MIT */
#include "config/config.h"

#include "config/option.h"

#include <string.h>

/* What the shells' completions say of the options; the verbs are cli's. */

int describe_bash_words(struct buffer *out)
{
	const char *gap = "--";
	const char *key;

	for (size_t i = 0; i < option_count; i++) {
		for (size_t n = 0;
			(key = option_key(&option_rows[i], n)) != NULL; n++) {
			(void)buffer_string(out, gap);
			(void)buffer_string(out, key);
			gap = "\n\t\t--";
		}
	}
	return out->failed ? -1 : 0;
}

/* One `name)` of the case that completes a value. */
static void put_bash_values(struct buffer *out, const struct option_row *row)
{
	if (row->type == OPT_PATH || row->type == OPT_PATHS) {
		(void)buffer_printf(out, "\t--%s", row->name);
		if (row->letter != 0)
			(void)buffer_printf(out, " | -%c", row->letter);
		(void)buffer_string(out,
			")\n\t\tmapfile -t COMPREPLY < <(compgen -f -- "
			"\"$word\")\n\t\treturn\n\t\t;;\n");
	} else if (row->type == OPT_CHOICE) {
		(void)buffer_printf(out,
			"\t--%s)\n\t\tmapfile -t COMPREPLY < <(compgen -W '",
			row->name);
		for (size_t i = 0; row->choices[i] != NULL; i++)
			(void)buffer_printf(
				out, "%s%s", i > 0 ? " " : "", row->choices[i]);
		(void)buffer_string(
			out, "' -- \"$word\")\n\t\treturn\n\t\t;;\n");
	}
}

int describe_bash_values(struct buffer *out)
{
	for (size_t i = 0; i < option_count; i++)
		put_bash_values(out, &option_rows[i]);
	return out->failed ? -1 : 0;
}

void describe_zsh_text(struct buffer *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '\'')
			(void)buffer_string(out, "'\\''");
		else if (strchr("[]:\\", *text) != NULL)
			(void)buffer_printf(out, "\\%c", *text);
		else
			(void)buffer_append(out, text, 1);
	}
}

static void put_zsh_action(struct buffer *out, const struct option_row *row)
{
	if (row->type == OPT_FLAG || row->argument == NULL)
		return;
	(void)buffer_string(out, ":");
	describe_zsh_text(out, row->argument);
	(void)buffer_string(out, ":");
	if (row->type == OPT_PATH || row->type == OPT_PATHS) {
		(void)buffer_string(out, "_files");
	} else if (row->type == OPT_CHOICE) {
		for (size_t i = 0; row->choices[i] != NULL; i++)
			(void)buffer_printf(out, "%s%s", i > 0 ? " " : "(",
				row->choices[i]);
		(void)buffer_string(out, ")");
	} else if (row->type == OPT_USER) {
		(void)buffer_string(out, "_users");
	} else if (row->type == OPT_GROUP || row->type == OPT_CONTROL_GROUP) {
		(void)buffer_string(out, "_groups");
	}
}

static void put_zsh_option(
	struct buffer *out, const struct option_row *row, const char *key)
{
	const char *star = row->repeatable ? "*" : "";
	bool value = row->type != OPT_FLAG && row->type != OPT_BOOL;

	if (row->letter != 0) {
		(void)buffer_printf(out, "\t\t'%s-%c[", star, row->letter);
		describe_zsh_text(out, row->help);
		(void)buffer_string(out, "]");
		put_zsh_action(out, row);
		(void)buffer_string(out, "' \\\n");
	}
	(void)buffer_printf(out, "\t\t'%s--", star);
	(void)buffer_string(out, key);
	(void)buffer_string(out, value ? "=[" : "[");
	describe_zsh_text(out, row->help);
	(void)buffer_string(out, "]");
	put_zsh_action(out, row);
	(void)buffer_string(out, "' \\\n");
}

int describe_zsh_options(struct buffer *out)
{
	const char *key;

	for (size_t i = 0; i < option_count; i++)
		for (size_t n = 0;
			(key = option_key(&option_rows[i], n)) != NULL; n++)
			put_zsh_option(out, &option_rows[i], key);
	return out->failed ? -1 : 0;
}
