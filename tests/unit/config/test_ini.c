/* SPDX-License-Identifier: MIT */
#include "config/config.h"

#include "../../../tools/describe.h"
#include "config_lib.h"
#include "files_lib.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <sysexits.h>

#define WEB "[cluster:web]\ncommand = ./web\n"

CASE(all)

static const struct {
	const char *text;
	const char *values;
} files[] = {
	{"; remark\n"
	 "[nclust]\n"
	 "log-level = debug ; all of it\n"
	 "\n"
	 "[cluster:web] ; the site\n"
	 "command = ./web 'a b'\n"
	 "workers=3\n"
	 "listen = 8000, name=http\n"
	 "listen = unix:/run/x=y\n"
	 "env = A=1\n"
	 "env = B='x # no remark'\n"
	 "stop-timeout = 5s # a remark\n"
	 "directory = /srv/a#b\n"
	 "signal-USR1 = restart\n"
	 "limit-nofile = 10:20\n"
	 "# remark\n"
	 "[cluster]\n"
	 "command = ./other",
		"nclust.name = shop\n"
		"nclust.log-level = debug\n"
		"web.command = ./web 'a b'\n"
		"web.workers = 3\n"
		"web.listen = tcp:*:8000, name=http | unix:/run/x=y\n"
		"web.env = A=1 | B=x # no remark\n"
		"web.signal-USR1 = restart\n"
		"web.limit-nofile = 10:20\n"
		"shop.command = ./other"},
	{"[cluster]\ncommand=x\n[nclust]\nname=a.b\n", "nclust.name = a.b\na.b.command = x"},
	/* a ';' that cuts nothing */
	{"[cluster:web]\n"
	 "command = sh -c 'a; b' \\; c;d\n"
	 "env = A=b;c; d\n"
	 "check = exec:a \\; b;c\n"
	 "on-exit = a\\; b\n"
	 "ready = notify ; it says so\n"
	 "workers = 2 ; 'two' of them\n",
		"web.command = sh -c 'a; b' \\; c;d\n"
		"web.env = A=b;c; d\n"
		"web.check = exec:a \\; b;c\n"
		"web.on-exit = a\\; b\n"
		"web.ready = notify\n"
		"web.workers = 2"},
	{"\xef\xbb\xbf[cluster:web]\r\ncommand = x y\r\n\r\nworkers = 2\r\n",
		"web.command = x y\nweb.workers = 2"},
	{WEB "listen = 0\nlisten = 0, name=b\n", "web.listen = tcp:*:0 | tcp:*:0, name=b"},
	{"[cluster:web]\nlisten = 80\n"
	 "command = x {slot} {name} {fd} {port} {fd:80} {other} {\n",
		"web.command = x {slot} {name} {fd} {port} {fd:80} {other} {"},
};

TEST_LOOP(a_file_becomes_clusters, 0, (int)COUNT_OF(files))
{
	expect_values(read_text(files[_i].text), files[_i].values);
}

/* ---- mistakes ---- */

#define SEMICOLON "a ';' after a blank would begin a comment here"
#define ACCEPT "accept = yes\nlisten = 80\n"

/* One in [cluster:web], after its command: the line, the key, a piece of what is told. */
static const struct {
	const char *text;
	unsigned line;
	const char *key;
	const char *told;
} in_web[] = {
	{"env = A=b\t;c\n", 3, "env", SEMICOLON},
	{"env=A=b ;c\n", 3, "env", SEMICOLON},
	{"env=A=b # c\n", 3, "env", "a '#' after a blank would begin a comment here; put it in"},
	{"on-exit = a # c\n", 3, "on-exit", "a '#' after a blank would begin a comment"},
	{"env = A=1, B=2\n", 3, "env", "wanted one variable a line, found 'A=1, B=2'; if all"},
	{"env = A=1,B=2\n", 3, "env", "wanted one variable a line"},
	{"env = A=1 B=2\n", 3, "env", "wanted one variable a line"},
	{"env = A={slot+}\n", 3, "env", "wanted '{slot}', a sum such as '{slot+9229}' or a"},
	{"env = A={slots}\n", 3, "env", "found '{slots}'"},
	{"check = exec:a ;b\n", 3, "check", SEMICOLON},
	{"check = http:/a ;b\n", 3, "check", SEMICOLON},
	{"ready =  exec:a ;b\n", 3, "ready", SEMICOLON},
	{"on-exit = a ;b\n", 3, "on-exit", SEMICOLON},
	{"before = ./a ; ./b\n", 3, "before", SEMICOLON},
	{"directory = \"/a ;b\"\n", 3, "directory", SEMICOLON},

	{"wrokers = 3\n", 3, "wrokers", "unknown key; did you mean 'workers'?"},
	{"zzz = 3\n", 3, "zzz", "unknown key\n"},
	/* planned, but not there */
	{"replicas = 1\n", 3, "replicas", "unknown key"},
	{"daemon = 1\n", 3, "daemon", "unknown key"},
	{"pidfile = /x\n", 3, "pidfile", "this key belongs in [nclust]"},
	{"signal-USR3 = stop\n", 3, "signal-USR3", "unknown signal 'USR3'"},
	{"on-exti = x\n", 3, "on-exti", "did you mean 'on-exit'?"},
	{"on-EVENT = x\n", 3, "on-EVENT", "unknown key\n"},

	{"workers = 3\nworkers = 4\n", 4, "workers", "twice, first in line 3"},
	{"env = A=1\nenv = B=1\nenv = A=2\n", 5, "env", "'A' is given twice"},
	{"signal-USR1 = all\nsignal-SIGUSR1 = all\n", 4, "signal-SIGUSR1", "given twice"},
	{"on-exit = a\non-stop = a\non-exit = b\n", 5, "on-exit", "given twice"},
	{"listen = 80\nlisten = tcp:*:80\n", 3, "listen", "'tcp:*:80' is given twice"},

	/* what does not go together */
	{"workers = 1..2\n" ACCEPT, 3, "workers", "a range cannot be used with"},
	{"max-unavailable = 0\nsurge = 0\n", 4, "surge",
		"'surge' and 'max-unavailable' are both 0"},
	{"memory-high = 65M\nmemory-max = 64M\n", 3, "memory-high",
		"'memory-high' is more than 'memory-max'"},
	{"backoff-max = 50ms\n", 3, "backoff-max",
		"'backoff-min', 100ms, is more than 'backoff-max', 50ms"},
	{"ready = fd:4\nlisten = 80\nlisten = 81\n", 3, "ready",
		"descriptor 4 is a listener's: write"},
	{"chroot = /srv\nready = notify\n", 4, "ready", "'notify' cannot be used with 'chroot'"},
	{"canary = x\nbake = 1s\n", 3, "canary", "from 0 to 10000, found 'x'"},
	{"chroot = /srv\nwatchdog = 5s\n", 4, "watchdog", "cannot be used with 'chroot'"},
	{"metrics = http:/m\n", 3, "metrics", "use 'listen = 127.0.0.1:{slot+9200}'"},
	{"pass = stdin\n", 3, "pass", "exactly one listener, there are 0"},
	{"pass = stdin\nlisten = 1\nlisten = 2\n", 3, "pass", "there are 2"},
	{"user = #3999999999\n", 3, "user", "has no group of its own"},
	{"user = #65520\ngroup = #65534\n", 3, "user", "65520 to 65533 are"},
	{"accept = yes\n", 3, "accept", "has nothing to accept on"},
	{"accept = yes\nlisten = udp:53\n", 4, "listen", "'udp:*:53' cannot be used with 'accept'"},
	{ACCEPT "max-age = 1h\n", 5, "max-age", "it is for workers that last"},
	{ACCEPT "max-requests = 9\n", 5, "max-requests", "workers that last"},
	{ACCEPT "intercept = on\n", 5, "intercept", "nclust listens"},
	{ACCEPT "on-stop = y\non-crash = y\n", 6, "on-crash", "let the command itself do"},
	{ACCEPT "leader = yes\n", 5, "leader", "cannot be the leader"},
	{ACCEPT "pty = yes\n", 5, "pty", "the output is the connection"},
	{"accept-per-address = 3\n", 3, "accept-per-address", "needs 'accept'"},
	{"accept-timeout = 3s\n", 3, "accept-timeout", "needs 'accept'"},
	{"log = inherit\npty = yes\n", 4, "pty", "with 'log = inherit'"},

	{"max-requests = 9\nsticky = client-address\n", 3, "max-requests", "set 'max-age' or"},
	{"max-requests = 9\nbalance = random\n", 3, "max-requests", "set 'max-age' or"},
	{"max-requests = 9\nbalance = share\n", 3, "max-requests", "set 'max-age' or"},
	{"max-requests = 9\nipc = off\n", 3, "max-requests", "set 'max-age' or"},

	{"relay = nobody\n", 3, "relay", "a cluster of this file or 'nats://"},
	{"relay = web\n", 3, "relay", "'web' is this cluster"},
	{"relay = late\n[cluster:late]\ncommand = x\nipc = off\n", 3, "relay",
		"needs message channels, but 'ipc' of 'late' is off"},
	{"relay = others\nipc = off\n", 3, "relay", "'ipc' of 'web' is off"},
	{"relay = nats://a\nipc = off\n", 3, "relay", "'ipc' of 'web' is off"},
	{"relay = nats://\n", 3, "relay", "it has no host"},
	{"relay = nats://me:pw@/x\n", 3, "relay", "it has no host"},
	{"relay = nats://a,,b\n", 3, "relay", "a host or port is not valid"},
	{"relay = nats://a:0\n", 3, "relay", "a host or port is not valid"},
	{"relay = nats://a:65536\n", 3, "relay", "a host or port is not valid"},
	{"relay = nats://[::1\n", 3, "relay", "a host or port is not valid"},
	{"relay = nats://me:secret@a b\n", 3, "relay",
		"HOST[:PORT],...[/PREFIX]', but a host or port is not valid\n"},
	{"relay = nats://:secret@a\n", 3, "relay", "no user or token stands"},
	{"relay = nats://a/b..c\n", 3, "relay", "its prefix may have words"},
	{"relay = nats://a/b.*\n", 3, "relay", "its prefix may have words"},
	{"relay = http://me:secret@a\n", 3, "relay", "begins in another way"},
};

TEST_LOOP(a_mistake_is_told_with_its_line_and_key, 0, (int)COUNT_OF(in_web))
{
	struct reading r = read_format(WEB "%s", in_web[_i].text);
	char start[80];

	snprintf(start, sizeof(start), "shop.ini:%u: cluster:web.%s: ", in_web[_i].line,
		in_web[_i].key);
	ck_assert_uint_eq(r.faults.count, 1);
	ck_assert_ptr_eq(strstr(faults_of(&r), start), faults_of(&r));
	ck_assert_msg(strstr(faults_of(&r), in_web[_i].told) != NULL, "%s", faults_of(&r));
	ck_assert_ptr_null(strstr(faults_of(&r), "secret"));
	ck_assert_int_eq(r.faults.status, EX_CONFIG);
	forget(&r);
}

#define BLANK "wanted a key at the beginning of the line, found a blank; "

/* Any others: what is told begins so, after "shop.ini:". */
static const struct {
	const char *text;
	const char *told;
} mistakes[] = {
	/* the file's form */
	{WEB "workers\n", "3: wanted 'key = value', found 'workers'\n"},
	{WEB "workers:x = 3\n", "3: wanted 'key = value', found 'workers:x"},
	{WEB "= 3\n", "3: wanted 'key = value', found '= 3'\n"},
	{WEB "workers ; = 3\n", "3: wanted 'key = value', found 'workers ;"},
	{WEB "[cluster:a\n", "3: wanted a ']', found '[cluster:a'\n"},
	{WEB "[cluster:a] command = x\n", "3: wanted nothing after ']', found 'command = x'\n"},
	{"workers = 3\n" WEB, "1: wanted a section such as [cluster:web]"},
	{"", " wanted a [cluster:NAME] section, found none\n"},
	{"\n; nothing\n[nclust]\n", " wanted a [cluster:NAME] section, found"},

	/* a value that goes on, which inih takes for the same key again */
	{WEB "listen = 80\n  listen = 81\n", "4: " BLANK},
	{WEB " [nclust]\n", "3: " BLANK},

	{"[cluster:web]\ncommand = ./web ;x\n", "2: cluster:web.command: " SEMICOLON},
	{"[cluster:web]\ncommand = sh -c 'a ; b'\n", "2: cluster:web.command: " SEMICOLON},
	{"[cluster:web]\ncommand = ; none\n", "2: cluster:web.command: " SEMICOLON},

	/* names */
	{WEB "[nclust]\nworkers = 3\n", "4: nclust.workers: this key belongs in a [cluster:NAME]"},
	{WEB "[nclust]\non-exit = x\n", "4: nclust.on-exit: this key belongs in a [cluster:NAME]"},
	{WEB "[clutser:a]\ncommand = x\nfoo = bar\n",
		"3: unknown section [clutser:a]; did you mean [cluster:a]?\n"},
	{WEB "[ncluts]\n", "3: unknown section [ncluts]; did you mean [nclust]?\n"},
	{WEB "[api]\n", "3: unknown section [api]; did you mean [cluster:api]?\n"},
	{WEB "[app:api]\n", "3: unknown section [app:api]; did you mean [cluster:api]?\n"},
	{WEB "[the api]\n", "3: unknown section [the api]; wanted [nclust], "},
	{WEB "[cluster:-a]\ncommand = x\n", "3: wanted a cluster's name of 1 "},

	/* twice */
	{WEB "workers = x\nworkers = 4\n",
		"3: cluster:web.workers: wanted a number from 1 to 10000\n"
		"4: cluster:web.workers: given twice, first in line 3"},
	{WEB WEB, "3: section [cluster:web] is given twice, first in line 1\n"},
	{WEB "[nclust]\n[nclust]\n", "4: section [nclust] is given twice, first in line 3\n"},
	{"[cluster]\ncommand = x\n[cluster:shop]\ncommand = x\n",
		"3: cluster 'shop' is given twice, first in line 1\n"},
	{WEB "listen = 80\n[cluster:b]\ncommand = x\nlisten = 80\n",
		"6: cluster:b.listen: 'tcp:*:80' is already used by cluster "},

	/* what does not go together */
	{"[cluster:web]\nworkers = 2\n", "1: cluster:web.command: wanted a command, found none\n"},
	{"[cluster:web]\ncommand =\n", "2: cluster:web.command: wanted a command, found ''\n"},
	{WEB "intercept = off\nlisten = udp:53\nready = tcp\ncheck = http:/\n",
		"5: cluster:web.ready: 'tcp' has nothing to connect to\n"
		"6: cluster:web.check: 'http' has nothing to connect to"},
	{WEB "relay = nats://a,10.0.0.1:4222,[::1]:1/x.y\n"
	     "[cluster:a.b]\ncommand = x\nrelay = nats://u:p@q@a\n"
	     "[cluster:a..b]\ncommand = x\nrelay = nats://token@a\n",
		"9: cluster:a..b.relay: the name 'a..b' cannot be part of a "},
	{"[cluster:web]\nlisten = 1, name=a\ncommand = x --fd={fd:b}{fd:a}\n",
		"3: cluster:web.command: '{fd:b}' names no listener\n"},
	{"[cluster:web]\nlisten = 127.0.0.1:1\nlisten = 127.0.0.2:1\n"
	 "command = x {fd:1}\n",
		"4: cluster:web.command: '{fd:1}' names several listeners\n"},
	{"[cluster:web]\ncommand = x {fd}\n",
		"2: cluster:web.command: '{fd}' needs exactly one listener"},
	{"[cluster:web]\ncommand = x {port}\nlisten = unix:/x\n",
		"2: cluster:web.command: '{port}' needs exactly one tcp or "},
	{"[cluster:web]\ncommand = x {fd}\n" ACCEPT,
		"2: cluster:web.command: '{fd}' cannot be used with 'accept'"},
	{"[cluster:a]\ncommand = x\nafter = b, nobody\n"
	 "[cluster:b]\ncommand = x\nafter = c, d: done\n"
	 "[cluster:c]\ncommand = x\nafter = a\n"
	 "[cluster:d]\ncommand = x\nafter = d\n",
		"3: cluster:a.after: wanted clusters of this file, found\n"
		"3: cluster:a.after: these clusters would wait for each other, "
		"and none would start: c, b, a\n"
		"6: cluster:b.after: 'd' is never done: its 'restart' is\n"
		"12: cluster:d.after: 'd' cannot wait for itself"},
	{"[cluster:a]\ncommand = x\nafter = b, b: done\n",
		"3: cluster:a.after: 'b' is given twice\n"},
	{"[cluster:a]\ncommand = x\nafter = b,\n", "3: cluster:a.after: wanted names of clusters"},
	{"[cluster:a]\ncommand = x\nafter = b: soon\n",
		"3: cluster:a.after: wanted names of clusters"},
	{WEB "listen = 127.0.0.1:9100\nlisten = 9101\n"
	     "[nclust]\nhttp = 9100\nagent = [::]:9101\n",
		"3: cluster:web.listen: 'tcp:127.0.0.1:9100' is already used\n"
		"3: cluster:web.listen: 'tcp:*:9101' is already used by "
		"'agent'"},
	{WEB "listen = 127.0.0.2:9100\nlisten = 9102\n"
	     "[nclust]\nhttp = 9100\nagent = 9100\n",
		"7: nclust.agent: 'tcp:*:9100' is already used by 'http'\n"
		"3: cluster:web.listen: 'tcp:127.0.0.2:9100' is already used"},
};

TEST_LOOP(every_mistake_is_told, 0, (int)COUNT_OF(mistakes))
{
	struct reading r = read_text(mistakes[_i].text);
	const char *told = mistakes[_i].told;
	const char *fault = faults_of(&r);

	ck_assert_int_eq(r.faults.status, EX_CONFIG);
	for (size_t i = 0; i < r.faults.count; i++) {
		size_t len = strcspn(told, "\n");

		ck_assert_int_eq(strncmp(fault, "shop.ini:", 9), 0);
		ck_assert_msg(strncmp(fault + 9, told, len) == 0, "%s", fault);
		told += len + (told[len] == '\n');
		fault = strchr(fault, '\n') + 1;
	}
	ck_assert_str_eq(told, "");
	forget(&r);
}

static const struct {
	const char *given;
	const char *is; /* NULL: off */
} https[] = {{"9100", "tcp:127.0.0.1:9100"}, {"9100, backlog=9", "tcp:127.0.0.1:9100"},
	{"[::1]:9100", "tcp:[::1]:9100"}, {"127.9.9.9:9100", "tcp:127.9.9.9:9100"},
	{"unix:/run/x", "unix:/run/x"}, {"off", NULL}};

TEST_LOOP(http_is_on_loopback_unless_it_is_said, 0, COUNT_OF(https))
{
	struct reading r = read_format(WEB "[nclust]\nhttp = %s\n", https[_i].given);

	ck_assert_faults(r, "");
	ck_assert_pstr_eq(r.s->http.text, https[_i].is);
	forget(&r);
}

static const char *const reached[] = {
	"*:9100", "0.0.0.0:9100", "[::]:9100", "10.0.0.1:9100", "[fe80::1]:1"};

TEST_LOOP(http_for_other_machines_needs_a_token_or_a_word, 0, COUNT_OF(reached))
{
	static const char *const more[] = {"", "http-open = yes\n", "http-token = /x\n"};

	for (int i = 0; i < 3; i++) {
		struct reading r = read_format(WEB "[nclust]\nhttp = %s\n%s", reached[_i], more[i]);

		ck_assert_uint_eq(r.faults.count, i == 0);
		if (i == 0)
			ck_assert_ptr_nonnull(
				strstr(faults_of(&r), "shop.ini:4: nclust.http: other machines "));
		forget(&r);
	}
}

/* ---- what inih would silently do ---- */

TEST_LOOP(a_line_of_any_length_is_whole, 0, 6)
{
	static const size_t lens[] = {198, 199, 200, 201, 398, 100000};
	static char text[100100];
	size_t word = lens[_i] - strlen("command = ");
	struct reading r;

	memset(text, 0, sizeof(text));
	strcat(text, "[cluster:web]\ncommand = ");
	memset(text + strlen(text), 'x', word);
	strcat(text, "\nworkers = 2\n");
	r = read_text(text);
	ck_assert_faults(r, "");
	ck_assert_uint_eq(strlen(r.s->clusters[0]->command.list[0]), word);
	ck_assert_uint_eq(r.s->clusters[0]->workers.least.fixed, 2);
	forget(&r);
}

TEST(a_long_key_is_unknown_and_a_long_remark_harmless)
{
	char long_word[501] = "";
	struct reading r;

	memset(long_word, 'k', sizeof(long_word) - 1);
	r = read_format(WEB "; %s\n%s = x\n", long_word, long_word);
	ck_assert_begins(&r, "shop.ini:4: cluster:web.kkk");
	ck_assert_ptr_nonnull(strstr(faults_of(&r), "kkk: unknown key\n"));
	forget(&r);
}

TEST(a_long_section_name_is_not_cut)
{
	char a[65] = "";
	struct reading r;

	memset(a, 'a', 64);
	r = read_format("[cluster:%s]\ncommand = x\n[cluster:%.63sb]\ncommand = y\n", a, a);
	ck_assert_faults(r, "");
	ck_assert_uint_eq(r.s->cluster_count, 2);
	ck_assert_str_eq(r.s->clusters[0]->name, a);
	ck_assert_str_eq(r.s->clusters[1]->command.list[0], "y");
	forget(&r);
}

#define BYTES(text) WEB text, sizeof(WEB text) - 1

static const struct {
	const char *text;
	size_t len;
	const char *fault;
} bytes[] = {
	{BYTES("env = A=\0b\n"), "wanted text, found a NUL byte\n"},
	{BYTES("; \0\n"), "wanted text, found a NUL byte\n"},
	{BYTES("env = A=\xff\n"), "wanted UTF-8 text, found the byte 0xff in column 9\n"},
	{BYTES("# \xc3\n"), "wanted UTF-8 text, found the byte 0xc3 in column 3\n"},
	{BYTES("env = A=\033[0m\n"), "wanted text, found the control byte 0x1b in column 9\n"},
	{BYTES("env = A=b\rworkers = 3\n"),
		"wanted text, found the control byte 0x0d in column 10\n"},
};

TEST_LOOP(what_is_no_text_is_told, 0, (int)COUNT_OF(bytes))
{
	struct reading r = read_bytes(bytes[_i].text, bytes[_i].len);

	ck_assert_int_eq(strncmp(faults_of(&r), "shop.ini:3: ", 12), 0);
	ck_assert_str_eq(faults_of(&r) + 12, bytes[_i].fault);
	forget(&r);
}

TEST(more_than_60_listeners_are_too_many)
{
	char text[4000] = WEB;

	for (int i = 1; i <= 61; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "listen = %d\n", i);
	expect_faults(text,
		"shop.ini:3: cluster:web.listen: wanted at most 60 "
		"listeners, found 61\n");
}

TEST(a_step_without_a_time_takes_the_stop_timeout)
{
	struct reading r = read_text(WEB "stop-signal = QUIT:10s INT TERM:0\nstop-timeout = 7s\n");
	struct cluster_settings *c = r.s->clusters[0];

	ck_assert_faults(r, "");
	ck_assert_uint_eq(c->stop_count, 3);
	ck_assert_int_eq(c->stop[0].timeout, 10 * SECOND);
	ck_assert_int_eq(c->stop[1].timeout, 7 * SECOND);
	ck_assert_int_eq(c->stop[2].timeout, 0);
	forget(&r);
}

TEST(a_user_alone_brings_its_group)
{
	struct reading r = read_text(WEB "user = root\n[cluster:b]\n"
					 "command = x\nuser = root\n"
					 "group = #7\n");

	ck_assert_faults(r, "");
	ck_assert_int_eq(r.s->clusters[0]->uid, 0);
	ck_assert_int_eq(r.s->clusters[0]->gid, 0);
	ck_assert_int_eq(r.s->clusters[1]->gid, 7);
	forget(&r);
}

/* ---- the sample ---- */

/* Take the ';' away from what looks like "key = value" behind it. */
static void uncomment(char *text)
{
	char *to = text;

	for (char *s = text; *s != '\0'; s++)
		if (*s != ';' || (s > text && s[-1] != '\n'))
			*to++ = *s;
	*to = '\0';
}

TEST(the_sample_is_accepted_as_it_is_and_uncommented)
{
	struct buffer sample;
	struct reading r;
	size_t given = 0;

	buffer_init(&sample, 0);
	ck_assert_int_eq(describe_sample_ini(&sample), 0);
	expect_faults(buffer_text(&sample), "");

	uncomment(sample.data);
	/* the cluster of the example of 'after' */
	sample.len = strlen(sample.data);
	buffer_string(&sample, "\n[cluster:db]\ncommand = x\n");
	r = read_text(buffer_text(&sample));
	ck_assert_faults(r, "");
	for (size_t i = 0; i < option_count; i++) {
		const struct option_row *row = &option_rows[i];
		size_t at;

		if (row->section == NULL)
			continue;
		at = strcmp(row->section, "nclust") == 0 ? INSTANCE : 0;
		ck_assert_int_eq(settings_origin(r.s, at, row)->kind, ORIGIN_FILE);
		given++;
	}
	ck_assert_uint_gt(given, 40);
	forget(&r);
	buffer_fini(&sample);
}

/* ---- files ---- */

static char file[sizeof(dir) + 10];

static void set_up(void)
{
	enter();
	snprintf(file, sizeof(file), "%s/a.ini", dir);
}

static void expect_file_faults(const char *path, const char *expected)
{
	struct reading r = read_argv("-c", path, NULL);

	ck_assert_faults(r, expected);
	ck_assert_int_eq(r.faults.status, *expected == '\0' ? 0 : EX_CONFIG);
	forget(&r);
}

static void expect_read(const char *path)
{
	expect_file_faults(path, "");
}

CASE(files)
FIXTURE(set_up, leave)

/* What root does not own alone: `who` belongs to nobody, or is writable by all. */
static void expect_refused(const char *path, const char *who, const char *why)
{
	char expected[400];

	snprintf(expected, sizeof(expected), "%s: '%s' %s\n", path, who, why);
	expect_file_faults(path, expected);
}

static void given_away(const char *path, uid_t uid)
{
	ck_assert_int_eq(lchown(path, uid, (gid_t)-1), 0);
}

#define OWNED "belongs to user 65534, refused for root; try chown root, or as that user"
#define WRITABLE "is writable by others than its owner, refused for root; try chmod go-w, or +t"

TEST(root_reads_only_what_root_alone_can_change)
{
	char below[200];
	char own[300];
	char way[300];
	char by_link[300];
	char chain[300];
	char in[300];

	if (geteuid() != 0) {
		fprintf(stderr, "left out, needs root\n");
		return;
	}
	write_file(file, WEB, 0644);
	given_away(file, 65534);
	expect_refused(file, file, OWNED);
	given_away(file, 0);
	expect_read(file);

	snprintf(below, sizeof(below), "%s.d", file);
	snprintf(own, sizeof(own), "%s/own", below);
	snprintf(in, sizeof(in), "%s/own/it.ini", below);
	ck_assert_int_eq(mkdir(below, 0755), 0);
	ck_assert_int_eq(mkdir(own, 0755), 0);
	ck_assert_int_eq(rename(file, in), 0);
	expect_read(in);
	given_away(below, 65534);
	expect_refused(in, below, OWNED);
	given_away(below, 0);

	/* that root's own group may write is as good as that root may */
	ck_assert_int_eq(chmod(in, 0664), 0);
	ck_assert_int_eq(chmod(own, 0775), 0);
	expect_read(in);
	ck_assert_int_eq(chown(own, 0, 1), 0);
	expect_refused(in, own, WRITABLE);
	ck_assert_int_eq(chmod(own, 01777), 0);
	expect_read(in);

	/* a link is a name that its owner can turn elsewhere, and so is what is
	 * on the way to where it leads */
	snprintf(way, sizeof(way), "%s/way", below);
	snprintf(by_link, sizeof(by_link), "%s/way/../way//it.ini", below);
	ck_assert_int_eq(symlink(".//own/", way), 0);
	expect_read(by_link);
	given_away(way, 65534);
	expect_refused(by_link, way, OWNED);
	given_away(way, 0);
	/* as many as Linux follows */
	for (int i = 0; i < 40; i++) {
		char to[12];

		snprintf(to, sizeof(to), "%d", i - 1);
		snprintf(chain, sizeof(chain), "%s/own/%d", below, i);
		ck_assert_int_eq(symlink(i == 0 ? "it.ini" : to, chain), 0);
	}
	expect_read(chain);
	ck_assert_int_eq(symlink(in, file), 0);
	expect_read(file);
	ck_assert_int_eq(chmod(own, 0777), 0);
	expect_refused(file, own, WRITABLE);
	given_away(in, 65534);
	ck_assert_int_eq(chmod(own, 0755), 0);
	expect_refused(file, in, OWNED);
	ck_assert_int_eq(unlink(way), 0);
	ck_assert_int_eq(symlink("way", way), 0);
	{
		struct reading r = read_argv("-c", by_link, NULL);

		ck_assert_ptr_nonnull(
			strstr(buffer_text(&r.faults.text), "cannot open: Too many levels"));
		forget(&r);
	}
}

/* Run the test as root of a namespace that has 65536 uids of its own.  False: it
 * cannot be made here. */
static bool in_full_namespace(void (*test)(void))
{
	static const char map[] = "0 100000 65536";
	char path[60];
	int status;
	FILE *out;
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWUSER) == -1)
			_exit(2);
		(void)kill(getpid(), SIGSTOP);
		if (setresuid(0, 0, 0) == -1)
			_exit(3);
		test();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
	if (!WIFSTOPPED(status))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)pid);
	out = fopen(path, "we");
	ck_assert(out != NULL && fputs(map, out) >= 0);
	ck_assert_int_eq(fclose(out), 0);
	(void)kill(pid, SIGCONT);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	return true;
}

static void read_the_hosts(void)
{
	expect_read(file);
}

static void refuse_nobodys(void)
{
	expect_refused(file, file, OWNED);
}

TEST(a_namespace_may_have_a_nobody_of_its_own)
{
	if (geteuid() != 0) {
		fprintf(stderr, "left out, needs root\n");
		return;
	}
	write_file(file, WEB, 0644);
	ck_assert_int_eq(chmod(dir, 0755), 0);
	if (!in_full_namespace(read_the_hosts)) {
		fprintf(stderr, "left out, needs user namespaces\n");
		return;
	}
	given_away(file, 100000 + 65534);
	(void)in_full_namespace(refuse_nobodys);
}

TEST(a_descriptor_of_ours_is_read_by_its_name)
{
	char name[40];
	char its[300];
	int fd;

	write_file(file, WEB, 0644);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	ck_assert_int_eq(unlink(file), 0);
	expect_read(name);
	if (geteuid() == 0) {
		ck_assert_int_eq(fchown(fd, 65534, (gid_t)-1), 0);
		snprintf(its, sizeof(its), "%s (deleted)", file);
		expect_refused(name, its, OWNED);
	}
	(void)close(fd);
}
