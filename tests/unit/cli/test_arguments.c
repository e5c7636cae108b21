/* SPDX-License-Identifier: MIT */
#include "cli_lib.h"

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

static void takes(const char *line)
{
	ck_assert_msg(parse(line) == 0, "'%s': %s", line, err.text);
}

/* What is told begins so. */
static void refuses(const char *line, const char *start)
{
	ck_assert_msg(parse(line) == -1, "'%s' was taken", line);
	ck_assert_int_eq(err.status, 64);
	ck_assert_msg(
		strncmp(err.text, start, strlen(start)) == 0, "%s", err.text);
}

TEST(every_verb_but_some_takes_a_target)
{
	static const char *const lines[] = {"status shop", "restart shop",
		"reload shop", "stop shop", "events shop", "config shop"};

	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		takes(lines[i]);
		ck_assert_str_eq(got.target, "shop");
	}
	takes("status");
	ck_assert_ptr_null(got.target);
}

TEST(a_restart_takes_a_command_with_all_its_words)
{
	takes("restart --no-wait web -- ./app --json -- x");
	ck_assert_str_eq(got.target, "web");
	ck_assert(arguments_has(&got, OPTION_NO_WAIT));
	ck_assert(!arguments_has(&got, OPTION_JSON));
	ck_assert_str_eq(got.command[0], "./app");
	ck_assert_str_eq(got.command[2], "--");
	ck_assert_str_eq(got.command[3], "x");
	ck_assert_ptr_null(got.command[4]);
	takes("restart -- ./app");
	ck_assert_ptr_null(got.target);
	refuses("restart web --", "restart: no command after '--'; try: ");
	refuses("restart web \xff -- a", "restart: unexpected word '\xff'");
	refuses("restart web -- a \xff", "restart: the command is not UTF-8");
	takes("restart web");
	ck_assert_ptr_null(got.command);
}

TEST(options_may_stand_anywhere)
{
	takes("stop --now web --no-wait --json");
	ck_assert_str_eq(got.target, "web");
	ck_assert(arguments_has(&got, OPTION_NOW));
	ck_assert(arguments_has(&got, OPTION_NO_WAIT));
	ck_assert(arguments_has(&got, OPTION_JSON));
	ck_assert(!arguments_has(&got, OPTION_ALL));
}

TEST(one_word_may_be_the_option_of_several_verbs)
{
	takes("status -aw web");
	ck_assert(arguments_has(&got, OPTION_EACH));
	ck_assert(arguments_has(&got, OPTION_WATCH));
	ck_assert(!arguments_has(&got, OPTION_ALL));
	takes("status --all");
	ck_assert(arguments_has(&got, OPTION_EACH));
	takes("signal --all web HUP");
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
	takes("status --runtime-directory=/x");
	ck_assert_str_eq(got.runtime_directory, "/x");
	takes("status --runtime-directory /y shop");
	ck_assert_str_eq(got.runtime_directory, "/y");
	ck_assert_str_eq(got.target, "shop");
}

TEST(letters_may_be_joined)
{
	takes("events -fn20 web");
	ck_assert(arguments_has(&got, OPTION_FOLLOW));
	ck_assert_int_eq(got.lines, 20);
	ck_assert_str_eq(got.target, "web");
	takes("events -n 0");
	ck_assert_int_eq(got.lines, 0);
	takes("events");
	ck_assert_int_eq(got.lines, -1);
	ck_assert_int_eq(got.since, 0);
	takes("events --since @7.5 --cluster web --kind a,b");
	ck_assert_int_eq(got.since, 7500 * MSEC);
	ck_assert_str_eq(got.cluster, "web");
	ck_assert_str_eq(got.kinds, "a,b");
}

TEST(canaries_have_a_number_and_a_time)
{
	takes("restart web --canary 2 --bake=1500ms");
	ck_assert(arguments_has(&got, OPTION_CANARY));
	ck_assert_int_eq(got.canary, 2);
	ck_assert_int_eq(got.bake, 1500 * MSEC);
	takes("restart web");
	ck_assert(!arguments_has(&got, OPTION_CANARY));
}

TEST(scale_takes_the_number_on_either_side)
{
	static const char *const lines[] = {"scale web 4", "scale 4 web"};

	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		takes(lines[i]);
		ck_assert_str_eq(got.target, "web");
		ck_assert_int_eq(got.scale_kind, SCALE_TO);
		ck_assert_int_eq(got.count, 4);
	}
	takes("scale 0");
	ck_assert_ptr_null(got.target);
	ck_assert_int_eq(got.count, 0);
}

TEST(scale_tells_a_change_from_a_number)
{
	takes("scale web +1");
	ck_assert_int_eq(got.scale_kind, SCALE_BY);
	ck_assert_int_eq(got.count, 1);
	takes("scale -2 --no-wait web");
	ck_assert_int_eq(got.scale_kind, SCALE_BY);
	ck_assert_int_eq(got.count, -2);
	ck_assert_str_eq(got.target, "web");
	ck_assert(arguments_has(&got, OPTION_NO_WAIT));
	/* of two numbers the last is the count: clusters may be called "4" */
	takes("scale 4 7");
	ck_assert_str_eq(got.target, "4");
	ck_assert_int_eq(got.count, 7);
}

TEST(scale_refuses_what_is_no_number)
{
	refuses("scale", "scale: which number? e.g. nclust scale 4");
	refuses("scale web", "scale: 'web' is not a number");
	refuses("scale web 4q", "scale: '4q' is not a number");
	refuses("scale 10001", "scale: wanted a number from 0 to 10000, or +");
	refuses("scale a b 4", "scale: unexpected word '4'");
}

TEST(send_takes_a_message_and_perhaps_a_target)
{
	takes("send web.2 {\"a\":1}");
	ck_assert_str_eq(got.target, "web.2");
	ck_assert_str_eq(got.message, "{\"a\":1}");
	takes("send --all -1.5e3");
	ck_assert_ptr_null(got.target);
	ck_assert_str_eq(got.message, "-1.5e3");
	ck_assert(arguments_has(&got, OPTION_ALL));
	refuses("send", "send: which message? e.g. nclust send '{\"a\":1}'");
	refuses("send web", "send: wanted one value of JSON on one line");
	refuses("send web {} {}", "send: unexpected word '{}'");
	refuses("send web -x", "'send' takes no option '-x'");
}

TEST(signal_takes_the_name_on_either_side)
{
	takes("signal web.2 USR1");
	ck_assert_str_eq(got.target, "web.2");
	ck_assert_int_eq(got.signal, SIGUSR1);
	takes("signal sigusr2 web --all");
	ck_assert_str_eq(got.target, "web");
	ck_assert_int_eq(got.signal, SIGUSR2);
	ck_assert(arguments_has(&got, OPTION_ALL));
	takes("signal 15");
	ck_assert_ptr_null(got.target);
	ck_assert_int_eq(got.signal, SIGTERM);
	/* a cluster may be called like a signal */
	takes("signal hup usr1");
	ck_assert_str_eq(got.target, "hup");
	ck_assert_int_eq(got.signal, SIGUSR1);
	refuses("signal", "signal: which signal? e.g. nclust signal USR1");
	refuses("signal web", "signal: 'web' is not a signal");
}

TEST(config_takes_a_file)
{
	takes("config --check -c shop.ini");
	ck_assert(arguments_has(&got, OPTION_CHECK));
	ck_assert_str_eq(got.file, "shop.ini");
	takes("config --config=shop.ini --json");
	ck_assert_str_eq(got.file, "shop.ini");
}

TEST(exec_takes_all_that_follows)
{
	takes("exec -- npm start --json");
	ck_assert_str_eq(got.command[0], "npm");
	ck_assert_str_eq(got.command[2], "--json");
	ck_assert_ptr_null(got.command[3]);
	takes("exec npm -h");
	ck_assert_str_eq(got.command[0], "npm");
	ck_assert_str_eq(got.command[1], "-h");
	/* only the first "--" is ours */
	takes("exec -- -- x");
	ck_assert_str_eq(got.command[0], "--");
	refuses("exec", "exec: which command? e.g. nclust exec ./server");
	refuses("exec --", "exec: which command? e.g. nclust exec ./server");
}

TEST(doctor_takes_a_command_or_none)
{
	takes("doctor");
	ck_assert_ptr_null(got.command);
	takes("doctor -- ./server a b");
	ck_assert_str_eq(got.command[0], "./server");
	takes("doctor -l 80 --listen=unix:/x -- ./server");
	ck_assert_uint_eq(got.listen_count, 2);
	ck_assert_str_eq(got.listen[0], "80");
	ck_assert_str_eq(got.listen[1], "unix:/x");
	ck_assert_str_eq(got.command[0], "./server");
	refuses("doctor -l", "--listen needs a ADDRESS");
	refuses("status -l 80", "'status' takes no option '-l'");
}

TEST(help_takes_a_verb)
{
	takes("help scale");
	ck_assert_str_eq(got.topic, "scale");
	takes("scale --help");
	ck_assert(arguments_has(&got, OPTION_HELP));
}

TEST(mistakes_are_told)
{
	refuses("status --jsn", "'status' takes no option '--jsn'; did you m");
	refuses("status --now", "'status' takes no option '--now'");
	refuses("status -z", "'status' takes no option '-z'");
	refuses("status a b", "status: unexpected word 'b'");
	refuses("status --json=1", "--json takes no value");
	refuses("events -n", "--lines needs a LINES");
	refuses("events --since soon", "--since: wanted a time such as '10m'");
	refuses("events --since", "--since needs a TIME");
	refuses("events --cluster=", "--cluster: wanted a NAME, found nothing");
	refuses("status a b c d e f", "status: unexpected word 'b'");
	refuses("status --kind ready", "'status' takes no option '--kind'");
	refuses("events -n x", "--lines: wanted a number up to 1000000");
	refuses("events -n -1", "--lines: wanted a number up to 1000000");
	refuses("status --runtime-directory=", "--runtime-directory: wanted ");
	refuses("restart --canary x", "--canary: wanted a number up to 10000");
	takes("restart --bake 0");
	ck_assert_int_eq(got.bake, 0);
	refuses("restart --canary 1 --bake 5", "--bake: wanted a time from 0");
	refuses("version x", "version: unexpected word 'x'");
}

TEST(two_dashes_end_the_options)
{
	takes("status -- --json");
	ck_assert_str_eq(got.target, "--json");
	ck_assert(!arguments_has(&got, OPTION_JSON));
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
	has(text, ".It Cm stop Oo Ar TARGET Oc");
	has(text, "Oo Fl \\-now Oc");
	has(text, "Oo Fl n | Fl \\-lines Ar LINES Oc");
	has(text, "\nExits 0 if all wanted");
	/* no line begins with a request that was not meant */
	for (const char *at = text; *at != '\0'; at = strchr(at, '\n') + 1)
		ck_assert(at[0] != '\'' &&
			(at[0] != '.' || strncmp(at, ".It Cm ", 7) == 0));
	buffer_fini(&out);
}
