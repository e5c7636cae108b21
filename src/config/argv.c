/* SPDX-License-Identifier: MIT */
#include "config/argv.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "base/trusted.h"
#include "config/check.h"
#include "config/expand.h"
#include "config/inifile.h"
#include "config/origin.h"
#include "config/procfile.h"
#include "config/value.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* A command line, and what was understood of it. */
struct words {
	struct cmdline line;
	struct faults *faults;
	unsigned before; /* faults that were there before */
	const char *const *verbs;

	struct settings *s;       /* what its words say, with one cluster */
	struct strings formation; /* "-n web=2,worker=1", which a Procfile's clusters have */
	const char *config;
	bool daemon;
	bool separator;         /* "--" was there */
	struct strings command; /* after it */
	bool stopped;           /* nothing further is of interest */
	enum invocation_kind kind;
};

static void add_usage_fault(struct words *w, const char *name, const char *text)
{
	faults_add(w->faults, EX_USAGE, "--%.120s: %s", name, text);
}

static void no_memory(struct faults *faults)
{
	faults_add(faults, EX_OSERR, "out of memory");
}

static bool is_row(const struct option_row *row, const char *name)
{
	return row->section == NULL && strcmp(row->name, name) == 0;
}

/* `name`: as written, maybe with a value behind it. */
static void set_value(struct words *w, const struct option_row *row, int member, const char *name,
	const char *value)
{
	size_t at = strcmp(row->section, "nclust") == 0 ? INSTANCE : 0;
	/* keep the whole path: the way to it may lead elsewhere later */
	scoped_str dir = at == INSTANCE || row->type == &type_paths ? cwd_whole("") : NULL;
	struct error err;
	scoped_str whole = dir != NULL ? expand_value(row, value, dir, &err) : NULL;

	if (settings_set(w->s, at, row, member, whole != NULL ? whole : value,
		    (struct origin){.kind = ORIGIN_ARGV}, &err) == -1)
		faults_add(
			w->faults, EX_USAGE, "--%.*s: %s", (int)strcspn(name, "="), name, err.text);
}

static void take_value(struct words *w, const struct option_row *row, int member, const char *name,
	const char *value)
{
	struct error err;

	if (expand_check_path(row, false, value, &err) == -1) {
		add_usage_fault(w, row->name, err.text);
	} else if (is_row(row, "config")) {
		if (w->config != NULL)
			add_usage_fault(w, "config",
				"is given twice; one nclust runs the clusters of one file");
		w->config = value;
	} else if (row->type != &type_workers || strchr(value, '=') == NULL) {
		const char *equals = strchr(value, '=');

		if (w->verbs != NULL && strcmp(row->name, "env") == 0 && equals != NULL &&
			expand_has_next_variable(equals + 1))
			log_warn(
				"--env: '%s' is one variable: --env is given once for each", value);
		set_value(w, row, member, name, value);
	} else if (strings_add(&w->formation, value) == -1) {
		no_memory(w->faults);
	}
}

/* The name of an option or verb in other tools, and its name here. */
struct other_name {
	const char *name;
	const char *ours;
};

static const char *find_own(const struct other_name *list, size_t count, const char *name)
{
	const struct other_name *other = array_find(o, list, count, strcmp(o->name, name) == 0);

	return other != NULL ? other->ours : NULL;
}

static const struct other_name other_options[] = {{"i", "-n"}, {"w", "-n"}, {"f", "-n"},
	{"instances", "-n"}, {"p", "-l"}, {"b", "-l"}, {"port", "-l"}, {"bind", "-l"},
	{"cwd", "--directory"}, {"chdir", "--directory"}, {"v", "-V"},
	{"t", "nclust config --check -c FILE"}, {"metrics", "-l " LISTEN_EACH}};
#define AT_BOOT "systemctl enable --now nclust@NAME, for /etc/nclust/NAME.ini"
#define NOT_AT_BOOT "systemctl disable --now nclust@NAME, which stops it, too"
static const struct other_name other_verbs[] = {{"ls", "status"}, {"ps", "status"},
	{"list", "status"}, {"info", "status"}, {"show", "status"}, {"log", "logs"},
	{"tail", "logs"}, {"kill", "stop"}, {"delete", "stop"}, {"rm", "stop"}, {"down", "stop"},
	{"shutdown", "stop"}, {"monit", "top"}, {"update", "reload"}, {"add", "reload"},
	{"remove", "stop"}, {"reset", "restart"}, {"ping", "status"}, {"attach", "logs -f"},
	{"describe", "status"}, {"avail", "status"}, {"jlist", "status --json"}, {"env", "config"},
	{"flush", "logs"}, {"clear", "logs"}, {"fg", "logs -f"}, {"pid", "status"},
	{"maintail", "events"}, {"reread", "config --check -c FILE"}, {"save", AT_BOOT},
	{"startup", AT_BOOT}, {"resurrect", AT_BOOT}, {"enable", AT_BOOT},
	{"unstartup", NOT_AT_BOOT}, {"disable", NOT_AT_BOOT}, {"is-active", "status"},
	{"is-failed", "status"}, {"mask", NOT_AT_BOOT}, {"quit", "stop"}, {"exit", "stop"},
	{"try-restart", "restart"}, {"reload-or-restart", "reload"}, {"daemon-reload", "reload"},
	{"reset-failed", "restart"}, {"unmask", AT_BOOT},
	{"ask", "-l " LISTEN_EACH ", an address of each worker's own"}};

static const void *find_option(
	const void *table UNUSED, const char *name, size_t len, enum cmdline_takes *takes)
{
	const struct option_row *row = NULL;
	scoped_str whole = len > 0 ? strndup(name, len) : NULL;

	if (len == 0)
		row = option_find_letter(*name);
	else if (whole != NULL)
		row = option_find(NULL, whole, NULL);
	if (row != NULL && row->type != &type_flag)
		*takes = row->type == &type_bool && len > 0 ? TAKES_YES : TAKES_VALUE;
	return row;
}

static void unknown_option(struct words *w)
{
	size_t len = w->line.len > 0 ? w->line.len : 1;
	const char *near;
	const char *own;
	char text[160];

	snprintf(text, sizeof(text), "%.*s", (int)len, w->line.name);
	own = find_own(other_options, COUNT_OF(other_options), text);
	near = w->line.len > 0 ? option_nearest(NULL, text) : NULL;
	if (own != NULL)
		snprintf(text, sizeof(text), "unknown option; use %s", own);
	else if (near != NULL)
		snprintf(text, sizeof(text), "unknown option; did you mean '--%s'?", near);
	else
		snprintf(text, sizeof(text), "unknown option; see nclust --help");
	faults_add(w->faults, EX_USAGE, "%s%.*s: %s", w->line.len > 0 ? "--" : "-",
		len < 120 ? (int)len : 120, w->line.name, text);
	/* the next word may be the option's value: a fault would be wrong */
	if (w->line.value == NULL && w->line.name[len] == '\0' && w->line.next < w->line.argc &&
		w->line.argv[w->line.next][0] != '-')
		w->line.next++;
}

/* The row of "-n" or "--name", or NULL. */
static const struct option_row *row_of(const char *word)
{
	if (word[0] != '-')
		return NULL;
	return word[1] == '-' ? option_find(NULL, word + 2, NULL) : option_find_letter(word[1]);
}

static void take_option(struct words *w)
{
	const struct cmdline *line = &w->line;
	const struct option_row *row = line->row;
	scoped_str name = NULL;
	int member = 0;

	if (row->type == &type_flag && is_row(row, "daemon")) {
		w->daemon = true;
	} else if (row->type == &type_flag) {
		w->kind = is_row(row, "help") ? INVOKE_HELP : INVOKE_VERSION;
		w->stopped = true;
	} else if (line->value == line->argv[line->next - 1] && row_of(line->value) != NULL) {
		add_usage_fault(w, row->name,
			strcmp(row->name, "check") != 0 ? "wanted a value, found an option"
							: "to check a file: nclust config "
							  "--check -c FILE");
		w->line.next--;
	} else if (line->len == 0) {
		take_value(w, row, 0, row->name, line->value);
	} else {
		name = strndup(line->name, line->len);
		if (name == NULL)
			no_memory(w->faults);
		else if (option_find(NULL, name, &member) == NULL || member == -1)
			add_usage_fault(w, name, "unknown signal");
		else
			take_value(w, row, member, name, line->value);
	}
}

static bool is_verb(const struct words *w, const char *word)
{
	for (const char *const *v = w->verbs; v != NULL && *v != NULL; v++)
		if (strcmp(*v, word) == 0)
			return true;
	return false;
}

/* "--listen-pid no": that option's value must follow a '='.  True: this was reported. */
static bool is_value_of(struct words *w, const char *option, const char *word)
{
	const struct option_row *row = row_of(option);
	char text[80];
	bool value;

	if (row == NULL || row->type != &type_bool ||
		value_bool(&value, word, &(struct error){0}) == -1)
		return false;
	snprintf(text, sizeof(text), "wanted its value after '=': --%s=%s", row->name, word);
	add_usage_fault(w, row->name, text);
	w->stopped = true;
	return true;
}

static bool is_start(const char *word)
{
	return strcmp(word, "start") == 0 || strcmp(word, "run") == 0 || strcmp(word, "up") == 0;
}

bool config_is_file(const char *word)
{
	static const char *const ends[] = {".ini", ".yml", ".yaml", ".json", ".service"};
	const char *dot = strrchr(word, '.');

	return procfile_is(word) || strstr(word, ".config.") != NULL ||
		(dot != NULL && value_index(dot, ends, COUNT_OF(ends)) != -1);
}

static void read_file(struct words *w);

/* Is it a file with mistakes, or another tool's?  Then that is said, as -c would. */
static bool is_bad_file(struct words *w, const char *word)
{
	if (!config_is_file(word) || access(word, R_OK) == -1)
		return false;
	w->config = word;
	read_file(w);
	return w->faults->count > w->before;
}

/* Is it clear which of the words after "start" are the command?  Options behind a program may be
 * meant for it or, as with pm2, for us; those behind a file are left out. */
static bool shows_command(const struct words *w)
{
	const struct cmdline *line = &w->line;
	int at = 2;
	bool named = line->argc > 3 && line->argv[at][0] != '-';

	if (line->argc > 2 &&
		(config_is_file(line->argv[2]) || text_interpreter(line->argv[2]) != NULL))
		return true;
	while (at < line->argc &&
		(named ? line->argv[at][0] != '-' : strcmp(line->argv[at], "--") != 0))
		at++;
	return named ? at == line->argc
		     : at + 1 < line->argc || (at == 4 && strcmp(line->argv[2], "-c") == 0);
}

static void put_words(struct buffer *line, const struct words *w, int at, int end)
{
	for (; at < end; at++) {
		buffer_string(line, " ");
		(void)value_quote(line, w->line.argv[at]);
	}
}

/* "--watch *.py -- x", in whose place the shell has put the names of several files */
static bool is_of_pattern(const struct words *w, int index)
{
	if (index < 3 || strcmp(w->line.argv[index - 2], "--watch") != 0)
		return false;
	while (++index < w->line.argc)
		if (strcmp(w->line.argv[index], "--") == 0)
			return true;
	return false;
}

/* Of "start", or another word for that, with a command for which shows_command() is true. */
static void put_start(struct buffer *line, const struct words *w)
{
	const char *word = w->line.argv[1];
	const char *what = w->line.argv[2];
	bool is_file = config_is_file(what);
	const char *runs = is_file ? NULL : text_interpreter(what);
	bool named = *what != '-' && !is_file;
	int end = 2;

	while (end < w->line.argc && ((runs == NULL && !is_file) || w->line.argv[end][0] != '-'))
		end++;
	buffer_printf(line, "%s '%.100s'%s; use: nclust%s%s%s%s",
		is_verb(w, word) ? "the verb" : "unknown verb", word,
		is_verb(w, word) ? " starts what was stopped" : "",
		is_file                                    ? " -c"
			: named || strcmp(what, "--") == 0 ? " -n auto"
							   : "",
		named ? " --" : "", runs != NULL ? " " : "", runs != NULL ? runs : "");
	put_words(line, w, 2, end);
}

/* A verb of other tools has one word; with more a program of that name may be meant. */
static void put_program(struct buffer *line, const struct words *w)
{
	char found[PATH_MAX] uninitialized;

	if (w->line.argc < 4 ||
		cluster_find_program(w->s->clusters[0], getenv("PATH"), w->line.argv[1], found) !=
			0)
		return;
	buffer_printf(line, "; or to run %s: nclust -n auto --", found);
	put_words(line, w, 1, w->line.argc);
}

/* A word that is neither option nor verb: show the line that was probably
 * meant. */
static void lost_word(struct words *w, int index)
{
	const char *word = w->line.argv[index];
	bool is_first = index == 1 && strpbrk(word, "/.") == NULL;
	const char *near =
		is_first && w->verbs != NULL ? text_nearest(word, w->verbs, SIZE_MAX) : NULL;
	const char *own = is_first ? find_own(other_verbs, COUNT_OF(other_verbs), word) : NULL;
	scoped_buffer line = {.limit = 600};

	w->stopped = true;
	if (is_bad_file(w, is_first && is_start(word) && w->line.argc > 2 ? w->line.argv[2] : word))
		return;
	if (index > 1 && is_verb(w, word)) {
		faults_add(w->faults, EX_USAGE, "options go after the verb: nclust %s ...", word);
		return;
	}
	/* "-name shop" was read as "-n ame" */
	if (index > 1 && w->line.argv[index - 1][0] == '-' &&
		option_find(NULL, w->line.argv[index - 1] + 1, NULL) != NULL) {
		faults_add(w->faults, EX_USAGE, "write '-%s', with two dashes",
			w->line.argv[index - 1]);
		return;
	}
	if (is_of_pattern(w, index)) {
		faults_add(w->faults, EX_USAGE,
			"--watch: '%.100s' is one file too many; put the pattern in quotes, or the "
			"shell writes the names of files in its place",
			word);
		return;
	}
	if (own != NULL) {
		bool is_ours = strchr(own, ',') == NULL; /* a verb, not a sentence */

		if (strcmp(word, "kill") == 0 && w->line.argc > 2 && *w->line.argv[2] == '-')
			own = "signal"; /* "kill -USR1 web" */
		buffer_printf(&line, "unknown verb '%.100s'; use: %s%s", word,
			is_ours ? "nclust " : "", own);
		put_words(&line, w, 2, is_ours ? w->line.argc : 0);
		put_program(&line, w);
	} else if (is_first && is_start(word) && shows_command(w)) {
		put_start(&line, w);
	} else if (is_first && is_start(word)) {
		buffer_printf(&line,
			"unknown verb '%.100s'; use: nclust -n auto -- COMMAND, or nclust -c FILE",
			word);
	} else if (is_first && w->line.argc > 2 && is_verb(w, w->line.argv[2])) {
		buffer_printf(
			&line, "the verb goes first; use: nclust %s %s", w->line.argv[2], word);
		put_words(&line, w, 3, w->line.argc);
	} else if (near != NULL) {
		buffer_printf(
			&line, "unknown verb '%.100s'; did you mean 'nclust %s'?", word, near);
	} else {
		bool is_file = config_is_file(word);
		bool is_line = strpbrk(word, " \t") != NULL; /* "python3 web.py" in quotes */
		bool shell = is_line && value_shell_part(word) != NULL;
		const char *runs = is_file || is_line ? NULL : text_interpreter(word);

		buffer_printf(&line, "missing '%s' before the %s; use: nclust",
			is_file ? "-c" : "--", is_file ? "file" : "command");
		put_words(&line, w, 1, index);
		buffer_string(&line, is_file ? " -c" : index == 1 ? " -n auto --" : " --");
		buffer_printf(&line, "%s%s", runs != NULL ? " " : "", runs != NULL ? runs : "");
		if (is_line)
			buffer_printf(&line, " %s", shell ? "sh -c" : word);
		put_words(&line, w, index + (is_line && !shell), w->line.argc);
	}
	if (buffer_text(&line) != NULL)
		faults_add(w->faults, EX_USAGE, "%s%s", line.data, line.failed ? " ..." : "");
}

static void split_words(struct words *w)
{
	struct cmdline *line = &w->line;
	const struct option_row *row;
	enum cmdline_part part;

	while (!w->stopped && (part = cmdline_next(line)) != CMDLINE_END) {
		row = line->row;
		switch (part) {
		case CMDLINE_OPTION:
			take_option(w);
			break;
		case CMDLINE_UNKNOWN:
			unknown_option(w);
			break;
		case CMDLINE_NO_VALUE:
			add_usage_fault(w, row->name, "wanted a value, found none");
			break;
		case CMDLINE_VALUE:
			add_usage_fault(w, row->name, "takes no value");
			break;
		case CMDLINE_SEPARATOR:
			w->separator = true;
			w->command = (struct strings){
				line->argv + line->next, (size_t)(line->argc - line->next)};
			return;
		default:
			if (!is_value_of(w, line->argv[line->next - 2], line->argv[line->next - 1]))
				lost_word(w, line->next - 1);
		}
	}
}

/* ---- words to settings ---- */

static void take_command(struct words *w)
{
	scoped_str text = NULL;
	struct error err;

	if (w->command.count == 0 || w->command.list[0][0] == '\0')
		return; /* settings_check() reports that */
	text = value_join(&w->command);
	if (text == NULL ||
		settings_set(w->s, 0, option_find("cluster", "command", NULL), 0, text,
			(struct origin){.kind = ORIGIN_ARGV}, &err) == -1)
		no_memory(w->faults);
}

/* "-n web=2,worker=1": the clusters of a Procfile.  Lines that are left out keep their PORT. */
static void take_formation(struct words *w)
{
	struct error err;

	if (procfile_finish(w->s) == -1)
		no_memory(w->faults);
	/* there are no verbs at a reload */
	for (size_t i = 0; i < w->formation.count; i++)
		if (procfile_form(w->s, w->formation.list[i], w->verbs == NULL, &err) == -1)
			add_usage_fault(w, "workers", err.text);
}

/* The clusters of a file in place of the words' own one, with the words in all of them. */
static void read_file(struct words *w)
{
	struct settings *own = w->s;
	struct settings *s;

	if (w->separator) {
		faults_add(w->faults, EX_USAGE,
			"--config: wanted either a file or '-- COMMAND', found both");
		return;
	}
	s = settings_new();
	if (s == NULL) {
		no_memory(w->faults);
		return;
	}
	w->s = s;
	/* not realpath(3): a symlink may point elsewhere at the next reload */
	s->config_file = cwd_whole(w->config);
	s->origins->file = strdup(w->config);
	if (s->config_file == NULL || s->origins->file == NULL) {
		faults_add(w->faults, EX_OSERR, "%s: %s", w->config, strerror(errno));
	} else {
		inifile_read(s, w->config, w->faults);
		settings_give(s, INSTANCE, own, INSTANCE, w->faults);
		for (size_t i = 0; i < s->cluster_count; i++)
			settings_give(s, i, own, 0, w->faults);
	}
	settings_free(own);
}

static void build_settings(struct words *w)
{
	const struct option_row *workers = option_find("cluster", "workers", NULL);
	bool is_procfile = w->config != NULL && procfile_is(w->config);

	if (w->separator)
		take_command(w);
	/* only clusters of a Procfile can be told so: else this is a mistake */
	for (size_t i = 0; !is_procfile && i < w->formation.count; i++)
		set_value(w, workers, 0, workers->name, w->formation.list[i]);
	if (w->config != NULL)
		read_file(w);
	if (is_procfile && w->faults->count == w->before)
		take_formation(w);
	w->s->daemon = w->daemon;
	settings_check(w->s, w->faults);
}

int config_read(struct invocation *out, int argc, char **argv, const char *const *verbs,
	struct faults *faults)
{
	struct words w = {
		.kind = INVOKE_RUN,
		.line = {.argc = argc, .argv = argv, .next = 1, .find = find_option},
		.faults = faults,
		.before = faults->count,
		.verbs = verbs,
	};

	*out = (struct invocation){.kind = INVOKE_RUN};
	if (argc < 2) {
		faults_add(faults, EX_USAGE,
			"nothing to run: nclust -n auto -- COMMAND [ARG]..., or nclust -c FILE; "
			"see nclust --help");
		return -1;
	}
	if (argc > 2 && strcmp(argv[1], "--json") == 0 && is_verb(&w, argv[2])) {
		argv[1] = argv[2];
		argv[2] = (char *)(uintptr_t) "--json";
	}
	if (is_verb(&w, argv[1]) && !(is_start(argv[1]) && shows_command(&w))) {
		out->kind = INVOKE_VERB;
		out->verb_argc = argc - 1;
		out->verb_argv = argv + 1;
		return 0;
	}
	w.s = settings_new();
	if (w.s == NULL ||
		settings_add_cluster(w.s, NULL, (struct origin){.kind = ORIGIN_ARGV}) == SIZE_MAX) {
		no_memory(faults);
		settings_free(w.s);
		return -1;
	}
	split_words(&w);
	/* an unknown word makes all words behind it doubtful */
	if (w.kind == INVOKE_RUN && !w.stopped)
		build_settings(&w);
	out->kind = w.kind;
	if (w.kind == INVOKE_RUN && faults->count == w.before)
		out->settings = w.s;
	else
		settings_free(w.s);
	strings_clear(&w.formation);
	return w.kind != INVOKE_RUN || out->settings != NULL ? 0 : -1;
}
