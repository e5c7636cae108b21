/* SPDX-License-Identifier: MIT */
#include "config/option.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/value_list.h"

#include <stddef.h>
#include <string.h>

/* The group, and what a reload must do. */
#define IN(part, effect) .group = GROUP_##part, .change = CHANGE_##effect
#define IN_NCLUST(field) .section = "nclust", .offset = offsetof(struct settings, field)

/* enum log_level, enum hang_signal, ...: the index is the value */
static const char *const log_levels[] = {"error", "warn", "note", "info", "debug", NULL};
static const char *const hang_signals[] = {
	[HANG_OFF] = "off",
	[HANG_QUIT] = "QUIT",
	[HANG_ABRT] = "ABRT",
	[HANG_USR1] = "USR1",
	[HANG_USR2] = "USR2",
	[HANG_SIGNALS] = NULL,
};

/* The beginnings of what can be said, for completion. */
static const char *const log_words[] = {
	"auto", "prefix", "json", "journal", "syslog", "inherit", "off", NULL};
static const char *const balances[] = {"auto", "share", "rr", "least", "random", NULL};
static const char *const stickies[] = {"off", "client-address", NULL};
static const char *const intercepts[] = {"auto", "on", "off", NULL};
static const char *const cpu_modes[] = {"none", "spread", NULL};
static const char *const restarts[] = {"always", "on-failure", "never", NULL};
static const char *const ipcs[] = {"auto", "on", "off", NULL};
static const char *const ptys[] = {"auto", "yes", "no", NULL};
static const char *const orphans[] = {"stop", "keep", NULL};
static const char *const leftovers[] = {"end", "keep", NULL};
static const char *const drains[] = {"auto", "quiet", "signal", "off", NULL};

/* The keys "on-EVENT". */
static const char *const hooks[] = {
	[HOOK_READY] = "on-ready",
	[HOOK_EXIT] = "on-exit",
	[HOOK_CRASH] = "on-crash",
	[HOOK_ROLLOUT] = "on-rollout",
	[HOOK_SCALE] = "on-scale",
	[HOOK_STOP] = "on-stop",
	[HOOK_HANG] = "on-hang",
};
_Static_assert(COUNT_OF(hooks) == HOOK_EVENTS, "an event has no key");

/* Rows of a cluster; what stands last is by name. */
#define ROW(field, key, kind, what, text, ...) \
	{ \
		.section = "cluster", .offset = offsetof(struct cluster_settings, field), \
		.name = key, .type = &type_##kind, .argument = what, .help = text, __VA_ARGS__ \
	}
#define LIMIT(word, which, in_bytes, sample, text) \
	ROW(limits[RLIMIT_##which], "limit-" word, limit, "soft[:hard]", text, .bytes = in_bytes, \
		.unset = "inherited", .example = sample, IN(LIMITS, ROLL))
#define DURATION(field, key, low, high, usual, text, ...) \
	ROW(field, key, duration, "time", text, .least = low, .most = high, .fallback = usual, \
		__VA_ARGS__)
#define COUNT(field, key, low, high, usual, text, ...) \
	ROW(field, key, count, "count", text, .least = low, .most = high, .fallback = usual, \
		__VA_ARGS__)
#define CHOICE(field, key, words, usual, what, text, ...) \
	ROW(field, key, choice, what, text, .choices = words, .fallback = usual, __VA_ARGS__)
#define BOOL(field, key, usual, text, ...) \
	ROW(field, key, bool, NULL, text, .fallback = usual, __VA_ARGS__)

const struct option_row option_rows[] = {
	{.name = "config",
		.letter = 'c',
		.type = &type_path,
		.argument = "file",
		.common = true,
		.help = "run the clusters of this INI file"},
	{.name = "daemon",
		.letter = 'd',
		.type = &type_flag,
		.common = true,
		.help = "go to the background once all clusters are ready"},
	{.name = "help", .letter = 'h', .type = &type_flag, .help = "show a short help"},
	{.name = "version", .letter = 'V', .type = &type_flag, .help = "show the version"},

	{IN_NCLUST(name), .name = "name", .type = &type_name,
		.unset = "after the file or the command", .argument = "name", .example = "shop",
		IN(INSTANCE, RESTART), .common = true, .help = "name of this instance"},
	{IN_NCLUST(runtime_directory), .name = "runtime-directory", .type = &type_path,
		.unset = "chosen by user", .argument = "path", .example = "/run/nclust",
		IN(INSTANCE, RESTART), .help = "where the control socket and its lock are"},
	{IN_NCLUST(control_group), .name = "control-group", .type = &type_control_group,
		.unset = "none", .argument = "group", .example = "daemon", IN(INSTANCE, RESTART),
		.help = "members of this group may look at the instance"},
	{IN_NCLUST(log_level), .name = "log-level", .type = &type_choice, .choices = log_levels,
		.fallback = "note", .argument = "level", IN(INSTANCE, LIVE),
		.help = "how much nclust itself says on standard error"},
	{IN_NCLUST(pidfile), .name = "pidfile", .type = &type_path, .unset = "none",
		.argument = "path", .example = "/run/shop.pid", IN(INSTANCE, RESTART),
		.help = "file to write nclust's process id to"},
	{IN_NCLUST(http), .name = "http", .type = &type_http, .unset = "off", .argument = "address",
		.example = "9100", IN(INSTANCE, LIVE),
		.help = "answer questions by HTTP; a port alone is on loopback"},
	{IN_NCLUST(agent), .name = "agent", .type = &type_http, .unset = "off",
		.argument = "address", .example = "9101", IN(INSTANCE, LIVE),
		.help = "tell HAProxy's agent-check if it may send clients here"},
	{IN_NCLUST(http_token), .name = "http-token", .type = &type_path, .unset = "none",
		.argument = "path", .example = "/etc/nclust/token", IN(INSTANCE, LIVE),
		.help = "file with the bearer token that HTTP clients must send"},
	{IN_NCLUST(http_open), .name = "http-open", .type = &type_bool, .fallback = "no",
		IN(INSTANCE, LIVE), .help = "let other machines look without a token"},

	ROW(command_text, "command", command, "command",
		"what every worker runs; quotes as in a shell, no shell",
		.unset = "none, it must be given", .example = "./myserver --quiet",
		IN(PROCESSES, ROLL)),
	ROW(workers, "workers", workers, "count", "how many: 4, auto (the CPUs), 2x+1, 50%, 2..8",
		.letter = 'n', .fallback = "auto", .common = true, IN(PROCESSES, LIVE)),
	DURATION(idle_after, "idle-after", SECOND, 8760LL * HOUR, "10m",
		"workers = 0..N: stop all after so long without a client", IN(PROCESSES, LIVE)),
	COUNT(spare, "spare", 0, 1000, "0", "ready copies that wait to take the place of others",
		IN(PROCESSES, LIVE)),
	ROW(listen, "listen", listen, "address",
		"8000, 127.0.0.1:8000, unix:/run/x.sock, udp:53, ...", .letter = 'l',
		.unset = "none", .example = "8000, name=http", .repeatable = true, .common = true,
		IN(SOCKETS, ROLL)),
	ROW(pass, "pass", pass, "dialects", "how workers learn of their sockets",
		.fallback = "systemd server-starter einhorn port", IN(SOCKETS, ROLL)),
	BOOL(listen_pid, "listen-pid", "yes", "set LISTEN_PID", IN(SOCKETS, ROLL)),
	CHOICE(intercept, "intercept", intercepts, "auto", "when",
		"share the port of a server that opens it by itself", IN(SOCKETS, ROLL)),
	ROW(share_ports, "share-ports", ports, "ports",
		"of the ports that a server opens, those to share", .fallback = "all",
		.example = "8000 8443", IN(SOCKETS, ROLL)),
	CHOICE(balance, "balance", balances, "auto", "way",
		"how connections are spread over the workers", IN(SOCKETS, ROLL)),
	CHOICE(sticky, "sticky", stickies, "off", "what", "what keeps a client at the same worker",
		IN(SOCKETS, ROLL)),
	BOOL(accept, "accept", "no", "run the command once for each connection",
		IN(SOCKETS, RESTART)),
	COUNT(accept_per_address, "accept-per-address", 1, WORKERS_MAX, "off",
		"accept: most connections at a time from one address", .word = "off",
		IN(SOCKETS, LIVE)),
	DURATION(accept_timeout, "accept-timeout", 100 * MSEC, 8760LL * HOUR, "off",
		"accept: how long the process of a connection may run", .word = "off",
		IN(SOCKETS, LIVE)),
	ROW(directory, "directory", path, "path", "directory that the workers start in",
		.unset = "that of the file", .example = "/", IN(PROCESSES, ROLL)),
	ROW(user, "user", user, "user", "user that the workers run as", .unset = "inherited",
		.example = "daemon", IN(PROCESSES, ROLL)),
	ROW(group, "group", group, "group", "group that the workers run as", .unset = "the user's",
		.example = "daemon", IN(PROCESSES, ROLL)),
	ROW(umask, "umask", umask, "octal", "file mode mask of the workers", .unset = "inherited",
		.example = "022", IN(PROCESSES, ROLL)),
	ROW(nice, "nice", nice, "number", "scheduling priority, -20 to 19", .unset = "inherited",
		.example = "5", IN(PROCESSES, ROLL)),
	ROW(env, "env", env, "name=value", "set an environment variable", .unset = "none",
		.example = "MODE=production", .repeatable = true, .common = true,
		IN(PROCESSES, ROLL)),
	ROW(env_file, "env-file", paths, "path", "set the variables of a file of NAME=value lines",
		.unset = "none", .word = "none", .example = "/etc/shop.env", .repeatable = true,
		IN(PROCESSES, ROLL)),
	BOOL(clear_env, "clear-env", "no", "start from an empty environment", IN(PROCESSES, ROLL)),
	ROW(chroot, "chroot", path, "path", "root directory of the workers", .unset = "none",
		.example = "/srv/shop", IN(PROCESSES, ROLL)),
	BOOL(no_new_privs, "no-new-privs", "no",
		"workers gain no privilege by set-user-id programs", IN(PROCESSES, ROLL)),
	ROW(capabilities, "capabilities", capabilities, "names",
		"keep these capabilities and no others, or none", .unset = "inherited",
		.example = "net_bind_service", IN(PROCESSES, ROLL)),
	LIMIT("as", AS, true, "4G", "limit of the address space"),
	LIMIT("core", CORE, true, "0", "limit of core files"),
	LIMIT("cpu", CPU, false, "3600", "limit of CPU time in seconds"),
	LIMIT("data", DATA, true, "1G", "limit of the data segment"),
	LIMIT("fsize", FSIZE, true, "1G", "limit of written files"),
	LIMIT("locks", LOCKS, false, "1000", "limit of file locks"),
	LIMIT("memlock", MEMLOCK, true, "64k", "limit of locked memory"),
	LIMIT("msgqueue", MSGQUEUE, true, "800k", "limit of POSIX message queues"),
	LIMIT("nice", NICE, false, "20", "limit of the nice value"),
	LIMIT("nofile", NOFILE, false, "1024:4096", "limit of open files"),
	LIMIT("nproc", NPROC, false, "1000", "limit of the user's processes"),
	LIMIT("rss", RSS, true, "1G", "limit of resident memory"),
	LIMIT("rtprio", RTPRIO, false, "0", "limit of real-time priority"),
	LIMIT("rttime", RTTIME, false, "200000", "limit of real-time CPU time in microseconds"),
	LIMIT("sigpending", SIGPENDING, false, "1000", "limit of queued signals"),
	LIMIT("stack", STACK, true, "8M", "limit of the stack"),
	CHOICE(cpu, "cpu", cpu_modes, "none", "way",
		"spread: pin slot i to the i-th CPU, cores first", IN(LIMITS, ROLL)),
	ROW(memory_max, "memory-max", size, "size",
		"cgroup: a worker that needs more memory is killed", .least = 1 << 20,
		.most = 1LL << 60, .word = "off", .fallback = "off", IN(LIMITS, ROLL)),
	ROW(memory_high, "memory-high", size, "size",
		"cgroup: a worker that has more memory is slowed down", .least = 1 << 20,
		.most = 1LL << 60, .word = "off", .fallback = "off", IN(LIMITS, ROLL)),
	ROW(cpu_max, "cpu-max", percent, "share",
		"cgroup: most CPU time of a worker; 150% is 1.5 CPUs", .least = 1, .most = 1000000,
		.word = "off", .fallback = "off", IN(LIMITS, ROLL)),
	COUNT(cpu_weight, "cpu-weight", 1, 10000, "off",
		"cgroup: the cluster's share of scarce CPUs; usually 100", .word = "off",
		IN(LIMITS, ROLL)),
	COUNT(pids_max, "pids-max", 1, 1 << 22, "off",
		"cgroup: most processes and threads of a worker", .word = "off", IN(LIMITS, ROLL)),
	COUNT(io_weight, "io-weight", 1, 10000, "off",
		"cgroup: the cluster's share of busy disks; usually 100", .word = "off",
		IN(LIMITS, ROLL)),
	ROW(threads, "threads", threads, "count", "threads that a worker should use, or auto",
		.fallback = "off", IN(LIMITS, ROLL)),
	ROW(shared_memory, "shared-memory", size, "size", "memory that all workers can map",
		.least = 4096, .most = 1LL << 46, .word = "off", .fallback = "off",
		IN(MESSAGES, ROLL)),
	ROW(ready_probe, "ready", ready, "condition",
		"auto, notify, listen, alive:1s, fd:3, tcp, http:, exec:", .fallback = "auto",
		IN(READINESS, LIVE)),
	DURATION(start_timeout, "start-timeout", MSEC, 24 * HOUR, "1m",
		"a worker that is not ready by then has failed", IN(READINESS, LIVE)),
	ROW(check, "check", probe, "probe", "ask ready workers: tcp, http:/PATH or exec:CMD",
		.fallback = "off", IN(HEALTH, LIVE)),
	ROW(check_header, "check-header", header, "line",
		"a header line for what ready and check ask by http", .unset = "none",
		.word = "none", .example = "X-Forwarded-Proto: https", .repeatable = true,
		IN(HEALTH, LIVE)),
	DURATION(check_interval, "check-interval", 10 * MSEC, 24 * HOUR, "10s",
		"time from one check of a worker to its next", IN(HEALTH, LIVE)),
	DURATION(check_timeout, "check-timeout", 10 * MSEC, HOUR, "5s",
		"a check without an answer by then has failed", IN(HEALTH, LIVE)),
	COUNT(check_failures, "check-failures", 1, 1000, "3",
		"this many failed checks in a row end a worker", IN(HEALTH, LIVE)),
	ROW(fallback, "fallback", fallback, "answer",
		"answer HTTP while no worker is ready: 503, or a file", .fallback = "off",
		IN(READINESS, LIVE)),
	DURATION(fallback_after, "fallback-after", 100 * MSEC, 24 * HOUR, "1s",
		"wait so long before the fallback answers", IN(READINESS, LIVE)),
	DURATION(watchdog, "watchdog", 10 * MSEC, 24 * HOUR, "off",
		"a worker must say WATCHDOG=1 within this time", .word = "off", IN(HEALTH, ROLL)),
	DURATION(stall, "stall", 100 * MSEC, 24 * HOUR, "off",
		"replace a worker that makes no progress for so long", .word = "off",
		IN(HEALTH, LIVE)),
	DURATION(request_timeout, "request-timeout", SECOND, 24 * HOUR, "off",
		"replace a worker that owes an answer for so long", .word = "off",
		IN(HEALTH, LIVE)),
	CHOICE(hang_signal, "hang-signal", hang_signals, "off", "signal",
		"sent to a hanging worker, 2 s before its stop signal", IN(HEALTH, LIVE)),
	ROW(max_memory, "max-memory", memory_limit, "size",
		"replace a worker whose memory is above this", .least = 1 << 20, .most = 1LL << 60,
		.word = "off", .fallback = "off", IN(HEALTH, LIVE)),
	DURATION(max_age, "max-age", SECOND, 8760LL * HOUR, "off",
		"replace a worker that is older than this", .word = "off", IN(HEALTH, LIVE)),
	COUNT(max_requests, "max-requests", 1, 1000000000, "off",
		"replace a worker after so many connections", .word = "off", IN(HEALTH, LIVE)),
	ROW(stop, "stop-signal", stop_signal, "signals",
		"how a worker is asked to stop: TERM, QUIT:10s TERM:5s", .fallback = "TERM",
		IN(STOPPING, LIVE)),
	DURATION(stop_timeout, "stop-timeout", 0, 24 * HOUR, "30s",
		"grace between the stop signal and SIGKILL", IN(STOPPING, LIVE)),
	DURATION(backoff_min, "backoff-min", MSEC, 24 * HOUR, "100ms",
		"wait before a worker that died is started again", IN(RESTARTS, LIVE)),
	DURATION(backoff_max, "backoff-max", MSEC, 24 * HOUR, "30s",
		"longest wait before a worker is started again", IN(RESTARTS, LIVE)),
	ROW(backoff_jitter, "backoff-jitter", percent, "share",
		"random part of the wait: slots do not start in step", .most = 100,
		.fallback = "20%", IN(RESTARTS, LIVE)),
	DURATION(stable_after, "stable-after", 0, 24 * HOUR, "1s",
		"ready for so long, and a minute: deaths are forgotten", IN(RESTARTS, LIVE)),
	DURATION(restart_pause, "restart-pause", 0, 24 * HOUR, "1s",
		"pause before a job that ended soon is run again", IN(RESTARTS, LIVE)),
	CHOICE(restart, "restart", restarts, "always", "policy",
		"start an ended worker again: always, on-failure, never", IN(RESTARTS, LIVE)),
	ROW(success_exit, "success-exit", exits, "statuses",
		"exit statuses that are no failure: 0 3 10-12", .fallback = "0",
		IN(RESTARTS, LIVE)),
	ROW(give_up_count, "give-up", give_up, "count/time",
		"stop the cluster after so many deaths: 5/1m", .fallback = "never",
		IN(RESTARTS, LIVE)),
	CHOICE(drain, "drain", drains, "auto", "way",
		"how an old worker is drained before it is stopped", IN(STOPPING, LIVE)),
	DURATION(drain_timeout, "drain-timeout", 0, 24 * HOUR, "30s",
		"a worker not idle by then is stopped anyway", IN(STOPPING, LIVE)),
	ROW(hand_on, "hand-on", hand_on, "clients",
		"whose requests other workers take over: local, all, off", .fallback = "local",
		IN(STOPPING, LIVE)),
	COUNT(surge, "surge", 0, WORKERS_MAX, "auto",
		"rolling restart: how many workers more than wanted", .word = "all",
		.word_value = WORKERS_MAX, .automatic = true, IN(ROLLOUTS, LIVE)),
	COUNT(max_unavailable, "max-unavailable", 0, WORKERS_MAX, "auto",
		"rolling restart: how many workers may be missing", .automatic = true,
		IN(ROLLOUTS, LIVE)),
	COUNT(canary, "canary", 0, WORKERS_MAX, "0",
		"rolling restart: replace so many first, as a trial", IN(ROLLOUTS, LIVE)),
	DURATION(bake, "bake", 0, 24 * HOUR, "auto", "how long the first new workers are watched",
		.word = "auto", .word_value = BAKE_AUTO, IN(ROLLOUTS, LIVE)),
	COUNT(old_generations, "old-generations", 1, 100, "2",
		"how many old generations may still be stopping", IN(ROLLOUTS, LIVE)),
	ROW(watch, "watch", paths, "pattern", "restart when these files change: src/**/*.js",
		.unset = "off", .word = "off", .example = "src/**/*.js", .repeatable = true,
		.common = true, IN(ROLLOUTS, LIVE)),
	COUNT(start_at_once, "start-at-once", 1, WORKERS_MAX, "4",
		"how many workers start together, or all", .word = "all", .word_value = WORKERS_MAX,
		IN(ORDER, LIVE)),
	ROW(signals, "signal-NAME", signal_rule, "action",
		"what a signal that nclust receives does", .unset = "as in nclust(1)",
		.example = "restart", .repeatable = true, IN(EVENTS, LIVE)),
	ROW(hooks, "on-EVENT", hook, "command", "a command to run when something has happened",
		.unset = "none", .word = "none", .example = "/usr/local/bin/tell --cluster web",
		.repeatable = true, IN(EVENTS, LIVE)),
	ROW(log, "log", log, "destination", "the workers' output: prefix, file:PATH, off ...",
		.choices = log_words, .fallback = "auto", .common = true, IN(LOGS, ROLL)),
	ROW(log_size, "log-size", size, "size",
		"begin a new log file when the old one has this size", .least = 4096,
		.most = 1LL << 50, .word = "never", .fallback = "64M", IN(LOGS, LIVE)),
	COUNT(log_keep, "log-keep", 0, 1000, "7", "how many old log files are kept",
		IN(LOGS, LIVE)),
	DURATION(log_age, "log-age", SECOND, 8760LL * HOUR, "off",
		"begin a new log file when the old one has this age", .word = "off",
		IN(LOGS, LIVE)),
	ROW(log_compress, "log-compress", run, "command",
		"a command to run with the path of an old log file", .unset = "none",
		.word = "none", .example = "gzip", IN(LOGS, LIVE)),
	CHOICE(pty, "pty", ptys, "auto", "when",
		"a terminal for the workers' output: auto, yes, no", IN(LOGS, ROLL)),
	ROW(after, "after", after, "clusters",
		"start when these clusters are ready; stop before them", .unset = "none",
		.word = "none", .example = "db", IN(ORDER, LIVE)),
	ROW(before, "before", run, "command", "a command to run before the start and each rollout",
		.unset = "none", .word = "none", .example = "./migrate", IN(ORDER, LIVE)),
	ROW(before_stop, "before-stop", run, "command",
		"a command to run before the workers are stopped", .unset = "none", .word = "none",
		.example = "./deregister", IN(ORDER, LIVE)),
	BOOL(essential, "essential", "no", "nclust ends when this cluster has failed or ended",
		IN(ORDER, LIVE)),
	BOOL(leader, "leader", "no", "one worker has the lock of NCLUST_LEADER_FD",
		IN(MESSAGES, ROLL)),
	CHOICE(orphans, "orphans", orphans, "stop", "action",
		"what becomes of workers when nclust is killed", IN(STOPPING, ROLL)),
	CHOICE(leftovers, "leftovers", leftovers, "end", "action",
		"processes that workers leave in the background", IN(STOPPING, LIVE)),
	CHOICE(ipc, "ipc", ipcs, "auto", "mode", "a message channel for each worker",
		IN(MESSAGES, ROLL)),
	ROW(relay, "relay", relay, "destination", "where the messages go that workers send",
		.unset = "off", .word = "off", .example = "others", IN(MESSAGES, LIVE)),
};

const size_t option_count = COUNT_OF(option_rows);
_Static_assert(COUNT_OF(option_rows) <= OPTIONS_MAX, "too many rows");

const struct option_row *option_next(const char *section, const struct option_row *row)
{
	for (row = row == NULL ? option_rows : row + 1; row < option_rows + option_count; row++)
		if (section == NULL || (row->section != NULL && strcmp(row->section, section) == 0))
			return row;
	return NULL;
}

const char *option_key(const struct option_row *row, size_t n)
{
	if (row->type == &type_hook)
		return n < COUNT_OF(hooks) ? hooks[n] : NULL;
	if (n > 0)
		return NULL;
	return row->type == &type_signal_rule ? "signal-USR1" : row->name;
}

/* Is it a key of the row, and which one of a family? */
static bool is_key(const struct option_row *row, const char *name, int *member)
{
	const char *key;

	if (row->type == &type_signal_rule) {
		if (strncmp(name, "signal-", 7) != 0)
			return false;
		*member = value_signal(name + 7);
		return true;
	}
	for (size_t n = 0; (key = option_key(row, n)) != NULL; n++) {
		if (strcmp(key, name) != 0)
			continue;
		*member = (int)n;
		return true;
	}
	return false;
}

const struct option_row *option_find(const char *section, const char *name, int *member)
{
	const struct option_row *row = NULL;
	int ignored = 0;

	member = member != NULL ? member : &ignored;
	*member = 0;
	while ((row = option_next(section, row)) != NULL)
		if (is_key(row, name, member))
			break;
	return row;
}

const struct option_row *option_find_letter(char letter)
{
	const struct option_row *row = NULL;

	while ((row = option_next(NULL, row)) != NULL)
		if (letter != 0 && row->letter == letter)
			break;
	return row;
}

const char *option_nearest(const char *section, const char *name)
{
	const char *names[COUNT_OF(option_rows) + COUNT_OF(hooks)];
	const struct option_row *row = NULL;
	const char *key;
	size_t count = 0;

	while ((row = option_next(section, row)) != NULL)
		for (size_t n = 0; (key = option_key(row, n)) != NULL; n++)
			names[count++] = key;
	return text_nearest(name, names, count);
}
