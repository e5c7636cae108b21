/* SPDX-License-Identifier: MIT */
#include "config/expand.h"

#include "base/scope.h"
#include "config_lib.h"

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

/* What a line of a file says that a command line need not: variables, quotes,
 * paths beside the file, [defaults], include. */

#define WEB "[cluster:web]\ncommand = ./web\n"

static void set_variables(void)
{
	(void)setenv("ONE", "1", 1);
	(void)setenv("EMPTY", "", 1);
	(void)setenv("WORDS", "a 'b' \"c\" \\d ${ONE} $e", 1);
	(void)unsetenv("NONE");
}

/* ---- variables and quotes ---- */

static const struct {
	const char *line;
	const char *entry; /* of the environment */
} envs[] = {
	{"A=b c", "A=b c"},
	{"A=it's ${ONE}", "A=it's 1"},
	{"A=\"a b\"", "A=a b"},
	{"A='a b'", "A=a b"},
	{"A=\"a \\\"b\\\" ${ONE}\"", "A=a \"b\" 1"},
	{"A='${ONE}'", "A=${ONE}"},
	{"A=\"\"", "A="},
	{"A=", "A="},
	{"\"A=a b\"", "A=a b"},
	{"A=\" b \"", "A= b "},
	{"A=\"${WORDS}\"", "A=a 'b' \"c\" \\d ${ONE} $e"},
	{"A=${WORDS}", "A=a 'b' \"c\" \\d ${ONE} $e"},
	{"A=$ONE $$ $", "A=$ONE $$ $"},
	{"A={\"b\": [1]}", "A={\"b\": [1]}"},
	{"A=b=c", "A=b=c"},
};

CASE(config_expand)

TEST_LOOP(a_variable_is_taken_as_people_write_it, 0, (int)COUNT_OF(envs))
{
	char text[300];
	struct reading r;
	struct reading again;
	struct buffer out;

	set_variables();
	(void)snprintf(text, sizeof(text), WEB "env = %s\n", envs[_i].line);
	r = read_text(text);
	ck_assert_faults(r, "");
	ck_assert_str_eq(r.s->clusters[0]->env.list[0], envs[_i].entry);
	/* what is shown is read as the same */
	buffer_init(&out, 0);
	ck_assert_int_eq(describe_settings(&out, r.s, false, true), 0);
	again = read_bytes(out.data, out.len);
	ck_assert_faults(again, "");
	ck_assert_str_eq(again.s->clusters[0]->env.list[0], envs[_i].entry);
	buffer_fini(&out);
	forget(&again);
	forget(&r);
}

static const struct {
	const char *line;
	const char *words[4];
} commands[] = {
	{"x ${ONE}${ONE} a${EMPTY}b ${EMPTY}", {"x", "11", "ab", ""}},
	{"x ${WORDS}", {"x", "a 'b' \"c\" \\d ${ONE} $e"}},
	{"x \"${WORDS}!\"", {"x", "a 'b' \"c\" \\d ${ONE} $e!"}},
	{"sh -c 'echo ${NONE:-1}'", {"sh", "-c", "echo ${NONE:-1}"}},
	{"x \\${ONE} $ONE", {"x", "${ONE}", "$ONE"}},
	{"${ONE} \"'${ONE}'\"", {"1", "'1'"}},
};

TEST_LOOP(a_variable_is_never_split_into_words, 0, (int)COUNT_OF(commands))
{
	char text[300];
	struct reading r;
	struct reading again;
	struct buffer out;

	set_variables();
	(void)snprintf(text, sizeof(text), "[cluster:web]\ncommand = %s\n",
		commands[_i].line);
	r = read_text(text);
	ck_assert_faults(r, "");
	for (size_t i = 0; i < 4 && commands[_i].words[i] != NULL; i++)
		ck_assert_str_eq(r.s->clusters[0]->command.list[i],
			commands[_i].words[i]);
	buffer_init(&out, 0);
	ck_assert_int_eq(describe_settings(&out, r.s, false, true), 0);
	again = read_bytes(out.data, out.len);
	ck_assert_faults(again, "");
	for (size_t i = 0; i < 4 && commands[_i].words[i] != NULL; i++)
		ck_assert_str_eq(again.s->clusters[0]->command.list[i],
			commands[_i].words[i]);
	buffer_fini(&out);
	forget(&again);
	forget(&r);
}

static const struct {
	const char *line;
	const char *fault;
} wrong[] = {
	{"env = A=${NONE}\n",
		"env: '${NONE}' is not set in nclust's environment; single "
		"quotes keep nclust from replacing it\n"},
	{"env = A=${}\n",
		"env: wanted a variable such as '${HOME}', found '${}'; single "
		"quotes keep nclust from replacing it\n"},
	{"env = A=${ONE\n",
		"env: wanted a variable such as '${HOME}', found '${ONE'; "
		"single quotes keep nclust from replacing it\n"},
	{"env = A=\"b\n", "env: wanted a closing \", found '\"b'\n"},
	{"env = A=\"b\" c\n",
		"env: wanted one value, in quotes as a whole, found '\"b\" "
		"c'\n"},
	{"env = A={slot+x}\n",
		"env: wanted a number such as '{slot+9229}', found "
		"'{slot+x}'\n"},
	{"env = A={port}\n",
		"env: '{port}' needs exactly one tcp or udp listener, there "
		"are 0\n"},
	{"listen = ${NONE}\n",
		"listen: '${NONE}' is not set in nclust's environment; single "
		"quotes keep nclust from replacing it\n"},
	{"listen = 127.0.0.1:{slot+x}\n",
		"listen: wanted a number such as '{slot+9229}', found "
		"'{slot+x}'\n"},
	{"listen = 127.0.0.1:{slot}\n",
		"listen: wanted a port from 1 to 65535, or a name after "
		"'inherit:', found '127.0.0.1:0'\n"},
	{"listen = fd:{slot+3}\n",
		"listen: wanted a port from 1 to 65535, or a name after "
		"'inherit:', found 'fd:3'\n"},
	{"listen = {slot+65533}\nworkers = 4\n",
		"listen: slot 3: wanted a port from 0 to 65535, found "
		"'65536'\n"},
	{"listen = {slot+80}\nlisten = 82\nworkers = 1..3\n",
		"listen: 'tcp:*:82' is already used by cluster 'web'\n"},
	{"balance = rr\nlisten = {slot+80}\n",
		"balance: cannot be used with '{slot}' in 'listen': workers "
		"share no listener\n"},
	{"spare = 1\nlisten = {slot+80}\n",
		"spare: cannot be used with '{slot}' in 'listen': a spare "
		"takes the place of a worker in any slot\n"},
	{"accept = yes\nlisten = {slot+80}\n",
		"accept: cannot be used with '{slot}' in 'listen': there are "
		"no slots, each connection has its own process\n"},
	{"listen = unix:/{cluster}/\n",
		"listen: wanted an absolute path or '@name' after 'unix:', "
		"found '/{cluster}/'\n"},
};

TEST_LOOP(what_cannot_be_replaced_is_a_mistake, 0, (int)COUNT_OF(wrong))
{
	char text[300];
	char expected[400];
	struct reading r;

	set_variables();
	(void)snprintf(text, sizeof(text), WEB "%s", wrong[_i].line);
	(void)snprintf(expected, sizeof(expected), "shop.ini:3: cluster:web.%s",
		wrong[_i].fault);
	r = read_text(text);
	ck_assert_faults(r, expected);
	forget(&r);
}

TEST(a_listener_may_have_the_name_of_its_cluster)
{
	struct reading r;

	set_variables();
	r = read_text("[nclust]\nname = late\n"
		      "[defaults]\n"
		      "listen = unix:/run/{cluster}.sock, mode=0660\n"
		      "listen = 127.0.0.1:808${ONE}, name={cluster}-http\n"
		      "[cluster]\ncommand = x\n");
	ck_assert_faults(r, "");
	ck_assert_uint_eq(r.s->clusters[0]->listen_count, 2);
	ck_assert_str_eq(
		r.s->clusters[0]->listen[0].text, "unix:/run/late.sock");
	ck_assert_str_eq(r.s->clusters[0]->listen[0].name, "late.sock");
	ck_assert_int_eq(r.s->clusters[0]->listen[0].mode, 0660);
	ck_assert_str_eq(r.s->clusters[0]->listen[1].name, "late-http");
	ck_assert_uint_eq(r.s->clusters[0]->listen[1].port, 8081);
	forget(&r);
}

TEST(a_slot_may_have_a_number_added)
{
	unsigned plus = 9;

	ck_assert(expand_is_slot("slot", 4, &plus));
	ck_assert_uint_eq(plus, 0);
	ck_assert(expand_is_slot("slot+9229} {slot+x}", 9, &plus));
	ck_assert_uint_eq(plus, 9229);
	ck_assert(!expand_is_slot("slot+", 5, &plus));
	ck_assert(!expand_is_slot("slot-1", 6, &plus));
	ck_assert(!expand_is_slot("slots", 5, &plus));
	ck_assert(!expand_is_slot("slot+1234567890", 15, &plus));
	ck_assert(!expand_is_slot("slo", 3, &plus));
}

/* ---- [defaults] ---- */

TEST(a_clusters_own_key_wins_over_the_defaults)
{
	struct reading r = read_text("[cluster:a]\n"
				     "command = x\n"
				     "env = B=own\n"
				     "listen = 81\n"
				     "signal-USR1 = all\n"
				     "stop-timeout = 3s\n"
				     "[defaults]\n"
				     "env = A=1\n"
				     "env = B=2\n"
				     "listen = 82\n"
				     "listen = 83\n"
				     "signal-USR1 = first\n"
				     "signal-USR2 = first\n"
				     "stop-timeout = 9s\n"
				     "workers = 7\n"
				     "[cluster:b]\n"
				     "command = y\n");
	struct cluster_settings *a;
	struct cluster_settings *b;

	ck_assert_faults(r, "");
	ck_assert_uint_eq(r.s->cluster_count, 2);
	a = r.s->clusters[0];
	b = r.s->clusters[1];
	ck_assert_str_eq(b->name, "b");
	ck_assert_uint_eq(a->env.count, 2);
	ck_assert_str_eq(a->env.list[0], "B=own");
	ck_assert_str_eq(a->env.list[1], "A=1");
	ck_assert_str_eq(b->env.list[1], "B=2");
	ck_assert_uint_eq(a->listen_count, 1);
	ck_assert_uint_eq(b->listen_count, 2);
	ck_assert_uint_eq(a->signal_count, 2);
	ck_assert_int_eq(a->signals[0].deed, DEED_ALL);
	ck_assert_int_eq(a->signals[1].deed, DEED_FIRST);
	ck_assert_int_eq(a->stop[0].wait, 3 * SECOND);
	ck_assert_int_eq(b->stop[0].wait, 9 * SECOND);
	ck_assert_uint_eq(a->workers.least.fixed, 7);
	forget(&r);
}

TEST(a_cluster_takes_back_a_command_or_an_order_of_the_defaults)
{
	struct reading r =
		read_text("[defaults]\n"
			  "before = ./migrate\n"
			  "before-stop = ./leave\n"
			  "after = db, cache , job: ready\n"
			  "[cluster:web]\ncommand = x\n"
			  "[cluster:db]\ncommand = x\nbefore = none\n"
			  "before-stop = none\nafter = none\n"
			  "[cluster:cache]\ncommand = x\nafter = db\n"
			  "[cluster:job]\ncommand = x\n");

	ck_assert_faults(r, "");
	ck_assert_str_eq(r.s->clusters[0]->before.text, "./migrate");
	ck_assert_str_eq(r.s->clusters[0]->after, "db, cache, job");
	ck_assert_ptr_null(r.s->clusters[1]->before.text);
	ck_assert_ptr_null(r.s->clusters[1]->before_stop.text);
	ck_assert_ptr_null(r.s->clusters[1]->after);
	ck_assert_str_eq(r.s->clusters[3]->after, "db, cache");
	forget(&r);
}

TEST(an_order_of_the_defaults_leaves_out_the_cluster_itself)
{
	struct reading r = read_text("[defaults]\n"
				     "after = a\n"
				     "[cluster:a]\ncommand = x\n"
				     "[cluster:b]\ncommand = x\n");

	ck_assert_faults(r, "");
	ck_assert_ptr_null(r.s->clusters[0]->after);
	ck_assert_str_eq(r.s->clusters[1]->after, "a");
	forget(&r);
	r = read_text("[defaults]\nafter = a, b\n"
		      "[cluster:a]\ncommand = x\nafter = none\n"
		      "[cluster:b]\ncommand = x\n"
		      "[cluster:c]\ncommand = x\nafter = c\n");
	ck_assert_faults(r,
		"shop.ini:10: cluster:c.after: 'c' cannot wait for itself\n");
	ck_assert_str_eq(r.s->clusters[1]->after, "a");
	forget(&r);
}

TEST(a_mistake_in_the_defaults_is_told_once)
{
	struct reading r = read_text(
		"[defaults]\nworkers = x\nworkers = 1\npidfile = /x\nfoo = 1\n"
		"[cluster:a]\ncommand = x\n[defaults]\n[cluster:b]\ncommand = "
		"x\n");

	ck_assert_uint_eq(r.faults.count, 5);
	ck_assert_ptr_nonnull(
		strstr(faults_of(&r), "shop.ini:2: defaults.workers: wanted "));
	ck_assert_ptr_nonnull(strstr(faults_of(&r),
		"shop.ini:3: defaults.workers: given twice, first in line 2\n"
		"shop.ini:4: defaults.pidfile: this key belongs in [nclust]\n"
		"shop.ini:5: defaults.foo: unknown key\n"
		"shop.ini:8: section [defaults] is given twice, first in line "
		"1\n"));
	forget(&r);
}

TEST(defaults_alone_are_no_cluster)
{
	struct reading r = read_text("[defaults]\ncommand = x\n");

	ck_assert_faults(
		r, "shop.ini: wanted a [cluster:NAME] section, found none\n");
	forget(&r);
}

TEST(defaults_that_do_not_fit_accept_are_left_out)
{
	struct reading r = read_text(
		"[defaults]\nmax-age = 1h\non-exit = y\n"
		"[cluster:a]\ncommand = x\naccept = yes\nlisten = 80\n"
		"[cluster:b]\ncommand = x\n");

	ck_assert_faults(r, "");
	forget(&r);
}

/* ---- more files ---- */

static char dir[40];

static void in_directory(void)
{
	(void)strcpy(dir, "/tmp/test_config_expand.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	ck_assert_int_eq(mkdir("conf.d", 0755), 0);
}

static int remove_it(
	const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static void out_of_it(void)
{
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(nftw(dir, remove_it, 10, FTW_DEPTH | FTW_PHYS), 0);
}

static void write_file(const char *path, const char *text)
{
	FILE *out = fopen(path, "we");

	ck_assert_ptr_nonnull(out);
	ck_assert_int_ne(fputs(text, out), EOF);
	ck_assert_int_eq(fclose(out), 0);
	ck_assert_int_eq(chmod(path, 0644), 0);
}

CASE(files)
FIXTURE(in_directory, out_of_it)

TEST(a_file_includes_others)
{
	struct reading r;
	struct buffer out;
	char origin[100];

	write_file("shop.ini",
		"[nclust]\ninclude = conf.d/*.ini\n[defaults]\nnice = 3\n");
	write_file("conf.d/b.ini",
		"[nclust]\nlog-level = debug\n"
		"[cluster:b]\ncommand = x\nworkers = 3\n");
	write_file("conf.d/a.ini",
		"[nclust]\ninclude = c.txt\n[cluster:a]\ncommand = x\n");
	write_file("conf.d/c.txt", "[cluster:c]\ncommand = x\nnice = 1\n");
	r = read_argv("-c", "shop.ini", NULL);
	ck_assert_faults(r, "");
	ck_assert_uint_eq(r.s->cluster_count, 3);
	ck_assert_str_eq(r.s->clusters[0]->name, "a");
	ck_assert_str_eq(r.s->clusters[1]->name, "b");
	ck_assert_str_eq(r.s->clusters[2]->name, "c");
	ck_assert_int_eq(r.s->clusters[1]->nice, 3);
	ck_assert_int_eq(r.s->clusters[2]->nice, 1);
	ck_assert_int_eq(r.s->log_level, 4);
	buffer_init(&out, 0);
	ck_assert_int_eq(describe_settings(&out, r.s, false, true), 0);
	(void)snprintf(origin, sizeof(origin),
		"; %s/conf.d/b.ini:5\nworkers = 3\n", dir);
	ck_assert_ptr_nonnull(strstr(buffer_text(&out), origin));
	(void)snprintf(
		origin, sizeof(origin), "; %s/shop.ini:4\nnice = 3\n", dir);
	ck_assert_ptr_nonnull(strstr(buffer_text(&out), origin));
	buffer_fini(&out);
	forget(&r);
}

TEST(mistakes_name_the_included_file_and_its_line)
{
	struct reading r;

	write_file("shop.ini",
		"[nclust]\ninclude = conf.d/*.ini\n[cluster:a]\ncommand = x\n");
	write_file("conf.d/a.ini", "[cluster:a]\ncommand = x\n");
	write_file("conf.d/b.ini",
		"[cluster:b]\nfoo = 1\ninclude = x\nsurge = 0\n");
	r = read_argv("-c", "shop.ini", NULL);
	ck_assert_faults(r,
		"conf.d/a.ini:1: section [cluster:a] is given twice, first in "
		"shop.ini:3\n"
		"conf.d/b.ini:2: cluster:b.foo: unknown key\n"
		"conf.d/b.ini:3: cluster:b.include: this key belongs in "
		"[nclust]\n"
		"conf.d/b.ini:1: cluster:b.command: wanted a command, found "
		"none\n"
		"conf.d/b.ini:4: cluster:b.surge: 'surge' and "
		"'max-unavailable' are both 0: no worker could ever be "
		"replaced\n");
	ck_assert_int_eq(r.faults.status, EX_CONFIG);
	forget(&r);
}

TEST(a_key_of_the_instance_stands_in_one_file_only)
{
	struct reading r;

	write_file(
		"shop.ini", "[nclust]\nname = a\ninclude = conf.d/a.ini\n" WEB);
	write_file("conf.d/a.ini", "[nclust]\nname = b\n");
	r = read_argv("-c", "shop.ini", NULL);
	ck_assert_faults(r,
		"conf.d/a.ini:2: nclust.name: given twice, first in "
		"shop.ini:2\n");
	forget(&r);
}

#define ALREADY "is read already; a file is included once, and not by itself\n"

TEST(an_include_that_cannot_be_is_a_mistake)
{
	struct reading r;

	write_file("shop.ini",
		"[nclust]\n"
		"include = conf.d/none.ini\n"
		"include = conf.d/none*\n"
		"include =\n"
		"include = *.ini\n"
		"include = conf.d/a.ini\n" WEB);
	write_file("conf.d/a.ini",
		"[nclust]\ninclude = b.ini\ninclude = sub.ini\n");
	write_file("conf.d/b.ini", "[nclust]\ninclude = ../conf.d/a.ini\n");
	ck_assert_int_eq(mkdir("conf.d/sub.ini", 0755), 0);
	r = read_argv("-c", "shop.ini", NULL);
	ck_assert_faults(r,
		"shop.ini:3: nclust.include: 'conf.d/none*' matches no file\n"
		"shop.ini:4: nclust.include: wanted a path, found ''\n"
		"shop.ini:2: nclust.include: 'conf.d/none.ini': cannot open: "
		"No such file or directory\n"
		"shop.ini:5: nclust.include: 'shop.ini': " ALREADY
		"conf.d/a.ini:3: nclust.include: 'conf.d/sub.ini': not a "
		"regular file\n"
		"conf.d/b.ini:2: nclust.include: "
		"'conf.d/../conf.d/a.ini': " ALREADY);
	forget(&r);
}

TEST(more_than_100_included_files_are_refused)
{
	char text[4000] = "[nclust]\n";
	struct reading r;

	for (int i = 0; i < 101; i++)
		(void)strcat(text, "include = none\n");
	(void)strcat(text, WEB);
	write_file("shop.ini", text);
	r = read_argv("-c", "shop.ini", NULL);
	ck_assert_uint_eq(r.faults.count, 101);
	ck_assert_ptr_nonnull(strstr(faults_of(&r),
		"shop.ini:102: nclust.include: wanted at most 100 files\n"));
	forget(&r);
}

TEST(root_includes_only_what_root_alone_can_change)
{
	struct reading r;

	if (geteuid() != 0) {
		(void)fprintf(stderr, "left out, needs root\n");
		return;
	}
	write_file("shop.ini", "[nclust]\ninclude = conf.d/*.ini\n" WEB);
	write_file("conf.d/a.ini", "[cluster:a]\ncommand = x\n");
	ck_assert_int_eq(chmod("conf.d/a.ini", 0646), 0);
	r = read_argv("-c", "shop.ini", NULL);
	ck_assert_faults(r,
		"shop.ini:2: nclust.include: 'conf.d/a.ini': writable by "
		"others than its owner, refused for root; try chmod go-w\n");
	forget(&r);
	ck_assert_int_eq(chmod("conf.d/a.ini", 0644), 0);
	ck_assert_int_eq(chmod("conf.d", 0777), 0);
	r = read_argv("-c", "shop.ini", NULL);
	ck_assert_uint_eq(r.faults.count, 1);
	ck_assert_ptr_nonnull(strstr(faults_of(&r),
		"conf.d' is writable by others than its owner, refused for "
		"root"));
	forget(&r);
}

/* A whole path, which means the same wherever it is shown. */
#define ck_assert_beside(path, expected) \
	do { \
		ck_assert_int_eq(strncmp((path), here, strlen(here)), 0); \
		ck_assert_str_eq((path) + strlen(here), "/" expected); \
	} while (0)

TEST(a_path_is_beside_its_file)
{
	struct cluster_settings *c;
	char here[PATH_MAX];
	struct reading r;

	ck_assert_ptr_nonnull(getcwd(here, sizeof(here)));
	write_file("conf.d/a.ini",
		"[nclust]\npidfile = run/pid\nhttp-token = /x\n"
		"[cluster:web]\ncommand = ./web\nenv-file = a.env\n"
		"env-file = /etc/b.env\nlog = prefix file:{slot}.log "
		"file:/var/log/x\n"
		"listen = unix:web.sock, mode=0660\n"
		"listen = unix-dgram:d.sock\nlisten = unix:/run/w.sock\n"
		"listen = unix:@w\n"
		"[cluster:own]\ncommand = x\ndirectory = own\nlog = off\n"
		"fallback = 503\n"
		"[cluster:jail]\ncommand = x\nchroot = jail\n");
	r = read_argv("-c", "conf.d/a.ini", NULL);
	ck_assert_faults(r, "");
	ck_assert_beside(r.s->pidfile, "conf.d/run/pid");
	ck_assert_str_eq(r.s->http_token, "/x");
	c = r.s->clusters[0];
	ck_assert_beside(c->directory, "conf.d");
	ck_assert_beside(c->env_file.list[0], "conf.d/a.env");
	ck_assert_str_eq(c->env_file.list[1], "/etc/b.env");
	ck_assert_beside(c->log_sinks[1].path, "conf.d/{slot}.log");
	ck_assert_str_eq(c->log_sinks[2].path, "/var/log/x");
	ck_assert_beside(c->listen[0].path, "conf.d/web.sock");
	ck_assert_int_eq(c->listen[0].mode, 0660);
	ck_assert_beside(c->listen[1].path, "conf.d/d.sock");
	ck_assert_str_eq(c->listen[2].path, "/run/w.sock");
	ck_assert_str_eq(c->listen[3].path, "@w");
	ck_assert_beside(r.s->clusters[1]->directory, "conf.d/own");
	ck_assert_str_eq(r.s->clusters[1]->fallback, "503");
	ck_assert_beside(r.s->clusters[2]->chroot, "conf.d/jail");
	ck_assert_ptr_null(r.s->clusters[2]->directory);
	forget(&r);

	/* of the command line, where it was written */
	r = read_argv("-c", "conf.d/a.ini", "--pidfile", "mine", "--directory",
		"here", NULL);
	ck_assert_str_eq(r.s->pidfile, "mine");
	ck_assert_str_eq(r.s->clusters[0]->directory, "here");
	forget(&r);

	/* also beside one that is named without a directory */
	write_file("b.ini", "[cluster]\ncommand = x\n");
	r = read_argv("-c", "b.ini", NULL);
	ck_assert_str_eq(r.s->clusters[0]->directory, here);
	ck_assert(r.s->clusters[0]->directory_of_file);
	forget(&r);
}

CASE(config_expand)

TEST(variables_do_not_make_a_value_too_large)
{
	static char big[100001];
	static char line[8000] = "[cluster]\ncommand = ";
	struct reading r;

	(void)memset(big, 'x', sizeof(big) - 1);
	ck_assert_int_eq(setenv("BIG", big, 1), 0);
	for (int i = 0; i < 1000; i++)
		(void)strcat(line, "${BIG}");
	r = read_text(line);
	ck_assert_faults(r,
		"shop.ini:2: cluster.command: longer than 1 MiB with its "
		"variables\n");
	forget(&r);
	ck_assert_int_eq(unsetenv("BIG"), 0);
}

TEST(a_line_that_is_no_text_has_given_its_key)
{
	struct reading r = read_text("[cluster]\ncommand = \x01\n");

	ck_assert_faults(r,
		"shop.ini:2: wanted text, found the control byte 0x01 in "
		"column 11\n");
	forget(&r);
}
