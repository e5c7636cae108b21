/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

void fallback_on_uses(struct child *child, enum listener_use use);
void fallback_on_reloaded(struct service *service);
void fallback_on_report(struct service *service, const struct report *report);
void fallback_on_status(struct json_writer *w, const struct service *service);
void fallback_on_drop(struct service *service);
void fallback_on_let_go(struct holding *holding);
void fallback_on_go_on(struct supervisor *sup);
void fallback_on_shutdown(struct supervisor *sup);

/*
 * `fallback`: while no worker of a cluster is ready, the courier (courier/answerer.h) answers its HTTP
 * clients.  It has the listening sockets only as long as they are needed: when one is closed, or a
 * worker is ready, nclust orders it to let go.
 */
