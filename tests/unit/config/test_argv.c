/* SPDX-License-Identifier: MIT */
#include "config/config.h"

#include "../../../tools/describe.h"
#include "config_lib.h"
#include "files_lib.h"

#include <jansson.h>
#include <sysexits.h>

CASE(all)

TEST(a_command_line_is_one_cluster)
{
	struct reading r = read_argv("-n", "4", "-l8000", "-dl", "unix:/run/x, mode=0600", "--env",
		"A=1", "--env=B=2", "--clear-env", "--listen-pid=no", "--stop-timeout=5s",
		"--signal-USR1", "stop", "--log-level", "debug", "--", "/usr/bin/python3", "-n",
		"a b", NULL);

	ck_assert(r.s->daemon);
	ck_assert_ptr_null(r.s->config_file);
	ck_assert_uint_eq(r.s->cluster_count, 1);
	expect_values(r,
		"nclust.name = python3\n"
		"nclust.log-level = debug\n"
		"python3.command = /usr/bin/python3 -n 'a b'\n"
		"python3.workers = 4\n"
		"python3.listen = tcp:*:8000 | unix:/run/x, mode=0600\n"
		"python3.env = A=1 | B=2\n"
		"python3.clear-env = yes\n"
		"python3.listen-pid = no\n"
		"python3.stop-timeout = 5s\n"
		"python3.signal-USR1 = stop");
	/* the last of two counts, and the command may be an option, too */
	expect_values(read_argv("-n", "4", "-n", "5", "--name=a", "--command", "./b 'c d'", NULL),
		"nclust.name = a\na.command = ./b 'c d'\na.workers = 5");
}

static const struct {
	const char *words[7];
	const char *name;
} named[] = {
	{{"--", "./web"}, "web"},
	{{"--", "./web", "x.js"}, "web"},
	{{"--", "node", "server.js"}, "server"},
	{{"--", "/usr/bin/node", "--inspect", "src/app.mjs", "x.js"}, "app"},
	{{"--", "node", "-r", "./x.js", "server.js"}, "server"},
	{{"--", "python3.11", "-m", "http.server", "80"}, "http.server"},
	{{"--", "python3", "-u", "./web.app.py"}, "web.app"},
	{{"--", "deno", "run", "-A", "main.ts"}, "main"},
	{{"--", "sh", "-c", "exec ./web --port 80"}, "sh"},
	{{"--", "python3", "-c", "serve(8000)"}, "python3"},
	{{"--", "node"}, "node"},
	{{"--", "bash", "./run"}, "run"},
	{{"--", "php", "-S", "127.0.0.1:8000"}, "php"},
	{{"--name", "a", "--", "node", "server.js"}, "a"},
};

TEST_LOOP(an_instance_is_named_after_its_script, 0, COUNT_OF(named))
{
	const char *const *w = named[_i].words;
	struct reading r = read_argv(w[0], w[1], w[2], w[3], w[4], w[5], w[6], NULL);

	ck_assert_faults(r, "");
	ck_assert_str_eq(r.s->name, named[_i].name);
	forget(&r);
}

static const struct {
	const char *words[6];
	const char *told; /* begins so */
} mistakes[] = {
	{{"node", "server.js"},
		"missing '--' before the command; use: nclust -n auto -- node "
		"server.js\n"},
	{{"-n", "4", "node", "a b"},
		"missing '--' before the command; use: nclust -n 4 -- node "
		"'a b'\n"},
	{{"python3 web.py"},
		"missing '--' before the command; use: nclust -n auto -- python3 web.py\n"},
	{{"-n", "4", "A=1 x"},
		"missing '--' before the command; use: nclust -n 4 -- sh -c 'A=1 x'\n"},
	{{"staus"}, "unknown verb 'staus'; did you mean 'nclust status'?\n"},
	{{"shop.ini"}, "missing '-c' before the file; use: nclust -c shop.ini\n"},
	{{"-d", "./Procfile"}, "missing '-c' before the file; use: nclust -d -c ./Procfile\n"},
	{{"./staus"}, "missing '--' before the command; use: nclust -n auto -- "},
	/* other tools' words */
	{{"ls"}, "unknown verb 'ls'; use: nclust status\n"},
	{{"ps"}, "unknown verb 'ps'; use: nclust status\n"},
	{{"list", "--json"}, "unknown verb 'list'; use: nclust status --json\n"},
	{{"log", "web.2", "-f"}, "unknown verb 'log'; use: nclust logs web.2 -f\n"},
	{{"kill", "web"}, "unknown verb 'kill'; use: nclust stop web\n"},
	{{"kill", "-USR1", "web"}, "unknown verb 'kill'; use: nclust signal -USR1 web"},
	{{"delete", "a b"}, "unknown verb 'delete'; use: nclust stop 'a b'\n"},
	{{"start", "shop.ini"}, "unknown verb 'start'; use: nclust -c shop.ini\n"},
	{{"start", "ecosystem.config.js", "--only", "api"},
		"unknown verb 'start'; use: nclust -c ecosystem.config.js\n"},
	{{"start", "shop"}, "unknown verb 'start'; use: nclust -n auto -- COMMAND, or "},
	{{"reread"}, "unknown verb 'reread'; use: nclust config --check -c FILE\n"},
	{{"describe", "web"}, "unknown verb 'describe'; use: nclust status web\n"},
	{{"flush"}, "unknown verb 'flush'; use: nclust logs\n"},
	{{"clear", "web"}, "unknown verb 'clear'; use: nclust logs web\n"},
	{{"pid", "web"}, "unknown verb 'pid'; use: nclust status web\n"},
	{{"maintail"}, "unknown verb 'maintail'; use: nclust events\n"},
	{{"unstartup"}, "unknown verb 'unstartup'; use: systemctl disable --now nclust@NAME, wh"},
	{{"reset", "web"}, "unknown verb 'reset'; use: nclust restart web\n"},
	{{"ping"}, "unknown verb 'ping'; use: nclust status\n"},
	{{"attach", "web"}, "unknown verb 'attach'; use: nclust logs -f web\n"},
	{{"quit", "web"}, "unknown verb 'quit'; use: nclust stop web\n"},
	{{"exit"}, "unknown verb 'exit'; use: nclust stop\n"},
	{{"is-failed", "web"}, "unknown verb 'is-failed'; use: nclust status web\n"},
	{{"mask"}, "unknown verb 'mask'; use: systemctl disable --now nclust@NAME, which st"},
	{{"env", "A=1", "x"}, "unknown verb 'env'; use: nclust config A=1 x; or to run /"},
	{{"save", "x"}, "unknown verb 'save'; use: systemctl enable --now nclust@NAME, for /etc"},
	{{"unmask", "x"}, "unknown verb 'unmask'; use: systemctl enable --now nclust@NAME, for"},
	{{"startup"}, "unknown verb 'startup'; use: systemctl enable"},
	{{"server.js"}, "missing '--' before the command; use: nclust -n auto -- node server.js\n"},
	{{"-n", "4", "app.py", "80"},
		"missing '--' before the command; use: nclust -n 4 -- python3 app.py 80\n"},
	{{"start", "--", "node", "x"}, "unknown verb 'start'; use: nclust -n auto -- node x\n"},
	{{"run", "node", "x"}, "unknown verb 'run'; use: nclust -n auto -- node x\n"},
	{{"up", "-c", "x.ini"}, "unknown verb 'up'; use: nclust -c x.ini\n"},
	{{"start", "-d", "--", "x"}, "unknown verb 'start'; use: nclust -d -- x\n"},
	/* which words are the command, and whose are the options? */
	{{"start", "x.js", "-i", "4"}, "unknown verb 'start'; use: nclust -n auto -- node x.js\n"},
	{{"start", "x.js", "--", "-v"}, "unknown verb 'start'; use: nclust -n auto -- node x.js\n"},
	{{"start", "app.py"}, "unknown verb 'start'; use: nclust -n auto -- python3 app.py\n"},
	{{"start", "x", "-i", "4"}, "unknown verb 'start'; use: nclust -n auto -- COMMAND, or "},
	{{"up", "-d", "web"}, "unknown verb 'up'; use: nclust -n auto -- COMMAND, or "},
	{{"run", "--name", "x"}, "unknown verb 'run'; use: nclust -n auto -- COMMAND, or "},
	/* as service(8) has it: no other verb, such as stop, may be offered */
	{{"shop", "status", "--json"}, "the verb goes first; use: nclust status shop --json\n"},
	{{"-i", "4", "--", "x"}, "-i: unknown option; use -n\n"},
	{{"-f", "3", "--", "x"}, "-f: unknown option; use -n\n"},
	{{"-p8000", "--", "x"}, "-p: unknown option; use -l\n"},
	{{"--instances", "4", "--", "x"}, "--instances: unknown option; use"},
	{{"-config", "shop.ini"}, "write '--config', with two dashes\n"},
	{{"-workers", "4", "--", "x"},
		"-w: unknown option; use -n\n"
		"write '--workers', with two dashes\n"},
	{{"-n", "4", "status"}, "options go after the verb: nclust status ...\n"},
	{{"--", "python3 web.py"},
		"'python3 web.py' is one word; write it without the quotes: -- "
		"python3 web.py\n"},
	{{"--", "x | y"}, "'x | y' is one word, and no shell runs it; write: sh -c 'x | y'\n"},
	{{"-n", "4"}, "no command: nclust -n auto -- COMMAND [ARG]...\n"},
	{{"--"}, "no command: nclust -n auto -- COMMAND [ARG]...\n"},
	{{"--", ""}, "no command: nclust -n auto -- COMMAND [ARG]...\n"},
	{{"-n", "4q", "--nice", "40", "--", "x"},
		"--workers: wanted a number from 1 to 10000, 'auto', "
		"'auto-1', 'auto/2', '2x+1', '50%' or a range, found '4q'\n"
		"--nice: wanted a whole number from -20 to 19, found '40'\n"},
	{{"--wrokers", "4", "--", "x"}, "--wrokers: unknown option; did you mean '--workers'?\n"},
	{{"--wrokers=4", "--", "x"}, "--wrokers: unknown option; did you mean '--workers'?\n"},
	{{"--zzz", "--", "x"}, "--zzz: unknown option; see nclust --help\n"},
	{{"-x", "--", "x"}, "-x: unknown option; see nclust --help\n"},
	{{"--replicas=yes", "--", "x"}, "--replicas: unknown option; see nclust --help\n"},
	{{"--on-redy", "x", "--", "x"}, "--on-redy: unknown option; did you mean '--on-ready'?\n"},
	{{"--signal-USR3", "stop", "--", "x"}, "--signal-USR3: unknown signal\n"},
	{{"--signal-HUP=nxet", "--", "x"},
		"--signal-HUP: wanted 'next', 'all', 'first', 'restart', "},
	{{"--daemon=yes", "--", "x"}, "--daemon: takes no value\n"},
	{{"--workers"}, "--workers: wanted a value, found none\n"},
	{{"-n", "--", "x"}, "--workers: wanted a value, found none\n"},
	{{"--directory", "--", "x"}, "--directory: wanted a value, found none\n"},
	{{"-l"}, "--listen: wanted a value, found none\n"},
	{{"-n", "--name", "a", "--", "x"}, "--workers: wanted a value, found an option\n"},
	{{"-l", "-d", "--", "x"}, "--listen: wanted a value, found an option\n"},
	{{"--check", "-c", "/x.ini"},
		"--check: to check a file: nclust config --check -c FILE\n"
		"/x.ini: cannot open: No such file or directory\n"},
	{{"--nice", "-50", "--", "x"}, "--nice: wanted a whole number from -20 to 19, found "},
	{{"-v"}, "-v: unknown option; use -V\n"},
	{{"-t"}, "-t: unknown option; use nclust config --check -c FILE\n"},
	{{"-l80", "-l80", "--", "x"}, "--listen: 'tcp:*:80' is given twice\n"},
	{{"--log", "prefix", "--log=file:/x", "--", "x"},
		"--log: given twice; write several in one: --log 'prefix "
		"file:PATH'\n"},
	{{"--", "x", "{port}"}, "--command: '{port}' needs exactly one tcp or udp listener"},
	{{"-c", "/x.ini", "--", "x"},
		"--config: wanted either a file or '-- COMMAND', found both\n"},
	{{"-c", "/x.ini", "--config=/y.ini"},
		"--config: is given twice; one nclust runs the clusters "
		"of one file\n"
		"/y.ini: cannot open: No such file or directory\n"},
	{{"--listen-pid", "no", "--", "x"},
		"--listen-pid: wanted its value after '=': --listen-pid=no\n"},
	{{"--clear-env", "maybe", "--", "x"},
		"missing '--' before the command; use: nclust --clear-env -- "},
	{{"--watch", "a.py", "b.py", "--", "x"},
		"--watch: 'b.py' is one file too many; put the pattern in quotes, or the "
		"shell writes the names of files in its place\n"},
	{{"--watch", "a.py", "node", "a.py"},
		"missing '--' before the command; use: nclust --watch a.py -- node a.py\n"},
	{{NULL}, "nothing to run: nclust -n auto -- COMMAND [ARG]..., or "},
};

TEST_LOOP(every_mistake_is_told, 0, (int)COUNT_OF(mistakes))
{
	const char *const *w = mistakes[_i].words;
	struct reading r = read_argv(w[0], w[1], w[2], w[3], w[4], w[5], NULL);

	ck_assert_begins(&r, mistakes[_i].told);
	ck_assert_int_eq(r.faults.status, EX_USAGE);
	forget(&r);
}

TEST(no_arguments_at_all_are_a_usage_error)
{
	struct invocation inv;
	struct faults faults = {0};
	char *argv[] = {NULL};

	ck_assert_int_eq(config_read(&inv, 0, argv, NULL, &faults), -1);
	ck_assert_int_eq(faults.status, EX_USAGE);
	ck_assert_uint_eq(faults.count, 1);
	faults_fini(&faults);
}

TEST(a_verb_and_help_are_seen)
{
	static const char *const verbs[] = {"status", NULL};
	static const struct {
		const char *words[3];
		enum invocation_kind kind;
	} cases[] = {{{"status", "--json", "-n"}, INVOKE_VERB}, {{"--help"}, INVOKE_HELP},
		{{"-h"}, INVOKE_HELP}, {{"-n", "x", "--help"}, INVOKE_HELP},
		{{"--version"}, INVOKE_VERSION}, {{"-V"}, INVOKE_VERSION}};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char *argv[5] = {(char[]){"nclust"}};
		struct invocation inv;
		struct faults faults = {0};
		int argc = 1;

		for (int j = 0; j < 3 && cases[i].words[j] != NULL; j++)
			argv[argc++] = strdup(cases[i].words[j]);
		ck_assert_int_eq(config_read(&inv, argc, argv, verbs, &faults), 0);
		ck_assert_int_eq(inv.kind, cases[i].kind);
		if (inv.kind == INVOKE_VERB) {
			ck_assert_int_eq(inv.verb_argc, 3);
			ck_assert_ptr_eq(inv.verb_argv, argv + 1);
		}
		faults_fini(&faults);
		while (argc > 1)
			free(argv[--argc]);
	}
}

/* ---- with a file ---- */

static void write_shop(const char *text)
{
	write_file("shop.ini", text, 0600);
}

static void set_up(void)
{
	enter();
	write_shop("[nclust]\nname = a\n"
		   "[cluster:x]\ncommand = x\nworkers = 2\nlisten = 80\n"
		   "env = A=1\nenv = B=1\n"
		   "[cluster:y]\ncommand = y\nnice = 3\n");
}

CASE(file)
FIXTURE(set_up, leave)

TEST(the_command_line_wins_in_every_cluster)
{
	expect_values(read_argv("-c", "shop.ini", "--name", "b", "-n", "7", "--env", "B=2", "--env",
			      "C=2", NULL),
		"nclust.name = b\n"
		"x.workers = 7\n"
		"y.workers = 7\n"
		"y.nice = 3\n"
		"x.env = A=1 | B=2 | C=2\n"
		"y.env = B=2 | C=2");
}

TEST(a_list_of_the_command_line_takes_the_place_of_the_files)
{
	write_shop("[cluster:x]\ncommand = x\nlisten = 80\nlisten = 81\n");
	expect_values(read_argv("-c", "shop.ini", "-l", "90", "-l", "91", NULL),
		"x.listen = tcp:*:90 | tcp:*:91");
}

TEST(a_listener_for_all_clusters_is_told_to_be_one_too_many)
{
	struct reading r = read_argv("-c", "shop.ini", "-l", "90", NULL);

	ck_assert_faults(r,
		"--listen: cluster 'y': 'tcp:*:90' is already used by cluster "
		"'x'\n");
	forget(&r);
}

TEST(mistakes_of_both_are_told_once_each)
{
	struct reading r;

	write_shop("[cluster:x]\ncommand = x\nnice = 40\n"
		   "[cluster:y]\ncommand = y\n");
	r = read_argv("-c", "shop.ini", "-n", "0", NULL);
	ck_assert_uint_eq(r.faults.count, 2);
	ck_assert_ptr_eq(strstr(faults_of(&r), "--workers: "), faults_of(&r));
	ck_assert_ptr_nonnull(strstr(faults_of(&r), "\nshop.ini:3: cluster:x.n"));
	ck_assert_int_eq(r.faults.status, EX_USAGE);
	forget(&r);
}

TEST(settings_are_described_with_their_origins)
{
	struct reading r = read_argv("-c", "shop.ini", "-n", "7", NULL);
	scoped_str shown = described(r.s);
	char expected[260];

	ck_assert_faults(r, "");
	snprintf(expected, sizeof(expected),
		"\n[cluster:x]\n; %s/shop.ini:4\ncommand = x\n"
		"; command line\nworkers = 7\n; default\nidle-after = 10m\n"
		"; default\nspare = 0\n; %s/shop.ini:6\n"
		"listen = tcp:*:80\n; default\npass = ",
		dir, dir);
	ck_assert_msg(strstr(shown, expected) != NULL, "%s", shown);
	forget(&r);
}

CASE(all)

TEST(secrets_are_described_to_those_who_may_have_them)
{
	struct reading r = read_argv("--env", "A=se=cret", "--env", "B=", "--relay",
		"nats://me:sec@cret@host:1/x", "--", "x", "said", NULL);
	struct buffer out;

	ck_assert_faults(r, "");
	for (int json = 0; json < 2; json++) {
		static const char *const pieces[] = {
			"A=***", "B=***", "nats://***@host:1/x", "x said"};

		buffer_init(&out, 0);
		ck_assert_int_eq(describe_settings(&out, r.s, json != 0, false), 0);
		ck_assert_ptr_null(strstr(buffer_text(&out), "cret"));
		for (size_t i = 0; i < COUNT_OF(pieces); i++)
			ck_assert_ptr_nonnull(strstr(out.data, pieces[i]));
		buffer_fini(&out);
	}
	forget(&r);
}

TEST(settings_are_described_as_json)
{
	static const char *const values[][2] = {{"workers", "\"auto\""},
		{"listen", "[\"tcp:*:80\",\"tcp:*:81\"]"},
		{"env", "[\"A=\\\"\\\\\\n\\u0001\xef\xbf\xbd\xc3\xa4\"]"}, {"chroot", "null"},
		{"watchdog", "\"off\""}, {"on-EVENT", "[\"on-exit = a b\"]"}, {"env-file", "[]"}};
	struct reading r = read_argv("-l", "80", "-l", "81", "--env", "A=\"\\\n\x01\xff\xc3\xa4",
		"--signal-USR1=stop", "--on-exit=a b", "--", "x", NULL);
	struct buffer out;
	json_error_t error;
	json_t *root;
	json_t *web;

	ck_assert_faults(r, "");
	buffer_init(&out, 0);
	ck_assert_int_eq(describe_settings(&out, r.s, true, true), 0);
	root = json_loads(buffer_text(&out), 0, &error);
	ck_assert_msg(root != NULL, "%s: %s", error.text, out.data);
	web = json_object_get(root, "cluster:x");
	for (size_t i = 0; i < COUNT_OF(values); i++) {
		json_t *key = json_object_get(web, values[i][0]);
		scoped_str value =
			json_dumps(json_object_get(key, "value"), JSON_ENCODE_ANY | JSON_COMPACT);

		ck_assert_str_eq(value, values[i][1]);
	}
	ck_assert_str_eq(
		json_string_value(json_object_get(json_object_get(web, "listen"), "origin")),
		"command line");
	json_decref(root);
	buffer_fini(&out);
	forget(&r);
}

/* ---- what is generated ---- */

TEST(every_setting_is_in_the_manual_and_the_completion)
{
	struct buffer keys;
	struct buffer index;
	struct buffer bash;
	struct buffer zsh;
	const char *key;
	char word[60];

	buffer_init(&keys, 0);
	buffer_init(&index, 0);
	buffer_init(&bash, 0);
	buffer_init(&zsh, 0);
	ck_assert_int_eq(describe_mdoc_keys(&keys), 0);
	ck_assert_int_eq(describe_mdoc_index(&index), 0);
	ck_assert_int_eq(describe_bash(&bash), 0);
	ck_assert_int_eq(describe_zsh(&zsh), 0);
	for (size_t i = 0; i < option_count; i++) {
		const struct option_row *row = &option_rows[i];

		snprintf(word, sizeof(word), ".It Cm %s ", row->name);
		if (row->section != NULL)
			ck_assert_msg(strstr(buffer_text(&keys), word) != NULL, "%s", word);
		snprintf(word, sizeof(word), ".It Cm %s\n", row->name);
		if (row->section != NULL)
			ck_assert_msg(strstr(buffer_text(&index), word) != NULL, "%s", word);
		for (size_t n = 0; (key = option_key(row, n)) != NULL; n++) {
			snprintf(word, sizeof(word), "--%s", key);
			ck_assert_ptr_nonnull(strstr(bash.data, word));
			ck_assert_ptr_nonnull(strstr(zsh.data, word));
		}
	}
	buffer_fini(&keys);
	buffer_fini(&index);
	buffer_fini(&bash);
	buffer_fini(&zsh);
}
