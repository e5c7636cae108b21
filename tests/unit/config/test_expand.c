/* SPDX-License-Identifier: MIT */
#include "config/expand.h"

#include "config_lib.h"
#include "files_lib.h"

#include <sysexits.h>

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

CASE(config_expand)
FIXTURE(set_variables, NULL)

/* ---- variables and quotes ---- */

#define WORDS_ARE "a 'b' \"c\" \\d ${ONE} $e"

static const struct {
	const char *key;
	const char *value;
	const char *words[4]; /* of the environment, or of the command */
} values[] = {
	{"env", "A=b c", {"A=b c"}},
	{"env", "A=it's ${ONE}", {"A=it's 1"}},
	{"env", "A=\"a b\"", {"A=a b"}},
	{"env", "A='a b'", {"A=a b"}},
	{"env", "A=\"a \\\"b\\\" ${ONE}\"", {"A=a \"b\" 1"}},
	{"env", "A='${ONE}'", {"A=${ONE}"}},
	{"env", "A=\"\"", {"A="}},
	{"env", "A=", {"A="}},
	{"env", "\"A=a b\"", {"A=a b"}},
	{"env", "A=\" b \"", {"A= b "}},
	{"env", "A=\"${WORDS}\"", {"A=" WORDS_ARE}},
	{"env", "A=${WORDS}", {"A=" WORDS_ARE}},
	{"env", "A='$ONE $$ $'", {"A=$ONE $$ $"}},
	{"env", "A=\"\\$ONE\"", {"A=$ONE"}},
	{"env", "A=pa$word$W$1 $10 $$ $", {"A=pa$word$W$1 $10 $$ $"}},
	{"env", "A='~/x'", {"A=~/x"}},
	{"env", "A=x~/x", {"A=x~/x"}},
	{"env", "A={\"b\": [1]}", {"A={\"b\": [1]}"}},
	{"env", "A=b=c", {"A=b=c"}},
	/* a list that is the value's own, and one in quotes */
	{"env", "A=a=1,B=2", {"A=a=1,B=2"}},
	{"env", "A=-Da=1 -DB=2", {"A=-Da=1 -DB=2"}},
	{"env", "A=good day", {"A=good day"}},
	{"env", "A=\"1 B=2\"", {"A=1 B=2"}},
	{"env", "A=\"1, B=2\"", {"A=1, B=2"}},
	{"env", "A=1, 2, b=3", {"A=1, 2, b=3"}},
	{"env", "A='x # y'", {"A=x # y"}},
	{"env", "A=#1", {"A=#1"}},
	{"command", "x ${ONE}${ONE} a${EMPTY}b ${EMPTY}", {"x", "11", "ab", ""}},
	{"command", "x ${WORDS}", {"x", WORDS_ARE}},
	{"command", "x \"${WORDS}!\"", {"x", WORDS_ARE "!"}},
	{"command", "sh -c 'echo ${NONE:-1}'", {"sh", "-c", "echo ${NONE:-1}"}},
	{"command", "x \\${ONE} \"$ONE\" $1", {"x", "${ONE}", "$ONE", "$1"}},
	{"command", "${ONE} \"'${ONE}'\"", {"1", "'1'"}},
};

static void ck_assert_words(struct reading *r, const char *key, const char *const *words)
{
	struct cluster_settings *c = r->s->clusters[0];
	struct strings *is = strcmp(key, "env") == 0 ? &c->env : &c->command;

	ck_assert_faults(*r, "");
	for (size_t i = 0; i < 4 && words[i] != NULL; i++)
		ck_assert_str_eq(is->list[i], words[i]);
	forget(r);
}

TEST_LOOP(a_variable_is_never_split_into_words, 0, (int)COUNT_OF(values))
{
	const char *key = values[_i].key;
	struct reading r = read_format("[cluster:web]\n%s%s = %s\n",
		strcmp(key, "env") == 0 ? "command = x\n" : "", key, values[_i].value);
	scoped_str shown = described(r.s);
	struct reading again = read_text(shown);

	ck_assert_words(&r, key, values[_i].words);
	ck_assert_words(&again, key, values[_i].words);
}

#define NOT_SET \
	"'${NONE}' is not set in nclust's environment; single quotes keep " \
	"nclust from replacing it\n"
#define NO_VARIABLE "wanted a variable such as '${HOME}', found "
#define NO_SHELL "no shell reads this, so "
#define NO_NUMBER \
	"wanted '{slot}', a sum such as '{slot+9229}' or a rest such as '{slot%2}', found " \
	"'{slot+x}'\n"
#define NO_PORT "wanted a port from 1 to 65535, or a name after 'inherit:', found "
#define SLOT "cannot be used with '{slot}' in 'listen': "

static const struct {
	const char *line;
	const char *fault; /* begins so */
} wrong[] = {
	{"env = A=${NONE}\n", "env: " NOT_SET},
	{"env = A=${}\n", "env: " NO_VARIABLE "'${}'"},
	{"env = A=${ONE\n", "env: " NO_VARIABLE "'${ONE'"},
	{"env = A=\"b\n", "env: wanted a closing \", found '\"b'\n"},
	{"env = A=\"b\" c\n", "env: wanted one value, in quotes as a whole"},
	{"env = A=b:$ONE/c\n", "env: " NO_SHELL "'$ONE' would stay as it is: write ${HOME} and"},
	{"env = A=\"$ONE\"\n", "env: " NO_SHELL "'$ONE"},
	{"env = A=~/x\n", "env: " NO_SHELL "'~' would"},
	{"env = A=$(date)\n", "env: " NO_SHELL "'$(date)' would"},
	{"directory = ~/app\n", "directory: " NO_SHELL "'~' would stay as it is: write the path"},
	{"chroot = ~\n", "chroot: " NO_SHELL "'~' would"},
	{"env-file = ${ONE}/.env\n", "env-file: " NO_SHELL "'${ONE}' would"},
	{"env-file = /a/*.env\n", "env-file: " NO_SHELL "'*.env' would"},
	{"watch = $HOME/src/**\n", "watch: " NO_SHELL "'$HOME' would"},
	{"log = prefix file:a-$(date +%s).log\n", "log: " NO_SHELL "'$(date' would"},
	{"log = file:~/web.log\n", "log: " NO_SHELL "'~' would"},
	{"listen = unix:~/s\n", "listen: " NO_SHELL "'~' would stay as it is: write the value"},
	{"listen = $PORT\n", "listen: " NO_SHELL "'$PORT' would"},
	{"export A=1\n", "export A: unknown key; use 'env = A=...'\n"},
	{"env = A={slot+x}\n", "env: " NO_NUMBER},
	{"env = A={port}\n", "env: '{port}' needs exactly one tcp or udp"},
	{"listen = ${NONE}\n", "listen: " NOT_SET},
	{"listen = 127.0.0.1:{slot+x}\n", "listen: " NO_NUMBER},
	{"listen = 127.0.0.1:{slot}\n", "listen: " NO_PORT "'127.0.0.1:0'\n"},
	{"listen = fd:{slot+3}\n", "listen: " NO_PORT "'fd:3'\n"},
	{"listen = {slot+65533}\nworkers = 4\n",
		"listen: slot 3: wanted a port from 0 to 65535, found "
		"'65536'\n"},
	{"listen = {slot+80}\nlisten = 82\nworkers = 1..3\n",
		"listen: 'tcp:*:82' is already used by cluster 'web'\n"},
	{"listen = 0\nlisten = 0\n", "listen: 'tcp:*:0, name=0' is given twice\n"},
	{"balance = rr\nlisten = {slot+80}\n", "balance: " SLOT},
	{"spare = 1\nlisten = {slot+80}\n", "spare: " SLOT},
	{"accept = yes\nlisten = {slot+80}\n", "accept: " SLOT},
	{"listen = unix:/{cluster}/\n", "listen: wanted an absolute path or '@name' after 'unix:'"},
};

TEST_LOOP(what_cannot_be_replaced_is_a_mistake, 0, (int)COUNT_OF(wrong))
{
	struct reading r = read_format(WEB "%s", wrong[_i].line);
	char start[200];

	snprintf(start, sizeof(start), "shop.ini:3: cluster:web.%s", wrong[_i].fault);
	ck_assert_begins(&r, start);
	forget(&r);
}

static const struct {
	const char *word;
	uint64_t number; /* of slot 5; UINT64_MAX: it is no such word */
} slots[] = {{"slot", 5}, {"slot+9229", 9234}, {"slot%2", 1}, {"slot%5", 0}, {"slot+", UINT64_MAX},
	{"slot%0", UINT64_MAX}, {"slot-1", UINT64_MAX}, {"slots", UINT64_MAX},
	{"slot+1234567890", UINT64_MAX}, {"slo", UINT64_MAX}};

TEST_LOOP(a_slot_may_have_a_number_added_or_divide_by_one, 0, (int)COUNT_OF(slots))
{
	uint64_t number = UINT64_MAX;
	const char *word = slots[_i].word;

	ck_assert_int_eq(
		expand_slot(word, strlen(word), 5, &number), slots[_i].number != UINT64_MAX);
	if (slots[_i].number != UINT64_MAX)
		ck_assert_uint_eq(number, slots[_i].number);
}

TEST(variables_do_not_make_a_value_too_large)
{
	static char big[100001];
	static char line[8000] = "[cluster]\ncommand = ";

	memset(big, 'x', sizeof(big) - 1);
	ck_assert_int_eq(setenv("BIG", big, 1), 0);
	for (int i = 0; i < 1000; i++)
		strcat(line, "${BIG}");
	expect_faults(line,
		"shop.ini:2: cluster.command: longer than 1 MiB with its "
		"variables\n");
}

TEST(a_line_that_is_no_text_has_given_its_key)
{
	expect_faults("[cluster]\ncommand = \x01\n",
		"shop.ini:2: wanted text, found the control byte 0x01 in "
		"column 11\n");
}

/* ---- [defaults] ---- */

static const struct {
	const char *text;
	const char *values;
} defaults[] = {
	/* a cluster's own key wins */
	{"[cluster:a]\n"
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
	 "command = y\n",
		"a.env = B=own | A=1\n"
		"b.env = A=1 | B=2\n"
		"a.listen = tcp:*:81\n"
		"b.listen = tcp:*:82 | tcp:*:83\n"
		"a.signal-USR1 = all\n"
		"a.signal-USR2 = first\n"
		"a.stop-timeout = 3s\n"
		"b.stop-timeout = 9s\n"
		"a.workers = 7"},
	/* it takes back a command or an order, and does not wait for itself */
	{"[defaults]\n"
	 "before = ./migrate\n"
	 "before-stop = ./leave\n"
	 "after = db, cache , job: ready\n"
	 "[cluster:web]\ncommand = x\n"
	 "[cluster:db]\ncommand = x\nbefore = none\nbefore-stop = none\n"
	 "after = none\n"
	 "[cluster:cache]\ncommand = x\nafter = db\n"
	 "[cluster:job]\ncommand = x\n",
		"web.before = ./migrate\n"
		"web.after = db, cache, job\n"
		"db.before = \n"
		"db.before-stop = \n"
		"db.after = \n"
		"job.after = db, cache"},
	{"[defaults]\nafter = a\n[cluster:a]\ncommand = x\n"
	 "[cluster:b]\ncommand = x\n",
		"a.after = \nb.after = a"},
	/* what does not fit `accept` is left out */
	{"[defaults]\nmax-age = 1h\non-exit = y\n"
	 "[cluster:a]\ncommand = x\naccept = yes\nlisten = 80\non-stop = z\n"
	 "[cluster:b]\ncommand = x\n",
		"b.max-age = 1h\nb.on-exit = y"},
	{"[defaults]\npty = yes\nipc = on\nleader = yes\n"
	 "intercept = on\nworkers = 2..4\naccept-timeout = 5s\n"
	 "[cluster:a]\ncommand = x\naccept = yes\nlisten = 80\n"
	 "[cluster:b]\ncommand = x\n",
		"a.pty = auto\na.ipc = auto\na.leader = no\n"
		"a.intercept = auto\na.workers = auto\na.accept-timeout = 5s\n"
		"b.pty = yes\nb.ipc = on\nb.leader = yes\n"
		"b.intercept = on\nb.workers = 2..4\nb.accept-timeout = off"},
	/* a listener may have the name of its cluster */
	{"[nclust]\nname = late\n"
	 "[defaults]\n"
	 "listen = unix:/run/{cluster}.sock, mode=0660\n"
	 "listen = 127.0.0.1:808${ONE}, name={cluster}-http\n"
	 "[cluster]\ncommand = x\n",
		"late.listen = unix:/run/late.sock, mode=0660 | "
		"tcp:127.0.0.1:8081, name=late-http"},
};

TEST_LOOP(defaults_are_taken_where_they_fit, 0, (int)COUNT_OF(defaults))
{
	expect_values(read_text(defaults[_i].text), defaults[_i].values);
}

TEST(a_mistake_in_the_defaults_is_told_once)
{
	expect_faults("[defaults]\nnice = x\nnice = 1\npidfile = /x\nfoo = 1\n"
		      "[cluster:a]\ncommand = x\n"
		      "[defaults]\n[cluster:b]\ncommand = x\n",
		"shop.ini:2: defaults.nice: wanted a whole number from -20 to "
		"19, found 'x'\n"
		"shop.ini:3: defaults.nice: given twice, first in line 2\n"
		"shop.ini:4: defaults.pidfile: this key belongs in [nclust]\n"
		"shop.ini:5: defaults.foo: unknown key\n"
		"shop.ini:8: section [defaults] is given twice, first in line "
		"1\n");
}

TEST(defaults_alone_are_no_cluster)
{
	expect_faults("[defaults]\ncommand = x\n",
		"shop.ini: wanted a [cluster:NAME] section, found none\n");
}

/* ---- more files ---- */

static void enter_with_conf_d(void)
{
	enter();
	ck_assert_int_eq(mkdir("conf.d", 0755), 0);
}

static void write_files(const char *shop, const char *a, const char *b)
{
	write_file("shop.ini", shop, 0644);
	write_file("conf.d/a.ini", a, 0644);
	if (b != NULL)
		write_file("conf.d/b.ini", b, 0644);
}

static void expect_shop_faults(const char *faults)
{
	struct reading r = read_argv("-c", "shop.ini", NULL);

	ck_assert_faults(r, faults);
	ck_assert_int_eq(r.faults.status, EX_CONFIG);
	forget(&r);
}

CASE(files)
FIXTURE(enter_with_conf_d, leave)

TEST(mistakes_name_the_included_file_and_its_line)
{
	write_files("[nclust]\nname = a\ninclude = conf.d/*.ini\n"
		    "[cluster:a]\ncommand = x\n",
		"[nclust]\nname = b\n[cluster:a]\ncommand = x\n",
		"[cluster:b]\nfoo = 1\ninclude = x\nsurge = 0\n"
		"max-unavailable = 0\n");
	expect_shop_faults("conf.d/a.ini:2: nclust.name: given twice, first in "
			   "shop.ini:2\n"
			   "conf.d/a.ini:3: section [cluster:a] is given twice, first in "
			   "shop.ini:4\n"
			   "conf.d/b.ini:2: cluster:b.foo: unknown key\n"
			   "conf.d/b.ini:3: cluster:b.include: this key belongs in "
			   "[nclust]\n"
			   "conf.d/b.ini:1: cluster:b.command: wanted a command, found "
			   "none\n"
			   "conf.d/b.ini:4: cluster:b.surge: 'surge' and "
			   "'max-unavailable' are both 0: no worker could ever be "
			   "replaced\n");
}

#define ALREADY "is read already; a file is included once, and not by itself\n"

TEST(an_include_that_cannot_be_is_a_mistake)
{
	write_files("[nclust]\n"
		    "include = conf.d/none.ini\n"
		    "include = conf.d/none*\n"
		    "include =\n"
		    "include = *.ini\n"
		    "include = conf.d/a.ini\n" WEB,
		"[nclust]\ninclude = b.ini\ninclude = sub.ini\n",
		"[nclust]\ninclude = ../conf.d/a.ini\n");
	ck_assert_int_eq(mkdir("conf.d/sub.ini", 0755), 0);
	expect_shop_faults("shop.ini:3: nclust.include: 'conf.d/none*' matches no file\n"
			   "shop.ini:4: nclust.include: wanted a path, found ''\n"
			   "shop.ini:2: nclust.include: 'conf.d/none.ini': cannot open: "
			   "No such file or directory\n"
			   "shop.ini:5: nclust.include: 'shop.ini': " ALREADY
			   "conf.d/a.ini:3: nclust.include: 'conf.d/sub.ini': is "
			   "not a regular file\n"
			   "conf.d/b.ini:2: nclust.include: "
			   "'conf.d/../conf.d/a.ini': " ALREADY);
}

TEST(the_directory_of_a_pattern_has_any_name)
{
	struct reading r;

	ck_assert_int_eq(mkdir("[old] *", 0755), 0);
	write_file("[old] */shop.ini", "[nclust]\ninclude = a*.ini\ninclude = b.ini\n", 0644);
	write_file("[old] */a1.ini", WEB, 0644);
	write_file("[old] */b.ini", "[cluster:b]\ncommand = x\n", 0644);
	r = read_argv("-c", "[old] */shop.ini", NULL);
	ck_assert_faults(r, "");
	forget(&r);
}

TEST(more_than_100_included_files_are_refused)
{
	char text[4000] = "[nclust]\n";
	struct reading r;

	for (int i = 0; i < 101; i++)
		strcat(text, "include = none\n");
	strcat(text, WEB);
	write_file("shop.ini", text, 0644);
	r = read_argv("-c", "shop.ini", NULL);
	ck_assert_uint_eq(r.faults.count, 101);
	ck_assert_ptr_nonnull(
		strstr(faults_of(&r), "shop.ini:102: nclust.include: wanted at most 100 files\n"));
	forget(&r);
}

TEST(root_includes_only_what_root_alone_can_change)
{
	struct reading r;

	if (geteuid() != 0) {
		fprintf(stderr, "left out, needs root\n");
		return;
	}
	write_files("[nclust]\ninclude = conf.d/*.ini\n" WEB, "[cluster:a]\ncommand = x\n", NULL);
	ck_assert_int_eq(chmod("conf.d/a.ini", 0646), 0);
	expect_shop_faults("shop.ini:2: nclust.include: 'conf.d/a.ini': writable by "
			   "others than its owner, refused for root; try chmod go-w\n");
	ck_assert_int_eq(chmod("conf.d/a.ini", 0644), 0);
	ck_assert_int_eq(chmod("conf.d", 0777), 0);
	r = read_argv("-c", "shop.ini", NULL);
	ck_assert_uint_eq(r.faults.count, 1);
	ck_assert_ptr_nonnull(strstr(faults_of(&r),
		"conf.d' is writable by others than its owner, refused for "
		"root"));
	forget(&r);
}

TEST(a_path_is_beside_its_file)
{
	static const char expected[] = "nclust.pidfile = ~/conf.d/run/pid\n"
				       "nclust.http-token = /x\n"
				       "web.directory = ~/conf.d\n"
				       "web.env-file = ~/conf.d/a.env | /etc/b.env\n"
				       "web.log = prefix file:~/conf.d/{slot}.log file:/var/log/x\n"
				       "web.listen = unix:~/conf.d/web.sock, mode=0660 | "
				       "unix-dgram:~/conf.d/d.sock | unix:/run/w.sock | unix:@w\n"
				       "own.directory = ~/conf.d/own\n"
				       "own.fallback = 503\n"
				       "jail.chroot = ~/conf.d/jail\n"
				       "jail.directory = ";
	struct buffer absolute;
	struct reading r;

	write_file("conf.d/a.ini",
		"[nclust]\npidfile = run/pid\nhttp-token = /x\n"
		"[cluster:web]\ncommand = ./web\nenv-file = a.env\n"
		"env-file = /etc/b.env\n"
		"log = prefix file:{slot}.log file:/var/log/x\n"
		"listen = unix:web.sock, mode=0660\n"
		"listen = unix-dgram:d.sock\nlisten = unix:/run/w.sock\n"
		"listen = unix:@w\n"
		"[cluster:own]\ncommand = x\ndirectory = own\nlog = off\n"
		"fallback = 503\n"
		"[cluster:jail]\ncommand = x\nchroot = jail\n",
		0644);
	buffer_init(&absolute, 0);
	for (const char *c = expected; *c != '\0'; c++)
		if (*c == '~')
			buffer_string(&absolute, dir);
		else
			buffer_append(&absolute, c, 1);
	expect_values(read_argv("-c", "conf.d/a.ini", NULL), buffer_text(&absolute));
	buffer_fini(&absolute);

	/* of the command line, where it was written */
	r = read_argv("-c", "conf.d/a.ini", "--pidfile", "mine", "--directory", "here", NULL);
	ck_assert_ptr_nonnull(strstr(r.s->pidfile, "/mine"));
	expect_values(r, "web.directory = here");

	/* also in a directory with a blank */
	ck_assert_int_eq(mkdir("a b", 0755), 0);
	write_file("a b/c.ini", "[cluster]\ncommand = x\nlog = file:l json\n", 0644);
	r = read_argv("-c", "a b/c.ini", NULL);
	ck_assert_ptr_nonnull(strstr(r.s->clusters[0]->log_sinks[0].path, "/a b/l"));
	forget(&r);

	/* also beside one that is named without a directory */
	write_file("b.ini", "[cluster]\ncommand = x\n", 0644);
	r = read_argv("-c", "b.ini", NULL);
	ck_assert_str_eq(r.s->clusters[0]->directory, dir);
	ck_assert(r.s->clusters[0]->directory_of_file);
	forget(&r);
}
