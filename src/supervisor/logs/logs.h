/* SPDX-License-Identifier: MIT */
#pragma once

#include "protocol/logwire.h"
#include "supervisor/common/job.h"
#include "supervisor/common/moment.h"

/*
 * The sinks of clusters (`log = file:PATH`): the logger is told which there are,
 * and asks for a descriptor of each, since it has no rights.  A process of its
 * own opens and renames files, because a directory may be on a disk that does not
 * answer, and sends the descriptor to the logger itself.  nclust never has the
 * descriptor, as even close(2) of it may hang.
 */

/* The cluster's files were renamed by others: open them anew. */
void logs_reopen(struct service *service);

void logs_send_routes(struct service *service);
void logs_on_reloaded(struct service *service);
void logs_on_drop(struct service *service);
void logs_on_go_on(struct supervisor *sup);
void logs_on_shutdown(struct supervisor *sup);
void logs_on_logger(struct supervisor *sup, enum logger_step step, struct service *service,
	const struct logwire_packet *packet);
