/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/value.h"
#include "os/clock.h"
#include "protocol/json.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#define COUNT_MAX 10000
#define LINES_MAX 1000000

/* The member of a request that is true if the option is given. */
#define GIVEN(member) offsetof(struct arguments, request.member)

static const struct verb_option_row rows[] = {
	{OPTION_JSON, 0, "json", NULL, "print the result as one line of JSON", 0},
	{OPTION_WATCH, 'w', "watch", NULL, "show it again each second", 0},
	{OPTION_NO_WAIT, 0, "no-wait", NULL, "return at once, do not wait for the outcome",
		GIVEN(no_wait)},
	{OPTION_NOW, 0, "now", NULL, "do not wait for requests in flight", GIVEN(now)},
	{OPTION_ALL, 'a', "all", NULL, "to every worker, not only the next one", GIVEN(all)},
	{OPTION_EACH, 'a', "all", NULL, "a line for each worker, however many", 0},
	{OPTION_DEFAULTS, 'a', "all", NULL, "also keys that are not set", 0},
	{OPTION_FOLLOW, 'f', "follow", NULL, "go on with what comes next, until ^C", GIVEN(follow)},
	{OPTION_LINES, 'n', "lines", "N", "only the last N", 0},
	{OPTION_SINCE, 0, "since", "TIME", "only what is not older than that", 0},
	{OPTION_CLUSTER, 0, "cluster", "NAME", "only of this cluster", 0},
	{OPTION_KIND, 0, "kind", "KIND,...", "only events of these names", 0},
	{OPTION_STDERR, 0, "stderr", NULL, "only what was written to standard error", 0},
	{OPTION_GREP, 'g', "grep", "PATTERN", "only lines that match (regex(7), extended)", 0},
	{OPTION_CHECK, 0, "check", NULL, "only look for errors", 0},
	{OPTION_FILE, 'c', "config", "FILE", "read this file, ask no running instance", 0},
	{OPTION_CANARY, 0, "canary", "N", "replace N workers first, and watch them",
		GIVEN(has_canary)},
	{OPTION_DROP_PORTS, 0, "drop-ports", NULL,
		"let new workers listen on fewer ports than the old", GIVEN(drop_ports)},
	{OPTION_BAKE, 0, "bake", "TIME", "watch the first new workers for so long",
		GIVEN(has_bake)},
	{OPTION_TIMEOUT, 0, "timeout", "TIME", "wait at most so long (1m)", GIVEN(has_timeout)},
	{OPTION_RUNTIME, 0, "runtime-directory", "DIR", "look for instances there", 0},
	{OPTION_HELP, 'h', "help", NULL, "show this", 0},
};

const struct verb_option_row *verb_option_row(size_t n)
{
	return n < COUNT_OF(rows) ? &rows[n] : NULL;
}

/* Look a name up among the rows that the verb takes: another verb may give the name another
 * meaning. */
static const void *find_option(
	const void *table, const char *name, size_t len, enum cmdline_takes *takes)
{
	const struct verb *verb = table;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if ((verb->options & rows[i].option) == 0)
			continue;
		*takes = rows[i].argument != NULL ? TAKES_VALUE : TAKES_NOTHING;
		if (len == 0 ? rows[i].letter == *name
			     : strlen(rows[i].name) == len && strncmp(rows[i].name, name, len) == 0)
			return &rows[i];
	}
	return NULL;
}

/* A number of digits, with a sign where `sign` allows one; `most` bounds it. */
static int parse_number(const char *text, bool sign, uint64_t most, int *value)
{
	const char *digits = text + (sign && (*text == '+' || *text == '-'));
	uint64_t n;

	if (*digits == '\0' || digits[text_number(&n, digits, strlen(digits), most)] != '\0')
		return -1;
	*value = *text == '-' ? -(int)n : (int)n;
	return 0;
}

static bool is_count(const char *word)
{
	int n;

	return parse_number(word, true, 999999999, &n) == 0;
}

#define ENV_WAYS "'env' in the file and nclust reload, or: nclust restart NAME -- env A=1 COMMAND"

static int unknown_option(const struct verb *verb, const char *word, struct error *err)
{
	static const struct {
		enum verb_option option; /* of verbs that have it */
		const char *name;
		const char *ours;
	} others[] = {{OPTION_LINES, "tail", "-n N"}, {OPTION_NOW, "force", "--now"},
		{OPTION_NOW, "f", "--now"}, {OPTION_CANARY, "env", ENV_WAYS},
		{OPTION_CANARY, "update-env", ENV_WAYS},
		{OPTION_RUNTIME, "name", "the name alone, without an option"}};
	const char *names[COUNT_OF(rows)];
	char bare[64];
	const char *near;
	size_t count = 0;

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if ((verb->options & rows[i].option) != 0)
			names[count++] = rows[i].name;
	error_fail(err, EX_USAGE, "'%s' takes no option '%s'", verb->name, word);
	if ((verb->options & OPTION_LINES) != 0 && is_count(word))
		return error_hint(err, "use -n %s", word + 1);
	text_copy(bare, sizeof(bare), word + strspn(word, "-"));
	bare[strcspn(bare, "=")] = '\0';
	for (size_t i = 0; verb->words != WORDS_TRIAL && i < COUNT_OF(others); i++)
		if ((verb->options & others[i].option) != 0 && strcmp(bare, others[i].name) == 0)
			return error_hint(err, "use %s", others[i].ours);
	near = word[1] == '-' ? text_nearest(bare, names, count) : NULL;
	return near != NULL ? error_hint(err, "did you mean '--%s'?", near) : -1;
}

static int take_number(const struct verb_option_row *row, const char *value, unsigned most, int *to,
	struct error *err)
{
	if (parse_number(value, false, most, to) == 0)
		return 0;
	return error_fail(err, EX_USAGE, "--%s: wanted a number up to %u, found '%s'", row->name,
		most, value);
}

static int take_value(struct arguments *a, const struct verb_option_row *row, const char *value,
	struct error *err)
{
	const struct {
		enum verb_option option;
		const char **to;
	} texts[] = {{OPTION_CLUSTER, &a->cluster}, {OPTION_GREP, &a->pattern},
		{OPTION_KIND, &a->kinds}, {OPTION_FILE, &a->file},
		{OPTION_RUNTIME, &a->runtime_directory}};
	struct control_request *r = &a->request;

	switch ((enum verb_option)row->option) {
	case OPTION_LINES:
		return take_number(row, value, LINES_MAX, &r->last, err);
	case OPTION_CANARY:
		return take_number(row, value, COUNT_MAX, &r->canary, err);
	case OPTION_BAKE:
	case OPTION_TIMEOUT:
		if (value_duration(row->option == OPTION_BAKE ? &r->bake : &r->timeout, value, 0,
			    24 * HOUR, err) == 0)
			return 0;
		error_wrap(err, "--%s", row->name);
		return error_status(err, EX_USAGE);
	case OPTION_SINCE:
		if (when_parse(&r->since, value, (nsec_t)(clock_wall() * SECOND), err) == 0)
			return 0;
		return error_wrap(err, "--since");
	default:
		if (row->option == OPTION_FILE && a->file != NULL)
			return error_fail(err, EX_USAGE, "--config: is given twice");
		for (size_t i = 0; i < COUNT_OF(texts); i++)
			if (texts[i].option == row->option)
				*texts[i].to = value;
	}
	if (*value != '\0')
		return 0;
	return error_fail(err, EX_USAGE, "--%s: wanted a value, found nothing: --%s %s", row->name,
		row->name, row->argument);
}

/* Options that a verb does not have, and the words after them, belong to the command
 * line that the verb is to try. */
static int keep_given(struct arguments *a, const char *word, struct error *err)
{
	if (a->given_count == GIVEN_MAX)
		return error_fail(
			err, EX_USAGE, "%s: at most %d options", a->verb->name, GIVEN_MAX);
	a->given[a->given_count++] = word;
	return 0;
}

static int take_option(
	struct arguments *a, const struct cmdline *line, enum cmdline_part part, struct error *err)
{
	const struct verb_option_row *row = line->row;
	const char *word = line->argv[line->next - 1];

	/* but a letter behind one of the verb's own options is a mistake */
	if (part == CMDLINE_UNKNOWN && a->verb->words == WORDS_TRIAL &&
		(line->len > 0 || line->name == word + 1))
		return keep_given(a, word, err);
	if (part == CMDLINE_UNKNOWN)
		return unknown_option(a->verb, word, err);
	if (part == CMDLINE_VALUE)
		return error_fail(err, EX_USAGE, "--%s takes no value", row->name);
	if (part == CMDLINE_NO_VALUE)
		return error_fail(err, EX_USAGE, "--%s needs a value: --%s %s", row->name,
			row->name, row->argument);
	a->options |= row->option;
	if (row->given != 0)
		*((bool *)a + row->given) = true;
	return row->argument == NULL ? 0 : take_value(a, row, line->value, err);
}

static int take_count(struct arguments *a, const char *word, struct error *err)
{
	bool relative = *word == '+' || *word == '-';

	a->request.scale_kind = relative ? SCALE_BY : SCALE_TO;
	if (parse_number(word, true, COUNT_MAX, &a->request.count) == 0)
		return 0;
	return error_fail(err, EX_USAGE,
		"scale: wanted a number from 0 to %d, or +N or -N, found '%s'", COUNT_MAX, word);
}

static int take_pair(struct arguments *a, char **words, int count, bool (*is_it)(const char *),
	const char *what, struct error *err)
{
	bool counts = a->verb->words == WORDS_COUNT;
	const char *sample = counts ? "4" : "USR1";
	int at;

	/* the documented order is TARGET first: if both words fit, the first is the target */
	for (at = count - 1; at >= 0 && !is_it(words[at]); at--)
		;
	if (at < 0 && count > 0)
		return error_fail(err, EX_USAGE, "%s: '%s' is not a %s; e.g. nclust %s web %s",
			a->verb->name, words[count - 1], what, a->verb->name, sample);
	if (at < 0)
		return error_fail(err, EX_USAGE, "%s: %s? e.g. nclust %s %s", a->verb->name,
			counts ? "how many workers" : "which signal", a->verb->name, sample);
	if (count == 2)
		a->target = words[1 - at];
	if (counts)
		return take_count(a, words[at], err);
	a->request.signal = text_signal(words[at] + (*words[at] == '-'));
	return 0;
}

/* "USR1", or "-USR1" as for kill(1) */
static bool is_signal(const char *word)
{
	return text_signal(word + (*word == '-')) != -1;
}

static bool is_json(const char *word)
{
	return strchr(word, '\n') == NULL && jsonvalue_check(word, strlen(word));
}

/* "-1" is a number where the verb takes one, and no option; "-USR1" is a signal. */
static bool is_negative(const struct verb *verb, const char *word)
{
	return (verb->words == WORDS_COUNT && is_count(word)) ||
		(verb->words == WORDS_SIGNAL && is_signal(word)) ||
		(verb->words == WORDS_MESSAGE && is_json(word));
}

static int take_message(struct arguments *a, char **words, int count, struct error *err)
{
	if (count == 0)
		return error_fail(
			err, EX_USAGE, "send: which message? e.g. nclust send '{\"a\":1}'");
	a->target = count == 2 ? words[0] : NULL;
	a->request.message = words[count - 1];
	if (!is_json(words[count - 1]))
		return error_fail(err, EX_USAGE,
			"send: wanted one value of JSON on one line, found '%.64s'",
			words[count - 1]);
	return 0;
}

static int take_words(struct arguments *a, char **words, int count, struct error *err)
{
	static const int most[] = {[WORDS_NONE] = 0,
		[WORDS_TARGET] = 1,
		[WORDS_COUNT] = 2,
		[WORDS_SIGNAL] = 2,
		[WORDS_VERB] = 1,
		[WORDS_MESSAGE] = 2,
		[WORDS_RESTART] = 1};

	if (count > most[a->verb->words])
		return error_fail(err, EX_USAGE, "%s: unexpected word '%s'%s", a->verb->name,
			words[most[a->verb->words]],
			a->verb->words == WORDS_TARGET ? "; it takes one target" : "");
	switch (a->verb->words) {
	case WORDS_TARGET:
	case WORDS_RESTART:
	case WORDS_VERB:
		a->target = count > 0 ? words[0] : NULL;
		return 0;
	case WORDS_COUNT:
		return take_pair(a, words, count, is_count, "number", err);
	case WORDS_SIGNAL:
		return take_pair(a, words, count, is_signal, "signal", err);
	case WORDS_MESSAGE:
		return take_message(a, words, count, err);
	default:
		return 0;
	}
}

static bool takes_command(const struct verb *verb)
{
	return verb->words == WORDS_COMMAND || verb->words == WORDS_TRIAL;
}

static int take_command(struct arguments *a, char **words, struct error *err)
{
	if (words[0] == NULL && a->given_count > 0) {
		(void)unknown_option(a->verb, a->given[0], err);
		return error_hint(err,
			"options of nclust need a command: nclust %s OPTION... -- COMMAND",
			a->verb->name);
	}
	if (words[0] == NULL && a->verb->words == WORDS_TRIAL)
		return 0;
	if (words[0] == NULL)
		return error_fail(err, EX_USAGE, "%s: which command? e.g. nclust %s ./server",
			a->verb->name, a->verb->name);
	a->command = words;
	return 0;
}

/* The words after "--": the command of all workers from now on. */
static int take_new_command(struct arguments *a, char **words, struct error *err)
{
	if (*words == NULL || **words == '\0')
		return error_fail(err, EX_USAGE,
			"%s: no command after '--'; try: nclust %s web -- ./myserver --new",
			a->verb->name, a->verb->name);
	for (char **word = words; *word != NULL; word++)
		for (size_t at = 0, n, len = strlen(*word); at < len; at += n) {
			n = text_utf8(*word + at, len - at);
			if (n == 0)
				return error_fail(err, EX_USAGE,
					"%s: the command is not UTF-8, and cannot be sent",
					a->verb->name);
		}
	a->request.command = a->command = words;
	return 0;
}

int arguments_parse(
	struct arguments *a, const struct verb *verb, int argc, char **argv, struct error *err)
{
	struct cmdline line = {
		.argc = argc, .argv = argv, .next = 1, .find = find_option, .table = verb};
	char **rest = argv + argc; /* the command after "--" */
	enum cmdline_part part;
	char *words[4];
	int count = 0;
	bool only_words = false;

	*a = (struct arguments){.verb = verb,
		.argv = argv,
		.argc = argc,
		.request = {.method = verb->method, .last = -1}};
	for (;;) {
		int got = 0;

		if (line.next < argc && line.letters == NULL &&
			(only_words || is_negative(verb, argv[line.next]))) {
			part = CMDLINE_WORD;
			line.next++;
		} else {
			part = cmdline_next(&line);
		}
		if (part == CMDLINE_END)
			break;
		if (part == CMDLINE_WORD && a->given_count > 0)
			got = keep_given(a, argv[line.next - 1], err);
		else if (part <= CMDLINE_SEPARATOR && takes_command(verb))
			break;
		else if (part == CMDLINE_WORD && count < (int)COUNT_OF(words))
			words[count++] = argv[line.next - 1];
		else if (part == CMDLINE_SEPARATOR && verb->words == WORDS_RESTART)
			break;
		else if (part == CMDLINE_SEPARATOR)
			only_words = true;
		else if (part != CMDLINE_WORD)
			got = take_option(a, &line, part, err);
		if (got == -1)
			return -1;
	}
	if (part != CMDLINE_END)
		rest = argv + line.next - (part == CMDLINE_WORD);
	if (arguments_has(a, OPTION_HELP) && (!takes_command(verb) || part == CMDLINE_END))
		return 0;
	if (takes_command(verb))
		return take_command(a, rest, err);
	if (take_words(a, words, count, err) == -1)
		return -1;
	return part == CMDLINE_SEPARATOR ? take_new_command(a, rest, err) : 0;
}

/* ---- when ---- */

#define YEAR_MOST 2200 /* a nsec_t ends in 2262 */

/* Take the offset of a zone, "Z" or "+01:00", perhaps after a fraction of a second.  False:
 * something else is there. */
static bool take_zone(const char *text, long *east)
{
	size_t digits = *text == '.' ? strspn(text + 1, "0123456789") : 0;
	struct tm tm = {0};

	text += digits > 0 ? 1 + digits : 0;
	if (*text != '\0' && strcmp(text, "z") != 0) {
		text = strptime(text, "%z", &tm);
		if (text == NULL || *text != '\0')
			return false;
	}
	*east = tm.tm_gmtoff;
	return true;
}

/* A date, a date and time, or a time of today; or of yesterday, if it is still to come. */
static bool parse_date(time_t *at, const char *text, time_t now)
{
	static const char *const formats[] = {
		[5] = "%H:%M", [8] = "%T", [10] = "%F", [16] = "%F %H:%M", [19] = "%F %T"};
	size_t len = strnlen(text, 19);
	bool zoned;
	char given[20];
	const char *end;
	struct tm tm;
	long east;
	int day;

	if (len > 16 && text[16] != ':')
		len = 16;
	if (formats[len] == NULL || localtime_r(&now, &tm) == NULL)
		return false;
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	tm.tm_isdst = -1;
	zoned = strpbrk(text + len, "Zz+-") != NULL;
	text_copy(given, len + 1, text);
	if (len > 10 && (given[10] == 'T' || given[10] == 't'))
		given[10] = ' ';
	end = strptime(given, formats[len], &tm);
	if (end == NULL || *end != '\0' || tm.tm_sec > 59 || tm.tm_year < 1970 - 1900 ||
		tm.tm_year > YEAR_MOST - 1900 || !take_zone(text + len, &east))
		return false;
	day = tm.tm_mday;
	*at = zoned ? timegm(&tm) - east : mktime(&tm);
	if (tm.tm_mday != day)
		return false; /* the 30th of February has become the 1st of March */
	if (len < 10 && *at > now) {
		tm.tm_mday--;
		tm.tm_isdst = -1;
		*at = mktime(&tm);
	}
	return true;
}

static bool parse_seconds(nsec_t *at, const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (!isdigit((unsigned char)*text) || *end != '\0' ||
		!(seconds < (double)(NSEC_NEVER / SECOND)))
		return false;
	*at = (nsec_t)(seconds * 1000 + 0.5) * MSEC;
	return true;
}

int when_parse(nsec_t *at, const char *text, nsec_t now, struct error *err)
{
	time_t seconds;
	nsec_t ago;

	if (text[0] == '@' && parse_seconds(at, text + 1))
		return 0;
	if (text_parse_duration(&ago, text)) {
		*at = ago < now ? now - ago : 0;
		return 0;
	}
	if (parse_date(&seconds, text, (time_t)(now / SECOND))) {
		*at = seconds > 0 ? (nsec_t)seconds * SECOND : 0;
		return 0;
	}
	return error_fail(err, EX_USAGE,
		"wanted a time such as '10m' (ago), '05:00', '2026-11-22 "
		"05:00', '2026-11-22T05:00:00Z' or '@1795323600', found "
		"'%.64s'",
		text);
}
