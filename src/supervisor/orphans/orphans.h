/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

/* ---- write state ---- */

void orphans_on_prepare(struct child *child, struct birth *birth);
void orphans_on_born(struct child *child);
void orphans_on_gone(struct child *child);
void orphans_on_report(struct service *service, const struct report *report);
void orphans_on_let_go(struct holding *holding);
void orphans_on_go_on(struct supervisor *sup);
void orphans_on_shutdown(struct supervisor *sup);
int orphans_on_renew(struct supervisor *sup, struct error *err);
void orphans_on_logger(struct supervisor *sup, enum logger_step step);
void orphans_on_write_down(struct supervisor *sup);

/* `orphans = keep`: the state of clusters and listeners is written down for a next nclust, in case
 * this one is killed.  supervisor.c calls this in each turn; it writes if orphans.changed is set.
 */
void orphans_write_changes(struct supervisor *sup);

/* An `accept = yes` cluster may have no process at the moment: claim an entry in the state file for
 * it, if its listeners must outlive nclust. */
void orphans_on_reloaded(struct service *service);
/* The cluster has ended: free its entry, and let the keeper drop its descriptors. */
void orphans_forget(struct service *service);

/* ---- adopt ---- */

/*
 * The take-over: when an nclust was killed, the next nclust of the same name goes on with its
 * workers (`orphans = keep`, man/nclust-orphans.7), and ends workers that it must not take.  It
 * believes the state file only where the kernel agrees: a process is identified by pid and start
 * time, and held by a pidfd; a socket by SO_COOKIE.  In doubt nclust exits with an error, and
 * neither ends nor starts a process.
 *
 * The functions are called in this order, with the name locked, before the first worker is started.
 */

/* Read the state of an earlier nclust, end the processes that are not taken over, and open this
 * nclust's state file. */
int adopt_begin(struct supervisor *sup, struct error *err);
/* Set the command that a restart gave the cluster; no other struct refers to `s` yet. */
void adopt_command(const struct supervisor *sup, struct cluster_settings *s);
/* Give a new service its old workers and the listeners that these have bound. */
int adopt_cluster(struct service *service, struct error *err);
/* All services exist: publish the result, remove old files, greet the keeper. */
void adopt_finish(struct supervisor *sup);
void adopt_fini(struct supervisor *sup);
