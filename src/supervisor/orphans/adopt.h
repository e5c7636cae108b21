/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ADOPT_H
#define SUPERVISOR_ADOPT_H

#include "supervisor/common/state.h"

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
/* The socket of a listener that an earlier one had: 1: it is in l->fd; 0: there
 * was none, or nobody needs it any more; -1 and `err`. */
int adopt_socket(struct supervisor *sup, struct listener *l, struct error *err);
/* Likewise the shared memory of a cluster: s->fd, of the size that s->wanted and
 * s->huge say. */
int adopt_segment(struct segment *s, const struct cluster_settings *settings,
	struct error *err);
/* What a service that has just been made takes over: listeners that its workers
 * have bound, and workers. */
int adopt_cluster(struct service *service, struct error *err);
/* All services are there. */
void adopt_finish(struct supervisor *sup);
void adopt_fini(struct supervisor *sup);

#endif
