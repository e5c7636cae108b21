/* SPDX-License-Identifier: MIT */
#include "config/option.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/value.h"

#include <stddef.h>
#include <string.h>

#define IN_NCLUST(field) \
	.section = "nclust", .offset = offsetof(struct settings, field)
#define IN_CLUSTER(field) \
	.section = "cluster", .offset = offsetof(struct cluster_settings, field)

/* enum log_level, enum log_mode, ...: the index is the value */
static const char *const log_levels[] = {
	"error", "warn", "note", "info", "debug", NULL};
static const char *const hang_signals[] = {
	[HANG_OFF] = "off",
	[HANG_QUIT] = "QUIT",
	[HANG_ABRT] = "ABRT",
	[HANG_USR1] = "USR1",
	[HANG_USR2] = "USR2",
	[HANG_SIGNALS] = NULL,
};

static const char *const log_modes[] = {
	"auto", "inherit", "prefix", "off", NULL};
static const char *const balances[] = {"auto", "share", "rr", NULL};
static const char *const stickies[] = {"off", "client-address", NULL};
static const char *const intercepts[] = {"auto", "on", "off", NULL};
static const char *const cpu_modes[] = {"none", "spread", NULL};
static const char *const restarts[] = {"always", "on-failure", "never", NULL};
static const char *const ipcs[] = {"auto", "on", "off", NULL};
static const char *const orphans[] = {"stop", "keep", NULL};
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

/*
 * The manual's texts are for who writes the manual (scripts/generate), and take
 * more room than the table: they are not in the program.
 */
#ifdef WITH_MANUAL
#define MANUAL(...) __VA_ARGS__
#else
#define MANUAL(...) NULL
#endif

#define LIMIT(word, which, in_bytes, sample, text, more) \
	{ \
		.section = "cluster", .name = "limit-" word, \
		.type = OPT_LIMIT, .resource = RLIMIT_##which, \
		.offset = offsetof(struct cluster_settings, limits), \
		.bytes = in_bytes, .unset = "inherited", \
		.argument = "soft[:hard]", .example = sample, \
		.change = CHANGE_ROLL, .help = text, .manual = MANUAL(more) \
	}

/* clang-format off */
const struct option_row option_rows[] = {
	{
		.name = "config", .letter = 'c', .type = OPT_PATH,
		.argument = "file", .common = true,
		.help = "run the clusters of this INI file",
		.manual = MANUAL("Run the clusters of this file, see\n"
			".Xr nclust.ini 5 .\n"
			"What else stands on the command line overrules it in "
			"every cluster."),
	},
	{
		.name = "daemon", .letter = 'd', .type = OPT_FLAG,
		.common = true,
		.help = "go to the background once all clusters are ready",
		.manual = MANUAL("Go to the background, but only once all clusters "
			"are ready.\n"
			"If they do not become ready, say why and exit with "
			"another status than 0."),
	},
	{
		.name = "help", .letter = 'h', .type = OPT_FLAG,
		.help = "show a short help",
		.manual = MANUAL("Show a short help."),
	},
	{
		.name = "version", .type = OPT_FLAG,
		.help = "show the version",
		.manual = MANUAL("Show the version."),
	},

	{
		IN_NCLUST(name), .name = "name", .type = OPT_NAME,
		.unset = "after the file or the command",
		.argument = "name", .example = "shop",
		.change = CHANGE_RESTART, .common = true,
		.help = "name of this instance",
		.manual = MANUAL("The name of this instance, by which the verbs find "
			"it.\n"
			"The default is the file's name without\n"
			".Pa .ini ,\n"
			"or the name of the command."),
	},
	{
		IN_NCLUST(runtime_directory), .name = "runtime-directory",
		.type = OPT_PATH, .unset = "chosen by user",
		.argument = "path", .example = "/run/nclust",
		.change = CHANGE_RESTART,
		.help = "where the control socket and its lock are",
		.manual = MANUAL("The directory of the control sockets.\n"
			"The default is\n"
			".Pa /run/nclust\n"
			"for root and\n"
			".Pa $XDG_RUNTIME_DIR/nclust\n"
			"for others; where that cannot be had,\n"
			".Pa /tmp/nclust-UID .\n"
			"It is best in memory (tmpfs):\n"
			"each start of a worker makes a file in it."),
	},
	{
		IN_NCLUST(control_group), .name = "control-group",
		.type = OPT_CONTROL_GROUP, .unset = "none",
		.argument = "group", .example = "daemon",
		.change = CHANGE_RESTART,
		.help = "members of this group may look at the instance",
		.manual = MANUAL("Members of this group may read what the control "
			"socket tells.\n"
			"A number is written\n"
			".Ql #1000 ."),
	},
	{
		IN_NCLUST(log_level), .name = "log-level", .type = OPT_CHOICE,
		.choices = log_levels, .fallback = "note",
		.argument = "level", .change = CHANGE_LIVE,
		.help = "how much nclust itself says on standard error",
		.manual = MANUAL("The least important of nclust's own messages that "
			"are shown."),
	},
	{
		IN_NCLUST(pidfile), .name = "pidfile", .type = OPT_PATH,
		.unset = "none", .argument = "path",
		.example = "/run/shop.pid", .change = CHANGE_RESTART,
		.help = "file to write nclust's process id to",
		.manual = MANUAL("Write the process id of nclust to this file."),
	},

	{
		IN_CLUSTER(command_text), .name = "command",
		.type = OPT_COMMAND, .unset = "none, it must be given",
		.argument = "command", .example = "./myserver --quiet",
		.change = CHANGE_ROLL,
		.help = "what every worker runs; quotes as in a shell, no shell",
		.manual = MANUAL("What every worker runs.\n"
			"It is split into words as a shell would do it, with "
			"single and double quotes and backslashes,\n"
			"but no shell is run and nothing is expanded but\n"
			".Ql {slot} ,\n"
			".Ql {name} ,\n"
			".Ql {port} ,\n"
			".Ql {fd}\n"
			"and\n"
			".Ql {fd:NAME} .\n"
			".Ql {fd}\n"
			"is the descriptor of the only listener and\n"
			".Ql {port}\n"
			"the port of the only TCP or UDP one: with none or "
			"several the command is refused.\n"
			".Ql {fd:NAME}\n"
			"chooses one by its name.\n"
			"In the file a\n"
			".Ql ;\\&\n"
			"behind a blank is refused here, as it would begin a "
			"comment."),
	},
	{
		IN_CLUSTER(workers), .name = "workers", .letter = 'n',
		.type = OPT_WORKERS, .fallback = "auto",
		.argument = "count", .change = CHANGE_LIVE, .common = true,
		.help = "how many: 4, auto (the CPUs), auto-1, auto/2, 2x",
		.manual = MANUAL("How many workers: a number from 1 to 10000, or\n"
			".Cm auto\n"
			"for as many as there are CPUs to use, by affinity and "
			"by the quota of the control groups.\n"
			".Cm auto-1\n"
			"is one less,\n"
			".Cm auto/2\n"
			"half as many,\n"
			".Cm 2x\n"
			"twice as many; at least one.\n"
			"With\n"
			".Cm accept\n"
			"it is how many connections are served at once, and\n"
			".Cm auto\n"
			"is 32."),
	},
	{
		IN_CLUSTER(listen), .name = "listen", .letter = 'l',
		.type = OPT_LISTEN, .unset = "none",
		.argument = "address", .example = "8000, name=http",
		.change = CHANGE_ROLL, .repeatable = true, .common = true,
		.help = "8000, 127.0.0.1:8000, unix:/run/x.sock, udp:53, ...",
		.manual = MANUAL("Open this address and hand it to the workers.\n"
			"One of\n"
			".Ql 8000\n"
			"(all addresses, IPv6 and IPv4),\n"
			".Ql 127.0.0.1:8000 ,\n"
			".Ql [::1]:8000 ,\n"
			"with\n"
			".Ql tcp:\\&\n"
			"or\n"
			".Ql udp:\\&\n"
			"before it;\n"
			".Ql unix:/path ,\n"
			".Ql unix:@abstract ;\n"
			".Ql fd:3\n"
			"or\n"
			".Ql inherit:name\n"
			"for a socket that nclust was started with.\n"
			"Port 0 is chosen once.\n"
			"Options follow, each behind a comma:\n"
			".Cm name Ns = Ns Ar name ,\n"
			".Cm backlog Ns = Ns Ar count ,\n"
			".Cm mode Ns = Ns Ar octal ,\n"
			".Cm owner Ns = Ns Ar user ,\n"
			".Cm group Ns = Ns Ar group ,\n"
			".Cm v6only ,\n"
			".Cm interface Ns = Ns Ar name ,\n"
			".Cm freebind ,\n"
			".Cm defer-accept Ns = Ns Ar time ,\n"
			".Cm nonblock ,\n"
			".Cm rcvbuf Ns = Ns Ar size ,\n"
			".Cm sndbuf Ns = Ns Ar size ."),
	},
	{
		IN_CLUSTER(pass), .name = "pass", .type = OPT_PASS,
		.fallback = "systemd server-starter einhorn port",
		.argument = "dialects", .change = CHANGE_ROLL,
		.help = "how workers are told of their sockets",
		.manual = MANUAL("How the workers are told of their sockets, some of\n"
			".Cm systemd server-starter einhorn port stdin ,\n"
			"or\n"
			".Cm none .\n"
			".Cm stdin\n"
			"puts the one socket on descriptor 0."),
	},
	{
		IN_CLUSTER(listen_pid), .name = "listen-pid", .type = OPT_BOOL,
		.fallback = "yes", .change = CHANGE_ROLL,
		.help = "set LISTEN_PID",
		.manual = MANUAL("Whether\n"
			".Ev LISTEN_PID\n"
			"is set.\n"
			"Leave it out for a program behind a wrapper that "
			"forks, if the program does not insist on it."),
	},
	{
		IN_CLUSTER(intercept), .name = "intercept",
		.type = OPT_CHOICE, .choices = intercepts, .fallback = "auto",
		.argument = "when", .change = CHANGE_ROLL, .common = true,
		.help = "take over the port of a server that binds by itself",
		.manual = MANUAL("Whether a worker that opens its port by itself "
			"shares it with the others, see\n"
			".Xr nclust-intercept 7 .\n"
			".Cm auto\n"
			"does so where the kernel lets it, and says where it "
			"does not;\n"
			"with\n"
			".Cm on\n"
			"no worker is started then;\n"
			".Cm off\n"
			"leaves the workers' system calls alone."),
	},
	{
		IN_CLUSTER(balance), .name = "balance", .type = OPT_CHOICE,
		.choices = balances, .fallback = "auto",
		.argument = "way", .change = CHANGE_ROLL,
		.help = "how connections are spread over the workers",
		.manual = MANUAL("How connections are spread.\n"
			".Cm auto\n"
			"is\n"
			".Cm share :\n"
			"one socket that all workers accept from.\n"
			"With\n"
			".Cm rr\n"
			"(Node programs alone, see\n"
			".Xr nclust-node 7 )\n"
			"nclust accepts, and hands each connection to the next "
			"worker in turn."),
	},
	{
		IN_CLUSTER(sticky), .name = "sticky", .type = OPT_CHOICE,
		.choices = stickies, .fallback = "off", .argument = "what",
		.change = CHANGE_ROLL,
		.help = "what keeps a client at its worker, with balance = rr",
		.manual = MANUAL("With\n"
			".Cm client-address\n"
			"all connections from one address go to the same "
			"worker, as long as that one lives; it takes\n"
			".Ic balance = rr\n"
			".Pq which is so by itself then ."),
	},
	{
		IN_CLUSTER(accept), .name = "accept", .type = OPT_BOOL,
		.fallback = "no", .change = CHANGE_RESTART,
		.help = "run the command once for each connection",
		.manual = MANUAL("Accept the connections, and run the command once "
			"for each, with the connection as its standard input "
			"and output, see\n"
			".Xr nclust-accept 7 .\n"
			"No more than\n"
			".Cm workers\n"
			"run at once;\n"
			".Cm auto\n"
			"is 32 then."),
	},
	{
		IN_CLUSTER(accept_per_address), .name = "accept-per-address",
		.type = OPT_COUNT, .least = 1, .most = WORKERS_MAX,
		.word = "off", .fallback = "off", .argument = "count",
		.change = CHANGE_LIVE,
		.help = "accept: most connections at once of one address",
		.manual = MANUAL("With\n"
			".Cm accept ,\n"
			"a connection from an address that has this many "
			"already is closed at once."),
	},
	{
		IN_CLUSTER(accept_timeout), .name = "accept-timeout",
		.type = OPT_DURATION, .least = 100 * MSEC, .most = 8760LL * HOUR,
		.word = "off", .fallback = "off", .argument = "time",
		.change = CHANGE_LIVE,
		.help = "accept: how long the process of a connection may run",
		.manual = MANUAL("With\n"
			".Cm accept ,\n"
			"a process that has run for this long gets the stop "
			"signal, and\n"
			".Dv SIGKILL\n"
			"if it does not end."),
	},
	{
		IN_CLUSTER(directory), .name = "directory", .type = OPT_PATH,
		.unset = "inherited", .argument = "path", .example = "/",
		.change = CHANGE_ROLL, .common = true,
		.help = "directory that the workers start in",
		.manual = MANUAL("The directory that the workers start in, inside of\n"
			".Cm chroot\n"
			"if that is given."),
	},
	{
		IN_CLUSTER(user), .name = "user", .type = OPT_USER,
		.unset = "inherited", .argument = "user",
		.example = "daemon", .change = CHANGE_ROLL, .common = true,
		.help = "user that the workers run as",
		.manual = MANUAL("The user that the workers run as, with all groups "
			"of that user.\n"
			"A number is written\n"
			".Ql #1000 ."),
	},
	{
		IN_CLUSTER(group), .name = "group", .type = OPT_GROUP,
		.unset = "the user's", .argument = "group",
		.example = "daemon", .change = CHANGE_ROLL,
		.help = "group that the workers run as",
		.manual = MANUAL("The group that the workers run as.\n"
			"A number is written\n"
			".Ql #1000 ."),
	},
	{
		IN_CLUSTER(umask), .name = "umask", .type = OPT_UMASK,
		.unset = "inherited", .argument = "octal", .example = "022",
		.change = CHANGE_ROLL,
		.help = "file mode mask of the workers",
		.manual = MANUAL("The file mode mask of the workers, in octal."),
	},
	{
		IN_CLUSTER(nice), .name = "nice", .type = OPT_NICE,
		.unset = "inherited", .argument = "number", .example = "5",
		.change = CHANGE_ROLL,
		.help = "scheduling priority, -20 to 19",
		.manual = MANUAL("The scheduling priority, from -20 (first) to 19 "
			"(last)."),
	},
	{
		IN_CLUSTER(env), .name = "env", .type = OPT_ENV,
		.unset = "none", .argument = "name=value",
		.example = "MODE=production", .change = CHANGE_ROLL,
		.repeatable = true, .common = true,
		.help = "set an environment variable",
		.manual = MANUAL("Set an environment variable.\n"
			"The value is everything behind the\n"
			".Ql = ,\n"
			"quotes included."),
	},
	{
		IN_CLUSTER(env_file), .name = "env-file", .type = OPT_PATHS,
		.unset = "none", .argument = "path",
		.example = "/etc/shop.env", .change = CHANGE_ROLL,
		.repeatable = true,
		.help = "set the variables of a file of NAME=value lines",
		.manual = MANUAL("Set the environment variables of a file, one\n"
			".Ql NAME=value\n"
			"a line.\n"
			"What\n"
			".Cm env\n"
			"says overrules it."),
	},
	{
		IN_CLUSTER(clear_env), .name = "clear-env", .type = OPT_BOOL,
		.fallback = "no", .change = CHANGE_ROLL,
		.help = "start from an empty environment",
		.manual = MANUAL("Do not hand nclust's own environment down."),
	},
	{
		IN_CLUSTER(chroot), .name = "chroot", .type = OPT_PATH,
		.unset = "none", .argument = "path", .example = "/srv/shop",
		.change = CHANGE_ROLL,
		.help = "root directory of the workers",
		.manual = MANUAL("The root directory of the workers.\n"
			"Not possible with\n"
			".Cm ready Ns = Ns Cm notify ."),
	},
	{
		IN_CLUSTER(no_new_privs), .name = "no-new-privs",
		.type = OPT_BOOL, .fallback = "no", .change = CHANGE_ROLL,
		.help = "workers gain no privilege by set-user-id programs",
		.manual = MANUAL("Keep the workers from gaining privileges by\n"
			".Xr execve 2 ."),
	},
	{
		IN_CLUSTER(capabilities), .name = "capabilities",
		.type = OPT_CAPABILITIES, .unset = "inherited",
		.argument = "names", .example = "net_bind_service",
		.change = CHANGE_ROLL,
		.help = "keep these capabilities and no others, or none",
		.manual = MANUAL("The capabilities that the workers keep, by name, "
			"or\n"
			".Cm none .\n"
			"All others leave every set.\n"
			"See\n"
			".Xr capabilities 7 ."),
	},
	LIMIT("as", AS, true, "4G", "limit of the address space",
		"The address space, in bytes.\n"
		"For this and the following limits see\n"
		".Xr setrlimit 2 :\n"
		"one value for both, or\n"
		".Ar soft Ns \\&: Ns Ar hard ,\n"
		"or\n"
		".Cm infinity ."),
	LIMIT("core", CORE, true, "0", "limit of core files",
		"The size of a core file, in bytes."),
	LIMIT("cpu", CPU, false, "3600", "limit of CPU time",
		"CPU time, in seconds."),
	LIMIT("data", DATA, true, "1G", "limit of the data segment",
		"The data segment, in bytes."),
	LIMIT("fsize", FSIZE, true, "1G", "limit of written files",
		"The size of a written file, in bytes."),
	LIMIT("locks", LOCKS, false, "1000", "limit of file locks",
		"The number of file locks."),
	LIMIT("memlock", MEMLOCK, true, "64k", "limit of locked memory",
		"Locked memory, in bytes."),
	LIMIT("msgqueue", MSGQUEUE, true, "800k",
		"limit of POSIX message queues",
		"POSIX message queues, in bytes."),
	LIMIT("nice", NICE, false, "20", "limit of the nice value",
		"How far the nice value may be lowered: 20 minus this."),
	LIMIT("nofile", NOFILE, false, "1024:4096", "limit of open files",
		"The number of open files."),
	LIMIT("nproc", NPROC, false, "1000", "limit of the user's processes",
		"The number of processes of the user."),
	LIMIT("rss", RSS, true, "1G", "limit of resident memory",
		"Resident memory, in bytes; the kernel ignores it."),
	LIMIT("rtprio", RTPRIO, false, "0", "limit of real-time priority",
		"The real-time priority."),
	LIMIT("rttime", RTTIME, false, "200000", "limit of real-time CPU time",
		"CPU time of a real-time process, in microseconds."),
	LIMIT("sigpending", SIGPENDING, false, "1000",
		"limit of queued signals", "The number of queued signals."),
	LIMIT("stack", STACK, true, "8M", "limit of the stack",
		"The stack, in bytes."),
	{
		IN_CLUSTER(cpu), .name = "cpu", .type = OPT_CHOICE,
		.choices = cpu_modes, .fallback = "none", .argument = "way",
		.change = CHANGE_ROLL,
		.help = "spread: pin slot i to the i-th CPU",
		.manual = MANUAL(".Cm spread\n"
			"pins slot\n"
			".Ar i\n"
			"to CPU\n"
			".Ar i\n"
			"of those that may be used.\n"
			"With\n"
			".Cm threads Ns = Ns Ar N\n"
			"it is that many CPUs, with\n"
			".Cm threads Ns = Ns Cm auto\n"
			"the slot's share of all of them."),
	},
	{
		IN_CLUSTER(threads), .name = "threads", .type = OPT_THREADS,
		.fallback = "off", .argument = "count", .change = CHANGE_ROLL,
		.help = "threads that a worker shall compute with, or auto",
		.manual = MANUAL("How many threads each worker shall compute with: "
			"a number, or\n"
			".Cm auto\n"
			"for the CPUs divided by the workers, at least one.\n"
			"It is told to the common runtimes by variables that "
			"the user has not set; see\n"
			".Xr nclust-threads 7 ."),
	},
	{
		IN_CLUSTER(shared_memory), .name = "shared-memory",
		.type = OPT_SHARED_MEMORY, .fallback = "off",
		.argument = "size", .change = CHANGE_ROLL,
		.help = "memory that all workers can map: 64M, or 64M, huge",
		.manual = MANUAL("A segment of memory of this size, rounded up to "
			"whole pages, that each worker can map: its "
			"descriptor is\n"
			".Ev NCLUST_SHM_FD ,\n"
			"its size\n"
			".Ev NCLUST_SHM_SIZE .\n"
			"With\n"
			".Cm \\&, huge\n"
			"it is of huge pages, and nclust does not start, or a "
			"reload is refused, where not enough of them are free; "
			"with\n"
			".Cm \\&, huge=try\n"
			"ordinary ones are used then.\n"
			"See\n"
			".Xr nclust-memory 7 ."),
	},
	{
		IN_CLUSTER(ready), .name = "ready", .type = OPT_READY,
		.fallback = "auto", .argument = "when", .change = CHANGE_LIVE,
		.common = true,
		.help = "auto, notify, listen, alive:TIME, tcp, http:, exec:",
		.manual = MANUAL("When a worker is ready: when it says so by\n"
			".Xr sd_notify 3\n"
			".Pq Cm notify ,\n"
			"when it calls\n"
			".Xr listen 2\n"
			".Pq Cm listen ,\n"
			"one that replaces another on all that this one "
			"listens on, see\n"
			".Xr nclust-intercept 7 ,\n"
			"once it has been alive for a time\n"
			".Pq Cm alive:1s ,\n"
			"or once it answers:\n"
			".Cm tcp\n"
			"connects to its first listener,\n"
			".Cm http:/health\n"
			"asks there for that path and wants a status from 200 "
			"to 399,\n"
			".Cm exec:\\& Ns Ar command\n"
			"runs a command, without a shell, and wants it to exit "
			"with 0.\n"
			"These are tried again and again until one try "
			"succeeds or\n"
			".Cm start-timeout\n"
			"is over.\n"
			".Cm auto\n"
			"is the first if a worker of this command ever said "
			"it;\n"
			"else the second if one was ever seen to listen;\n"
			"else listening, or\n"
			".Cm alive:1s .\n"
			"Where only some workers of a cluster listen, write\n"
			".Cm alive:1s ,\n"
			"or make the others a cluster of their own."),
	},
	{
		IN_CLUSTER(start_timeout), .name = "start-timeout",
		.type = OPT_DURATION, .least = MSEC, .most = 24 * HOUR,
		.fallback = "60s", .argument = "time", .change = CHANGE_LIVE,
		.help = "a worker that is not ready by then has failed",
		.manual = MANUAL("A worker that is not ready by then has failed."),
	},
	{
		IN_CLUSTER(check), .name = "check", .type = OPT_PROBE,
		.fallback = "off", .argument = "probe",
		.change = CHANGE_LIVE,
		.help = "ask ready workers: tcp, http:/PATH or exec:CMD",
		.manual = MANUAL("Ask every ready worker again and again whether it "
			"is well, and replace one that is not.\n"
			".Cm tcp\n"
			"connects to its first listener;\n"
			".Cm http:/health\n"
			"asks there for that path and wants a status from 200 "
			"to 399;\n"
			".Cm exec:\\& Ns Ar command\n"
			"runs a command, without a shell, and wants it to exit "
			"with 0.\n"
			"Where workers share a socket, the one that is free "
			"takes the connection; what becomes of it counts for "
			"that worker.\n"
			"One that takes none is looked at from outside.\n"
			"In the file a\n"
			".Ql ;\\&\n"
			"behind a blank is refused here."),
	},
	{
		IN_CLUSTER(check_interval), .name = "check-interval",
		.type = OPT_DURATION, .least = 10 * MSEC, .most = 24 * HOUR,
		.fallback = "10s", .argument = "time", .change = CHANGE_LIVE,
		.help = "time from one check of a worker to its next",
		.manual = MANUAL("The time from one\n"
			".Cm check\n"
			"of a worker to its next."),
	},
	{
		IN_CLUSTER(check_timeout), .name = "check-timeout",
		.type = OPT_DURATION, .least = 10 * MSEC, .most = HOUR,
		.fallback = "5s", .argument = "time", .change = CHANGE_LIVE,
		.help = "a check without an answer by then has failed",
		.manual = MANUAL("A\n"
			".Cm check\n"
			"without an answer by then has failed."),
	},
	{
		IN_CLUSTER(check_failures), .name = "check-failures",
		.type = OPT_COUNT, .least = 1, .most = 1000, .fallback = "3",
		.argument = "count", .change = CHANGE_LIVE,
		.help = "this many failed checks in a row end a worker",
		.manual = MANUAL("This many failed checks of a worker, one after the "
			"other, and it is replaced."),
	},
	{
		IN_CLUSTER(watchdog), .name = "watchdog",
		.type = OPT_DURATION, .least = 10 * MSEC, .most = 24 * HOUR,
		.word = "off", .fallback = "off", .argument = "time",
		.change = CHANGE_ROLL,
		.help = "a worker must say WATCHDOG=1 within this time",
		.manual = MANUAL("A worker that does not say\n"
			".Li WATCHDOG=1\n"
			"by\n"
			".Xr sd_notify 3\n"
			"at least this often is hung: it gets\n"
			".Dv SIGABRT ,\n"
			"for a core dump, and is replaced.\n"
			"For programs that know it; they find the time in\n"
			".Ev WATCHDOG_USEC ."),
	},
	{
		IN_CLUSTER(stall), .name = "stall", .type = OPT_DURATION,
		.least = 100 * MSEC, .most = 24 * HOUR,
		.word = "off", .fallback = "off", .argument = "time",
		.change = CHANGE_LIVE,
		.help = "a worker that leaves requests lie so long is hung",
		.manual = MANUAL("A worker that has requests to answer and has made "
			"no progress for this long is hung, and is replaced.\n"
			"It needs nothing from the program: nclust looks at "
			"the worker's connections from outside.\n"
			"Choose more than the longest time that an answer may "
			"take."),
	},
	{
		IN_CLUSTER(request_timeout), .name = "request-timeout",
		.type = OPT_DURATION, .least = SECOND, .most = 24 * HOUR,
		.word = "off", .fallback = "off", .argument = "time",
		.change = CHANGE_LIVE,
		.help = "a worker that owes an answer for so long is replaced",
		.manual = MANUAL("A worker that has not begun to answer a request for "
			"this long hangs: its successor is started first, and "
			"then it is ended.\n"
			"It needs nothing from the program, and reports what "
			"the worker did; see\n"
			".Xr nclust-health 7 .\n"
			"Choose more than the longest time that an answer may "
			"take."),
	},
	{
		IN_CLUSTER(hang_signal), .name = "hang-signal",
		.type = OPT_CHOICE, .choices = hang_signals, .fallback = "off",
		.argument = "signal", .change = CHANGE_LIVE,
		.help = "sent to one that hangs, 2 s before its stop signal",
		.manual = MANUAL("A worker that is ended by\n"
			".Cm request-timeout\n"
			"gets this signal first, and two seconds to write down "
			"what it was doing: on\n"
			".Cm QUIT\n"
			"Java and Go print the stacks of their threads."),
	},
	{
		IN_CLUSTER(max_memory), .name = "max-memory",
		.type = OPT_MEMORY_LIMIT, .least = 1 << 20, .most = 1LL << 60,
		.word = "off", .fallback = "off", .argument = "size",
		.change = CHANGE_LIVE,
		.help = "replace a worker whose memory is above this",
		.manual = MANUAL("A worker whose resident memory is above this, such "
			"as\n"
			".Ql 512M ,\n"
			"is replaced as in a rolling restart, the new one "
			"first; one worker at a time.\n"
			"With\n"
			".Ql 512M for 30s\n"
			"only a worker whose memory was above it at each look "
			"for that long is replaced, so that a short peak is "
			"no reason."),
	},
	{
		IN_CLUSTER(max_age), .name = "max-age", .type = OPT_DURATION,
		.least = SECOND, .most = 8760LL * HOUR,
		.word = "off", .fallback = "off", .argument = "time",
		.change = CHANGE_LIVE,
		.help = "replace a worker that is older than this",
		.manual = MANUAL("A worker older than this is replaced as in a "
			"rolling restart, the new one first; one worker at a "
			"time.\n"
			"Each worker's own limit is up to 10 % more or less, "
			"so that those that started together part."),
	},
	{
		IN_CLUSTER(stop), .name = "stop-signal",
		.type = OPT_STOP_SIGNAL, .fallback = "TERM",
		.argument = "signals", .change = CHANGE_LIVE,
		.help = "how a worker is asked to stop: TERM, QUIT:10s TERM:5s",
		.manual = MANUAL("The signal that asks a worker to stop, or several "
			"with the time to wait behind each:\n"
			".Ql QUIT:10s TERM:5s .\n"
			"After the last,\n"
			".Dv SIGKILL\n"
			"goes to the whole process group."),
	},
	{
		IN_CLUSTER(stop_timeout), .name = "stop-timeout",
		.type = OPT_DURATION, .least = 0, .most = 24 * HOUR,
		.fallback = "30s", .argument = "time", .change = CHANGE_LIVE,
		.common = true,
		.help = "grace between the stop signal and SIGKILL",
		.manual = MANUAL("How long to wait after a stop signal that has no "
			"time of its own.\n"
			"In a container grant nclust at least this and\n"
			".Cm drain-timeout :\n"
			"container runtimes kill it after 10 s unless\n"
			".Ql docker stop -t\n"
			"or\n"
			".Ql terminationGracePeriodSeconds\n"
			"says otherwise."),
	},
	{
		IN_CLUSTER(backoff_min), .name = "backoff-min",
		.type = OPT_DURATION, .least = MSEC, .most = 24 * HOUR,
		.fallback = "100ms", .argument = "time",
		.change = CHANGE_LIVE,
		.help = "wait before a worker that died is started again",
		.manual = MANUAL("A worker that was ready and dies is replaced at "
			"once, so that a request that kills does not take "
			"the service down.\n"
			"After each further death, however long each worker "
			"lived, the slot waits: this long, then twice as "
			"long each time, until a worker has been ready for "
			"a minute.\n"
			"After one that was never ready it always waits."),
	},
	{
		IN_CLUSTER(backoff_max), .name = "backoff-max",
		.type = OPT_DURATION, .least = MSEC, .most = 24 * HOUR,
		.fallback = "30s", .argument = "time", .change = CHANGE_LIVE,
		.help = "longest such wait",
		.manual = MANUAL("The longest that a slot waits."),
	},
	{
		IN_CLUSTER(backoff_jitter), .name = "backoff-jitter",
		.type = OPT_PERCENT, .fallback = "20%", .argument = "share",
		.change = CHANGE_LIVE,
		.help = "random part of it, so that slots part",
		.manual = MANUAL("How much of each wait is random, so that the slots "
			"do not start all at once."),
	},
	{
		IN_CLUSTER(stable_after), .name = "stable-after",
		.type = OPT_DURATION, .least = 0, .most = 24 * HOUR,
		.fallback = "1s", .argument = "time", .change = CHANGE_LIVE,
		.help = "ready for this long and a minute: deaths are forgotten",
		.manual = MANUAL("A slot forgets earlier deaths when a worker was "
			"ready for this long, and for at least a minute: the "
			"next death is replaced at once, and the waits begin "
			"anew.\n"
			"One that the kernel killed for memory is replaced "
			"50 ms later, when its memory is free."),
	},
	{
		IN_CLUSTER(restart), .name = "restart", .type = OPT_CHOICE,
		.choices = restarts, .fallback = "always",
		.argument = "policy", .change = CHANGE_LIVE,
		.help = "which ends are followed by a new start",
		.manual = MANUAL("Whether a worker that ended is started again:\n"
			".Cm always ,\n"
			".Cm on-failure\n"
			"(see\n"
			".Cm success-exit )\n"
			"or\n"
			".Cm never ."),
	},
	{
		IN_CLUSTER(success_exit), .name = "success-exit",
		.type = OPT_EXITS, .fallback = "0", .argument = "statuses",
		.change = CHANGE_LIVE,
		.help = "exit statuses that are no failure: 0 3 10-12",
		.manual = MANUAL("The exit statuses that count as success, such as\n"
			".Ql 0 3 10-12 ."),
	},
	{
		IN_CLUSTER(give_up_count), .name = "give-up",
		.type = OPT_GIVE_UP, .fallback = "never",
		.argument = "count/time", .change = CHANGE_LIVE,
		.help = "stop the cluster after so many deaths: 5/1m",
		.manual = MANUAL("Stop the cluster after that many deaths in that "
			"time, such as\n"
			".Ql 5/1m ,\n"
			"or\n"
			".Cm never .\n"
			"When no cluster is left, nclust exits with 1."),
	},
	{
		IN_CLUSTER(drain), .name = "drain", .type = OPT_CHOICE,
		.choices = drains, .fallback = "auto", .argument = "way",
		.change = CHANGE_LIVE,
		.help = "how an old worker is emptied before it is stopped",
		.manual = MANUAL("How a worker that is replaced, or one too many, is "
			"emptied, so that no request is lost with it.\n"
			".Cm signal\n"
			"sends the stop signal at once and gives the worker "
			"time for what it is at: for servers that finish "
			"their requests then.\n"
			".Cm quiet\n"
			"is for those that die of the signal: nclust looks at "
			"the worker's connections from outside, freezes it "
			"when no request is in it, looks again, and ends it "
			"only if that is still so.\n"
			"Where a worker is never quiet as a whole, its "
			"connections are ended one by one, each at a quiet "
			"moment of its own.\n"
			".Cm auto\n"
			"is\n"
			".Cm signal\n"
			"for a command whose workers were seen to answer, "
			"after the stop signal, what they had been asked "
			"before, and\n"
			".Cm quiet\n"
			"for all others: a server that finishes its requests "
			"loses nothing by it but a little time.\n"
			".Cm off\n"
			"sends the signal at once and looks at nothing: for "
			"workers without clients."),
	},
	{
		IN_CLUSTER(drain_timeout), .name = "drain-timeout",
		.type = OPT_DURATION, .least = 0, .most = 24 * HOUR,
		.fallback = "30s", .argument = "time", .change = CHANGE_LIVE,
		.help = "a worker not empty by then is stopped all the same",
		.manual = MANUAL("A worker that is not empty by then is stopped all "
			"the same, and nclust tells which connections were "
			"still busy.\n"
			"With\n"
			".Cm drain Ns = Ns Cm signal\n"
			"it is the least time behind the stop signal."),
	},
	{
		IN_CLUSTER(surge), .name = "surge", .type = OPT_COUNT,
		.least = 0, .most = WORKERS_MAX, .word = "all",
		.word_value = WORKERS_MAX, .fallback = "1",
		.argument = "count", .change = CHANGE_LIVE,
		.help = "rolling restart: so many more than wanted, or all",
		.manual = MANUAL("How many workers more than wanted there may be in "
			"a rolling restart.\n"
			"With\n"
			".Cm all\n"
			"every new worker is started and ready before the "
			"first old one is stopped."),
	},
	{
		IN_CLUSTER(max_unavailable), .name = "max-unavailable",
		.type = OPT_COUNT, .least = 0, .most = WORKERS_MAX,
		.fallback = "0", .argument = "count", .change = CHANGE_LIVE,
		.help = "rolling restart: how many fewer",
		.manual = MANUAL("How many fewer than wanted may be ready in a "
			"rolling restart."),
	},
	{
		IN_CLUSTER(canary), .name = "canary", .type = OPT_COUNT,
		.least = 0, .most = WORKERS_MAX, .fallback = "0",
		.argument = "count", .change = CHANGE_LIVE,
		.help = "rolling restart: replace so many first, as a trial",
		.manual = MANUAL("A rolling restart replaces this many workers first "
			"and watches them for the time of\n"
			".Cm bake .\n"
			"If one of them dies or fails a check meanwhile, the "
			"old ones come back and the restart has failed; else "
			"the other workers follow."),
	},
	{
		IN_CLUSTER(bake), .name = "bake", .type = OPT_DURATION,
		.least = 0, .most = 24 * HOUR, .word = "auto",
		.word_value = BAKE_AUTO, .fallback = "auto",
		.argument = "time", .change = CHANGE_LIVE,
		.help = "how long the first new workers are watched",
		.manual = MANUAL("How long a rolling restart watches the first new "
			"workers (\n"
			".Cm canary ,\n"
			"at least one) beside the old ones, which go on "
			"serving, before the others follow.\n"
			"With\n"
			".Cm auto\n"
			"it is the time of\n"
			".Cm stable-after\n"
			"where it is guessed that a worker is ready (\n"
			".Cm listen , alive , tcp ) ,\n"
			"and nothing where the program says it (\n"
			".Cm notify , http , exec ) .\n"
			"With 0s the others follow once the first are ready."),
	},
	{
		IN_CLUSTER(old_generations), .name = "old-generations",
		.type = OPT_COUNT, .least = 1, .most = 100, .fallback = "2",
		.argument = "count", .change = CHANGE_LIVE,
		.help = "how many old generations may still be stopping",
		.manual = MANUAL("No more than this many old generations are alive; "
			"the oldest is stopped first."),
	},
	{
		IN_CLUSTER(signals), .name = "signal-NAME",
		.type = OPT_SIGNAL_RULE, .unset = "as in nclust(1)",
		.argument = "deed", .example = "restart",
		.change = CHANGE_LIVE, .repeatable = true,
		.help = "what a signal that nclust receives does",
		.manual = MANUAL("What a signal that nclust receives does, such as\n"
			".Ql signal-USR1 = restart :\n"
			"it goes to the\n"
			".Cm next\n"
			"worker in turn, to\n"
			".Cm all ,\n"
			"or to the\n"
			".Cm first ;\n"
			"or nclust will\n"
			".Cm restart , reload , stop , upgrade\n"
			"(itself), or\n"
			".Cm ignore\n"
			"it.\n"
			".Ql signal-TERM = TERM->QUIT\n"
			"gives the workers another signal than the one "
			"received.\n"
			"Every signal can have a rule but\n"
			".Dv KILL , STOP , CHLD , PIPE , WINCH ,\n"
			"and\n"
			".Dv SEGV , BUS , ILL , FPE , TRAP , ABRT\n"
			"and\n"
			".Dv SYS ,\n"
			"which a crash of nclust itself would raise."),
	},
	{
		IN_CLUSTER(hooks), .name = "on-EVENT", .type = OPT_HOOK,
		.unset = "none", .argument = "command",
		.example = "/usr/local/bin/tell --cluster web",
		.change = CHANGE_LIVE, .repeatable = true,
		.help = "a command to run when something has happened",
		.manual = MANUAL("A command that is run when something has happened, "
			"without a shell, its facts in the environment.\n"
			"nclust does not wait for it.\n"
			"The events:\n"
			".Cm on-ready ,\n"
			"a worker became ready;\n"
			".Cm on-exit ,\n"
			"a worker ended, for whatever reason;\n"
			".Cm on-crash ,\n"
			"a worker ended unasked;\n"
			".Cm on-rollout ,\n"
			"a rolling restart began, is done, failed or gave way "
			"to another;\n"
			".Cm on-scale ,\n"
			"another number of workers is wanted;\n"
			".Cm on-stop ,\n"
			"the cluster begins to stop;\n"
			".Cm on-hang ,\n"
			"a worker exceeds\n"
			".Cm request-timeout ,\n"
			"and lives yet.\n"
			"In the file a\n"
			".Ql ;\\&\n"
			"behind a blank is refused here."),
	},
	{
		IN_CLUSTER(log), .name = "log", .type = OPT_CHOICE,
		.choices = log_modes, .fallback = "auto",
		.argument = "where", .change = CHANGE_ROLL, .common = true,
		.help = "the workers' output: auto, inherit, prefix, off",
		.manual = MANUAL("Where the workers' output goes:\n"
			".Cm prefix\n"
			"puts cluster and slot before each line,\n"
			".Cm off\n"
			"drops it.\n"
			".Cm auto\n"
			"is\n"
			".Cm prefix\n"
			"on a terminal; elsewhere it passes on every byte as\n"
			"it is, and reads it on the way, so that\n"
			".Cm status\n"
			"can say what a worker said last.\n"
			"A worker waits if the reader is slow; what nobody\n"
			"reads any more is dropped.\n"
			".Cm inherit\n"
			"gives the workers the standard output and error of\n"
			".Nm nclust\n"
			"itself: for a program that seeks in it, or to have\n"
			"the worker's own\n"
			".Li _PID\n"
			"in the journal.\n"
			"Such output is not read: when a worker fails,\n"
			".Cm status\n"
			"then says how it ended, and not what it said last."),
	},
	{
		IN_CLUSTER(orphans), .name = "orphans", .type = OPT_CHOICE,
		.choices = orphans, .fallback = "stop", .argument = "deed",
		.change = CHANGE_ROLL,
		.help = "what becomes of workers when nclust is killed",
		.manual = MANUAL("What becomes of the workers when nclust itself is "
			"killed, by\n"
			".Dv SIGKILL\n"
			"or by a fault of its own:\n"
			"with\n"
			".Cm stop\n"
			"they die with it;\n"
			"with\n"
			".Cm keep\n"
			"they serve on, and the next nclust of that name takes "
			"them over, with their sockets."),
	},
	{
		IN_CLUSTER(ipc), .name = "ipc", .type = OPT_CHOICE,
		.choices = ipcs, .fallback = "auto", .argument = "mode",
		.change = CHANGE_ROLL,
		.help = "a message channel for each worker",
		.manual = MANUAL("Give each worker a message channel:\n"
			"with\n"
			".Cm auto\n"
			"to Node programs alone, as Node's own cluster would;\n"
			"with\n"
			".Cm on\n"
			"to all, those of Node that of Node and the others one "
			"of lines of JSON\n"
			".Pq Ev NCLUST_CHANNEL_FD ;\n"
			"with\n"
			".Cm off\n"
			"to none.\n"
			"See\n"
			".Xr nclust-messages 7 ."),
	},
	{
		IN_CLUSTER(relay), .name = "relay", .type = OPT_NAME,
		.unset = "off", .argument = "whither", .example = "others",
		.change = CHANGE_LIVE,
		.help = "who else gets the messages that workers send",
		.manual = MANUAL("Pass what a worker sends on its message channel "
			"on to the\n"
			".Cm others\n"
			"of its cluster, or to all workers of another cluster, "
			"by its name;\n"
			"with\n"
			".Cm off\n"
			"to nobody.\n"
			"See\n"
			".Xr nclust-messages 7 ."),
	},
};
/* clang-format on */

const size_t option_count = COUNT_OF(option_rows);

static bool is_in(const struct option_row *row, const char *section)
{
	return section == NULL || option_is_of(row, section);
}

const char *option_key(const struct option_row *row, size_t n)
{
	if (row->type == OPT_HOOK)
		return n < COUNT_OF(hooks) ? hooks[n] : NULL;
	if (n > 0)
		return NULL;
	return row->type == OPT_SIGNAL_RULE ? "signal-USR1" : row->name;
}

/* Is it a key of the row, and which one of a family? */
static bool is_key(const struct option_row *row, const char *name, int *member)
{
	const char *key;

	if (row->type == OPT_SIGNAL_RULE) {
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

const struct option_row *option_find(
	const char *section, const char *name, int *member)
{
	*member = 0;
	for (size_t i = 0; i < option_count; i++) {
		const struct option_row *row = &option_rows[i];

		if (!is_in(row, section))
			continue;
		if (is_key(row, name, member))
			return row;
	}
	return NULL;
}

const struct option_row *option_find_letter(char letter)
{
	for (size_t i = 0; i < option_count; i++)
		if (option_rows[i].letter != 0 &&
			option_rows[i].letter == letter)
			return &option_rows[i];
	return NULL;
}

const char *option_nearest(const char *section, const char *name)
{
	const char *names[COUNT_OF(option_rows) + COUNT_OF(hooks)];
	size_t count = 0;

	for (size_t i = 0; i < option_count; i++)
		if (is_in(&option_rows[i], section) &&
			option_rows[i].type != OPT_HOOK)
			names[count++] = option_rows[i].name;
	for (size_t i = 0; i < COUNT_OF(hooks); i++)
		if (section == NULL || strcmp(section, "cluster") == 0)
			names[count++] = hooks[i];
	return text_nearest(name, names, count);
}
