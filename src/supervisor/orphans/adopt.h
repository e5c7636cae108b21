/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ADOPT_H
#define SUPERVISOR_ADOPT_H

#include "supervisor/sockets/holding.h"

/*
 * After the death of an nclust: the next one of that name takes over what lives
 * (`orphans = keep`), and ends what should not (man/nclust-orphans.7).  Nothing
 * that the state says is believed unless the kernel says so too: a process is
 * its pid and its start time, held by a pidfd; a socket is its SO_COOKIE.  In
 * doubt nobody is ended and nothing is started: then nclust ends with a
 * sentence.
 *
 * In this order, under the lock of the name, before the first worker is born.
 */

/* See what is there; end what is to be ended; open our own state file. */
int adopt_begin(struct supervisor *sup, struct error *err);
/* What is about to be opened, if an earlier one had it. */
int orphans_on_left_over(struct holding *holding, struct error *err);
/* What a service that has just been made takes over: listeners that its workers
 * have bound, and workers. */
int adopt_cluster(struct service *service, struct error *err);
/* All services are there. */
void adopt_finish(struct supervisor *sup);
void adopt_fini(struct supervisor *sup);

#endif
