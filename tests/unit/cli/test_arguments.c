/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "../../../tools/describe.h"
#include "base/scope.h"
#include "cli/cli.h"
#include "cli/verb.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define WORDS_MAX 8

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
	(void)strcpy(copy, line);
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

static void refuses(const char *line, const char *sentence)
{
	ck_assert_msg(parse(line) == -1, "'%s' was taken", line);
	ck_assert_int_eq(err.status, 64);
	ck_assert_str_eq(err.text, sentence);
}

TEST(every_verb_but_some_takes_a_target)
{
	static const char *const lines[] = {"status shop", "restart shop",
		"reload shop", "stop shop", "events shop", "config shop"};

	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		ck_assert_int_eq(parse(lines[i]), 0);
		ck_assert_str_eq(got.target, "shop");
	}
	ck_assert_int_eq(parse("status"), 0);
	ck_assert_ptr_null(got.target);
}

TEST(a_restart_takes_a_command_with_all_its_words)
{
	ck_assert_int_eq(
		parse("restart --no-wait web -- ./app --json -- x"), 0);
	ck_assert_str_eq(got.target, "web");
	ck_assert(arguments_has(&got, OPTION_NO_WAIT));
	ck_assert(!arguments_has(&got, OPTION_JSON));
	ck_assert_str_eq(got.command[0], "./app");
	ck_assert_str_eq(got.command[2], "--");
	ck_assert_str_eq(got.command[3], "x");
	ck_assert_ptr_null(got.command[4]);
	ck_assert_int_eq(parse("restart -- ./app"), 0);
	ck_assert_ptr_null(got.target);
	refuses("restart web --",
		"restart: no command after '--'; try: nclust restart web -- "
		"./myserver --new");
	refuses("restart web \xff -- a", "restart: unexpected word '\xff'");
	refuses("restart web -- a \xff",
		"restart: the command is not UTF-8, and cannot be sent");
	ck_assert_int_eq(parse("restart web"), 0);
	ck_assert_ptr_null(got.command);
}

TEST(options_may_stand_anywhere)
{
	ck_assert_int_eq(parse("stop --now web --no-wait --json"), 0);
	ck_assert_str_eq(got.target, "web");
	ck_assert(arguments_has(&got, OPTION_NOW));
	ck_assert(arguments_has(&got, OPTION_NO_WAIT));
	ck_assert(arguments_has(&got, OPTION_JSON));
	ck_assert(!arguments_has(&got, OPTION_ALL));
}

TEST(one_word_may_be_the_option_of_several_verbs)
{
	ck_assert_int_eq(parse("status -aw web"), 0);
	ck_assert(arguments_has(&got, OPTION_EACH));
	ck_assert(arguments_has(&got, OPTION_WATCH));
	ck_assert(!arguments_has(&got, OPTION_ALL));
	ck_assert_int_eq(parse("status --all"), 0);
	ck_assert(arguments_has(&got, OPTION_EACH));
	ck_assert_int_eq(parse("signal --all web HUP"), 0);
	ck_assert(arguments_has(&got, OPTION_ALL));
	ck_assert(!arguments_has(&got, OPTION_EACH));
}

TEST(every_verb_that_asks_takes_json_and_a_runtime_directory)
{
	for (const struct verb *v = verbs; v->name != NULL; v++) {
		if (v->words == WORDS_COMMAND || v->words == WORDS_VERB ||
			v->words == WORDS_NONE)
			continue;
		ck_assert_msg((v->options & OPTION_JSON) != 0 ||
				v->run == verb_top || /* draws on a terminal */
				v->run == verb_ask, /* shows a worker's words */
			"%s", v->name);
		ck_assert_msg(
			(v->options & OPTION_RUNTIME) != 0, "%s", v->name);
	}
	ck_assert_int_eq(parse("status --runtime-directory=/x"), 0);
	ck_assert_str_eq(got.runtime_directory, "/x");
	ck_assert_int_eq(parse("status --runtime-directory /y shop"), 0);
	ck_assert_str_eq(got.runtime_directory, "/y");
	ck_assert_str_eq(got.target, "shop");
}

TEST(letters_may_be_joined)
{
	ck_assert_int_eq(parse("events -fn20 web"), 0);
	ck_assert(arguments_has(&got, OPTION_FOLLOW));
	ck_assert_int_eq(got.lines, 20);
	ck_assert_str_eq(got.target, "web");
	ck_assert_int_eq(parse("events -n 0"), 0);
	ck_assert_int_eq(got.lines, 0);
	ck_assert_int_eq(parse("events"), 0);
	ck_assert_int_eq(got.lines, -1);
	ck_assert_int_eq(got.since, 0);
	ck_assert_int_eq(
		parse("events --since @7.5 --cluster web --kind a,b"), 0);
	ck_assert_int_eq(got.since, 7500 * MSEC);
	ck_assert_str_eq(got.cluster, "web");
	ck_assert_str_eq(got.kinds, "a,b");
}

TEST(canaries_have_a_number_and_a_time)
{
	ck_assert_int_eq(parse("restart web --canary 2 --bake=1500ms"), 0);
	ck_assert(arguments_has(&got, OPTION_CANARY));
	ck_assert_int_eq(got.canary, 2);
	ck_assert_int_eq(got.bake, 1500 * MSEC);
	ck_assert_int_eq(parse("restart web"), 0);
	ck_assert(!arguments_has(&got, OPTION_CANARY));
}

TEST(scale_takes_the_number_on_either_side)
{
	static const char *const lines[] = {"scale web 4", "scale 4 web"};

	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		ck_assert_int_eq(parse(lines[i]), 0);
		ck_assert_str_eq(got.target, "web");
		ck_assert_int_eq(got.scale_kind, SCALE_TO);
		ck_assert_int_eq(got.count, 4);
	}
	ck_assert_int_eq(parse("scale 0"), 0);
	ck_assert_ptr_null(got.target);
	ck_assert_int_eq(got.count, 0);
}

TEST(scale_tells_a_change_from_a_number)
{
	ck_assert_int_eq(parse("scale web +1"), 0);
	ck_assert_int_eq(got.scale_kind, SCALE_BY);
	ck_assert_int_eq(got.count, 1);
	ck_assert_int_eq(parse("scale -2 --no-wait web"), 0);
	ck_assert_int_eq(got.scale_kind, SCALE_BY);
	ck_assert_int_eq(got.count, -2);
	ck_assert_str_eq(got.target, "web");
	ck_assert(arguments_has(&got, OPTION_NO_WAIT));
	/* of two numbers the last is the count: clusters may be called "4" */
	ck_assert_int_eq(parse("scale 4 7"), 0);
	ck_assert_str_eq(got.target, "4");
	ck_assert_int_eq(got.count, 7);
}

TEST(scale_refuses_what_is_no_number)
{
	refuses("scale", "scale: which number? e.g. nclust scale 4");
	refuses("scale web", "scale: 'web' is not a number");
	refuses("scale web 4q", "scale: '4q' is not a number");
	refuses("scale 10001",
		"scale: wanted a number from 0 to 10000, or +N or -N, "
		"found '10001'");
	refuses("scale a b 4", "scale: unexpected word '4'");
}

TEST(send_takes_a_message_and_perhaps_a_target)
{
	ck_assert_int_eq(parse("send web.2 {\"a\":1}"), 0);
	ck_assert_str_eq(got.target, "web.2");
	ck_assert_str_eq(got.message, "{\"a\":1}");
	ck_assert_int_eq(parse("send --all -1.5e3"), 0);
	ck_assert_ptr_null(got.target);
	ck_assert_str_eq(got.message, "-1.5e3");
	ck_assert(arguments_has(&got, OPTION_ALL));
	refuses("send", "send: which message? e.g. nclust send '{\"a\":1}'");
	refuses("send web",
		"send: wanted one value of JSON on one line, found 'web'");
	refuses("send web {} {}", "send: unexpected word '{}'");
	refuses("send web -x", "'send' takes no option '-x'");
}

TEST(signal_takes_the_name_on_either_side)
{
	ck_assert_int_eq(parse("signal web.2 USR1"), 0);
	ck_assert_str_eq(got.target, "web.2");
	ck_assert_int_eq(got.signal, SIGUSR1);
	ck_assert_int_eq(parse("signal sigusr2 web --all"), 0);
	ck_assert_str_eq(got.target, "web");
	ck_assert_int_eq(got.signal, SIGUSR2);
	ck_assert(arguments_has(&got, OPTION_ALL));
	ck_assert_int_eq(parse("signal 15"), 0);
	ck_assert_ptr_null(got.target);
	ck_assert_int_eq(got.signal, SIGTERM);
	/* a cluster may be called like a signal */
	ck_assert_int_eq(parse("signal hup usr1"), 0);
	ck_assert_str_eq(got.target, "hup");
	ck_assert_int_eq(got.signal, SIGUSR1);
	refuses("signal", "signal: which signal? e.g. nclust signal USR1");
	refuses("signal web", "signal: 'web' is not a signal");
}

TEST(config_takes_a_file)
{
	ck_assert_int_eq(parse("config --check -c shop.ini"), 0);
	ck_assert(arguments_has(&got, OPTION_CHECK));
	ck_assert_str_eq(got.file, "shop.ini");
	ck_assert_int_eq(parse("config --config=shop.ini --json"), 0);
	ck_assert_str_eq(got.file, "shop.ini");
}

TEST(exec_takes_all_that_follows)
{
	ck_assert_int_eq(parse("exec -- npm start --json"), 0);
	ck_assert_str_eq(got.command[0], "npm");
	ck_assert_str_eq(got.command[2], "--json");
	ck_assert_ptr_null(got.command[3]);
	ck_assert_int_eq(parse("exec npm -h"), 0);
	ck_assert_str_eq(got.command[0], "npm");
	ck_assert_str_eq(got.command[1], "-h");
	/* only the first "--" is ours */
	ck_assert_int_eq(parse("exec -- -- x"), 0);
	ck_assert_str_eq(got.command[0], "--");
	refuses("exec", "exec: which command? e.g. nclust exec ./server");
	refuses("exec --", "exec: which command? e.g. nclust exec ./server");
}

TEST(doctor_takes_a_command_or_none)
{
	ck_assert_int_eq(parse("doctor"), 0);
	ck_assert_ptr_null(got.command);
	ck_assert_int_eq(parse("doctor -- ./server a b"), 0);
	ck_assert_str_eq(got.command[0], "./server");
	ck_assert_int_eq(parse("doctor -l 80 --listen=unix:/x -- ./server"), 0);
	ck_assert_uint_eq(got.listen_count, 2);
	ck_assert_str_eq(got.listen[0], "80");
	ck_assert_str_eq(got.listen[1], "unix:/x");
	ck_assert_str_eq(got.command[0], "./server");
	refuses("doctor -l", "--listen needs a ADDRESS");
	refuses("status -l 80", "'status' takes no option '-l'");
}

TEST(help_takes_a_verb)
{
	ck_assert_int_eq(parse("help scale"), 0);
	ck_assert_str_eq(got.topic, "scale");
	ck_assert_int_eq(parse("scale --help"), 0);
	ck_assert(arguments_has(&got, OPTION_HELP));
}

TEST(mistakes_are_told)
{
	refuses("status --jsn",
		"'status' takes no option '--jsn'; did you mean '--json'?");
	refuses("status --now", "'status' takes no option '--now'");
	refuses("status -z", "'status' takes no option '-z'");
	refuses("status a b", "status: unexpected word 'b'");
	refuses("status --json=1", "--json takes no value");
	refuses("events -n", "--lines needs a LINES");
	refuses("events --since soon",
		"--since: wanted a time such as '10m' (ago), '05:00', "
		"'2026-11-22 05:00', '2026-11-22T05:00:00Z' or '@1795323600', "
		"found 'soon'");
	refuses("events --since", "--since needs a TIME");
	refuses("events --cluster=", "--cluster: wanted a NAME, found nothing");
	refuses("status --kind ready", "'status' takes no option '--kind'");
	refuses("events -n x",
		"--lines: wanted a number up to 1000000, found 'x'");
	refuses("events -n -1",
		"--lines: wanted a number up to 1000000, found '-1'");
	refuses("status --runtime-directory=",
		"--runtime-directory: wanted a DIR, found nothing");
	refuses("restart --canary x",
		"--canary: wanted a number up to 10000, found 'x'");
	ck_assert_int_eq(parse("restart --bake 0"), 0);
	ck_assert_int_eq(got.bake, 0);
	refuses("restart --canary 1 --bake 5",
		"--bake: wanted a time from 0s to 24h such as 200ms, 5s, 2m or "
		"1h, found '5'");
	refuses("version x", "version: unexpected word 'x'");
}

TEST(two_dashes_end_the_options)
{
	ck_assert_int_eq(parse("status -- --json"), 0);
	ck_assert_str_eq(got.target, "--json");
	ck_assert(!arguments_has(&got, OPTION_JSON));
}

TEST(many_words_do_no_harm)
{
	refuses("status a b c d e f", "status: unexpected word 'b'");
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
		(void)snprintf(
			verb, sizeof(verb), " %-8s %s", v->name, v->help);
		ck_assert_msg(strstr(text, verb) != NULL, "%s", v->name);
	}
	ck_assert_ptr_nonnull(strstr(text, "  -n, --workers count"));
	buffer_fini(&out);
}

TEST(the_manual_has_every_option)
{
	struct buffer out;
	const char *text;

	buffer_init(&out, 0);
	ck_assert_int_eq(describe_mdoc_verbs(&out), 0);
	text = buffer_text(&out);
	ck_assert_ptr_nonnull(strstr(text, ".It Cm stop Oo Ar TARGET Oc"));
	ck_assert_ptr_nonnull(strstr(text, "Oo Fl \\-now Oc"));
	ck_assert_ptr_nonnull(
		strstr(text, "Oo Fl n | Fl \\-lines Ar LINES Oc"));
	ck_assert_ptr_nonnull(strstr(text, "\nExits 0 if all wanted"));
	/* no line begins with a request that was not meant */
	for (const char *at = text; *at != '\0'; at = strchr(at, '\n') + 1)
		ck_assert(at[0] != '\'' &&
			(at[0] != '.' || strncmp(at, ".It Cm ", 7) == 0));
	buffer_fini(&out);
}
