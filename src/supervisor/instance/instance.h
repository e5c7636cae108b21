/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"
#include "supervisor/common/moment.h"
#include "supervisor/common/state.h"

/* ---- lifecycle ---- */

void instance_on_report(struct service *service, const struct report *report);

/* The instance as a whole: when it counts as started, how it stops, with what
 * status it ends. */

/* Stop everything; `at_once` kills, also during a stop.  Any other further call does nothing. */
void lifecycle_stop(struct supervisor *sup, bool at_once);
/* The start has failed: report why, also to the process that waits for -d; stop, and
 * exit with `status`. */
void lifecycle_fail(struct supervisor *sup, int status, const char *why);

/* Called in each turn of the loop: is the instance over, or ready? */
void lifecycle_look(struct supervisor *sup);

/* ---- manager ---- */

/*
 * nclust under a service manager: sd_notify(3), with nclust's own NOTIFY_SOCKET and
 * WATCHDOG_USEC, which no worker ever sees.  Without these variables nothing is sent.
 */
int manager_init(struct supervisor *sup, struct error *err);
/* How what the manager was told goes through an upgrade. */
extern const struct carried carried_manager;
void instance_on_go_on(struct supervisor *sup);
void instance_on_shutdown(struct supervisor *sup);
void manager_ready(struct supervisor *sup);
void manager_reloading(struct supervisor *sup); /* READY=1 ends it */
void manager_stopping(struct supervisor *sup);
/* "web: 2 of 2 ready" has changed: send it soon, at most ten times a second. */
void manager_status(struct supervisor *sup);

/* ---- reload ---- */

/* Reload: first read and check everything and open what is new; only then change
 * anything.  If a step fails, all stays unchanged.  What a reload has changed in a
 * cluster is over when the service's stage.awaited says so. */

/* Begin a reload: the configuration is read, then reload_run() is called,
 * moment_reloaded() and moment_verb().  `restart`: also roll clusters that have not changed;
 * `drops_ports`: new workers may listen on fewer addresses than the old ones.  -1
 * and `err`: it did not begin. */
int reload_begin(struct supervisor *sup, bool restart, bool drops_ports, struct error *err);
/* Reload with these settings, which the call takes over; or NULL: fail, because of
 * these mistakes.  0, or -1; `text` is a sentence on the changes, or the mistakes in lines. */
int reload_run(struct supervisor *sup, struct settings *settings, const char *mistakes,
	bool restart, bool drops_ports, struct buffer *text);

/* For signal-X = reload; with `restart` for HUP, which also restarts clusters that
 * have not changed, and all workers if there is no file. */
void reload_from_signal(struct supervisor *sup, bool restart);

/* ---- reread ---- */

/*
 * Reads the configuration anew for a reload, in a process of its own: the file or
 * the user database may be on a server that does not answer.  That process is
 * killed after 5 s, and the loop never waits for it.
 */

/* Begin to read.  At the end `done` is called once: with the settings, which it
 * takes over; or with NULL, and the mistakes in lines (`bad`: of the configuration).
 * A second call begins again, so that changes made meanwhile are seen.  -1 and
 * `err`. */
typedef void reread_done(
	struct supervisor *sup, struct settings *settings, const char *mistakes, bool bad);
int reread_begin(struct supervisor *sup, reread_done *done, struct error *err);
/* Kill the process; `done` is not called. */
void reread_fini(struct supervisor *sup);
/* Before anything starts: can all files of `log` be opened?  This waits for such a
 * process.  -1 and `err`: mistakes were logged in lines, but for the last one. */
int reread_try_logs(struct supervisor *sup, struct error *err);

/* ---- command ---- */

/*
 * A command that 'nclust restart -- COMMAND' gave a cluster in place of the
 * configuration's.  The settings of a generation contain it
 * (cluster_settings.configured), so a rollout that fails goes back to the old
 * command as it does to all other settings.
 */

/*
 * The settings that the cluster has, or is on the way to, with this command
 * (ended by NULL); the caller's reference.  If the command is the configuration's
 * own, the settings follow the configuration again.  NULL and `err`: no worker
 * could run the command, or out of memory.
 */
struct cluster_settings *command_settings(
	const struct service *service, char **words, struct error *err);

/*
 * Keep such a command in settings that were just read and are not in use yet, if
 * the configuration's own command is still the one that was replaced.  `has` is
 * the given command, `configured` the replaced one; NULL: none.
 */
void command_keep(struct cluster_settings *settings, const char *has, const char *configured);

/*
 * The settings of the instance, but of a cluster that a restart gave a command those that its
 * workers have, to be shown; all else is borrowed.  -1: out of memory.  Call command_view_fini() in
 * either case.
 */
int command_view(struct settings *view, const struct supervisor *sup);
void command_view_fini(struct settings *view);

/* ---- stop report ---- */

/*
 * A stop that takes longer than a second reports what it waits for, how long that
 * may take and how to end it now: in the log, in the events, and to clients that
 * wait for the stop.  Then every ten seconds.
 */
void stop_report_begin(struct supervisor *sup); /* a stop was asked for */
