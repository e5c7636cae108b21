/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"

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
		.manual = "Shows clusters, listeners and workers of one instance "
			  "or, without a target, of all that run, and says why "
			  "what does not run has failed. RESTARTS is how often a "
			  "slot was filled again after an end that nobody asked "
			  "for, and LAST EXIT the last such end, or that of a "
			  "worker that was found unwell and replaced before it "
			  "ended, which RESTARTS does not count. MEM and CPU% are "
			  "of all processes of a worker. If something is wrong, "
			  "the last lines are commands to try next. No line is "
			  "wider than the terminal, or than COLUMNS, or 80. "
			  "Where a cluster has more than 16 workers, or all of "
			  "them do not fit on the screen, neighbours that are "
			  "alike share a line, with the age of the youngest and "
			  "the sums of the rest; --all gives each its own. Exits "
			  "0 if all wanted workers are ready, 1 if some are, or "
			  "one of several instances does not answer, 2 if none "
			  "is, 3 if there is no such instance.",
		.options = OPTIONS_ASK | OPTION_WATCH | OPTION_EACH,
		.words = WORDS_TARGET,
		.run = verb_status,
	},
	{
		.name = "restart",
		.help = "replace workers one by one",
		.manual = "Starts each new worker first and stops the old one "
			  "only when the new one is ready. Ends at the first "
			  "failure, with the old workers still serving. The "
			  "first new one, or the first N with --canary, is "
			  "watched for the --bake time beside the old ones; if "
			  "it fails, the old ones stay. --bake 0 leaves that "
			  "out. A release that listens on fewer ports than the "
			  "one before it needs --drop-ports. With a COMMAND "
			  "the workers of a cluster run that from now on, "
			  "where the old ones ran: a later restart, an upgrade "
			  "and a reload that finds the old command in the file "
			  "keep it. If it fails, the old command serves on. "
			  "Settings and environment are those that nclust has "
			  "read and was started with: reload reads a changed "
			  "file, and each restart an env-file. A variable in "
			  "front of the verb changes nothing. nclust does not "
			  "warn of that, because any two shells differ in some. "
			  "From within one of those workers, as in a deploy "
			  "hook, it does not wait for the end.",
		.options = OPTIONS_CHANGE | OPTION_CANARY | OPTION_BAKE | OPTION_DROP_PORTS,
		.words = WORDS_RESTART,
		.method = METHOD_RESTART,
		.run = verb_change,
	},
	{
		.name = "reload",
		.help = "apply a changed file",
		.manual = "Checks all of the file first. If it has mistakes they "
			  "are reported with their lines, nothing is changed, "
			  "and the exit status is 78. It fails, too, if the file "
			  "or the users that it names cannot be looked up within "
			  "5 s. A cluster that was stopped stays so, until a "
			  "restart or scale of it.",
		.options = OPTIONS_CHANGE | OPTION_DROP_PORTS,
		.words = WORDS_TARGET,
		.method = METHOD_RELOAD,
		.run = verb_change,
	},
	{
		.name = "scale",
		.help = "more or fewer workers",
		.manual = "Sets the number of workers, or changes it by N; the "
			  "others are not touched. 0 parks a cluster; less "
			  "than 0 is refused. Holds until a reload in which "
			  "the workers key changed.",
		.options = OPTIONS_CHANGE,
		.words = WORDS_COUNT,
		.method = METHOD_SCALE,
		.run = verb_change,
	},
	{
		.name = "start",
		.help = "start what was stopped",
		.manual = "Starts the workers of a cluster that was stopped, has "
			  "failed or was scaled to 0, and of all such clusters "
			  "without a target. One that runs is left alone. A "
			  "program is run by nclust -n auto -- COMMAND, or "
			  "nclust -c FILE.",
		.options = OPTIONS_CHANGE,
		.words = WORDS_TARGET,
		.method = METHOD_START,
		.run = verb_change,
	},
	{
		.name = "stop",
		.help = "stop gracefully",
		.manual = "Without a cluster, the whole instance, and waits "
			  "until it has ended. With --now the workers get no "
			  "grace.",
		.options = OPTIONS_CHANGE | OPTION_NOW,
		.words = WORDS_TARGET,
		.method = METHOD_STOP,
		.run = verb_change,
	},
	{
		.name = "signal",
		.help = "signal a worker",
		.manual = "To the workers of a cluster in turn, to all of them "
			  "with --all, or to the one of a slot. SIGNAL is a name "
			  "such as USR1, or a number.",
		.options = OPTIONS_ASK | OPTION_ALL,
		.words = WORDS_SIGNAL,
		.method = METHOD_SIGNAL,
		.run = verb_change,
	},
	{
		.name = "send",
		.help = "send a worker a message",
		.manual = "Puts JSON, one value on one line, on the message "
			  "channel (see nclust-messages(7)) of the workers of a "
			  "cluster in turn, of all of them with --all, or of the "
			  "one of a slot. Exits 1 if not all of those got it "
			  "into their queues, or have no channel.",
		.options = OPTIONS_ASK | OPTION_ALL,
		.words = WORDS_MESSAGE,
		.method = METHOD_SEND,
		.run = verb_change,
	},
	{
		.name = "logs",
		.help = "what workers have written",
		.manual = "Prints the latest lines of each slot, also of workers "
			  "that are gone, in the order of their time, and with "
			  "-f what follows. At most 52 KiB of each slot are "
			  "kept, also by an upgrade, and by orphans = keep if "
			  "nclust is killed. Of very much at once only the last "
			  "lines are kept, and a line says how many are missing. "
			  "Nothing is kept with log = inherit; then nclust says "
			  "what to set. With --json each line is an object. TIME "
			  "is written as for events. Output may hold secrets: "
			  "members of control-group can read it, too.",
		.options = OPTIONS_ASK | OPTION_FOLLOW | OPTION_LINES | OPTION_SINCE |
			OPTION_STDERR | OPTION_GREP,
		.words = WORDS_TARGET,
		.method = METHOD_LOGS,
		.run = verb_logs,
	},
	{
		.name = "events",
		.help = "what has happened",
		.manual = "Prints what the instance still remembers, one line "
			  "each, and with -f what happens from then on. The "
			  "latest 120 KiB are kept, that is some hundreds, also "
			  "by an upgrade, and by orphans = keep if nclust is "
			  "killed. With --json each line is an object. TIME is "
			  "a time ago such as 10m, a local time such as 05:00 "
			  "or '2026-11-22 05:00', one of RFC 3339, or @ and "
			  "seconds since 1970. NAME may be a cluster that is "
			  "gone. See nclust-control(7) for the kinds.",
		.options = OPTIONS_ASK | OPTION_FOLLOW | OPTION_LINES | OPTION_SINCE |
			OPTION_CLUSTER | OPTION_KIND,
		.words = WORDS_TARGET,
		.method = METHOD_EVENTS,
		.run = verb_events,
	},
	{
		.name = "top",
		.help = "watch it live, and act",
		.manual = "Draws on the terminal what status shows, anew each "
			  "second, with bars, and below it what happened. Sorts "
			  "by a column, shows only what contains a text, and "
			  "groups workers that are alike as status does. A "
			  "selected cluster or worker can be restarted, stopped "
			  "or scaled, after a question, and its output can be "
			  "read as it comes; ? lists the keys. CPU% is that "
			  "since the look before. If "
			  "nclust ends, or is replaced, it connects again. Needs "
			  "the package libncursesw6. status --watch is the same.",
		.options = OPTION_RUNTIME | OPTION_HELP,
		.words = WORDS_TARGET,
		.run = verb_top,
	},
	{
		.name = "upgrade",
		.help = "nclust replaces itself",
		.manual = "The same process goes on as the binary that is now "
			  "where nclust was started from, with the same workers, "
			  "sockets and clients. It is tried on the real state "
			  "first; if it cannot take over nothing changes, and "
			  "the exit status is 1. A rollout that is under way is "
			  "waited for.",
		.options = OPTIONS_CHANGE,
		.words = WORDS_TARGET,
		.method = METHOD_UPGRADE,
		.run = verb_change,
	},
	{
		.name = "drain",
		.help = "take this host out of service",
		.manual = "From then on the agent and /readyz tell load "
			  "balancers to send nothing new here; workers serve "
			  "what still comes. Waits until each load balancer that "
			  "has been asking has asked again, and no connection is "
			  "in use; idle ones may stay open, and those of a unix "
			  "socket that a worker has made itself are not seen. "
			  "Exits 75 if that takes longer than --timeout. The "
			  "host stays drained, also then, after Ctrl-C, and "
			  "through restart, reload and upgrade, until undrain; "
			  "an nclust that is started anew is not drained. May be "
			  "repeated.",
		.options = OPTIONS_CHANGE | OPTION_TIMEOUT,
		.words = WORDS_TARGET,
		.method = METHOD_DRAIN,
		.run = verb_change,
	},
	{
		.name = "undrain",
		.help = "put it back into service",
		.manual = "Ends a drain, and waits until each cluster has a "
			  "ready worker, or has done its work, and the load "
			  "balancers that have been asking have asked again, so "
			  "that the next host can be drained. Exits 75 if that "
			  "takes longer than --timeout. If the host is not "
			  "drained it only waits.",
		.options = OPTIONS_CHANGE | OPTION_TIMEOUT,
		.words = WORDS_TARGET,
		.method = METHOD_UNDRAIN,
		.run = verb_change,
	},
	{
		.name = "config",
		.help = "settings and their origins",
		.manual = "Asks the instance for the settings that are in "
			  "effect and were set, with --all for the others, "
			  "too. With -c, reads a file and asks nobody; "
			  "with --check as well, only looks for mistakes. A "
			  "file with mistakes gives exit status 78.",
		.options = OPTIONS_ASK | OPTION_CHECK | OPTION_FILE | OPTION_DEFAULTS,
		.words = WORDS_TARGET,
		.method = METHOD_CONFIG,
		.run = verb_config,
	},
	{
		.name = "doctor",
		.help = "try a command on this machine",
		.manual = "Looks at kernel, container, limits and privileges, and says what "
			  "nclust makes of each, and what this kernel lacks that newer ones have. "
			  "Exits 1 if something prevents it from running. With a command, runs it "
			  "for some seconds under an nclust of its own, alone and as two copies, "
			  "with the options of nclust that stand before '--', such as -l or "
			  "--user: tells what nclust notes of it, whether the copies share its "
			  "sockets, what it does on SIGTERM, with a request as well, and the "
			  "command line to use. Looks on for 2 s after each new socket, as another "
			  "may come later, and warns of programs that keep their state in "
			  "themselves, of which it advises to run one, of logs and pid files that "
			  "both copies write, and of a cookie or a session of socket.io that one "
			  "of them does not know. "
			  "Exits 0 if copies of it will work together, 1 if not, 127 if it is not "
			  "found, 126 if it cannot be run.",
		.options = OPTIONS_ASK,
		.words = WORDS_TRIAL,
		.run = verb_doctor,
	},
	{
		.name = "exec",
		.help = "hand sockets on in a wrapper",
		.manual = "For wrappers that fork: sets LISTEN_PID (and "
			  "WATCHDOG_PID, where it is set) to its own process "
			  "id, then becomes COMMAND. Exits 127 if that is not "
			  "found, 126 if it cannot be run.",
		.options = OPTION_HELP,
		.words = WORDS_COMMAND,
		.run = verb_exec,
	},
	{
		.name = "help",
		.help = "this, or about one verb",
		.manual = "Shows all verbs, or how one of them is used.",
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
