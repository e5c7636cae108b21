/* SPDX-License-Identifier: MIT */
#include "config/value.h"

#include "base/scope.h"
#include "config/option.h"
#include "config_lib.h"

#include <limits.h>
#include <signal.h>

/* ---- each type: what is written, what is written back ---- */

static const struct {
	const char *key;
	const char *text;
	const char *again; /* NULL: the same */
} good[] = {
	{"workers", "1", NULL},
	{"workers", "10000", NULL},
	{"workers", "auto", NULL},
	{"workers", "auto-1", NULL},
	{"workers", "auto/2", NULL},
	{"workers", "2x", NULL},
	{"workers", "1x", "auto"},
	{"workers", "auto*2", "2x"},
	{"workers", "auto+1", NULL},
	{"workers", "2x+1", NULL},
	{"workers", "auto*3-2", "3x-2"},
	{"workers", "auto/4+1", NULL},
	{"workers", "50%", NULL},
	{"workers", "150%-1", NULL},
	{"workers", "2..8", NULL},
	{"workers", "0..4", NULL},
	{"workers", "3..3", NULL},
	{"workers", "2..auto*2", "2..2x"},
	{"workers", "50%..2x+1", NULL},
	{"workers", "auto..4", NULL},
	{"command", "a 'b c' d\\ e", NULL},
	{"listen", "8000", "tcp:*:8000"},
	{"listen", "[::1]:80, name=x", "tcp:[::1]:80, name=x"},
	{"pass", "port systemd", "systemd port"},
	{"pass", "systemd,server-starter,einhorn,port,stdin",
		"systemd server-starter einhorn port stdin"},
	{"pass", "none", NULL},
	{"listen-pid", "no", NULL},
	{"listen-pid", "TRUE", "yes"},
	{"listen-pid", "off", "no"},
	{"directory", "/srv/a b", NULL},
	{"user", "root", NULL},
	{"user", "#0", NULL},
	{"user", "#4294967294", NULL},
	{"group", "#12", NULL},
	{"umask", "022", "0022"},
	{"umask", "0777", "0777"},
	{"umask", "0", "0000"},
	{"nice", "-20", NULL},
	{"nice", "19", NULL},
	{"nice", "-0", "0"},
	{"env", "A=b c=d", NULL},
	{"env", "A=", NULL},
	{"env-file", "/etc/x", NULL},
	{"capabilities", "CAP_SYS_NICE net_bind_service",
		"net_bind_service sys_nice"},
	{"capabilities", "none", NULL},
	{"capabilities", "checkpoint_restore", NULL},
	{"limit-nofile", "1024", NULL},
	{"limit-nofile", "1024:4096", NULL},
	{"limit-nofile", "0:infinity", NULL},
	{"limit-nofile", "infinity", NULL},
	{"limit-nofile", "unlimited:unlimited", "infinity"},
	{"limit-as", "4G", "4294967296"},
	{"limit-as", "64k:1M", "65536:1048576"},
	{"cpu", "spread", NULL},
	{"signal-USR1", "reopen-logs", NULL},
	{"log", "auto", NULL},
	{"log", "inherit", NULL},
	{"log", "prefix", NULL},
	{"log", "off", NULL},
	{"log", "json file:/var/log/{cluster}/{slot}.log", NULL},
	{"log", "journal, syslog", "journal syslog"},
	{"log", "syslog:daemon", "syslog"},
	{"log", "syslog:local7:rfc3164:/run/x", "syslog:rfc3164:local7:/run/x"},
	{"log", "journal:/run/y file:relative", NULL},
	{"log-size", "never", NULL},
	{"log-size", "0", "never"},
	{"log-size", "64M", NULL},
	{"log-keep", "0", NULL},
	{"log-age", "24h", NULL},
	{"log-age", "off", NULL},
	{"log-compress", "gzip -9", NULL},
	{"shared-memory", "off", NULL},
	{"shared-memory", "0", "off"},
	{"shared-memory", "4096", "4k"},
	{"shared-memory", "5000", NULL},
	{"shared-memory", "64M", NULL},
	{"shared-memory", "64T", NULL},
	{"shared-memory", "64M,huge", "64M, huge"},
	{"shared-memory", "1G , huge=try", "1G, huge=try"},
	{"threads", "off", NULL},
	{"threads", "0", "off"},
	{"threads", "auto", NULL},
	{"threads", "1", NULL},
	{"threads", "10000", NULL},
	{"memory-max", "64M", NULL},
	{"memory-high", "1G", NULL},
	{"memory-max", "off", NULL},
	{"cpu-max", "50%", NULL},
	{"cpu-max", "150%", NULL},
	{"cpu-max", "off", NULL},
	{"cpu-weight", "10000", NULL},
	{"io-weight", "1", NULL},
	{"pids-max", "off", NULL},
	{"ready", "auto", NULL},
	{"ready", "notify", NULL},
	{"ready", "listen", NULL},
	{"intercept", "on", NULL},
	{"ready", "alive:200ms", NULL},
	{"ready", "alive:0", "alive:0s"},
	{"ready", "tcp", NULL},
	{"ready", "http:/health?deep=1", NULL},
	{"ready", "exec:./is-ready --port 'a b'", NULL},
	{"check", "off", NULL},
	{"check", "tcp", NULL},
	{"check", "http:/", NULL},
	{"check", "exec:a 'b ; c'", "exec:a 'b '\\;' c'"},
	{"check-interval", "10ms", NULL},
	{"check-timeout", "500ms", NULL},
	{"metrics", "off", NULL},
	{"metrics", "http:/m?a=b", NULL},
	{"check-failures", "1", NULL},
	{"watchdog", "off", NULL},
	{"watchdog", "0", "off"},
	{"watchdog", "30s", NULL},
	{"stall", "0ms", "off"},
	{"stall", "60s", "1m"},
	{"max-memory", "off", NULL},
	{"max-memory", "0", "off"},
	{"max-memory", "512M", NULL},
	{"max-memory", "1048577", NULL},
	{"max-memory", "2048k", "2M"},
	{"max-memory", "500M for 30s", NULL},
	{"max-memory", "2048k for 60s", "2M for 1m"},
	{"max-age", "off", NULL},
	{"max-age", "8760h", NULL},
	{"max-requests", "off", NULL},
	{"max-requests", "1000000000", NULL},
	{"start-timeout", "1500ms", NULL},
	{"start-timeout", "60s", "1m"},
	{"stop-timeout", "0", "0s"},
	{"stop-signal", "TERM", NULL},
	{"stop-signal", "SIGQUIT:10s, 15:5s kill", "QUIT:10s TERM:5s KILL"},
	{"stop-signal", "RTMIN+3:1m", NULL},
	{"backoff-jitter", "0%", NULL},
	{"backoff-jitter", "100%", NULL},
	{"success-exit", "0 3 10-12", NULL},
	{"success-exit", "12,11 10 0-0 3", "0 3 10-12"},
	{"success-exit", "0-255", NULL},
	{"give-up", "never", NULL},
	{"give-up", "5/1m", NULL},
	{"give-up", "1000/24h", NULL},
	{"surge", "0", NULL},
	{"surge", "all", NULL},
	{"start-at-once", "all", NULL},
	{"surge", "9999", NULL},
	{"surge", "10000", "all"},
	{"drain", "auto", NULL},
	{"drain", "quiet", NULL},
	{"drain", "signal", NULL},
	{"drain", "off", NULL},
	{"drain-timeout", "0", "0s"},
	{"canary", "3", NULL},
	{"bake", "5m", NULL},
	{"bake", "auto", NULL},
	{"on-ready", "a", NULL},
	{"on-exit", "tell \"it's\" now", NULL},
	{"on-crash", "sh -c 'a ; b'", "sh -c 'a '\\;' b'"},
	{"on-rollout", "a b", NULL},
	{"on-scale", "a;b", NULL},
	{"on-stop", "a", NULL},
	{"restart", "on-failure", NULL},
	{"log", "prefix", NULL},
	{"pty", "yes", NULL},
	{"pty", "no", NULL},
	{"balance", "share", NULL},
	{"balance", "rr", NULL},
	{"balance", "least", NULL},
	{"balance", "random", NULL},
	{"sticky", "off", NULL},
	{"sticky", "client-address", NULL},
	{"orphans", "stop", NULL},
	{"orphans", "keep", NULL},
	{"ipc", "auto", NULL},
	{"ipc", "on", NULL},
	{"ipc", "off", NULL},
	{"signal-USR1", "next", NULL},
	{"signal-USR1", "ignore", NULL},
	{"signal-TERM", "TERM->QUIT", NULL},
	{"signal-TERM", "SIGTERM->SIGINT", "TERM->INT"},
	{"signal-HUP", "all HUP->USR2", NULL},
	{"signal-RTMIN+1", "stop", NULL},
	{"signal-USR2", "upgrade", NULL},
};

static void set_and_format(const char *key, struct cluster_settings *c,
	const char *text, struct buffer *out)
{
	int signal;
	const struct option_row *row = option_find("cluster", key, &signal);
	struct error err;

	ck_assert_ptr_nonnull(row);
	field_clear(row, c);
	ck_assert_msg(field_set(row, c, signal, text, &err) == 0, "%s = %s: %s",
		key, text, err.text);
	ck_assert_uint_eq(field_count(row, c), 1);
	buffer_clear(out);
	ck_assert_int_eq(field_format(row, c, 0, out), 0);
	ck_assert_ptr_nonnull(buffer_text(out));
}

TEST_LOOP(what_is_parsed_is_formatted_and_parses_again, 0, (int)COUNT_OF(good))
{
	struct settings *s = settings_new();
	struct buffer once;
	struct buffer twice;

	ck_assert_ptr_nonnull(s);
	ck_assert_uint_eq(
		settings_add_cluster(s, "web", (struct origin){0}), 0);
	buffer_init(&once, 0);
	buffer_init(&twice, 0);
	set_and_format(good[_i].key, s->clusters[0], good[_i].text, &once);
	ck_assert_str_eq(once.data,
		good[_i].again != NULL ? good[_i].again : good[_i].text);
	set_and_format(good[_i].key, s->clusters[0], once.data, &twice);
	ck_assert_str_eq(twice.data, once.data);
	buffer_fini(&once);
	buffer_fini(&twice);
	settings_free(s);
}

/* ---- and what is refused ---- */

#define NUMBERS \
	"wanted a number from 1 to 10000, 'auto', 'auto-1', 'auto/2', " \
	"'2x+1', '50%' or a range, found "
#define RANGE "wanted a range such as '2..8', '0..4' or 'auto..2x', found "
#define NO_RANGE \
	"wanted a range whose first number is not above the second, found "
#define TIMES(from, to) "wanted " A_TIME(from, to)
#define SECONDS(to) "wanted " A_SECOND(to)
#define OFF_OR_SECONDS(to) "wanted 'off' or " A_SECOND(to)
#define OFF_OR_TIMES(from, to) "wanted 'off' or " A_TIME(from, to)
#define A_TIME(from, to) \
	"a time from " from " to " to " such as 200ms, 5s, 2m or 1h, found "
#define A_SECOND(to) "a time from 1s to " to " such as 5s, 2m or 1h, found "
#define READY \
	"wanted 'auto', 'notify', 'listen', a time alive such as " \
	"'alive:1s', 'tcp', 'http:/path' or 'exec:COMMAND', found "
#define CHECKS "wanted 'off', 'tcp', 'http:/path' or 'exec:COMMAND', found "
#define HTTP \
	"wanted a path after 'http:', of at most 1000 bytes and without " \
	"blanks, such as 'http:/health', found "
#define RULES(signal) \
	"wanted 'next', 'all', 'first', 'restart', 'reload', 'stop', " \
	"'reopen-logs', 'upgrade', 'ignore', or a translation such as " \
	"'" signal "->QUIT', found "
#define SINKS \
	"wanted 'auto', 'inherit' or 'off' alone, or one or more of " \
	"'prefix', 'json', 'file:PATH', 'journal' and 'syslog', found "
#define MEMORY \
	"wanted 'off', or a size from 4k to 64T such as '64M', '64M, huge' " \
	"or '64M, huge=try', found "
#define THREADS "wanted 'off', 'auto' or a whole number from 1 to 10000, found "
#define EXITS "wanted exit statuses from 0 to 255 such as '0 3 10-12', found "
#define GIVE_UP \
	"wanted 'never', or 1 to 1000 deaths in 1s to 24h such as " \
	"'5/1m', found "
#define CAPS "wanted capabilities such as 'net_bind_service', or 'none', found "
#define PASSES \
	"wanted some of 'systemd server-starter einhorn port stdin', " \
	"or 'none', found "
#define USER "wanted a user's name, or '#NUMBER', found "

static const struct {
	const char *key;
	const char *text;
	const char *error;
} refused[] = {
	{"idle-after", "300ms", SECONDS("8760h") "'300ms'"},
	{"workers", "0", NUMBERS "'0'"},
	{"workers", "", NUMBERS "''"},
	{"workers", "-1", NUMBERS "'-1'"},
	{"workers", "+1", NUMBERS "'+1'"},
	{"workers", " 1", NUMBERS "' 1'"},
	{"workers", "1.5", NUMBERS "'1.5'"},
	{"workers", "4q", NUMBERS "'4q'"},
	{"workers", "1e9", NUMBERS "'1e9'"},
	{"workers", "10001", NUMBERS "'10001'"},
	{"workers", "18446744073709551617", NUMBERS "'18446744073709551617'"},
	{"workers", "auto-0", NUMBERS "'auto-0'"},
	{"workers", "auto/0", NUMBERS "'auto/0'"},
	{"workers", "auto*0", NUMBERS "'auto*0'"},
	{"workers", "auto+", NUMBERS "'auto+'"},
	{"workers", "auto+0", NUMBERS "'auto+0'"},
	{"workers", "auto+1+1", NUMBERS "'auto+1+1'"},
	{"workers", "autox", NUMBERS "'autox'"},
	{"workers", "0%", NUMBERS "'0%'"},
	{"workers", "50%%", NUMBERS "'50%%'"},
	{"workers", "100001%", NUMBERS "'100001%'"},
	{"workers", "1001x", NUMBERS "'1001x'"},
	{"workers", "3+1", NUMBERS "'3+1'"},
	{"workers", "0x", NUMBERS "'0x'"},
	{"workers", "x", NUMBERS "'x'"},
	{"workers", "many", NUMBERS "'many'"},
	{"workers", "2..", RANGE "'2..'"},
	{"workers", "..8", RANGE "'..8'"},
	{"workers", "2...8", RANGE "'2...8'"},
	{"workers", "0..0", RANGE "'0..0'"},
	{"workers", "2..8..9", RANGE "'2..8..9'"},
	{"workers", "00..4", RANGE "'00..4'"},
	{"workers", "8..2", NO_RANGE "'8..2'"},
	{"workers", "2x..auto", NO_RANGE "'2x..auto'"},
	{"workers", "auto+1..auto", NO_RANGE "'auto+1..auto'"},
	{"command", "", "wanted a command, found ''"},
	{"command", "''", "wanted a command, found ''''"},
	{"command", "a 'b", "wanted a closing ', found ''b'"},
	{"command", "a \"b", "wanted a closing \", found '\"b'"},
	{"command", "a\\",
		"wanted a character after the backslash, found 'a\\'"},
	{"pass", "systemd upstart", PASSES "'systemd upstart'"},
	{"pass", "", PASSES "''"},
	{"listen-pid", "maybe", "wanted 'yes' or 'no', found 'maybe'"},
	{"listen-pid", "", "wanted 'yes' or 'no', found ''"},
	{"directory", "", "wanted a path, found ''"},
	{"directory", "\"/a b\"",
		"wanted a path, found '\"/a b\"'; write it without quotes"},
	{"user", "nosuchuser", "wanted a user that exists, found 'nosuchuser'"},
	{"user", "0", USER "'0'; for the number write '#0'"},
	{"user", "0day", "wanted a user that exists, found '0day'"},
	{"user", "#0day", USER "'#0day'"},
	{"user", "#-1", USER "'#-1'"},
	{"user", "#4294967295", USER "'#4294967295'"},
	{"user", "", USER "''"},
	{"group", "nosuchgroup",
		"wanted a group that exists, found 'nosuchgroup'"},
	{"group", "7",
		"wanted a group's name, or '#NUMBER', found '7'; for "
		"the number write '#7'"},
	{"umask", "8", "wanted an octal number from 0 to 0777, found '8'"},
	{"umask", "01000",
		"wanted an octal number from 0 to 0777, found '01000'"},
	{"nice", "20", "wanted a whole number from -20 to 19, found '20'"},
	{"nice", "-21", "wanted a whole number from -20 to 19, found '-21'"},
	{"nice", "--1", "wanted a whole number from -20 to 19, found '--1'"},
	{"env", "A", "wanted 'VARIABLE=value', found 'A'"},
	{"env", "=b", "wanted 'VARIABLE=value', found '=b'"},
	{"env", "A B=c", "wanted 'VARIABLE=value', found 'A B=c'"},
	{"env", "'A=b'", "wanted 'VARIABLE=value', found ''A=b''"},
	{"capabilities", "net_bind_servic",
		CAPS "'net_bind_servic'; did you mean 'net_bind_service'?"},
	{"capabilities", "", CAPS "''"},
	{"limit-nofile", "",
		"wanted a limit such as '1024', '1024:4096' or "
		"'infinity', found ''"},
	{"limit-nofile", "64M",
		"wanted a limit such as '1024', '1024:4096' or "
		"'infinity', found '64M'"},
	{"limit-nofile", "2:1",
		"wanted a soft limit not above the hard one, found '2:1'"},
	{"limit-as", "1:2:3",
		"wanted a limit such as '1024', '1024:4096', "
		"'64M' or 'infinity', found '1:2:3'"},
	{"cpu", "one", "wanted 'none' or 'spread', found 'one'"},
	{"ready", "alive", READY "'alive'"},
	{"ready", "listening", READY "'listening'"},
	{"intercept", "yes", "wanted 'auto', 'on' or 'off', found 'yes'"},
	{"ready", "off", READY "'off'"},
	{"ready", "TCP", READY "'TCP'"},
	{"ready", "tcp:80", READY "'tcp:80'"},
	{"ready", "http:", HTTP "'http:'"},
	{"ready", "http:x", HTTP "'http:x'"},
	{"ready", "http:/a b", HTTP "'http:/a b'"},
	{"ready", "http:/a#b", HTTP "'http:/a#b'"},
	{"ready", "http:/\r\nX: y", HTTP "'http:/\\x0d\\x0aX: y'"},
	{"ready", "http://localhost/x",
		HTTP "'http://localhost/x'; no host is needed: the worker is "
		     "asked where it listens"},
	{"ready", "exec:", "wanted a command, found ''"},
	{"ready", "exec:a 'b", "wanted a closing ', found ''b'"},
	{"check", "", CHECKS "''"},
	{"check", "on", CHECKS "'on'"},
	{"check", "notify", CHECKS "'notify'"},
	{"check-failures", "0",
		"wanted a whole number from 1 to 1000, found '0'"},
	{"check-interval", "off", TIMES("10ms", "24h") "'off'"},
	{"check-interval", "0", TIMES("10ms", "24h") "'0'"},
	{"watchdog", "5ms", OFF_OR_TIMES("10ms", "24h") "'5ms'"},
	{"watchdog", "no", OFF_OR_TIMES("10ms", "24h") "'no'"},
	{"stall", "", OFF_OR_TIMES("100ms", "24h") "''"},
	{"max-age", "0d", OFF_OR_SECONDS("8760h") "'0d'"},
	{"max-memory", "512k",
		"wanted 'off' or a size of at least 1048576 bytes, such as "
		"64M, found '512k'"},
	{"max-memory", "512k for 1s",
		"wanted 'off' or a size of at least 1048576 bytes, such as "
		"64M, found '512k'"},
	{"max-memory", "off for 1s", "wanted 'off' alone, found 'off for 1s'"},
	{"max-memory", "64M for 0s", SECONDS("24h") "'0s'"},
	{"max-memory", "64M for ever", SECONDS("24h") "'ever'"},
	{"max-memory", "64M for",
		"wanted 'off' or a size such as 4096, 64k, 10M or 1G, found "
		"'64M for'"},
	{"max-memory", "1P",
		"wanted 'off' or a size such as 4096, 64k, 10M or 1G, found "
		"'1P'"},
	{"max-memory", "9999999T",
		"wanted 'off' or a size such as 4096, 64k, 10M or 1G, found "
		"'9999999T'"},
	{"shared-memory", "4095", MEMORY "'4095'"},
	{"shared-memory", "65T", MEMORY "'65T'"},
	{"shared-memory", "64", MEMORY "'64'"},
	{"shared-memory", "", MEMORY "''"},
	{"shared-memory", "-1", MEMORY "'-1'"},
	{"shared-memory", "64M huge", MEMORY "'64M huge'"},
	{"shared-memory", "64M,", MEMORY "'64M,'"},
	{"shared-memory", "64M, big", MEMORY "'64M, big'"},
	{"shared-memory", "64M, huge, huge", MEMORY "'64M, huge, huge'"},
	{"shared-memory", "off, huge", MEMORY "'off, huge'"},
	{"shared-memory", "000000000000000000000000000064M",
		MEMORY "'000000000000000000000000000064M'"},
	{"threads", "10001", THREADS "'10001'"},
	{"cpu-max", "150",
		"wanted 'off' or a share from 1% to 1000000%, found '150'"},
	{"cpu-max", "12.5%",
		"wanted 'off' or a share from 1% to 1000000%, found '12.5%'"},
	{"ready", "alive:x", TIMES("0s", "1h") "'x'"},
	{"start-timeout", "5", TIMES("1ms", "24h") "'5'"},
	{"start-timeout", "0", TIMES("1ms", "24h") "'0'"},
	{"start-timeout", "1.5s", TIMES("1ms", "24h") "'1.5s'"},
	{"start-timeout", "-5s", TIMES("1ms", "24h") "'-5s'"},
	{"start-timeout", "5 s", TIMES("1ms", "24h") "'5 s'"},
	{"start-timeout", "5sec", TIMES("1ms", "24h") "'5sec'"},
	{"start-timeout", "25h", TIMES("1ms", "24h") "'25h'"},
	{"start-timeout", "9999999999999999999h",
		TIMES("1ms", "24h") "'9999999999999999999h'"},
	{"stop-signal", "",
		"wanted a signal, or a list such as 'QUIT:10s "
		"TERM:5s', found ''"},
	{"stop-signal", "TREM", "wanted a signal, found 'TREM'"},
	{"stop-signal", "TERM 0", "wanted a signal, found '0'"},
	{"stop-signal", "32", "wanted a signal, found '32'"},
	{"stop-signal", "TERM:", TIMES("0s", "24h") "''"},
	{"stop-signal", "1 2 3 4 5 6 7 8 10",
		"wanted at most 8 signals, found '1 2 3 4 5 6 7 8 10'"},
	{"backoff-jitter", "20", "wanted a share from 0% to 100%, found '20'"},
	{"backoff-jitter", "101%",
		"wanted a share from 0% to 100%, found '101%'"},
	{"backoff-jitter", "%", "wanted a share from 0% to 100%, found '%'"},
	{"success-exit", "256", EXITS "'256'"},
	{"success-exit", "3-1", EXITS "'3-1'"},
	{"success-exit", "", EXITS "''"},
	{"success-exit", "1-", EXITS "'1-'"},
	{"give-up", "5", GIVE_UP "'5'"},
	{"give-up", "0/1m", GIVE_UP "'0/1m'"},
	{"give-up", "1001/1m", GIVE_UP "'1001/1m'"},
	{"give-up", "5/1", GIVE_UP "'5/1'"},
	{"surge", "10001",
		"wanted 'all' or a whole number from 0 to 10000, found "
		"'10001'"},
	{"canary", "all", "wanted a whole number from 0 to 10000, found 'all'"},
	{"bake", "off", "wanted 'auto' or " A_TIME("0s", "24h") "'off'"},
	{"drain", "yes",
		"wanted 'auto', 'quiet', 'signal' or 'off', found 'yes'"},
	{"on-exit", "", "wanted a command, found ''"},
	{"on-stop", "a \"b", "wanted a closing \", found '\"b'"},
	{"old-generations", "0",
		"wanted a whole number from 1 to 100, found '0'"},
	{"restart", "yes",
		"wanted 'always', 'on-failure' or 'never', found 'yes'"},
	{"pty", "on", "wanted 'auto', 'yes' or 'no', found 'on'"},
	{"balance", "most",
		"wanted 'auto', 'share', 'rr', 'least' or 'random', found "
		"'most'"},
	{"sticky", "yes", "wanted 'off' or 'client-address', found 'yes'"},
	{"orphans", "kill", "wanted 'stop' or 'keep', found 'kill'"},
	{"ipc", "yes", "wanted 'auto', 'on' or 'off', found 'yes'"},
	{"signal-USR1", "nxet", RULES("USR1") "'nxet'"},
	{"signal-USR1", "", RULES("USR1") "''"},
	{"signal-USR1", "rotate", RULES("USR1") "'rotate'"},
	{"log", "", SINKS "''"},
	{"log", "file", SINKS "'file'"},
	{"log", "auto prefix", SINKS "'auto'"},
	{"log", "prefix:x", SINKS "'prefix:x'"},
	{"log", "file:",
		"wanted a path of at most 400 bytes after 'file:', found "
		"'file:'"},
	{"log", "journal:x",
		"wanted a path of at most 400 bytes after 'journal:', found "
		"'journal:x'"},
	{"log", "syslog:local9",
		"wanted 'syslog', and after colons 'rfc3164', a facility such "
		"as 'local0', or the path of its socket, found "
		"'syslog:local9'"},
	{"log", "json json json json json json json json json",
		"wanted at most 8 places, found 'json json json json json json "
		"json json json'"},
	{"log-size", "4095",
		"wanted 'never' or a size of at least 4096 bytes, such as 64M, "
		"found '4095'"},
	{"signal-USR1", "TERM->QUIT", RULES("USR1") "'TERM->QUIT'"},
	{"signal-USR1", "USR1->", RULES("USR1") "'USR1->'"},
	{"signal-USR1", "stop USR1->HUP", RULES("USR1") "'stop USR1->HUP'"},
	{"signal-KILL", "stop", "no rule can be made for SIGKILL"},
	{"signal-CHLD", "next", "no rule can be made for SIGCHLD"},
};

TEST_LOOP(
	what_is_wrong_is_refused_and_changes_nothing, 0, (int)COUNT_OF(refused))
{
	struct settings *s = settings_new();
	struct buffer before;
	struct buffer after;
	struct error err;
	const struct option_row *row;
	int signal;

	buffer_init(&before, 0);
	buffer_init(&after, 0);
	ck_assert_uint_eq(
		settings_add_cluster(s, "web", (struct origin){0}), 0);
	ck_assert_int_eq(describe_settings(&before, s, false, true), 0);
	row = option_find("cluster", refused[_i].key, &signal);
	ck_assert_ptr_nonnull(row);
	ck_assert_int_eq(
		field_set(row, s->clusters[0], signal, refused[_i].text, &err),
		-1);
	ck_assert_str_eq(err.text, refused[_i].error);
	ck_assert_int_eq(describe_settings(&after, s, false, true), 0);
	ck_assert_str_eq(buffer_text(&before), buffer_text(&after));
	buffer_fini(&before);
	buffer_fini(&after);
	settings_free(s);
}

/* ---- what the values mean ---- */

TEST(workers_are_counted_by_cpus)
{
	static const struct {
		const char *text;
		unsigned cpus;
		unsigned workers;
	} cases[] = {
		{"4", 1, 4},
		{"auto", 8, 8},
		{"auto", 0, 1},
		{"auto-1", 8, 7},
		{"auto-1", 1, 1},
		{"auto-100", 8, 1},
		{"auto/2", 8, 4},
		{"auto/2", 9, 4},
		{"auto/2", 1, 1},
		{"2x", 8, 16},
		{"1000x", 1024, 10000},
		{"2x+1", 8, 17},
		{"2x-17", 8, 1},
		{"auto+1", 8, 9},
		{"auto*2", 8, 16},
		{"50%", 8, 4},
		{"50%", 1, 1},
		{"50%+1", 7, 4},
		{"150%", 2, 3},
		{"100000%", 10000, 10000},
	};
	struct cluster_settings c = {0};
	struct error err;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		ck_assert_int_eq(
			value_workers(&c.workers, cases[i].text, &err), 0);
		ck_assert_uint_eq(
			cluster_workers(&c, cases[i].cpus), cases[i].workers);
	}
}

TEST(a_range_has_two_ends)
{
	static const struct {
		const char *text;
		unsigned cpus;
		unsigned least, most;
		unsigned first, first_without_listener;
	} cases[] = {
		{"2..8", 4, 2, 8, 2, 2},
		{"0..4", 4, 0, 4, 0, 1},
		{"auto..2x", 4, 4, 8, 4, 4},
		{"auto..4", 16, 4, 4, 4, 4},
		{"4", 16, 4, 4, 4, 4},
	};
	struct cluster_settings c = {0};
	struct error err;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct workers_range range;

		ck_assert_int_eq(
			value_workers(&c.workers, cases[i].text, &err), 0);
		range = cluster_range(&c, cases[i].cpus);
		ck_assert_uint_eq(range.least, cases[i].least);
		ck_assert_uint_eq(range.most, cases[i].most);
		c.listen_count = 0;
		ck_assert_uint_eq(cluster_workers(&c, cases[i].cpus),
			cases[i].first_without_listener);
		c.listen_count = 1;
		ck_assert_uint_eq(
			cluster_workers(&c, cases[i].cpus), cases[i].first);
	}
}

TEST(threads_are_the_cpus_divided_by_the_workers)
{
	static const struct {
		const char *text;
		unsigned cpus;
		unsigned workers;
		unsigned threads;
	} cases[] = {
		{"off", 8, 2, 0},
		{"3", 8, 2, 3},
		{"auto", 8, 1, 8},
		{"auto", 8, 2, 4},
		{"auto", 8, 3, 2},
		{"auto", 8, 8, 1},
		{"auto", 8, 9, 1},
		{"auto", 8, 0, 1},
		{"auto", 0, 0, 1},
	};
	struct cluster_settings c = {0};
	struct error err;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		ck_assert_int_eq(
			value_threads(&c.threads, cases[i].text, &err), 0);
		ck_assert_uint_eq(
			cluster_threads(&c, cases[i].cpus, cases[i].workers),
			cases[i].threads);
	}
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
	static const char *const words[][2] = {{"", "''"}, {"a-b", "a-b"},
		{"a ;b", "'a ;b'"}, {"it's", "'it'\\''s'"},
		{"*.[ch]", "'*.[ch]'"}, {"~", "'~'"}, {"a#", "'a#'"},
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
	static const char *const words[] = {"", "a", "a b", "it's", "\"", "\\",
		"a ;b", ";", "$HOME `x`", "{fd:http}", "\xc3\xa4", "a\tb"};
	struct strings got = {0};
	struct buffer line;
	struct error err;

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		buffer_init(&line, 0);
		ck_assert_int_eq(value_quote(&line, words[i]), 0);
		ck_assert_int_eq(
			value_split(&got, buffer_text(&line), &err), 0);
		ck_assert_uint_eq(got.count, 1);
		ck_assert_str_eq(got.list[0], words[i]);
		ck_assert_ptr_null(strstr(line.data, " ;"));
		strings_clear(&got);
		buffer_fini(&line);
	}
}

TEST(success_exits_are_bits)
{
	struct cluster_settings c = {0};
	struct error err;

	ck_assert_int_eq(value_exits(c.success_exit, "0 63-64 255", &err), 0);
	ck_assert(cluster_is_success(&c, 0));
	ck_assert(cluster_is_success(&c, 63));
	ck_assert(cluster_is_success(&c, 64));
	ck_assert(cluster_is_success(&c, 255));
	ck_assert(!cluster_is_success(&c, 1));
	ck_assert(!cluster_is_success(&c, 65));
	ck_assert(!cluster_is_success(&c, 256));
}

TEST(a_probe_is_one_of_three_questions)
{
	struct settings *s = settings_new();
	struct cluster_settings *c;
	struct buffer out;

	ck_assert_uint_eq(
		settings_add_cluster(s, "web", (struct origin){0}), 0);
	c = s->clusters[0];
	buffer_init(&out, 0);
	set_and_format("check", c, "http:/a?b", &out);
	ck_assert_int_eq(c->check.kind, PROBE_HTTP);
	ck_assert_str_eq(c->check.text, "/a?b");
	set_and_format("check", c, "exec:a 'b c' d", &out);
	ck_assert_int_eq(c->check.kind, PROBE_EXEC);
	ck_assert_uint_eq(c->check.command.count, 3);
	ck_assert_str_eq(c->check.command.list[1], "b c");
	ck_assert_ptr_null(c->check.command.list[3]);
	set_and_format("check", c, "tcp", &out);
	ck_assert_int_eq(c->check.kind, PROBE_TCP);
	ck_assert_ptr_null(c->check.text);
	set_and_format("check", c, "off", &out);
	ck_assert_int_eq(c->check.kind, PROBE_NONE);

	set_and_format("ready", c, "exec:a b", &out);
	ck_assert_int_eq(c->ready, READY_PROBE);
	ck_assert_int_eq(c->ready_probe.kind, PROBE_EXEC);
	ck_assert_uint_eq(c->ready_probe.command.count, 2);
	set_and_format("ready", c, "alive:2s", &out);
	ck_assert_int_eq(c->ready, READY_ALIVE);
	ck_assert_int_eq(c->ready_probe.kind, PROBE_NONE);
	buffer_fini(&out);
	settings_free(s);
}

TEST(each_event_has_a_command_of_its_own)
{
	static const char *const keys[HOOK_EVENTS] = {
		[HOOK_READY] = "on-ready",
		[HOOK_EXIT] = "on-exit",
		[HOOK_CRASH] = "on-crash",
		[HOOK_ROLLOUT] = "on-rollout",
		[HOOK_SCALE] = "on-scale",
		[HOOK_STOP] = "on-stop",
		[HOOK_HANG] = "on-hang",
	};
	struct settings *s = settings_new();
	const struct option_row *row = NULL;
	struct cluster_settings *c;
	struct error err;
	char key[40];
	int member;

	ck_assert_uint_eq(
		settings_add_cluster(s, "web", (struct origin){0}), 0);
	c = s->clusters[0];
	for (int i = HOOK_STOP; i >= 0; i -= 2) {
		row = option_find("cluster", keys[i], &member);
		ck_assert_int_eq(member, i);
		ck_assert_int_eq(field_set(row, c, i, keys[i], &err), 0);
		ck_assert_str_eq(c->hooks[i].command.list[0], keys[i]);
		ck_assert_ptr_null(c->hooks[i - 1].text);
	}
	ck_assert_uint_eq(field_count(row, c), 3);
	for (size_t n = 0; n < 3; n++)
		ck_assert_str_eq(field_key(row, c, n, key), keys[2 * n + 1]);
	ck_assert_ptr_null(option_find("cluster", "on-EVENT", &member));
	ck_assert_ptr_null(option_find("cluster", "on-", &member));
	ck_assert_ptr_null(option_find("nclust", "on-exit", &member));
	settings_free(s);
}

TEST(a_users_number_brings_its_own_group)
{
	struct error err;
	long uid;
	long gid;

	ck_assert_int_eq(value_user(&uid, &gid, "#0", &err), 0);
	ck_assert_int_eq(uid, 0);
	ck_assert_int_eq(gid, 0);
	ck_assert_int_eq(value_user(&uid, &gid, "#3999999999", &err), 0);
	ck_assert_int_eq(uid, 3999999999);
	ck_assert_int_eq(gid, -1);
}

/* ---- the table ---- */

TEST(every_row_is_whole_and_its_texts_are_accepted)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option_row *row = &option_rows[i];
		const char *texts[] = {row->fallback, row->example};
		struct settings *s = settings_new();
		struct error err;
		int member;

		ck_assert_uint_eq(
			settings_add_cluster(s, "web", (struct origin){0}), 0);
		ck_assert_ptr_nonnull(row->help);
		ck_assert_msg(strlen(row->help) <= 55, "%s", row->name);
		for (size_t j = 0; row->section != NULL && j < 2; j++) {
			void *base = settings_base(s,
				strcmp(row->section, "nclust") == 0 ? INSTANCE
								    : 0);

			if (texts[j] == NULL)
				continue;
			ck_assert_ptr_eq(option_find(row->section,
						 option_key(row, 0), &member),
				row);
			ck_assert_msg(field_set(row, base, member, texts[j],
					      &err) == 0,
				"%s: %s", row->name, err.text);
		}
		ck_assert_msg(row->section == NULL || row->fallback != NULL ||
				(row->unset != NULL && row->example != NULL),
			"%s", row->name);
		ck_assert_msg(
			row->section == NULL || row->change != CHANGE_NONE,
			"%s", row->name);
		for (size_t j = 0; j < i; j++)
			ck_assert_str_ne(option_rows[j].name, row->name);
		settings_free(s);
	}
}

TEST(the_defaults_are_those_of_the_manual)
{
	struct settings *s = settings_new();
	struct cluster_settings *c;

	ck_assert_uint_eq(
		settings_add_cluster(s, "web", (struct origin){0}), 0);
	c = s->clusters[0];
	ck_assert_uint_eq(cluster_workers(c, 7), 7);
	ck_assert_uint_eq(c->pass,
		PASS_SYSTEMD | PASS_SERVER_STARTER | PASS_EINHORN | PASS_PORT);
	ck_assert(c->listen_pid);
	ck_assert_int_eq(c->uid, -1);
	ck_assert_int_eq(c->gid, -1);
	ck_assert_int_eq(c->umask, -1);
	ck_assert_int_eq(c->nice, INT_MIN);
	ck_assert(!c->clear_env && !c->no_new_privs && !c->capabilities_given);
	ck_assert_int_eq(c->ready, READY_AUTO);
	ck_assert_int_eq(c->ready_alive, SECOND);
	ck_assert_int_eq(c->start_timeout, 60 * SECOND);
	ck_assert_uint_eq(c->stop_count, 1);
	ck_assert_int_eq(c->stop[0].signal, SIGTERM);
	ck_assert_int_eq(c->stop_timeout, 30 * SECOND);
	ck_assert_int_eq(c->backoff_min, 100 * MSEC);
	ck_assert_int_eq(c->backoff_max, 30 * SECOND);
	ck_assert_uint_eq(c->backoff_jitter, 20);
	ck_assert_int_eq(c->stable_after, SECOND);
	ck_assert_int_eq(c->restart, RESTART_ALWAYS);
	ck_assert(cluster_is_success(c, 0) && !cluster_is_success(c, 1));
	ck_assert_uint_eq(c->give_up_count, 0);
	ck_assert_uint_eq(c->surge, 1);
	ck_assert_uint_eq(c->max_unavailable, 0);
	ck_assert_uint_eq(c->old_generations, 2);
	ck_assert_uint_eq(c->start_at_once, 4);
	ck_assert_uint_eq(c->canary, 0);
	ck_assert_int_eq(c->bake, BAKE_AUTO);
	ck_assert_int_eq(c->drain, DRAIN_AUTO);
	ck_assert_int_eq(c->drain_timeout, 30 * SECOND);
	ck_assert_int_eq(c->check.kind, PROBE_NONE);
	ck_assert_int_eq(c->check_interval, 10 * SECOND);
	ck_assert_int_eq(c->check_timeout, 5 * SECOND);
	ck_assert_uint_eq(c->check_failures, 3);
	ck_assert_int_eq(c->watchdog, 0);
	ck_assert_int_eq(c->stall, 0);
	ck_assert_uint_eq(c->max_memory.bytes, 0);
	ck_assert_int_eq(c->max_age, 0);
	ck_assert_int_eq(c->orphans, ORPHANS_STOP);
	ck_assert_uint_eq(c->threads, THREADS_OFF);
	ck_assert_uint_eq(c->shared_memory.size, 0);
	for (size_t i = 0; i < HOOK_EVENTS; i++)
		ck_assert_ptr_null(c->hooks[i].text);
	ck_assert_int_eq(c->log, LOG_AUTO);
	ck_assert_int_eq(c->pty, PTY_AUTO);
	ck_assert_int_eq(s->control_gid, -1);
	settings_free(s);
}

TEST(settings_of_a_cluster_outlive_their_instance)
{
	struct settings *s = settings_new();
	struct cluster_settings *c;

	ck_assert_uint_eq(
		settings_add_cluster(s, "web", (struct origin){0}), 0);
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
	} cases[] = {
		{"/etc/nclust/shop.ini", "shop"},
		{"shop", "shop"},
		{"my shop.ini", "my-shop"},
		{".ini", "ini"},
		{"/a/-x", "x"},
		{"", "nclust"},
		{"///", "nclust"},
		{"\xc3\xa4.ini", "nclust"},
		{"x\xc3\xa4", "x--"},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		scoped_str name = name_from_path(cases[i].path, ".ini");

		ck_assert_str_eq(name, cases[i].name);
	}
}
