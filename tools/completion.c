/* SPDX-License-Identifier: MIT */
#include "describe.h"

#include "cli/verb.h"
#include "config/config.h"
#include "config/option.h"
#include "protocol/control.h"

#include <string.h>

/* The completions of the shells: etc/completion/. */

#define SIGNALS "HUP INT QUIT USR1 USR2 TERM STOP CONT KILL WINCH"

static bool takes_target(const struct verb *verb)
{
	return verb->words == WORDS_TARGET || verb->words == WORDS_COUNT ||
		verb->words == WORDS_RESTART || verb->words == WORDS_SIGNAL ||
		verb->words == WORDS_MESSAGE;
}

static void put_verbs(struct buffer *out)
{
	for (const struct verb *v = verbs; v->name != NULL; v++)
		(void)buffer_printf(out, "%s%s", v != verbs ? " " : "", v->name);
}

static void put_kinds(struct buffer *out)
{
	for (size_t i = 0; i < event_kind_count; i++)
		(void)buffer_printf(out, "%s%s", i > 0 ? " " : "", event_kinds[i]);
}

/* ---- bash ---- */

static void put_bash_words(struct buffer *out)
{
	const char *gap = "--";
	const char *key;

	for (size_t i = 0; i < option_count; i++) {
		for (size_t n = 0; (key = option_key(&option_rows[i], n)) != NULL; n++) {
			(void)buffer_string(out, gap);
			(void)buffer_string(out, key);
			gap = "\n\t\t--";
		}
	}
}

static bool takes_path(const struct option_row *row)
{
	return row->type == &type_path || row->type == &type_paths || row->type == &type_fallback;
}

/* One `name)` of the case that completes a value.  Paths are left to readline. */
static void put_bash_values(struct buffer *out, const struct option_row *row)
{
	if (takes_path(row)) {
		(void)buffer_printf(out, "\t--%s", row->name);
		if (row->letter != 0)
			(void)buffer_printf(out, " | -%c", row->letter);
		(void)buffer_string(out, ")\n\t\treturn\n\t\t;;\n");
	} else if (row->choices != NULL) {
		(void)buffer_printf(
			out, "\t--%s)\n\t\tmapfile -t COMPREPLY < <(compgen -W '", row->name);
		for (size_t i = 0; row->choices[i] != NULL; i++)
			(void)buffer_printf(out, "%s%s", i > 0 ? " " : "", row->choices[i]);
		(void)buffer_string(out, "' -- \"$word\")\n\t\treturn\n\t\t;;\n");
	}
}

static void put_bash_verb(struct buffer *out, const struct verb *verb)
{
	const struct verb_option_row *row;
	const char *space = "";

	(void)buffer_printf(out, "\t%s)\n", verb->name);
	if (verb->words == WORDS_VERB)
		(void)buffer_string(out, "\t\twords=\"$verbs ${options//--/}\"\n");
	(void)buffer_string(out, "\t\toptions='");
	for (size_t n = 0; (row = verb_option_row(n)) != NULL; n++) {
		if ((verb->options & row->option) == 0)
			continue;
		(void)buffer_printf(out, "%s--%s", space, row->name);
		space = " ";
	}
	(void)buffer_string(out, "'\n");
	if (takes_target(verb))
		(void)buffer_string(out, "\t\twords=$(_nclust_instances)\n");
	if (verb->words == WORDS_SIGNAL)
		(void)buffer_string(out, "\t\twords+=' " SIGNALS "'\n");
	else if (verb->words == WORDS_COMMAND)
		(void)buffer_string(
			out, "\t\t[[ $word == */* ]] || words=$(compgen -c -- \"$word\")\n");
	(void)buffer_string(out, "\t\t;;\n");
}

int describe_bash(struct buffer *out)
{
	(void)buffer_string(out,
		"# bash completion for nclust; generated from its option "
		"table\n"
		"_nclust_instances()\n{\n"
		"\tlocal path pid\n\n"
		"\tfor path in "
		"\"${NCLUST_RUNTIME_DIR:-/run/nclust}\"/*/control "
		"\\\n"
		"\t\t\"${XDG_RUNTIME_DIR:-/run}\"/nclust/*/control \\\n"
		"\t\t/tmp/nclust-\"$UID\"/*/control; do\n"
		"\t\t[[ -S $path ]] || continue\n"
		"\t\tpath=${path%/control} pid=\n"
		"\t\t[[ ! -r $path/lock ]] || read -r pid <\"$path/lock\"\n"
		"\t\t[[ -d /proc/$pid ]] || continue # it was killed\n"
		"\t\techo \"${path##*/}\"\n"
		"\tdone\n"
		"}\n\n"
		"_nclust()\n{\n"
		"\tlocal word=${COMP_WORDS[COMP_CWORD]}\n"
		"\tlocal before=${COMP_WORDS[COMP_CWORD - 1]}\n"
		"\tlocal verbs='");
	put_verbs(out);
	(void)buffer_string(out, "'\n\tlocal options='");
	put_bash_words(out);
	(void)buffer_string(out,
		"'\n\tlocal words= i\n\n"
		"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		"\t\tif [[ ${COMP_WORDS[i]} == -- ]]; then\n"
		"\t\t\t((COMP_CWORD > i + 1)) || [[ $word == */* ]] ||\n"
		"\t\t\t\tmapfile -t COMPREPLY < <(compgen -c -- "
		"\"$word\")\n"
		"\t\t\treturn\n"
		"\t\tfi\n"
		"\tdone\n"
		"\tcase $before in\n");
	for (size_t i = 0; i < option_count; i++)
		put_bash_values(out, &option_rows[i]);
	(void)buffer_string(out, "\t--kind)\n\t\tmapfile -t COMPREPLY < <(compgen -W '");
	put_kinds(out);
	(void)buffer_string(out,
		"' -- \"$word\")\n\t\treturn\n\t\t;;\n"
		"\tesac\n"
		"\t((COMP_CWORD > 1)) || words=$verbs\n"
		"\t((COMP_CWORD == 1)) || case ${COMP_WORDS[1]} in\n");
	for (const struct verb *v = verbs; v->name != NULL; v++)
		put_bash_verb(out, v);
	return buffer_string(out,
		"\tesac\n"
		"\t[[ $word != -* ]] || words=$options\n"
		"\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- "
		"\"$word\")\n"
		"}\n"
		"complete -o default -F _nclust nclust\n");
}

/* ---- zsh ---- */

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
	if (row->type == &type_flag || row->argument == NULL)
		return;
	(void)buffer_string(out, ":");
	put_zsh_text(out, row->argument);
	(void)buffer_string(out, ":");
	if (takes_path(row)) {
		(void)buffer_string(out, "_files");
	} else if (row->choices != NULL) {
		for (size_t i = 0; row->choices[i] != NULL; i++)
			(void)buffer_printf(out, "%s%s", i > 0 ? " " : "(", row->choices[i]);
		(void)buffer_string(out, ")");
	} else if (row->type == &type_user) {
		(void)buffer_string(out, "_users");
	} else if (row->type == &type_group || row->type == &type_control_group) {
		(void)buffer_string(out, "_groups");
	}
}

static void put_zsh_setting(struct buffer *out, const struct option_row *row, const char *key)
{
	const char *star = row->repeatable ? "*" : "";
	bool value = row->type != &type_flag && row->type != &type_bool;

	if (row->letter != 0) {
		(void)buffer_printf(out, "\t\t'%s-%c[", star, row->letter);
		put_zsh_text(out, row->help);
		(void)buffer_string(out, "]");
		put_zsh_action(out, row);
		(void)buffer_string(out, "' \\\n");
	}
	(void)buffer_printf(out, "\t\t'%s--", star);
	(void)buffer_string(out, key);
	(void)buffer_string(out, value ? "=[" : "[");
	put_zsh_text(out, row->help);
	(void)buffer_string(out, "]");
	put_zsh_action(out, row);
	(void)buffer_string(out, "' \\\n");
}

static void put_zsh_options(struct buffer *out)
{
	const char *key;

	for (size_t i = 0; i < option_count; i++)
		for (size_t n = 0; (key = option_key(&option_rows[i], n)) != NULL; n++)
			put_zsh_setting(out, &option_rows[i], key);
}

static void put_zsh_option(struct buffer *out, const struct verb_option_row *row)
{
	(void)buffer_string(out, " \\\n\t\t\t");
	if (row->letter != 0)
		(void)buffer_printf(out, "'(-%c --%s)'{-%c,--%s%s}'[", row->letter, row->name,
			row->letter, row->name, row->argument != NULL ? "=" : "");
	else
		(void)buffer_printf(out, "'--%s%s[", row->name, row->argument != NULL ? "=" : "");
	put_zsh_text(out, row->help);
	(void)buffer_string(out, "]");
	if (row->option == OPTION_KIND) {
		(void)buffer_printf(out, ":%s:(", row->argument);
		put_kinds(out);
		(void)buffer_string(out, ")");
	} else if (row->argument != NULL) {
		(void)buffer_printf(out, ":%s:%s", row->argument,
			(row->option & (OPTION_FILE | OPTION_RUNTIME)) != 0 ? "_files" : "");
	}
	(void)buffer_string(out, "'");
}

static const char *zsh_words(const struct verb *verb)
{
	switch (verb->words) {
	case WORDS_TARGET:
	case WORDS_RESTART:
	case WORDS_COUNT:
	case WORDS_MESSAGE:
		return "_nclust_instances";
	case WORDS_SIGNAL:
		return "_nclust_instances_and_signals";
	case WORDS_VERB:
		return "_nclust_verbs_and_keys";
	case WORDS_NONE:
	case WORDS_COMMAND:
	case WORDS_TRIAL:
		break;
	}
	return NULL;
}

static void put_zsh_verb(struct buffer *out, const struct verb *verb)
{
	const char *words = zsh_words(verb);
	const struct verb_option_row *row;

	if (verb->words == WORDS_COMMAND) {
		(void)buffer_printf(out,
			"\t%s)\n"
			"\t\tshift 2 words\n"
			"\t\t((CURRENT -= 2))\n"
			"\t\t_normal\n"
			"\t\treturn\n"
			"\t\t;;\n",
			verb->name);
		return;
	}
	(void)buffer_printf(out,
		"\t%s)\n"
		"\t\tshift words\n"
		"\t\t((CURRENT -= 1))\n"
		"\t\t_arguments",
		verb->name);
	for (size_t n = 0; (row = verb_option_row(n)) != NULL; n++)
		if ((verb->options & row->option) != 0)
			put_zsh_option(out, row);
	if (words != NULL)
		(void)buffer_printf(out, " \\\n\t\t\t'*:word:%s'", words);
	(void)buffer_string(out, "\n\t\treturn\n\t\t;;\n");
}

static void put_zsh_verb_list(struct buffer *out)
{
	(void)buffer_string(out, "_nclust_verbs() {\n\tlocal -a verbs=(\n");
	for (const struct verb *v = verbs; v->name != NULL; v++) {
		(void)buffer_printf(out, "\t\t'%s:", v->name);
		put_zsh_text(out, v->help);
		(void)buffer_string(out, "'\n");
	}
	(void)buffer_string(out,
		"\t)\n"
		"\t_describe verb verbs\n"
		"}\n\n");
}

static void put_zsh_key_list(struct buffer *out)
{
	const char *key;

	(void)buffer_string(out, "_nclust_verbs_and_keys() {\n\tlocal -a keys=(\n");
	for (size_t i = 0; i < option_count; i++)
		for (size_t n = 0; (key = option_key(&option_rows[i], n)) != NULL; n++) {
			if (option_rows[i].section == NULL)
				continue; /* of the command line alone */
			(void)buffer_printf(out, "\t\t'%s:", key);
			put_zsh_text(out, option_rows[i].help);
			(void)buffer_string(out, "'\n");
		}
	(void)buffer_string(out,
		"\t)\n"
		"\t_nclust_verbs\n"
		"\t_describe key keys\n"
		"}\n\n");
}

int describe_zsh(struct buffer *out)
{
	(void)buffer_string(out,
		"#compdef nclust\n"
		"# zsh completion for nclust; generated from its option "
		"table\n");
	put_zsh_verb_list(out);
	put_zsh_key_list(out);
	(void)buffer_string(out,
		"_nclust_runs() {\n"
		"\tlocal pid=\n"
		"\t[[ ! -r ${REPLY:h}/lock ]] || read -r pid <${REPLY:h}/lock\n"
		"\t[[ -d /proc/$pid ]]\n"
		"}\n\n"
		"_nclust_instances() {\n"
		"\tlocal -aU names=(\n"
		"\t\t${NCLUST_RUNTIME_DIR:-/run/nclust}/*/"
		"control(N=+_nclust_runs:h:t)\n"
		"\t\t${XDG_RUNTIME_DIR:-/run}/nclust/*/"
		"control(N=+_nclust_runs:h:t)\n"
		"\t\t/tmp/nclust-$UID/*/control(N=+_nclust_runs:h:t)\n"
		"\t)\n"
		"\t_describe instance names\n"
		"}\n\n"
		"_nclust_instances_and_signals() {\n"
		"\tlocal -a signals=(" SIGNALS ")\n"
		"\t_nclust_instances\n"
		"\t_describe signal signals\n"
		"}\n\n"
		"_nclust() {\n"
		"\tlocal -i dashes=${words[(ie)--]}\n\n"
		"\tif ((dashes < CURRENT)); then\n"
		"\t\tshift dashes words\n"
		"\t\t((CURRENT -= dashes))\n"
		"\t\t_normal\n"
		"\t\treturn\n"
		"\tfi\n"
		"\t((CURRENT > 2)) && case $words[2] in\n");
	for (const struct verb *v = verbs; v->name != NULL; v++)
		put_zsh_verb(out, v);
	(void)buffer_string(out, "\tesac\n\t_arguments \\\n");
	put_zsh_options(out);
	return buffer_string(out,
		"\t\t'1: :_nclust_verbs'\n"
		"}\n"
		"_nclust \"$@\"\n");
}
