/* SPDX-License-Identifier: MIT */
#include "config/config.h"

#include "base/scope.h"
#include "../../../tools/describe.h"
#include "config_lib.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>

#define NO_URL \
	"shop.ini:3: cluster:web.relay: wanted " \
	"'nats://[USER:PASSWORD@]HOST[:PORT],...[/PREFIX]', but "
#define BAD_HOST "a host or port is not valid\n"
#define BAD_PREFIX \
	"its prefix may have words of 'A-Z a-z 0-9 _ -', with dots between " \
	"them\n"
#define WEB "[cluster:web]\ncommand = ./web\n"

CASE(all)

TEST(a_file_becomes_clusters)
{
	struct reading r = read_text("; remark\n"
				     "[nclust]\n"
				     "log-level = debug ; all of it\n"
				     "\n"
				     "[cluster:web] ; the site\n"
				     "command = ./web 'a b'\n"
				     "workers=3\n"
				     "listen = 8000, name=http\n"
				     "listen = unix:/run/x\n"
				     "env = A=1\n"
				     "env = B=x # no remark\n"
				     "signal-USR1 = restart\n"
				     "limit-nofile = 10:20\n"
				     "# remark\n"
				     "[cluster]\n"
				     "command = ./other");
	struct cluster_settings *c;

	ck_assert_faults(r, "");
	ck_assert_str_eq(r.s->name, "shop");
	ck_assert_int_eq(r.s->log_level, 4);
	ck_assert_uint_eq(r.s->cluster_count, 2);
	c = r.s->clusters[0];
	ck_assert_str_eq(c->name, "web");
	ck_assert_uint_eq(c->command.count, 2);
	ck_assert_str_eq(c->command.list[1], "a b");
	ck_assert_str_eq(c->command_text, "./web 'a b'");
	ck_assert_uint_eq(c->workers.least.fixed, 3);
	ck_assert_uint_eq(c->listen_count, 2);
	ck_assert_str_eq(c->listen[0].name, "http");
	ck_assert_uint_eq(c->env.count, 2);
	ck_assert_str_eq(c->env.list[1], "B=x # no remark");
	ck_assert_uint_eq(c->signal_count, 1);
	ck_assert_int_eq(c->signals[0].deed, DEED_RESTART);
	ck_assert(c->limits[RLIMIT_NOFILE].given);
	ck_assert_uint_eq(c->limits[RLIMIT_NOFILE].value.rlim_max, 20);
	ck_assert_str_eq(r.s->clusters[1]->name, "shop");
	forget(&r);
}

TEST(an_instance_is_named_by_its_key_first)
{
	struct reading r =
		read_text("[cluster]\ncommand=x\n[nclust]\nname=a.b\n");

	ck_assert_faults(r, "");
	ck_assert_str_eq(r.s->name, "a.b");
	ck_assert_str_eq(r.s->clusters[0]->name, "a.b");
	forget(&r);
}

/* ---- mistakes: the text, and what is told ---- */

#define BLANK \
	"wanted a key at the beginning of the line, found a blank; a value " \
	"cannot continue on the next line\n"
#define SEMICOLON \
	"a ';' after a blank would begin a comment here; write it as '\\;' " \
	"outside of quotes, or without the blank, and comments on lines of " \
	"their own\n"

static const struct {
	const char *text;
	const char *faults;
} mistakes[] = {
	/* the file's form */
	{WEB "workers\n",
		"shop.ini:3: wanted 'key = value', found 'workers'\n"},
	{WEB "workers: 3\n",
		"shop.ini:3: wanted 'key = value', found 'workers: 3'\n"},
	{WEB "workers:x = 3\n",
		"shop.ini:3: wanted 'key = value', found 'workers:x = 3'\n"},
	{WEB "= 3\n", "shop.ini:3: wanted 'key = value', found '= 3'\n"},
	{WEB "workers ; = 3\n",
		"shop.ini:3: wanted 'key = value', found 'workers ; = 3'\n"},
	{WEB "[cluster:a\n", "shop.ini:3: wanted a ']', found '[cluster:a'\n"},
	{WEB "[cluster:a] command = x\n",
		"shop.ini:3: wanted nothing after ']', found 'command = x'\n"},
	{"workers = 3\n" WEB,
		"shop.ini:1: wanted a section such as "
		"[cluster:web] before the first key\n"},
	{"", "shop.ini: wanted a [cluster:NAME] section, found none\n"},
	{"\n; nothing\n[nclust]\n",
		"shop.ini: wanted a [cluster:NAME] section, found none\n"},

	/* a value that goes on, which inih takes for the same key again */
	{WEB "listen = 80\n  listen = 81\n", "shop.ini:4: " BLANK},
	{WEB "env = A=1\n\t--flag\n", "shop.ini:4: " BLANK},
	{WEB " [nclust]\n", "shop.ini:3: " BLANK},

	/* " ;" where it would cut */
	{"[cluster:web]\ncommand = ./web ;x\n",
		"shop.ini:2: cluster:web.command: " SEMICOLON},
	{"[cluster:web]\ncommand = sh -c 'a ; b'\n",
		"shop.ini:2: cluster:web.command: " SEMICOLON},
	{WEB "env = A=b\t;c\n", "shop.ini:3: cluster:web.env: " SEMICOLON},
	{WEB "env=A=b ;c\n", "shop.ini:3: cluster:web.env: " SEMICOLON},
	{WEB "check = exec:a ;b\n",
		"shop.ini:3: cluster:web.check: " SEMICOLON},
	{WEB "ready =  exec:a ;b\n",
		"shop.ini:3: cluster:web.ready: " SEMICOLON},
	{WEB "on-exit = a ;b\n", "shop.ini:3: cluster:web.on-exit: " SEMICOLON},
	{WEB "directory = \"/a ;b\"\n",
		"shop.ini:3: cluster:web.directory: " SEMICOLON},

	/* names */
	{WEB "wrokers = 3\n",
		"shop.ini:3: cluster:web.wrokers: unknown key; did you mean "
		"'workers'?\n"},
	{WEB "zzz = 3\n", "shop.ini:3: cluster:web.zzz: unknown key\n"},
	{WEB "WORKERS = 3\n", "shop.ini:3: cluster:web.WORKERS: unknown key\n"},
	{WEB "[nclust]\nworkers = 3\n",
		"shop.ini:4: nclust.workers: this key belongs in a "
		"[cluster:NAME] section\n"},
	{WEB "pidfile = /x\n",
		"shop.ini:3: cluster:web.pidfile: this key "
		"belongs in [nclust]\n"},
	{WEB "signal-USR3 = stop\n",
		"shop.ini:3: cluster:web.signal-USR3: "
		"unknown signal 'USR3'\n"},
	{WEB "on-exti = x\n",
		"shop.ini:3: cluster:web.on-exti: unknown key; did you mean "
		"'on-exit'?\n"},
	{WEB "on-EVENT = x\n",
		"shop.ini:3: cluster:web.on-EVENT: unknown key\n"},
	{WEB "[nclust]\non-exit = x\n",
		"shop.ini:4: nclust.on-exit: this key belongs in a "
		"[cluster:NAME] section\n"},
	{WEB "[clutser:a]\ncommand = x\nfoo = bar\n",
		"shop.ini:3: unknown section [clutser:a]; did you mean "
		"[cluster:a]?\n"},
	{WEB "[ncluts]\n",
		"shop.ini:3: unknown section [ncluts]; did you mean "
		"[nclust]?\n"},
	{WEB "[programs]\n",
		"shop.ini:3: unknown section [programs]; wanted [nclust], "
		"[defaults], [cluster] or [cluster:NAME]\n"},
	{WEB "[cluster:-a]\ncommand = x\n",
		"shop.ini:3: wanted a cluster's name of 1 to 64 of 'A-Z a-z "
		"0-9 . _ -', not beginning with '.' or '-', found '-a'\n"},

	/* twice */
	{WEB "workers = 3\nworkers = 4\n",
		"shop.ini:4: cluster:web.workers: given twice, first in line "
		"3\n"},
	{WEB "workers = 8..2\n",
		"shop.ini:3: cluster:web.workers: wanted a range whose first "
		"number is not above the second, found '8..2'\n"},
	{WEB "workers = 1..2\naccept = yes\nlisten = 80\n",
		"shop.ini:3: cluster:web.workers: a range cannot be used with "
		"'accept': it starts a process for each connection anyway, and "
		"'workers' is the most at once\n"},
	{WEB "workers = x\nworkers = 4\n",
		"shop.ini:3: cluster:web.workers: wanted a number from 1 to "
		"10000, 'auto', 'auto-1', 'auto/2', '2x+1', '50%' or a range, "
		"found "
		"'x'\n"
		"shop.ini:4: cluster:web.workers: given twice, first in line "
		"3\n"},
	{WEB "env = A=1\nenv = B=1\nenv = A=2\n",
		"shop.ini:5: cluster:web.env: given twice\n"},
	{WEB "signal-USR1 = all\nsignal-SIGUSR1 = all\n",
		"shop.ini:4: cluster:web.signal-SIGUSR1: given twice\n"},
	{WEB "on-exit = a\non-stop = a\non-exit = b\n",
		"shop.ini:5: cluster:web.on-exit: given twice\n"},
	{WEB WEB,
		"shop.ini:3: section [cluster:web] is given twice, first in "
		"line 1\n"},
	{WEB "[nclust]\n[nclust]\n",
		"shop.ini:4: section [nclust] is given twice, first in line "
		"3\n"},
	{"[cluster]\ncommand = x\n[cluster:shop]\ncommand = x\n",
		"shop.ini:3: cluster 'shop' is given twice, first in line "
		"1\n"},
	{WEB "listen = 80\nlisten = tcp:*:80\n",
		"shop.ini:3: cluster:web.listen: 'tcp:*:80' is given twice\n"},
	{WEB "listen = 80\n[cluster:b]\ncommand = x\nlisten = 80\n",
		"shop.ini:6: cluster:b.listen: 'tcp:*:80' is already used by "
		"cluster 'web'\n"},

	/* what does not go together */
	{"[cluster:web]\nworkers = 2\n",
		"shop.ini:1: cluster:web.command: wanted a command, found "
		"none\n"},
	{"[cluster:web]\ncommand =\n",
		"shop.ini:2: cluster:web.command: wanted a command, found "
		"''\n"},
	{"[cluster:web]\ncommand = ; none\n",
		"shop.ini:2: cluster:web.command: " SEMICOLON},
	{WEB "surge = 0\n",
		"shop.ini:3: cluster:web.surge: 'surge' and 'max-unavailable' "
		"are both 0: no worker could ever be replaced\n"},
	{"[cluster:web]\ncommand = x\nmemory-high = 65M\nmemory-max = 64M\n",
		"shop.ini:3: cluster:web.memory-high: 'memory-high' is more "
		"than 'memory-max', which would be reached first\n"},
	{WEB "backoff-max = 50ms\n",
		"shop.ini:3: cluster:web.backoff-max: 'backoff-min', 100ms, is "
		"more than 'backoff-max', 50ms\n"},
	{WEB "chroot = /srv\nready = notify\n",
		"shop.ini:4: cluster:web.ready: 'notify' cannot be used with "
		"'chroot': the socket cannot be seen inside\n"},
	{WEB "canary = x\nbake = 1s\n",
		"shop.ini:3: cluster:web.canary: wanted a whole number from 0 "
		"to 10000, found 'x'\n"},
	{WEB "chroot = /srv\nwatchdog = 5s\n",
		"shop.ini:4: cluster:web.watchdog: cannot be used with "
		"'chroot': "
		"the socket cannot be seen inside\n"},
	{WEB "intercept = off\nlisten = udp:53\nready = tcp\n"
	     "check = http:/\n",
		"shop.ini:5: cluster:web.ready: 'tcp' has nothing to connect "
		"to: there is no listener, and 'intercept' is off\n"
		"shop.ini:6: cluster:web.check: 'http' has nothing to connect "
		"to: there is no listener, and 'intercept' is off\n"},
	{WEB "metrics = 1\n",
		"shop.ini:3: cluster:web.metrics: wanted 'off' or "
		"'http:/path', found '1'\n"},
	{WEB "metrics = tcp\n",
		"shop.ini:3: cluster:web.metrics: wanted 'off' or "
		"'http:/path', found 'tcp'\n"},
	{WEB "listen = udp:53\nlisten = unix:/a\nmetrics = http:/m\n",
		"shop.ini:5: cluster:web.metrics: workers are asked over TCP "
		"only, and the first listener is a unix socket\n"},
	{WEB "listen = 80\naccept = yes\nmetrics = http:/m\n",
		"shop.ini:5: cluster:web.metrics: cannot be used with "
		"'accept': "
		"there is no worker to ask\n"},
	{WEB "relay = nobody\n",
		"shop.ini:3: cluster:web.relay: wanted 'off', 'others', a "
		"cluster of this file or 'nats://HOST', found 'nobody'\n"},
	{WEB "relay = nats://\n", NO_URL "it has no host\n"},
	{WEB "relay = nats:///x\n", NO_URL "it has no host\n"},
	{WEB "relay = nats://me:pw@/x\n", NO_URL "it has no host\n"},
	{WEB "relay = nats://a,,b\n", NO_URL BAD_HOST},
	{WEB "relay = nats://a:0\n", NO_URL BAD_HOST},
	{WEB "relay = nats://a:65536\n", NO_URL BAD_HOST},
	{WEB "relay = nats://[::1\n", NO_URL BAD_HOST},
	{WEB "relay = nats://me:secret@a b\n", NO_URL BAD_HOST},
	{WEB "relay = nats://:secret@a\n",
		NO_URL "no user or token stands before the '@'\n"},
	{WEB "relay = nats://a/b..c\n", NO_URL BAD_PREFIX},
	{WEB "relay = nats://a/b.*\n", NO_URL BAD_PREFIX},
	{WEB "relay = http://me:secret@a\n",
		NO_URL "it begins in another way\n"},
	{WEB "relay = nats://a,10.0.0.1:4222,[::1]:1/x.y\n"
	     "[cluster:a.b]\ncommand = x\nrelay = nats://u:p@q@a\n"
	     "[cluster:a..b]\ncommand = x\nrelay = nats://token@a\n",
		"shop.ini:9: cluster:a..b.relay: the name 'a..b' cannot be "
		"part of a subject of NATS: its dots need letters between "
		"them\n"},
	{WEB "relay = nats://a\nipc = off\n",
		"shop.ini:3: cluster:web.relay: needs message channels, but "
		"'ipc' of 'web' is off\n"},
	{WEB "relay = web\n",
		"shop.ini:3: cluster:web.relay: 'web' is this cluster: "
		"'others' are its other workers\n"},
	{WEB "relay = late\n[cluster:late]\ncommand = x\nipc = off\n",
		"shop.ini:3: cluster:web.relay: needs message channels, but "
		"'ipc' of 'late' is off\n"},
	{WEB "relay = others\nipc = off\n",
		"shop.ini:3: cluster:web.relay: needs message channels, but "
		"'ipc' of 'web' is off\n"},
	{WEB "pass = stdin\n",
		"shop.ini:3: cluster:web.pass: 'stdin' needs "
		"exactly one listener, there are 0\n"},
	{WEB "pass = stdin\nlisten = 1\nlisten = 2\n",
		"shop.ini:3: cluster:web.pass: 'stdin' needs exactly one "
		"listener, there are 2\n"},
	{WEB "user = #3999999999\n",
		"shop.ini:3: cluster:web.user: '#3999999999' has no group of "
		"its own: set 'group'\n"},
	{"[cluster:web]\nlisten = 1, name=a\ncommand = x --fd={fd:b}{fd:a}\n",
		"shop.ini:3: cluster:web.command: '{fd:b}' names no "
		"listener\n"},
	{"[cluster:web]\nlisten = 127.0.0.1:1\nlisten = 127.0.0.2:1\n"
	 "command = x {fd:1}\n",
		"shop.ini:4: cluster:web.command: '{fd:1}' names several "
		"listeners\n"},
	{"[cluster:web]\ncommand = x {fd}\n",
		"shop.ini:2: cluster:web.command: '{fd}' needs exactly one "
		"listener, there are 0\n"},
	{"[cluster:web]\ncommand = x {port}\nlisten = unix:/x\n",
		"shop.ini:2: cluster:web.command: '{port}' needs exactly one "
		"tcp or udp listener, there are 0\n"},
	{"[cluster:web]\ncommand = x\naccept = yes\n",
		"shop.ini:3: cluster:web.accept: has nothing to accept on: set "
		"'listen'\n"},
	{"[cluster:web]\ncommand = x\naccept = yes\nlisten = udp:53\n",
		"shop.ini:4: cluster:web.listen: 'udp:*:53' cannot be used "
		"with "
		"'accept': there are no connections on UDP, let workers take "
		"it\n"},
	{"[cluster:web]\ncommand = x {fd}\naccept = yes\nlisten = 80\n",
		"shop.ini:2: cluster:web.command: '{fd}' cannot be used with "
		"'accept': the connection is descriptor 0 and 1\n"},
	{"[cluster:web]\ncommand = x\naccept = yes\nlisten = 80\n"
	 "max-age = 1h\n",
		"shop.ini:5: cluster:web.max-age: cannot be used with "
		"'accept': "
		"it is for workers that last, but here each connection has its "
		"own process\n"},
	{"[cluster:web]\ncommand = x\naccept = yes\nlisten = 80\n"
	 "max-requests = 9\n",
		"shop.ini:5: cluster:web.max-requests: cannot be used with "
		"'accept': it is for workers that last, but here each "
		"connection has its own process\n"},
	{"[cluster:web]\ncommand = x\nbalance = share\nmax-requests = 9\n",
		"shop.ini:4: cluster:web.max-requests: needs balance = rr or "
		"least\n"},
	{"[cluster:web]\ncommand = x\nbalance = random\nmax-requests = 9\n",
		"shop.ini:4: cluster:web.max-requests: needs balance = rr or "
		"least\n"},
	{"[cluster:web]\ncommand = x\nlisten = unix:/run/x udp:53\n"
	 "max-requests = 9\n",
		"shop.ini:4: cluster:web.max-requests: needs a TCP 'listen'\n"},
	{"[cluster:web]\ncommand = x\naccept = yes\nlisten = 80\n"
	 "intercept = on\n",
		"shop.ini:5: cluster:web.intercept: 'on' cannot be used with "
		"'accept': nclust listens, and the command gets a "
		"connection\n"},
	{"[cluster:web]\ncommand = x\naccept = yes\nlisten = 80\n"
	 "on-crash = y\n",
		"shop.ini:5: cluster:web.on-crash: cannot be used with "
		"'accept': "
		"let the command itself do it for each connection\n"},
	{"[cluster:web]\ncommand = x\naccept = yes\nlisten = 80\n"
	 "leader = yes\n",
		"shop.ini:5: cluster:web.leader: cannot be used with 'accept': "
		"a "
		"process for one connection cannot be the leader\n"},
	{"[cluster:web]\ncommand = x\naccept = yes\nlisten = 80\n"
	 "pty = yes\n",
		"shop.ini:5: cluster:web.pty: 'yes' cannot be used with "
		"'accept': the output is the connection\n"},
	{"[cluster:web]\ncommand = x\nlog = inherit\npty = yes\n",
		"shop.ini:4: cluster:web.pty: 'yes' cannot be used with 'log = "
		"inherit', which gives the workers nclust's own output\n"},
	{"[cluster:a]\ncommand = x\nafter = b, nobody\n"
	 "[cluster:b]\ncommand = x\nafter = c, d: done\n"
	 "[cluster:c]\ncommand = x\nafter = a\n"
	 "[cluster:d]\ncommand = x\nafter = d\n",
		"shop.ini:3: cluster:a.after: wanted clusters of this file, "
		"found 'nobody'\n"
		"shop.ini:3: cluster:a.after: these clusters would wait for "
		"each other, and none would start: c, b, a\n"
		"shop.ini:6: cluster:b.after: 'd' is never done: its 'restart' "
		"is 'always', and not 'on-failure' or 'never'\n"
		"shop.ini:12: cluster:d.after: 'd' cannot wait for itself\n"},
	{"[cluster:a]\ncommand = x\nafter = b, b: done\n",
		"shop.ini:3: cluster:a.after: 'b' is given twice\n"},
	{"[cluster:a]\ncommand = x\nafter = b,\n",
		"shop.ini:3: cluster:a.after: wanted names of clusters, as in "
		"'db, job: done', found 'b,'\n"},
	{"[cluster:a]\ncommand = x\nafter = b: soon\n",
		"shop.ini:3: cluster:a.after: wanted names of clusters, as in "
		"'db, job: done', found 'b: soon'\n"},
	{"[cluster:web]\ncommand = x\naccept-per-address = 3\n",
		"shop.ini:3: cluster:web.accept-per-address: needs 'accept'\n"},
	{WEB "listen = 127.0.0.1:9100\nlisten = 9101\n"
	     "[nclust]\nhttp = 9100\nagent = [::]:9101\n",
		"shop.ini:3: cluster:web.listen: 'tcp:127.0.0.1:9100' is "
		"already used by 'http'\n"
		"shop.ini:3: cluster:web.listen: 'tcp:*:9101' is already used "
		"by 'agent'\n"},
	{WEB "listen = 127.0.0.2:9100\nlisten = 9102\n"
	     "[nclust]\nhttp = 9100\nagent = 9100\n",
		"shop.ini:7: nclust.agent: 'tcp:*:9100' is already used by "
		"'http'\n"
		"shop.ini:3: cluster:web.listen: 'tcp:127.0.0.2:9100' is "
		"already used by 'agent'\n"},
	{"[cluster:web]\ncommand = x\naccept-timeout = 3s\n",
		"shop.ini:3: cluster:web.accept-timeout: needs 'accept'\n"},
};

TEST_LOOP(every_mistake_is_told_with_its_line, 0, (int)COUNT_OF(mistakes))
{
	struct reading r = read_text(mistakes[_i].text);

	ck_assert_faults(r, mistakes[_i].faults);
	ck_assert_int_eq(r.faults.status, EX_CONFIG);
	forget(&r);
}

/* Keys that are planned but not there must not be taken and ignored. */
static const char *const unknown[] = {"replicas", "daemon", "config", "help"};

TEST_LOOP(a_key_that_does_nothing_is_unknown, 0, (int)COUNT_OF(unknown))
{
	char text[200];
	char start[100];
	struct reading r;

	(void)snprintf(text, sizeof(text), WEB "%s = 1\n", unknown[_i]);
	(void)snprintf(start, sizeof(start),
		"shop.ini:3: cluster:web.%s: unknown key", unknown[_i]);
	r = read_text(text);
	ck_assert_uint_eq(r.faults.count, 1);
	ck_assert_msg(strncmp(faults_of(&r), start, strlen(start)) == 0, "%s",
		faults_of(&r));
	forget(&r);
}

static const struct {
	const char *given;
	const char *is; /* NULL: off */
} https[] = {
	{"9100", "tcp:127.0.0.1:9100"},
	{"9100, backlog=9", "tcp:127.0.0.1:9100"},
	{"[::1]:9100", "tcp:[::1]:9100"},
	{"127.9.9.9:9100", "tcp:127.9.9.9:9100"},
	{"unix:/run/x", "unix:/run/x"},
	{"off", NULL},
};

TEST_LOOP(http_is_on_loopback_unless_it_is_said, 0, COUNT_OF(https))
{
	char text[200];
	struct reading r;

	(void)snprintf(text, sizeof(text), WEB "[nclust]\nhttp = %s\n",
		https[_i].given);
	r = read_text(text);
	ck_assert_msg(r.faults.count == 0, "%s", faults_of(&r));
	ck_assert_pstr_eq(r.s->http.text, https[_i].is);
	forget(&r);
}

static const char *const reached[] = {
	"*:9100", "0.0.0.0:9100", "[::]:9100", "10.0.0.1:9100", "[fe80::1]:1"};

TEST_LOOP(http_for_other_machines_needs_a_token_or_a_word, 0, COUNT_OF(reached))
{
	char text[200];
	struct reading r;

	for (int i = 0; i < 3; i++) {
		static const char *const more[] = {
			"", "http-open = yes\n", "http-token = /x\n"};

		(void)snprintf(text, sizeof(text),
			WEB "[nclust]\nhttp = %s\n%s", reached[_i], more[i]);
		r = read_text(text);
		ck_assert_uint_eq(r.faults.count, i == 0);
		if (i == 0)
			ck_assert_ptr_nonnull(strstr(faults_of(&r),
				"shop.ini:4: nclust.http: other machines "));
		forget(&r);
	}
}

TEST(all_mistakes_are_told_at_once)
{
	struct reading r = read_text("[cluster:web]\n"
				     "wrokers = 3\n"
				     "nice = 40\n"
				     "listen = http\n"
				     "[foo\n"
				     "bar\n"
				     "[cluster:b]\n"
				     "start-timeout = 5\n"
				     "command = a 'b\n");

	ck_assert_uint_eq(r.faults.count, 8);
	ck_assert_ptr_nonnull(strstr(faults_of(&r), "shop.ini:2: "));
	ck_assert_ptr_nonnull(strstr(faults_of(&r), "shop.ini:3: "));
	ck_assert_ptr_nonnull(strstr(faults_of(&r), "shop.ini:4: "));
	ck_assert_ptr_nonnull(strstr(faults_of(&r), "shop.ini:5: "));
	ck_assert_ptr_nonnull(strstr(faults_of(&r), "shop.ini:6: "));
	ck_assert_ptr_nonnull(strstr(faults_of(&r), "shop.ini:8: "));
	ck_assert_ptr_nonnull(strstr(faults_of(&r), "shop.ini:9: "));
	ck_assert_ptr_nonnull(strstr(faults_of(&r),
		"shop.ini:1: cluster:web.command: wanted a command"));
	forget(&r);
}

/* ---- what inih would silently do ---- */

static char *line_of(size_t len)
{
	static const char head[] = "[cluster:web]\ncommand = ";
	char *text = malloc(sizeof(head) + len + 20);

	ck_assert_ptr_nonnull(text);
	(void)strcpy(text, head);
	(void)memset(text + strlen(head), 'x', len - 10);
	(void)strcpy(text + strlen(head) + len - 10, "\nworkers = 2\n");
	return text;
}

TEST_LOOP(a_line_of_any_length_is_whole, 0, 6)
{
	static const size_t lens[] = {198, 199, 200, 201, 398, 100000};
	scoped_str text = line_of(lens[_i]);
	struct reading r = read_text(text);

	ck_assert_faults(r, "");
	ck_assert_uint_eq(
		strlen(r.s->clusters[0]->command.list[0]), lens[_i] - 10);
	ck_assert_uint_eq(r.s->clusters[0]->workers.least.fixed, 2);
	forget(&r);
}

TEST(a_long_key_is_unknown)
{
	char text[1000] = WEB;

	(void)memset(text + strlen(text), 'k', 500);
	(void)strcpy(text + strlen(text), " = x\n");
	struct reading r = read_text(text);
	ck_assert_uint_eq(r.faults.count, 1);
	ck_assert_ptr_nonnull(strstr(faults_of(&r), "shop.ini:3: "));
	ck_assert_ptr_nonnull(strstr(faults_of(&r), "kkk: unknown key\n"));
	forget(&r);
}

TEST(a_long_remark_is_harmless)
{
	char text[1000] = "[cluster:web]\n; ";

	(void)memset(text + strlen(text), 'x', 500);
	(void)strcpy(text + strlen(text), "\ncommand = x\n");
	struct reading r = read_text(text);
	ck_assert_faults(r, "");
	forget(&r);
}

TEST(a_long_section_name_is_not_cut)
{
	char a[65];
	char text[400];
	struct reading r;

	(void)memset(a, 'a', 64);
	a[64] = '\0';
	(void)snprintf(text, sizeof(text),
		"[cluster:%s]\ncommand = x\n[cluster:%.63sb]\ncommand = y\n", a,
		a);
	r = read_text(text);
	ck_assert_faults(r, "");
	ck_assert_uint_eq(r.s->cluster_count, 2);
	ck_assert_str_eq(r.s->clusters[0]->name, a);
	ck_assert_str_eq(r.s->clusters[1]->command.list[0], "y");
	forget(&r);
}

TEST(a_semicolon_that_cuts_nothing_is_kept)
{
	struct reading r = read_text("[cluster:web]\n"
				     "command = sh -c 'a; b' \\; c;d\n"
				     "env = A=b;c; d\n"
				     "check = exec:a \\; b;c\n"
				     "on-exit = a; b\n"
				     "ready = notify ; it says so\n"
				     "workers = 2 ; 'two' of them\n");

	ck_assert_faults(r, "");
	ck_assert_uint_eq(r.s->clusters[0]->command.count, 5);
	ck_assert_str_eq(r.s->clusters[0]->command.list[2], "a; b");
	ck_assert_str_eq(r.s->clusters[0]->command.list[3], ";");
	ck_assert_str_eq(r.s->clusters[0]->env.list[0], "A=b;c; d");
	ck_assert_uint_eq(r.s->clusters[0]->check.command.count, 3);
	ck_assert_str_eq(r.s->clusters[0]->check.command.list[1], ";");
	ck_assert_uint_eq(r.s->clusters[0]->hooks[HOOK_EXIT].command.count, 2);
	ck_assert_int_eq(r.s->clusters[0]->ready, READY_NOTIFY);
	ck_assert_uint_eq(r.s->clusters[0]->workers.least.fixed, 2);
	forget(&r);
}

TEST(a_colon_before_the_equals_sign_is_no_separator)
{
	struct reading r = read_text(WEB "listen = unix:/run/x=y\n");

	ck_assert_faults(r, "");
	ck_assert_str_eq(r.s->clusters[0]->listen[0].path, "/run/x=y");
	forget(&r);
}

TEST(bom_and_crlf_are_accepted)
{
	struct reading r =
		read_text("\xef\xbb\xbf[cluster:web]\r\ncommand = x y\r\n"
			  "\r\nworkers = 2\r\n");

	ck_assert_faults(r, "");
	ck_assert_str_eq(r.s->clusters[0]->command.list[1], "y");
	ck_assert_uint_eq(r.s->clusters[0]->workers.least.fixed, 2);
	forget(&r);
}

#define BYTES(text) text, sizeof(text) - 1

static const struct {
	const char *text;
	size_t len;
	const char *fault;
} bytes[] = {
	{BYTES(WEB "env = A=\0b\n"),
		"shop.ini:3: wanted text, found a NUL byte\n"},
	{BYTES(WEB "; \0\n"), "shop.ini:3: wanted text, found a NUL byte\n"},
	{BYTES(WEB "env = A=\xff\n"),
		"shop.ini:3: wanted UTF-8 text, found the byte 0xff in column "
		"9\n"},
	{BYTES(WEB "# \xc3\n"),
		"shop.ini:3: wanted UTF-8 text, found the byte "
		"0xc3 in column 3\n"},
	{BYTES(WEB "env = A=\033[0m\n"),
		"shop.ini:3: wanted text, found the control byte 0x1b in "
		"column 9\n"},
	{BYTES(WEB "env = A=b\rworkers = 3\n"),
		"shop.ini:3: wanted text, found the control byte 0x0d in "
		"column 10\n"},
};

TEST_LOOP(what_is_no_text_is_told, 0, (int)COUNT_OF(bytes))
{
	struct reading r = read_bytes(bytes[_i].text, bytes[_i].len);

	ck_assert_faults(r, bytes[_i].fault);
	forget(&r);
}

TEST(more_than_60_listeners_are_too_many)
{
	char text[4000] = WEB;
	struct reading r;

	for (int i = 1; i <= 61; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
			"listen = %d\n", i);
	r = read_text(text);
	ck_assert_faults(r,
		"shop.ini:3: cluster:web.listen: wanted at most 60 "
		"listeners, found 61\n");
	forget(&r);
}

TEST(port_0_may_be_asked_for_more_than_once)
{
	struct reading r = read_text(WEB "listen = 0\nlisten = 0\n");

	ck_assert_faults(r, "");
	forget(&r);
}

TEST(templates_that_fit_are_left_alone)
{
	struct reading r = read_text(
		"[cluster:web]\n"
		"command = x {slot} {name} {fd} {port} {fd:80} {other} {\n"
		"listen = 80\n");

	ck_assert_faults(r, "");
	forget(&r);
}

TEST(a_step_without_a_time_takes_the_stop_timeout)
{
	struct reading r = read_text(
		WEB "stop-signal = QUIT:10s INT TERM:0\nstop-timeout = 7s\n");
	struct cluster_settings *c = r.s->clusters[0];

	ck_assert_faults(r, "");
	ck_assert_uint_eq(c->stop_count, 3);
	ck_assert_int_eq(c->stop[0].wait, 10 * SECOND);
	ck_assert_int_eq(c->stop[1].wait, 7 * SECOND);
	ck_assert_int_eq(c->stop[2].wait, 0);
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
	ck_assert_ptr_nonnull(buffer_text(&sample));
	r = read_text(sample.data);
	ck_assert_faults(r, "");
	forget(&r);

	uncomment(sample.data);
	/* the cluster of the example of 'after' */
	sample.len = strlen(sample.data);
	(void)buffer_string(&sample, "\n[cluster:db]\ncommand = x\n");
	r = read_text(buffer_text(&sample));
	ck_assert_faults(r, "");
	for (size_t i = 0; i < option_count; i++) {
		const struct option_row *row = &option_rows[i];
		size_t at;

		if (row->section == NULL)
			continue;
		at = strcmp(row->section, "nclust") == 0 ? INSTANCE : 0;
		ck_assert_int_eq(
			settings_origin(r.s, at, row)->kind, ORIGIN_FILE);
		given++;
	}
	ck_assert_uint_gt(given, 40);
	forget(&r);
	buffer_fini(&sample);
}

/* ---- files ---- */

static char dir[32];
static char file[sizeof(dir) + 10];

static void setup(void)
{
	(void)strcpy(dir, "/tmp/test_config_ini.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(file, sizeof(file), "%s/a.ini", dir);
}

static void teardown(void)
{
	(void)unlink(file);
	(void)rmdir(file);
	(void)rmdir(dir);
}

static void write_file(const char *text, mode_t mode)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(fchmod(fd, mode), 0);
	(void)close(fd);
}

static void expect_file_fault(const char *text)
{
	struct reading r = read_argv("-c", file, NULL);
	char expected[300];

	(void)snprintf(expected, sizeof(expected), "%s: %s\n", file, text);
	ck_assert_faults(r, expected);
	ck_assert_int_eq(r.faults.status, EX_CONFIG);
	forget(&r);
}

CASE(files)
FIXTURE(setup, teardown)

TEST(a_file_is_read_whole)
{
	struct reading r;

	write_file(WEB, 0644);
	r = read_argv("-c", file, NULL);
	ck_assert_faults(r, "");
	ck_assert_str_eq(r.s->name, "a");
	ck_assert_str_eq(r.s->config_file, file);
	ck_assert_str_eq(r.s->clusters[0]->name, "web");
	forget(&r);
}

TEST(what_is_no_readable_file_is_refused)
{
	expect_file_fault("cannot open: No such file or directory");
	ck_assert_int_eq(mkdir(file, 0700), 0);
	expect_file_fault("not a regular file");
	ck_assert_int_eq(rmdir(file), 0);
	ck_assert_int_eq(mkfifo(file, 0600), 0);
	expect_file_fault("not a regular file");
	ck_assert_int_eq(unlink(file), 0);
	ck_assert_int_eq(symlink("/dev/zero", file), 0);
	expect_file_fault("not a regular file");
}

TEST_LOOP(a_file_that_others_may_write_is_refused_for_root, 0, 2)
{
	static const mode_t modes[] = {0664, 0646};

	write_file(WEB, modes[_i]);
	if (geteuid() == 0) {
		ck_assert_int_eq(chown(file, 0, 1), 0);
		expect_file_fault("writable by others than its owner, refused "
				  "for root; try chmod go-w");
	} else {
		struct reading r = read_argv("-c", file, NULL);

		ck_assert_faults(r, "");
		forget(&r);
	}
}

/* What root does not own alone: `who` belongs to nobody, or is writable by all. */
static void expect_refused(const char *path, const char *who, const char *why)
{
	struct reading r = read_argv("-c", path, NULL);
	char expected[400];

	(void)snprintf(
		expected, sizeof(expected), "%s: '%s' %s\n", path, who, why);
	ck_assert_faults(r, expected);
	ck_assert_int_eq(r.faults.status, EX_CONFIG);
	forget(&r);
}

static void expect_read(const char *path)
{
	struct reading r = read_argv("-c", path, NULL);

	ck_assert_faults(r, "");
	forget(&r);
}

static void given_away(const char *path, uid_t uid)
{
	ck_assert_int_eq(lchown(path, uid, (gid_t)-1), 0);
}

#define OWNED "belongs to user 65534, refused for root; try chown root"
#define WRITABLE \
	"is writable by others than its owner, refused for root; try chmod " \
	"go-w"

TEST(root_reads_only_what_root_alone_can_change)
{
	char below[200];
	char own[300];
	char way[300];
	char by_link[300];
	char in[300];

	if (geteuid() != 0) {
		(void)fprintf(stderr, "left out, needs root\n");
		return;
	}
	write_file(WEB, 0644);
	given_away(file, 65534);
	expect_refused(file, file, OWNED);
	given_away(file, 0);
	expect_read(file);

	(void)snprintf(below, sizeof(below), "%s.d", file);
	(void)snprintf(own, sizeof(own), "%s/own", below);
	(void)snprintf(in, sizeof(in), "%s/own/it.ini", below);
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
	(void)snprintf(way, sizeof(way), "%s/way", below);
	(void)snprintf(
		by_link, sizeof(by_link), "%s/way/../way//it.ini", below);
	ck_assert_int_eq(symlink(".//own/", way), 0);
	expect_read(by_link);
	given_away(way, 65534);
	expect_refused(by_link, way, OWNED);
	given_away(way, 0);
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

		ck_assert_ptr_nonnull(strstr(buffer_text(&r.faults.text),
			"cannot open: Too many levels"));
		forget(&r);
	}
	ck_assert_int_eq(unlink(in), 0);
	ck_assert_int_eq(unlink(way), 0);
	ck_assert_int_eq(rmdir(own), 0);
	ck_assert_int_eq(rmdir(below), 0);
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
	(void)snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)pid);
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
		(void)fprintf(stderr, "left out, needs root\n");
		return;
	}
	write_file(WEB, 0644);
	ck_assert_int_eq(chmod(dir, 0755), 0);
	if (!in_full_namespace(read_the_hosts)) {
		(void)fprintf(stderr, "left out, needs user namespaces\n");
		return;
	}
	given_away(file, 100000 + 65534);
	(void)in_full_namespace(refuse_nobodys);
}

/* In the same place, but not as root. */
TEST(others_read_what_they_can)
{
	int status;
	pid_t pid;

	write_file(WEB, 0666);
	ck_assert_int_eq(chmod(dir, 0777), 0);
	pid = fork();
	if (pid == 0) {
		if (geteuid() == 0 && setresuid(65534, 65534, 65534) == -1)
			_exit(1);
		expect_read(file);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

TEST(a_descriptor_of_ours_is_read_by_its_name)
{
	char name[40];
	char its[40];
	int fd;

	write_file(WEB, 0644);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	ck_assert_int_eq(unlink(file), 0);
	expect_read(name);
	if (geteuid() == 0) {
		ck_assert_int_eq(fchown(fd, 65534, (gid_t)-1), 0);
		(void)snprintf(
			its, sizeof(its), "/proc/%d/fd/%d", (int)getpid(), fd);
		expect_refused(name, its, OWNED);
	}
	(void)close(fd);
}

TEST(a_huge_file_is_refused)
{
	write_file(WEB, 0600);
	ck_assert_int_eq(truncate(file, 1048577), 0);
	expect_file_fault("larger than 1 MiB");
}
