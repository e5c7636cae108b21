/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ADOPT_H
#define SUPERVISOR_ADOPT_H

#include "supervisor/sockets/holding.h"

/*
 * When an nclust has died, the next one of the same name takes over its workers
 * (`orphans = keep`) and ends those that it must not (man/nclust-orphans.7).
 * It believes the state file only where the kernel agrees: a process is its pid
 * and start time, held by a pidfd; a socket is its SO_COOKIE.  In doubt nclust
 * exits with an error; it ends no process and starts none.
 *
 * The functions are called in this order, with the name locked, before the
 * first worker is started.
 */

/* Find what is left, end the processes to be ended, open our own state file. */
int adopt_begin(struct supervisor *sup, struct error *err);
/* A listener or segment is about to be opened: take it from an earlier
 * nclust. */
int orphans_on_left_over(struct holding *holding, struct error *err);
/* Give settings that nobody has yet the command that a restart gave the cluster. */
void adopt_command(const struct supervisor *sup, struct cluster_settings *s);
/* Give a new service its workers and the listeners that they have bound. */
int adopt_cluster(struct service *service, struct error *err);
/* All services exist: report the result, tidy up, greet the keeper. */
void adopt_finish(struct supervisor *sup);
void adopt_fini(struct supervisor *sup);

#endif
