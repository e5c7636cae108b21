/* SPDX-License-Identifier: MIT */
#include "config/expand.h"
#include "config/value.h"

#include "config/option.h"
#include "config_lib.h"

/* ---- each type: what is written, what is written back ---- */

/* "given => what it is written as", where that differs. */
static const struct {
	const char *key;
	const char *texts[21];
} good[] = {{"workers",
		    {"1", "10000", "auto", "auto-1", "auto/2", "2x", "1x => auto", "auto*2 => 2x",
			    "auto+1", "2x+1", "auto*3-2 => 3x-2", "auto/4+1", "50%", "150%-1",
			    "2..8", "0..4", "3..3", "2..auto*2 => 2..2x", "50%..2x+1", "auto..4"}},
	{"command",
		{"find . -exec x {} \\;", "sh -c 'a | b > c; d'", "x \\# a#b a~/b",
			"x http://a/?b=1&c=2 a|b --x=$1", "x '>>' \">\" \\| '~/a'",
			"a 'b c' d\\ e"}},
	{"listen", {"8000 => tcp:*:8000", "[::1]:80, name=x => tcp:[::1]:80, name=x"}},
	{"pass",
		{"port systemd => systemd port",
			"systemd,server-starter,einhorn,port,stdin => systemd "
			"server-starter einhorn port stdin",
			"none"}},
	{"listen-pid", {"no", "TRUE => yes", "off => no"}}, {"directory", {"/srv/a b"}},
	{"user", {"root", "#0", "#4294967294"}}, {"group", {"#12"}},
	{"umask", {"022 => 0022", "0777 => 0777", "0 => 0000"}}, {"nice", {"-20", "19", "-0 => 0"}},
	{"env", {"A=b c=d", "A="}}, {"env-file", {"/etc/x"}},
	{"capabilities",
		{"CAP_SYS_NICE net_bind_service => net_bind_service sys_nice", "none",
			"checkpoint_restore"}},
	{"limit-nofile",
		{"1024", "1024:4096", "0:infinity", "infinity", "unlimited:unlimited => infinity"}},
	{"limit-as", {"4G => 4294967296", "64k:1M => 65536:1048576"}}, {"cpu", {"spread"}},
	{"signal-USR1", {"reopen-logs", "next", "ignore"}},
	{"log",
		{"auto", "inherit", "prefix", "off", "json file:/var/log/{cluster}/{slot}.log",
			"journal, syslog => journal syslog", "syslog:daemon => syslog",
			"syslog:rfc3164:local7:/run/x => "
			"syslog:local7:/run/x",
			"syslog:local7:rfc5424 => syslog:rfc5424:local7",
			"file:a,time , stderr:file:b => file:a,time stderr:file:b",
			"prefix stderr:syslog", "journal:/run/y file:relative",
			"file:/a\\ b\\,c/x prefix"}},
	{"log-size", {"never", "0 => never", "64M"}}, {"log-keep", {"0"}},
	{"log-age", {"24h", "off"}}, {"log-compress", {"gzip -9"}},
	{"shared-memory", {"off", "0 => off", "4096 => 4k", "5000", "64M", "64T"}},
	{"threads", {"off", "0 => off", "auto", "1", "10000"}}, {"memory-max", {"64M", "off"}},
	{"memory-high",
		{"1G", "512m => 512M", "1g => 1G", "1GB => 1G", "1GiB => 1G", "1Gi => 1G",
			"1024kb => 1M", "1.5G => 1536M", "2 MB => 2M", "1048576B => 1M"}},
	{"cpu-max", {"50%", "150%", "off"}}, {"cpu-weight", {"10000"}}, {"io-weight", {"1"}},
	{"pids-max", {"off"}},
	{"ready",
		{"auto", "notify", "listen", "alive:200ms", "alive => alive:1s",
			"alive:0 => alive:0s", "fd:3", "fd:03 => fd:3", "tcp",
			"http:/health?deep=1", "exec:./is-ready --port 'a b'"}},
	{"intercept", {"on"}}, {"share-ports", {"all", "8000 8443"}},
	{"check",
		{"off", "tcp", "http:/", "http://[::1]:80/a",
			"exec:a 'b ; c' => exec:a 'b '\\;' c'"}},
	{"check-header", {"X-A: b"}}, {"check-interval", {"10ms"}}, {"check-timeout", {"500ms"}},
	{"check-failures", {"1"}}, {"watchdog", {"off", "0 => off", "30s"}},
	{"stall", {"0ms => off", "60s => 1m"}},
	{"max-memory",
		{"off", "0 => off", "512M", "1048577", "2048k => 2M", "500M for 30s",
			"2048k for 60s => 2M for 1m"}},
	{"max-age", {"off", "8760h"}}, {"max-requests", {"off", "1000000000"}},
	{"start-timeout",
		{"1500ms", "60s => 1m", "5min => 5m", "2 hours => 2h", "1h30m => 90m",
			"1h 30 min => 90m", "0.5s => 500ms", "1.25h => 75m", "1d => 24h",
			"90secs => 90s", "200msec => 200ms", "1.5s => 1500ms"}},
	{"stop-timeout", {"0 => 0s", "5sec => 5s"}},
	{"stop-signal", {"TERM", "SIGQUIT:10s, 15:5s kill => QUIT:10s TERM:5s KILL", "RTMIN+3:1m"}},
	{"backoff-jitter", {"0%", "100%"}},
	{"success-exit", {"0 3 10-12", "12,11 10 0-0 3 => 0 3 10-12", "0-255"}},
	{"give-up", {"never", "5/1m", "1000/24h"}},
	{"surge", {"0", "all", "9999", "10000 => all", "auto"}}, {"start-at-once", {"all"}},
	{"drain", {"auto", "quiet", "signal", "off"}}, {"drain-timeout", {"0 => 0s"}},
	{"canary", {"3"}}, {"bake", {"5m", "auto"}}, {"on-ready", {"a"}},
	{"on-exit", {"tell \"it's\" now"}}, {"on-crash", {"sh -c 'a ; b' => sh -c 'a '\\;' b'"}},
	{"on-rollout", {"a b"}}, {"on-scale", {"a;b"}}, {"on-stop", {"a"}},
	{"restart", {"on-failure"}}, {"pty", {"yes", "no"}},
	{"balance", {"share", "rr", "least", "random"}}, {"sticky", {"off", "client-address"}},
	{"orphans", {"stop", "keep"}}, {"ipc", {"auto", "on", "off"}},
	{"signal-TERM", {"TERM->QUIT", "SIGTERM->SIGINT => TERM->INT"}},
	{"signal-HUP", {"all HUP->USR2"}}, {"signal-RTMIN+1", {"stop"}},
	{"signal-USR2", {"upgrade"}}};

static struct settings *of_one_cluster(void)
{
	struct settings *s = settings_new();

	ck_assert_ptr_nonnull(s);
	ck_assert_uint_eq(settings_add_cluster(s, "web", (struct origin){0}), 0);
	return s;
}

static void set_and_format(
	const char *key, struct cluster_settings *c, const char *text, struct buffer *out)
{
	int signal;
	const struct option_row *row = option_find("cluster", key, &signal);
	struct error err;

	ck_assert_ptr_nonnull(row);
	field_clear(row, c);
	ck_assert_msg(
		field_set(row, c, signal, text, &err) == 0, "%s = %s: %s", key, text, err.text);
	ck_assert_uint_eq(field_count(row, c), 1);
	buffer_clear(out);
	buffer_string(out, field_at(row, c, 0));
	ck_assert_ptr_nonnull(buffer_text(out));
}

TEST_LOOP(what_is_parsed_is_formatted_and_parses_again, 0, (int)COUNT_OF(good))
{
	struct settings *s = of_one_cluster();
	struct buffer once;
	struct buffer twice;

	buffer_init(&once, 0);
	buffer_init(&twice, 0);
	for (const char *const *t = good[_i].texts; *t != NULL; t++) {
		scoped_str given = strdup(*t);
		char *arrow = strstr(given, " => ");
		const char *again = given;

		if (arrow != NULL) {
			*arrow = '\0';
			again = arrow + strlen(" => ");
		}
		set_and_format(good[_i].key, s->clusters[0], given, &once);
		ck_assert_str_eq(once.data, again);
		set_and_format(good[_i].key, s->clusters[0], once.data, &twice);
		ck_assert_str_eq(twice.data, again);
	}
	buffer_fini(&once);
	buffer_fini(&twice);
	settings_free(s);
}

/* ---- and what is refused ---- */

/* That is told, beginning so, and changes nothing. */
static void expect_refused(const char *key, const char *text, const char *start, const char *piece)
{
	struct settings *s = of_one_cluster();
	scoped_str before = described(s);
	scoped_str after = NULL;
	struct error err;
	const struct option_row *row;
	int signal;

	row = option_find("cluster", key, &signal);
	ck_assert_ptr_nonnull(row);
	ck_assert_msg(
		field_set(row, s->clusters[0], signal, text, &err) == -1, "%s = %s", key, text);
	ck_assert_msg(
		strncmp(err.text, start, strlen(start)) == 0 && strstr(err.text, piece) != NULL,
		"%s = %s: %s", key, text, err.text);
	after = described(s);
	ck_assert_str_eq(before, after);
	settings_free(s);
}

static const struct {
	const char *key;
	const char *told; /* begins so, and names what was found */
	const char *texts[26];
} refused[] = {
	{"idle-after", "wanted a time from 1s to 8760h", {"300ms"}},
	{"workers", "wanted a number from 1 to 10000, 'auto',",
		{"0", "", "-1", "+1", " 1", "1.5", "4q", "1e9", "10001", "18446744073709551617",
			"auto-0", "auto/0", "auto*0", "auto+", "auto+0", "auto+1+1", "autox", "0%",
			"50%%", "100001%", "1001x", "3+1", "0x", "x", "many"}},
	{"workers", "wanted a range such as '2..8', '0..4' or",
		{"2..", "..8", "2...8", "0..0", "2..8..9", "00..4"}},
	{"workers", "wanted a range whose first number is not above ",
		{"8..2", "2x..auto", "auto+1..auto"}},
	{"command", "wanted a command", {"", "''"}},
	{"command", "wanted a character after the backslash", {"a\\"}},
	{"pass", "wanted some of 'systemd server-starter einhorn", {"systemd upstart", ""}},
	{"listen-pid", "wanted 'yes' or 'no'", {"maybe", ""}},
	{"directory", "wanted a path", {""}},
	{"user", "wanted a user that exists", {"nosuchuser", "0day"}},
	{"user", "wanted a user's name, or '#NUMBER'", {"#0day", "#-1", "#4294967295", ""}},
	{"group", "wanted a group that exists", {"nosuchgroup"}},
	{"umask", "wanted an octal number from 0 to 0777", {"8", "01000"}},
	{"nice", "wanted a whole number from -20 to 19", {"20", "-21", "--1"}},
	{"env", "wanted 'VARIABLE=value'", {"A", "=b", "A B=c", "'A=b'"}},
	{"capabilities", "wanted capabilities such as", {""}},
	{"limit-nofile", "wanted a limit of open files, such as '1024',", {"", "64M"}},
	{"limit-nofile", "wanted a soft limit not above the hard one", {"2:1"}},
	{"limit-as", "wanted a limit of the address space in bytes, k, M, G or T, such",
		{"1:2:3", "99999999999999999999G"}},
	{"hang-signal", "wanted 'off', 'QUIT', 'ABRT', 'USR1' or 'USR2'", {"SIGHUP"}},
	{"cpu", "wanted 'none' or 'spread'", {"one"}},
	{"ready", "wanted 'auto', 'notify', 'listen', 'alive', a time alive",
		{"alive 1s", "listening", "off", "TCP", "tcp:80", "tpc"}},
	{"intercept", "wanted 'auto', 'on' or 'off'", {"yes"}},
	{"share-ports", "wanted 'all' or ports such as '8000 8443'",
		{"0", "8000-8010", "8000 all", "", "800000000"}},
	{"ready", "wanted a path after 'http:' or 'http://HOST', of at most 1000",
		{"http:", "http:x", "http:/a b", "http:/a#b", "http://a", "http:///a",
			"http://me@a/b"}},
	{"check-header", "wanted a header line of at most 500 bytes, such as",
		{"", "a", ": b", "a b: c"}},
	{"check", "wanted 'off', 'tcp', 'http:/path' or", {"", "on", "notify"}},
	{"check-failures", "wanted a whole number from 1 to 1000", {"0"}},
	{"check-interval", "wanted a time from 10ms to 24h", {"off", "0"}},
	{"watchdog", "wanted 'off' or a time from 10ms to 24h", {"5ms", "no"}},
	{"stall", "wanted 'off' or a time from 100ms to 24h", {""}},
	{"max-age", "wanted 'off' or a time from 1s to 8760h", {"0w"}},
	{"max-memory", "wanted 'off' or a size of at least 1M", {"512k"}},
	{"max-memory", "wanted 'off' alone", {"off for 1s"}},
	{"max-memory", "wanted 'off' or a size in bytes, k, M, G or T,",
		{"64M for", "1P", "9999999T"}},
	{"shared-memory", "wanted 'off' or a size", {"4095", "65T", "64", "", "-1", "64M, huge"}},
	{"threads", "wanted 'off', 'auto' or a whole number from 1", {"10001"}},
	{"cpu-max", "wanted 'off' or a share from 1% to 1000000%", {"150", "12.5%"}},
	{"cpu-max", "wanted 'off' or a share from 1% to", {"0%"}},
	{"cpu-weight", "wanted 'off' or a whole number from 1 to 10000", {"0"}},
	{"io-weight", "wanted 'off' or a whole number from 1 to 10000", {"0"}},
	{"pids-max", "wanted 'off' or a whole number from 1 to", {"0"}},
	{"max-requests", "wanted 'off' or a whole number from 1 to", {"0"}},
	{"start-timeout", "wanted a time from 1ms to 24h",
		{"5", "0", "-5s", "5x", "s", "1.0001s", "1h-5m", "1h30", "25h", "2days",
			"9999999999999999999h", "9999999999h9999999999h"}},
	{"start-timeout", "wanted a time from 1ms to 24h in ms, s, m, h or d, such as 90s or 1h30m",
		{"5 w", "2w", "1y", "infinity", "1.5.2s"}},
	{"shared-memory",
		"wanted 'off' or a size in bytes, k, M, G or T, such as 4096 or 64M, found",
		{"10X", "10P", "1.2.3M", "10 megabytes", "infinity"}},
	{"limit-as", "wanted a limit of the address space in bytes, k, M, G or T, such as '1024',",
		{"10X"}},
	{"limit-cpu", "wanted a limit of CPU time in seconds, such as '1024', '1024:4096' or",
		{"2h"}},
	{"command", "no shell runs this, and '>>' would be an argument: write sh -c '...'",
		{"x >> web.log 2>&1"}},
	{"command", "no shell runs this, and '2>&1' would", {"x 2>&1"}},
	{"command", "no shell runs this, and '&>log' would", {"x &>log"}},
	{"command", "no shell runs this, and '|' would", {"x | cat", "'x' | y"}},
	{"command", "no shell runs this, and '&&' would", {"x && y"}},
	{"command", "no shell runs this, and 'x;' would", {"x; y"}},
	{"command", "no shell runs this, and 'cd' would be the program", {"cd app && x"}},
	{"command", "no shell runs this, and '$(hostname)' would", {"x --name=a $(hostname)"}},
	{"command", "no shell runs this, and '`hostname`' would", {"x `hostname`"}},
	{"command", "no shell runs this, and '~/run' would be the program: write ${HOME}/",
		{"~/run"}},
	{"command", "no shell runs this, and '$PORT' would be an argument: write ${NAME} if",
		{"x -p $PORT", "x --port=$PORT y"}},
	{"command", "no shell runs this, and 'A_1=x' would be the program: write 'env' in",
		{"A_1=x y"}},
	{"on-exit", "no shell runs this, and '$NCLUST_EVENT' would be an argument: write sh -c",
		{"tell $NCLUST_EVENT"}},
	{"on-exit", "no shell runs this, and '${HOME}/tell' would be the program: write sh -c",
		{"${HOME}/tell"}},
	{"command", "no shell runs this, and 'source' would be the program: write sh -c",
		{"source env"}},
	{"before", "no shell runs this, and 'export' would be the program", {"export A=1"}},
	{"command", "no shell runs this, and '.' would be the program", {". ./env"}},
	{"command", "no shell runs this, and 'exec' would be the program: leave it out",
		{"exec x"}},
	{"check", "no shell runs this, and '${A}' would", {"exec:x --a=${A}"}},
	{"command", "no shell runs this, and '#' would", {"x # the server"}},
	{"check", "no shell runs this, and '|' would", {"exec:curl x | grep ok"}},
	{"on-exit", "no shell runs this, and '>' would", {"tell > log"}},
	{"stop-signal", "wanted a signal, or a list such as", {""}},
	{"stop-signal", "wanted a signal", {"TREM", "32"}},
	{"stop-signal", "wanted at most 8 signals", {"1 2 3 4 5 6 7 8 10"}},
	{"backoff-jitter", "wanted a share from 0% to 100%", {"20", "101%", "%"}},
	{"success-exit", "wanted exit statuses from 0 to 255 such", {"256", "3-1", "", "1-"}},
	{"give-up", "wanted 'never', or 1 to 1000 deaths in 1s to",
		{"5", "0/1m", "1001/1m", "5/1"}},
	{"surge", "wanted 'auto' or 'all' or a whole number from 0 to", {"10001"}},
	{"canary", "wanted a whole number from 0 to 10000", {"all"}},
	{"bake", "wanted 'auto' or a time from 0s to 24h", {"off"}},
	{"drain", "wanted 'auto', 'quiet', 'signal' or 'off'", {"yes"}},
	{"on-exit", "wanted a command", {""}},
	{"old-generations", "wanted a whole number from 1 to 100", {"0"}},
	{"restart", "wanted 'always', 'on-failure' or 'never'", {"yes"}},
	{"pty", "wanted 'auto', 'yes' or 'no'", {"on"}},
	{"balance", "wanted 'auto', 'share', 'rr', 'least' or", {"most"}},
	{"sticky", "wanted 'off' or 'client-address'", {"yes"}},
	{"orphans", "wanted 'stop' or 'keep'", {"kill"}},
	{"ipc", "wanted 'auto', 'on' or 'off'", {"yes"}},
	{"signal-USR1", "wanted 'next', 'all', 'first', 'restart',",
		{"nxet", "", "rotate", "TERM->QUIT", "USR1->", "stop USR1->HUP"}},
	{"log", "wanted 'auto', 'inherit' or 'off' alone, or one or ",
		{"", "file", "prefix:x", "stderr:time"}},
	{"log", "wanted a path of at most 400 bytes after 'file:'", {"file:"}},
	{"log", "wanted a path of at most 400 bytes after 'journal:'", {"journal:x"}},
	{"log", "wanted 'syslog', and after colons 'rfc5424', a", {"syslog:local9"}},
	{"log", "wanted at most 8 places", {"json json json json json json json json json"}},
	{"log-size", "wanted 'never' or a size of at least 4k, such as 64M", {"4095"}},
};

TEST_LOOP(what_is_wrong_is_refused, 0, (int)COUNT_OF(refused))
{
	for (const char *const *t = refused[_i].texts; *t != NULL; t++) {
		char found[80];

		snprintf(found, sizeof(found), "found '%s'", *t);
		if (strncmp(refused[_i].told, "no shell", 8) == 0)
			found[0] = '\0';
		expect_refused(refused[_i].key, *t, refused[_i].told, found);
	}
}

/* Others, and a piece of what is told. */
static const struct {
	const char *key;
	const char *text;
	const char *piece;
} others[] = {
	{"command", "a 'b", "wanted a closing ', found ''b'"},
	{"directory", "\"/a b\"", "write it without quotes"},
	{"user", "0", "for the number write '#0'"},
	{"group", "7", "for the number write '#7'"},
	{"capabilities", "net_bind_servic",
		"found 'net_bind_servic'; did you mean 'net_bind_service'?"},
	{"ready", "http:/\r\nX: y", "found 'http:/\\x0d\\x0aX: y'"},
	{"check-header", "host: a", "is set by 'http://HOST/path'"},
	{"check-header", "a: b\r\nc: d", "found 'a: b\\x0d\\x0ac: d'"},
	{"ready", "exec:", "wanted a command, found ''"},
	{"max-memory", "512k for 1s", "a size of at least 1M, such as 64M, found '512k'"},
	{"max-memory", "64M for 0s",
		"from 1s to 24h in ms, s, m, h or d, such as 90s or 1h30m, found '0s'"},
	{"max-memory", "64M for ever",
		"from 1s to 24h in ms, s, m, h or d, such as 90s or 1h30m, found 'ever'"},
	{"ready", "alive:x", "wanted a time from 0s to 1h in ms, s, m, h or d, such as"},
	{"stop-signal", "TERM 0", "wanted a signal, found '0'"},
	{"stop-signal", "TERM:", "wanted a time from 0s to 24h"},
	{"on-stop", "a \"b", "wanted a closing \", found '\"b'"},
	{"log", "auto prefix", "or 'off' alone"},
	{"log", "/var/log/web", "found '/var/log/web'; write a path after 'file:'"},
	{"signal-KILL", "stop", "no rule can be made for SIGKILL"},
	{"signal-CHLD", "next", "no rule can be made for SIGCHLD"},
};

TEST_LOOP(what_is_wrong_may_come_with_advice, 0, (int)COUNT_OF(others))
{
	expect_refused(others[_i].key, others[_i].text, "", others[_i].piece);
}

/* ---- what the values mean ---- */

TEST(workers_are_counted_by_cpus)
{
	static const struct {
		const char *text;
		unsigned cpus;
		unsigned workers;
	} cases[] = {{"4", 1, 4}, {"auto", 8, 8}, {"auto", 0, 1}, {"auto-1", 8, 7},
		{"auto-1", 1, 1}, {"auto-100", 8, 1}, {"auto/2", 9, 4}, {"auto/2", 1, 1},
		{"1000x", 1024, 10000}, {"2x+1", 8, 17}, {"2x-17", 8, 1}, {"auto+1", 8, 9},
		{"auto*2", 8, 16}, {"50%", 1, 1}, {"50%+1", 7, 4}, {"150%", 2, 3},
		{"100000%", 10000, 10000}};
	struct cluster_settings *c = cluster_settings_new();
	struct error err;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		ck_assert_int_eq(field_set_key("cluster", c, "workers", cases[i].text, &err), 0);
		ck_assert_uint_eq(cluster_workers(c, cases[i].cpus), cases[i].workers);
	}
	cluster_settings_unref(c);
}

TEST(a_range_has_two_ends)
{
	static const struct {
		const char *text;
		unsigned cpus;
		unsigned least, most;
		unsigned first, first_without_listener;
	} cases[] = {{"2..8", 4, 2, 8, 2, 2}, {"0..4", 4, 0, 4, 0, 1}, {"auto..2x", 4, 4, 8, 4, 4},
		{"auto..4", 16, 4, 4, 4, 4}, {"4", 16, 4, 4, 4, 4}};
	struct cluster_settings *c = cluster_settings_new();
	struct error err;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct workers_range range;

		ck_assert_int_eq(field_set_key("cluster", c, "workers", cases[i].text, &err), 0);
		range = cluster_range(c, cases[i].cpus);
		ck_assert_uint_eq(range.least, cases[i].least);
		ck_assert_uint_eq(range.most, cases[i].most);
		c->listen_count = 0;
		ck_assert_uint_eq(
			cluster_workers(c, cases[i].cpus), cases[i].first_without_listener);
		c->listen_count = 1;
		ck_assert_uint_eq(cluster_workers(c, cases[i].cpus), cases[i].first);
	}
	c->listen_count = 0;
	cluster_settings_unref(c);
}

TEST(threads_are_the_cpus_divided_by_the_workers)
{
	static const struct {
		const char *text;
		unsigned cpus;
		unsigned workers;
		unsigned threads;
	} cases[] = {{"off", 8, 2, 0}, {"3", 8, 2, 3}, {"auto", 8, 1, 8}, {"auto", 8, 2, 4},
		{"auto", 8, 9, 1}, {"auto", 8, 0, 1}, {"auto", 0, 0, 1}};
	struct cluster_settings *c = cluster_settings_new();
	struct error err;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		ck_assert_int_eq(field_set_key("cluster", c, "threads", cases[i].text, &err), 0);
		ck_assert_uint_eq(
			cluster_threads(c, cases[i].cpus, cases[i].workers), cases[i].threads);
	}
	cluster_settings_unref(c);
}

TEST(a_command_is_split_as_a_shell_would)
{
	static const char *const expected[] = {
		"a", "b c", "", "d'e", "$x", "\\n", "f\"g\\h", "i;j", "*"};
	struct strings words = {0};
	struct error err;

	ck_assert_int_eq(value_split(&words,
				 "  a 'b c' '' d\\'e \"$x\" \"\\n\" "
				 "\"f\\\"g\\\\h\"\ti\\;j *  ",
				 &err),
		0);
	ck_assert_uint_eq(words.count, COUNT_OF(expected));
	for (size_t i = 0; i < words.count; i++)
		ck_assert_str_eq(words.list[i], expected[i]);
	ck_assert_ptr_null(words.list[words.count]);
	strings_clear(&words);
}

TEST(what_is_quoted_for_a_shell_is_left_to_no_expansion)
{
	static const char *const words[][2] = {{"", "''"}, {"a-b", "a-b"}, {"a ;b", "'a ;b'"},
		{"it's", "'it'\\''s'"}, {"*.[ch]", "'*.[ch]'"}, {"~", "'~'"}, {"a#", "'a#'"},
		{"{fd:http}", "{fd:http}"}};
	struct buffer line;

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		buffer_init(&line, 0);
		ck_assert_int_eq(value_quote_shell(&line, words[i][0]), 0);
		ck_assert_str_eq(buffer_text(&line), words[i][1]);
		buffer_fini(&line);
	}
}

TEST(a_quoted_word_is_split_into_itself)
{
	static const char *const words[] = {"", "a", "a b", "it's", "\"", "\\", "a ;b", ";",
		"$HOME `x`", "{fd:http}", "\xc3\xa4", "a\tb"};
	struct strings got = {0};
	struct buffer line;
	struct error err;

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		buffer_init(&line, 0);
		ck_assert_int_eq(value_quote(&line, words[i]), 0);
		ck_assert_int_eq(value_split(&got, buffer_text(&line), &err), 0);
		ck_assert_uint_eq(got.count, 1);
		ck_assert_str_eq(got.list[0], words[i]);
		ck_assert_ptr_null(strstr(line.data, " ;"));
		strings_clear(&got);
		buffer_fini(&line);
	}
}

TEST(success_exits_are_bits)
{
	struct cluster_settings *c = cluster_settings_new();
	struct error err;

	ck_assert_int_eq(field_set_key("cluster", c, "success-exit", "0 63-64 255", &err), 0);
	for (unsigned status = 0; status <= 256; status++)
		ck_assert_int_eq(cluster_is_success(c, status),
			status == 0 || status == 63 || status == 64 || status == 255);
	cluster_settings_unref(c);
}

TEST(each_event_has_a_command_of_its_own)
{
	struct settings *s = of_one_cluster();
	struct cluster_settings *c = s->clusters[0];
	const struct option_row *row = NULL;
	struct error err;
	char key[40];
	int member;

	row = option_find("cluster", "on-exit", &member);
	ck_assert_int_eq(member, HOOK_EXIT);
	ck_assert_int_eq(field_set(row, c, HOOK_EXIT, "a", &err), 0);
	ck_assert_int_eq(field_set(row, c, HOOK_STOP, "b", &err), 0);
	ck_assert_str_eq(c->hooks[HOOK_STOP].command.list[0], "b");
	ck_assert_ptr_null(c->hooks[HOOK_CRASH].text);
	ck_assert_uint_eq(field_count(row, c), 2);
	ck_assert_str_eq(field_key(row, c, 0, key), "on-exit");
	ck_assert_str_eq(field_key(row, c, 1, key), "on-stop");
	ck_assert_ptr_null(option_find("cluster", "on-EVENT", &member));
	ck_assert_ptr_null(option_find("cluster", "on-", &member));
	ck_assert_ptr_null(option_find("nclust", "on-exit", &member));
	settings_free(s);
}

/* ---- the table ---- */

TEST(every_row_is_whole_and_its_texts_are_accepted)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option_row *row = &option_rows[i];
		const char *texts[] = {row->fallback, row->example};
		struct settings *s = of_one_cluster();
		struct error err;
		int member;

		ck_assert_ptr_nonnull(row->help);
		ck_assert_msg(strlen(row->help) <= 55, "%s", row->name);
		for (size_t j = 0; row->section != NULL && j < 2; j++) {
			void *base = settings_base(
				s, strcmp(row->section, "nclust") == 0 ? INSTANCE : 0);

			if (texts[j] == NULL)
				continue;
			ck_assert_ptr_eq(
				option_find(row->section, option_key(row, 0), &member), row);
			ck_assert_msg(field_set(row, base, member, texts[j], &err) == 0, "%s: %s",
				row->name, err.text);
		}
		ck_assert_msg(row->section == NULL || row->fallback != NULL ||
				(row->unset != NULL && row->example != NULL),
			"%s", row->name);
		ck_assert_msg(row->section == NULL || row->change != CHANGE_NONE, "%s", row->name);
		ck_assert_msg(
			(row->section == NULL) == (row->group == GROUP_NONE), "%s", row->name);
		for (size_t j = 0; j < i; j++)
			ck_assert_str_ne(option_rows[j].name, row->name);
		settings_free(s);
	}
}

TEST(settings_of_a_cluster_outlive_their_instance)
{
	struct settings *s = of_one_cluster();
	struct cluster_settings *c;

	c = cluster_settings_ref(s->clusters[0]);
	settings_free(s);
	ck_assert_str_eq(c->name, "web");
	cluster_settings_unref(c);
}

TEST(a_name_is_made_from_any_path)
{
	static const struct {
		const char *path;
		const char *name;
	} cases[] = {{"/etc/nclust/shop.ini", "shop"}, {"shop", "shop"}, {"my shop.ini", "my-shop"},
		{".ini", "ini"}, {"/a/-x", "x"}, {"", "nclust"}, {"///", "nclust"},
		{"\xc3\xa4.ini", "nclust"}, {"x\xc3\xa4", "x--"}};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		scoped_str name = name_from_path(cases[i].path, ".ini");

		ck_assert_str_eq(name, cases[i].name);
	}
}

static const struct {
	const char *word;
	unsigned port;
	const char *before; /* NULL: of no debugger */
} slot_words[] = {
	{"--metrics=[::1]:9100", 9100, NULL},
	{"--inspect", 9229, "--inspect="},
	{"--inspect", 8000, NULL},
	{"--inspect=0.0.0.0:8000", 8000, "--inspect="},
	{"--inspect=0.0.0.0:18000", 8000, NULL},
	{"NODE_OPTIONS=--inspect", 9229, "--inspect="},
	{"-agentlib:jdwp=address=*:5006", 5006, "address=*:"},
};

TEST(the_port_of_a_debugger_is_known_by_its_option)
{
	for (size_t i = 0; i < COUNT_OF(slot_words); i++) {
		char *words[] = {(char *)(uintptr_t)slot_words[i].word, NULL};
		const char *before = slotword_of_debugger(words, slot_words[i].port);

		ck_assert((before == NULL) == (slot_words[i].before == NULL));
		if (before != NULL)
			ck_assert_str_eq(before, slot_words[i].before);
	}
}
