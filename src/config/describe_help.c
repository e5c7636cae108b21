/* SPDX-License-Identifier: MIT */
#include "config/config.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/option.h"

#include <stdio.h>
#include <string.h>

/* --help, and the shells' completion. */

int describe_help(struct buffer *out)
{
	(void)buffer_string(out,
		"usage: nclust [OPTION]... -- COMMAND [ARG]...  "
		"run copies of a command\n"
		"       nclust [OPTION]... -c FILE              "
		"run the clusters of a file\n"
		"       nclust VERB [TARGET] [OPTION]...        "
		"talk to a running nclust\n\n");
	for (size_t i = 0; i < option_count; i++) {
		const struct option_row *row = &option_rows[i];
		char left[40];

		if (!row->common)
			continue;
		(void)snprintf(left, sizeof(left), "%c%c%c --%s%s%s",
			row->letter != 0 ? '-' : ' ',
			row->letter != 0 ? row->letter : ' ',
			row->letter != 0 ? ',' : ' ', row->name,
			row->argument != NULL ? " " : "",
			row->argument != NULL ? row->argument : "");
		(void)buffer_printf(out, "  %-25s %s\n", left, row->help);
	}
	return buffer_string(out,
		"\nEvery key of nclust.ini(5) is a long option too.  "
		"'nclust help' lists the verbs.\n"
		"Example: nclust -n auto -l 8000 -- ./myserver\n");
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

/* "signal-NAME" is completed as "signal-". */
static void put_name(struct buffer *out, const struct option_row *row)
{
	if (row->type == OPT_SIGNAL_RULE)
		(void)buffer_string(out, "signal-USR1");
	else
		(void)buffer_string(out, row->name);
}

int describe_completion_bash(struct buffer *out, const char *const *verbs)
{
	(void)buffer_string(out,
		"# bash completion for nclust; generated from its option "
		"table\n"
		"_nclust()\n{\n"
		"\tlocal word=${COMP_WORDS[COMP_CWORD]}\n"
		"\tlocal before=${COMP_WORDS[COMP_CWORD - 1]}\n"
		"\tlocal verbs='");
	for (size_t i = 0; verbs != NULL && verbs[i] != NULL; i++)
		(void)buffer_printf(out, "%s%s", i > 0 ? " " : "", verbs[i]);
	(void)buffer_string(out, "'\n\tlocal options='");
	for (size_t i = 0; i < option_count; i++) {
		(void)buffer_string(out, i > 0 ? "\n\t\t--" : "--");
		put_name(out, &option_rows[i]);
	}
	(void)buffer_string(out,
		"'\n\tlocal i\n\n"
		"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		"\t\tif [[ ${COMP_WORDS[i]} == -- ]]; then\n"
		"\t\t\tCOMP_WORDS=(\"${COMP_WORDS[@]:i+1}\")\n"
		"\t\t\tCOMP_CWORD=$((COMP_CWORD - i - 1))\n"
		"\t\t\tif ((COMP_CWORD == 0)); then\n"
		"\t\t\t\tmapfile -t COMPREPLY < <(compgen -c -- "
		"\"$word\")\n"
		"\t\t\telse\n"
		"\t\t\t\tmapfile -t COMPREPLY < <(compgen -f -- "
		"\"$word\")\n"
		"\t\t\tfi\n"
		"\t\t\treturn\n"
		"\t\tfi\n"
		"\tdone\n"
		"\tcase $before in\n");
	for (size_t i = 0; i < option_count; i++)
		put_bash_values(out, &option_rows[i]);
	return buffer_string(out,
		"\tesac\n"
		"\tif [[ $word == -* ]]; then\n"
		"\t\tmapfile -t COMPREPLY < <(compgen -W \"$options\" -- "
		"\"$word\")\n"
		"\telif ((COMP_CWORD == 1)); then\n"
		"\t\tmapfile -t COMPREPLY < <(compgen -W \"$verbs\" -- "
		"\"$word\")\n"
		"\tfi\n"
		"}\n"
		"complete -o default -F _nclust nclust\n");
}

/* What _arguments must not take for its own syntax. */
static void put_zsh_text(struct buffer *out, const char *text)
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
	put_zsh_text(out, row->argument);
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

static void put_zsh_option(struct buffer *out, const struct option_row *row)
{
	const char *star = row->repeatable ? "*" : "";
	bool value = row->type != OPT_FLAG && row->type != OPT_BOOL;

	if (row->letter != 0) {
		(void)buffer_printf(out, "\t\t'%s-%c[", star, row->letter);
		put_zsh_text(out, row->help);
		(void)buffer_string(out, "]");
		put_zsh_action(out, row);
		(void)buffer_string(out, "' \\\n");
	}
	(void)buffer_printf(out, "\t\t'%s--", star);
	put_name(out, row);
	(void)buffer_string(out, value ? "=[" : "[");
	put_zsh_text(out, row->help);
	(void)buffer_string(out, "]");
	put_zsh_action(out, row);
	(void)buffer_string(out, "' \\\n");
}

int describe_completion_zsh(struct buffer *out, const char *const *verbs)
{
	(void)buffer_string(out,
		"#compdef nclust\n"
		"# zsh completion for nclust; generated from its option "
		"table\n"
		"_nclust() {\n"
		"\tlocal -a verbs=(");
	for (size_t i = 0; verbs != NULL && verbs[i] != NULL; i++)
		(void)buffer_printf(out, "%s%s", i > 0 ? " " : "", verbs[i]);
	(void)buffer_string(out, ")\n\t_arguments \\\n");
	for (size_t i = 0; i < option_count; i++)
		put_zsh_option(out, &option_rows[i]);
	return buffer_string(out,
		"\t\t'1: :compadd -a verbs' \\\n"
		"\t\t'*:: :_normal'\n"
		"}\n"
		"_nclust \"$@\"\n");
}
