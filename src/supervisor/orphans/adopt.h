/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

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
/* All services exist: publish the result, remove old files, greet the keeper. */
void adopt_finish(struct supervisor *sup);
void adopt_fini(struct supervisor *sup);

/* Set the command that a restart gave the cluster; no other struct refers to `s` yet. */
void adopt_command(const struct supervisor *sup, struct cluster_settings *s);
/* Give a new service its old workers and the listeners that these have bound. */
int adopt_cluster(struct service *service, struct error *err);
