/* SPDX-License-Identifier: MIT */
#include "cli_lib.h"

#include "../../../tools/describe.h"
#include "cli/commands.h"
#include "cli/verb.h"
#include "cli/verb_help.h"
#include "os/clock.h"

#define WORDS_MAX 12

static char *words[WORDS_MAX + 1];
static struct arguments got;
static struct error err;

/* Parse "scale web +1" as the words behind `nclust`. */
static int parse(const char *line)
{
	static char copy[200];
	const struct verb *verb;
	int count = 0;

	ck_assert_uint_lt(strlen(line), sizeof(copy));
	strcpy(copy, line);
	for (char *w = strtok(copy, " "); w != NULL; w = strtok(NULL, " ")) {
		ck_assert_int_lt(count, WORDS_MAX);
		words[count++] = w;
	}
	words[count] = NULL;
	verb = verb_find(words[0]);
	ck_assert_ptr_nonnull(verb);
	err = (struct error){0};
	return arguments_parse(&got, verb, count, words, &err);
}

static void put(struct buffer *out, const char *name, const char *value)
{
	if (value != NULL)
		buffer_printf(out, " %s=%s", name, value);
}

/* What was given, but for the verb. */
static void describe(struct buffer *out)
{
	static const struct {
		unsigned bit;
		const char *name;
	} options[] = {{OPTION_JSON, "json"}, {OPTION_WATCH, "watch"}, {OPTION_NO_WAIT, "no-wait"},
		{OPTION_NOW, "now"}, {OPTION_ALL, "all"}, {OPTION_FOLLOW, "follow"},
		{OPTION_CHECK, "check"}, {OPTION_HELP, "help"}, {OPTION_EACH, "each"}};

	put(out, "target", got.target);
	for (size_t i = 0; i < COUNT_OF(options); i++)
		if (arguments_has(&got, options[i].bit))
			buffer_printf(out, " %s", options[i].name);
	if (got.verb->words == WORDS_COUNT)
		buffer_printf(out, " %s=%d", got.request.scale_kind == SCALE_BY ? "by" : "to",
			got.request.count);
	if (got.request.signal != 0)
		buffer_printf(out, " signal=%d", got.request.signal);
	if (got.request.last != -1)
		buffer_printf(out, " lines=%d", got.request.last);
	if (got.request.since != 0)
		buffer_printf(out, " since=%lldms", (long long)(got.request.since / MSEC));
	if (arguments_has(&got, OPTION_CANARY))
		buffer_printf(out, " canary=%d", got.request.canary);
	if (arguments_has(&got, OPTION_BAKE))
		buffer_printf(out, " bake=%lldms", (long long)(got.request.bake / MSEC));
	put(out, "cluster", got.cluster);
	put(out, "kinds", got.kinds);
	put(out, "message", got.request.message);
	put(out, "file", got.file);
	put(out, "directory", got.runtime_directory);
	for (size_t i = 0; i < got.given_count; i++)
		put(out, "given", got.given[i]);
	for (char **w = got.command; w != NULL && *w != NULL; w++)
		put(out, "word", *w);
}

static const struct {
	const char *line;
	const char *is;
} taken[] = {
	{"status shop", "target=shop"},
	{"restart shop", "target=shop"},
	{"reload shop", "target=shop"},
	{"stop shop", "target=shop"},
	{"events shop", "target=shop"},
	{"config shop", "target=shop"},
	{"status", ""},
	/* a command has all its words */
	{"restart --no-wait web -- ./app --json -- x",
		"target=web no-wait word=./app word=--json word=-- word=x"},
	{"restart -- ./app", "word=./app"},
	/* options may stand anywhere, and their letters be joined */
	{"stop --now web --no-wait --json", "target=web json no-wait now"},
	{"status -aw web", "target=web watch each"},
	{"status --all", "each"},
	{"signal --all web HUP", "target=web all signal=1"},
	{"status --runtime-directory=/x", "directory=/x"},
	{"status --runtime-directory /y shop", "target=shop directory=/y"},
	{"events -fn20 web", "target=web follow lines=20"},
	{"events -n 0", "lines=0"},
	{"events --since @7.5 --cluster web --kind a,b", "since=7500ms cluster=web kinds=a,b"},
	{"status -- --json", "target=--json"},
	{"restart web --canary 2 --bake=1500ms", "target=web canary=2 bake=1500ms"},
	{"restart --bake 0", "bake=0ms"},
	/* the number stands on either side */
	{"scale web 4", "target=web to=4"},
	{"scale 4 web", "target=web to=4"},
	{"scale 0", "to=0"},
	{"scale web +1", "target=web by=1"},
	{"scale -2 --no-wait web", "target=web no-wait by=-2"},
	/* of two numbers the last is the count: clusters may be called "4" */
	{"scale 4 7", "target=4 to=7"},
	{"send web.2 {'a':1}", "target=web.2 message={'a':1}"},
	{"send --all -1.5e3", "all message=-1.5e3"},
	/* the signal does, too, and a cluster may be called like one */
	{"signal web.2 USR1", "target=web.2 signal=10"},
	{"signal -USR1 web.2", "target=web.2 signal=10"},
	{"signal -9", "signal=9"},
	{"signal sigusr2 web --all", "target=web all signal=12"},
	{"signal 15", "signal=15"},
	{"signal hup usr1", "target=hup signal=10"},
	{"config --check -c shop.ini", "check file=shop.ini"},
	{"config --config=shop.ini --json", "json file=shop.ini"},
	/* only the first "--" is ours */
	{"exec -- npm start --json", "word=npm word=start word=--json"},
	{"exec npm -h", "word=npm word=-h"},
	{"exec -- -- x", "word=-- word=x"},
	{"doctor", ""},
	{"doctor -- ./server a b", "word=./server word=a word=b"},
	{"doctor ./server -l", "word=./server word=-l"},
	/* options of the command line that is tried */
	{"doctor --user www --json -n2 -l 80 -- x",
		"json given=--user given=www given=-n2 given=-l given=80 word=x"},
	{"help scale", "target=scale"},
	{"scale --help", "help to=0"},
};

TEST_LOOP(what_is_right_is_taken, 0, (int)COUNT_OF(taken))
{
	struct buffer out;

	ck_assert_msg(parse(quoted(taken[_i].line)) == 0, "'%s': %s", taken[_i].line, err.text);
	buffer_init(&out, 0);
	buffer_string(&out, "");
	describe(&out);
	ck_assert_str_eq(out.len > 0 ? buffer_text(&out) + 1 : "", quoted(taken[_i].is));
	buffer_fini(&out);
}

/* What is told begins so. */
static const struct {
	const char *line;
	const char *told;
} refused[] = {
	{"restart web --", "restart: no command after '--'; try: nclust "},
	{"restart web \xff -- a", "restart: unexpected word '\xff'"},
	{"restart web -- a \xff", "restart: the command is not UTF-8"},
	{"restart --canary x", "--canary: wanted a number up to 10000"},
	{"restart --canary 1 --bake 5", "--bake: wanted a time from 0s to 24h"},
	{"scale", "scale: how many workers? e.g. nclust scale 4"},
	{"scale web", "scale: 'web' is not a number; e.g. nclust scale web 4"},
	{"scale web 4q", "scale: '4q' is not a number"},
	{"scale 10001", "scale: wanted a number from 0 to 10000, or +N or -N"},
	{"scale a b 4", "scale: unexpected word '4'"},
	{"send", "send: which message? e.g. nclust send"},
	{"send web", "send: wanted one value of JSON on one line, found 'web'"},
	{"send web {} {}", "send: unexpected word '{}'"},
	{"send web -x", "'send' takes no option '-x'"},
	{"signal", "signal: which signal? e.g. nclust signal USR1"},
	{"signal web", "signal: 'web' is not a signal"},
	{"exec", "exec: which command? e.g. nclust exec ./server"},
	{"exec --", "exec: which command? e.g. nclust exec ./server"},
	{"doctor -l 80", "'doctor' takes no option '-l'; options of nclust need a command"},
	{"doctor --jsn", "'doctor' takes no option '--jsn'; did you mean"},
	{"status -l 80", "'status' takes no option '-l'"},
	{"status --jsn", "'status' takes no option '--jsn'; did you mean"},
	{"status --now", "'status' takes no option '--now'"},
	{"status -z", "'status' takes no option '-z'"},
	{"status a b c d e f", "status: unexpected word 'b'; it takes one target"},
	{"logs -100", "'logs' takes no option '-100'; use -n 100"},
	{"logs --tail=5", "'logs' takes no option '--tail=5'; use -n N"},
	{"stop --force", "'stop' takes no option '--force'; use --now"},
	{"stop -f", "'stop' takes no option '-f'; use --now"},
	{"signal -x", "'signal' takes no option '-x'"},
	{"restart --force", "'restart' takes no option '--force'"},
	{"restart --name X", "'restart' takes no option '--name'; use the name alone"},
	{"status --json=1", "--json takes no value"},
	{"status --kind ready", "'status' takes no option '--kind'"},
	{"status --runtime-directory=",
		"--runtime-directory: wanted a value, found nothing: --runtime-directory DIR"},
	{"events -n", "--lines needs a value: --lines N"},
	{"events -n x", "--lines: wanted a number up to 1000000, found 'x'"},
	{"events -n -1", "--lines: wanted a number up to 1000000, found '-1'"},
	{"events --since soon", "--since: wanted a time such as '10m' (ago)"},
	{"events --since", "--since needs a value: --since TIME"},
	{"events --cluster=", "--cluster: wanted a value, found nothing"},
	{"version x", "version: unexpected word 'x'"},
};

TEST_LOOP(what_is_wrong_is_told, 0, (int)COUNT_OF(refused))
{
	const char *told = refused[_i].told;

	ck_assert_int_eq(parse(refused[_i].line), -1);
	ck_assert_int_eq(err.status, 64);
	ck_assert_msg(strncmp(err.text, told, strlen(told)) == 0, "%s", err.text);
}

TEST(every_verb_that_asks_takes_json_and_a_runtime_directory)
{
	for (const struct verb *v = verbs; v->name != NULL; v++) {
		if (v->words == WORDS_COMMAND || v->words == WORDS_VERB || v->words == WORDS_NONE)
			continue;
		ck_assert_msg((v->options & OPTION_JSON) != 0 ||
				v->run == verb_top, /* draws on a terminal */
			"%s", v->name);
		ck_assert_msg((v->options & OPTION_RUNTIME) != 0, "%s", v->name);
	}
}

TEST(the_names_are_those_of_the_table)
{
	const char *const *names = cli_verbs();
	size_t i;

	for (i = 0; verbs[i].name != NULL; i++) {
		ck_assert_str_eq(names[i], verbs[i].name);
		ck_assert(verbs[i].run != NULL);
		ck_assert_ptr_nonnull(verbs[i].help);
		ck_assert_ptr_nonnull(verbs[i].manual);
	}
	ck_assert_ptr_null(names[i]);
	ck_assert_ptr_null(verb_find("logs2"));
	ck_assert_ptr_null(verb_find(""));
}

/* Also within a second: a full one earlier is not "ago". */
TEST(a_time_ago_is_counted_from_now)
{
	const double before = clock_wall();
	double since;

	ck_assert_int_eq(parse("logs --since 0"), 0);
	since = (double)got.request.since / SECOND;
	ck_assert_double_ge(since, before - 0.001);
	ck_assert_double_le(since, clock_wall() + 0.001);
}

TEST(help_has_each_verb_and_fits_a_screen)
{
	struct buffer out;
	const char *text;
	size_t lines = 0;
	char verb[40];

	buffer_init(&out, 0);
	ck_assert_int_eq(cli_describe_help(&out), 0);
	text = buffer_text(&out);
	for (const char *at = text; *at != '\0'; at = strchr(at, '\n') + 1) {
		ck_assert_uint_le(strcspn(at, "\n"), 79);
		lines++;
	}
	ck_assert_uint_le(lines, 25);
	for (const struct verb *v = verbs; v->name != NULL; v++) {
		snprintf(verb, sizeof(verb), " %-8s %s", v->name, v->help);
		ck_assert_msg(strstr(text, verb) != NULL, "%s", v->name);
	}
	has(text, "  -n, --workers count");
	buffer_fini(&out);
}

TEST(the_manual_has_every_option)
{
	struct buffer out;
	const char *text;

	buffer_init(&out, 0);
	ck_assert_int_eq(describe_mdoc_verbs(&out), 0);
	text = buffer_text(&out);
	has(text, ".Ss Stop\n.Bl -tag -width Ds\n.It Cm stop Oo Ar TARGET Oc");
	has(text, "Oo Fl \\-now Oc");
	has(text, "Oo Fl n | Fl \\-lines Ar N Oc");
	has(text, "\nExits 0 if all wanted");
	/* no line begins with a request that was not meant */
	for (const char *at = text; *at != '\0'; at = strchr(at, '\n') + 1)
		ck_assert(at[0] != '\'' && (at[0] != '.' || strchr("BEIS", at[1]) != NULL));
	buffer_fini(&out);
}
