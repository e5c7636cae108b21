/* SPDX-License-Identifier: MIT */
#include "cli/commands.h"

#include "base/log.h"
#include "base/scope.h"
#include "cli/verb.h"
#include "os/privilege.h"

#include <string.h>
#include <sysexits.h>

#define OPTIONS_ASK (OPTION_JSON | OPTION_RUNTIME | OPTION_HELP)
#define OPTIONS_CHANGE (OPTIONS_ASK | OPTION_NO_WAIT)

const struct verb verbs[] = {
	{
		.name = "status",
		.help = "state of every worker",
		.manual = "Shows clusters, listeners and workers of one instance or, without a "
			  "target, of all that run. Where something does not run it says why, and "
			  "the last lines are commands to try next. RESTARTS counts the times "
			  "that the slot had to be filled again after an unexpected end. LAST "
			  "EXIT is the last such end; it also shows workers that were replaced "
			  "because they failed a check, stood still or used more than "
			  "max-memory, which RESTARTS does not count. Below a worker "
			  "stands what it waits for, or says of itself. MEM and "
			  "CPU% are of all processes of a worker. No line is wider than the "
			  "terminal, or than COLUMNS, or 80. Where a cluster has more than 16 "
			  "workers, or all of them do not fit on the screen, neighbours that are "
			  "alike share a line, with the age of the youngest and the sums of the "
			  "rest; with --all each worker has a line. Exits 0 if all wanted workers "
			  "are ready, 1 if some are or one of several instances does not answer, "
			  "2 if none is, 3 if there is no such instance. A job that has ended "
			  "with success waits for its next run, and counts as ready.",
		.options = OPTIONS_ASK | OPTION_WATCH | OPTION_EACH,
		.words = WORDS_TARGET,
		.run = verb_status,
	},
	{
		.name = "top",
		.help = "watch it live, and act",
		.manual = "Draws what status shows on the terminal, anew each second, with bars, "
			  "and below it what has happened. It can sort by a column, show only "
			  "what contains a text, and group workers that are alike as status does. "
			  "A selected cluster or worker can be restarted, stopped or scaled, "
			  "after a question, and its output can be read as it comes; ? lists the "
			  "keys. CPU% is measured since the last look. If nclust ends, or is "
			  "replaced, it connects again. Needs the package libncursesw6. status "
			  "--watch is the same.",
		.options = OPTION_RUNTIME | OPTION_HELP,
		.words = WORDS_TARGET,
		.run = verb_top,
	},
	{
		.name = "logs",
		.help = "what workers have written",
		.manual = "Prints the latest lines of each slot in the order of their time, also "
			  "those of workers that have exited, and with -f the lines that follow. "
			  "At most 52 KiB of each slot are kept. An upgrade keeps them, and so "
			  "does orphans = keep if nclust is killed. If there is very much at once "
			  "only the last lines are kept, and a line says how many are missing. "
			  "With log = inherit nothing is kept, and nclust says what to set. With "
			  "--json each line is an object. TIME is written as for events. Output "
			  "may hold secrets: members of control-group can read it, too.",
		.options = OPTIONS_ASK | OPTION_FOLLOW | OPTION_LINES | OPTION_SINCE |
			OPTION_STDERR | OPTION_GREP,
		.words = WORDS_TARGET,
		.method = METHOD_LOGS,
		.run = verb_logs,
	},
	{
		.name = "events",
		.help = "what has happened",
		.manual = "Prints what the instance remembers, one event a line, and with -f the "
			  "events that follow. The latest 120 KiB are kept, which are some "
			  "hundreds of events. An upgrade keeps them, and so does orphans = keep "
			  "if nclust is killed. With --json each line is an object. TIME is a "
			  "time ago such as 10m, a local time such as 05:00 or '2026-11-22 "
			  "05:00', one of RFC 3339, or @ and seconds since 1970. NAME may be a "
			  "cluster that is gone. See nclust-control(7) for the kinds.",
		.options = OPTIONS_ASK | OPTION_FOLLOW | OPTION_LINES | OPTION_SINCE |
			OPTION_CLUSTER | OPTION_KIND,
		.words = WORDS_TARGET,
		.method = METHOD_EVENTS,
		.run = verb_events,
	},
	{
		.name = "config",
		.help = "settings and their origins",
		.manual =
			"Shows the settings of the instance that are in effect and were set, "
			"with --all the others, too, in the form of a file that -c reads. To go "
			"on with a file in place of a command line: nclust config >shop.ini, then "
			"nclust stop, then nclust -d -c shop.ini. With -c it reads a file and "
			"asks no instance; with --check as well it only looks for mistakes, and "
			"warns of programs and files that a start would not find now. A file "
			"with mistakes gives exit status 78.",
		.options = OPTIONS_ASK | OPTION_CHECK | OPTION_FILE | OPTION_DEFAULTS,
		.words = WORDS_TARGET,
		.method = METHOD_CONFIG,
		.run = verb_config,
	},
	{
		.name = "start",
		.help = "start what was stopped",
		.manual = "Starts the workers of a cluster that was stopped, has failed or was "
			  "scaled to 0; without a target, of all such clusters. A cluster that "
			  "runs is left alone. A program that no instance has is run by nclust -n "
			  "auto -- COMMAND, or nclust -c FILE.",
		.options = OPTIONS_CHANGE,
		.words = WORDS_TARGET,
		.method = METHOD_START,
		.run = verb_change,
	},
	{
		.name = "restart",
		.help = "replace workers one by one",
		.manual = "Replaces all workers by new ones: it starts each new worker first, and "
			  "stops the old one only when the new one is ready. It ends at the first "
			  "failure, and the old workers keep serving. The first new worker, or "
			  "the first N with --canary (no more than there are workers), is watched "
			  "beside the old ones for the --bake time; if it fails, the old ones "
			  "stay. --bake 0 leaves that out. "
			  "A release that listens on fewer ports than the one before it needs "
			  "--drop-ports. With a COMMAND, the workers of the cluster run that from "
			  "now on, where the old ones ran; if it fails, the old command stays. A "
			  "later restart or upgrade keeps it, and so does a reload, until another "
			  "command than the one it replaced stands in the file. To undo a release, "
			  "put the previous one back "
			  "in place and restart again. Settings and environment are those that "
			  "nclust has read and was started with: reload reads a changed file, and "
			  "each restart reads an env-file. A variable in front of the verb "
			  "changes nothing: write it into env or an env-file. Called by one of the "
			  "workers, for example in a deploy hook, it does not wait for the end.",
		.options = OPTIONS_CHANGE | OPTION_CANARY | OPTION_BAKE | OPTION_DROP_PORTS,
		.words = WORDS_RESTART,
		.method = METHOD_RESTART,
		.run = verb_change,
	},
	{
		.name = "reload",
		.help = "apply a changed file",
		.manual = "Reads the file again and applies what has changed; it replaces only "
			  "the workers whose settings require that. The whole file is checked "
			  "first. If it has mistakes they are reported with their lines, nothing "
			  "is changed, and the exit status is 78. If workers then fail, it says "
			  "what is in force, and exits 1. It also fails if the file, or "
			  "the users that it names, cannot be looked up within 5 s. A cluster "
			  "that was stopped stays stopped until start, restart or scale.",
		.options = OPTIONS_CHANGE | OPTION_DROP_PORTS,
		.words = WORDS_TARGET,
		.method = METHOD_RELOAD,
		.run = verb_change,
	},
	{
		.name = "scale",
		.help = "more or fewer workers",
		.manual = "Sets the number of workers, or changes it by N; the other workers are "
			  "not touched. 0 parks a cluster until start or another scale, and closes "
			  "a port that its workers opened by themselves; less than 0 is refused. "
			  "The number holds until a reload in which workers has changed.",
		.options = OPTIONS_CHANGE,
		.words = WORDS_COUNT,
		.method = METHOD_SCALE,
		.run = verb_change,
	},
	{
		.name = "upgrade",
		.help = "nclust replaces itself",
		.manual = "Replaces the running nclust by the binary that is now at its path; "
			  "process id, workers, sockets and clients stay. The new binary is tried "
			  "on the real state first: if it cannot take over, nothing changes, and "
			  "the exit status is 1. A rollout that is in progress is waited for.",
		.options = OPTIONS_CHANGE,
		.words = WORDS_TARGET,
		.method = METHOD_UPGRADE,
		.run = verb_change,
	},
	{
		.name = "signal",
		.help = "signal a worker",
		.manual = "Sends SIGNAL to one worker of the cluster, and at the next call to the "
			  "next one. With --all it goes to all of them, and with a slot as the "
			  "target to the worker of that slot. SIGNAL is a name such as USR1, or a "
			  "number.",
		.options = OPTIONS_ASK | OPTION_ALL,
		.words = WORDS_SIGNAL,
		.method = METHOD_SIGNAL,
		.run = verb_change,
	},
	{
		.name = "send",
		.help = "send a worker a message",
		.manual = "Sends JSON, one value on one line, by the message channel (see "
			  "nclust-messages(7)) to one worker of the cluster, and at the next call "
			  "to the next one. With --all it goes to all of them, and with a slot as "
			  "the target to the worker of that slot. Exits 1 if one of these has no "
			  "channel, or no place in its queue.",
		.options = OPTIONS_ASK | OPTION_ALL,
		.words = WORDS_MESSAGE,
		.method = METHOD_SEND,
		.run = verb_change,
	},
	{
		.name = "stop",
		.help = "stop gracefully",
		.manual = "Stops a cluster or, without one, the whole instance, and waits until "
			  "it has ended. Workers finish the requests that they have begun; with "
			  "--now they get no time for that. An instance ends with its last "
			  "cluster.",
		.options = OPTIONS_CHANGE | OPTION_NOW,
		.words = WORDS_TARGET,
		.method = METHOD_STOP,
		.run = verb_change,
	},
	{
		.name = "drain",
		.help = "take this host out of service",
		.manual = "Tells load balancers, by the agent and /readyz, to send nothing new to "
			  "this host; workers serve what still comes. Waits until each load "
			  "balancer that has been asking has asked again, and no connection is in "
			  "use. Idle connections may stay open, and those of a unix socket that a "
			  "worker has made itself are not seen. Exits 75 if that takes longer "
			  "than --timeout. The host stays drained until undrain, even after a "
			  "timeout, Ctrl-C, restart, reload or upgrade; an nclust that is started "
			  "anew is not drained. May be repeated.",
		.options = OPTIONS_CHANGE | OPTION_TIMEOUT,
		.words = WORDS_TARGET,
		.method = METHOD_DRAIN,
		.run = verb_change,
	},
	{
		.name = "undrain",
		.help = "put it back into service",
		.manual = "Ends a drain. Waits until each cluster has a ready worker, or has done "
			  "its work, and the load balancers that have been asking have asked "
			  "again, so that the next host can be drained. Exits 75 if that takes "
			  "longer than --timeout. If the host is not drained it only waits.",
		.options = OPTIONS_CHANGE | OPTION_TIMEOUT,
		.words = WORDS_TARGET,
		.method = METHOD_UNDRAIN,
		.run = verb_change,
	},
	{
		.name = "doctor",
		.help = "try a command on this machine",
		.manual =
			"Looks at kernel, container, limits and privileges, and says what "
			"nclust can do with each, and what this kernel lacks that newer ones "
			"have. Exits 1 if something prevents nclust from running. With a "
			"command, it runs that for some seconds under an nclust of its own, "
			"alone and as two copies, with the options of nclust that stand before "
			"'--', such as -l or --user. It reports what nclust notes of the "
			"program, whether the copies share its sockets, what it does on "
			"SIGTERM, with a request as well, and the command line to use. If SIGTERM "
			"does not end it, doctor sends that once more to a copy without "
			"interception and without Node's channel. A worker of Node's cluster that "
			"opens no port is tried without that channel, too. It waits "
			"2 s after each new socket, because another one may follow. It warns of "
			"programs that keep their state in themselves, of which only one copy "
			"should run, of logs and pid files that both copies write or remove, and "
			"of a cookie or a session of socket.io that one of them does not know. It "
			"finds a pid file whose path is in the command, in /run, or as *.pid in "
			"the directory of the command, its tmp or its tmp/pids, if both copies "
			"have written it by then. A program that takes its sockets from nclust is "
			"also started without any, which shows the addresses that it opens by "
			"itself. Exits 0 if copies of the program will work together, 1 if not, "
			"127 if it is "
			"not found, 126 if it cannot be run.",
		.options = OPTIONS_ASK,
		.words = WORDS_TRIAL,
		.run = verb_doctor,
	},
	{
		.name = "exec",
		.help = "hand sockets on in a wrapper",
		.manual = "For wrappers that fork: sets LISTEN_PID (and WATCHDOG_PID, where it is "
			  "set) to its own process id, then becomes COMMAND. Exits 127 if that is "
			  "not found, 126 if it cannot be run.",
		.options = OPTION_HELP,
		.words = WORDS_COMMAND,
		.run = verb_exec,
	},
	{
		.name = "help",
		.help = "all verbs, or one verb or key",
		.manual = "Shows all verbs, how one of them is used, or what a key of "
			  "nclust.ini(5) is for.",
		.options = OPTION_HELP,
		.words = WORDS_VERB,
		.run = verb_help,
	},
	{
		.name = "version",
		.help = "show the version",
		.manual = "Shows the version of this program.",
		.options = OPTION_JSON | OPTION_HELP,
		.words = WORDS_NONE,
		.run = verb_version,
	},
	{.name = NULL},
};

const char *const *cli_verbs(void)
{
	static const char *names[COUNT_OF(verbs)]; /* the last row has none */

	for (size_t i = 0; i < COUNT_OF(verbs); i++)
		names[i] = verbs[i].name;
	return names;
}

const struct verb *verb_find(const char *name)
{
	for (const struct verb *v = verbs; v->name != NULL; v++)
		if (strcmp(v->name, name) == 0)
			return v;
	return NULL;
}

int cli_main(int argc, char **argv)
{
	const struct verb *verb = verb_find(argv[0]);
	struct arguments a;
	struct error err;

	(void)privilege_fill_standard(); /* what is shown must not get into the control socket */
	if (arguments_parse(&a, verb, argc, argv, &err) == -1) {
		log_error("%s; try 'nclust help %s'", err.text, verb->name);
		return EX_USAGE;
	}
	if (arguments_has(&a, OPTION_HELP)) {
		a.target = verb->name;
		return verb_help(&a);
	}
	return verb->run(&a);
}
