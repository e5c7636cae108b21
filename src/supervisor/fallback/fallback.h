/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_FALLBACK_H
#define SUPERVISOR_FALLBACK_H

#include "supervisor/common/part.h"

extern const struct part fallback_part;

/*
 * `fallback`: while no worker of a cluster is ready, the courier (courier/answerer.h) answers its HTTP
 * clients.  It has the listening sockets only as long as they are needed: when one is closed, or a
 * worker is ready, nclust orders it to let go.
 */

#endif
