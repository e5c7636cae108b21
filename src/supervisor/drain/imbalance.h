/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

/*
 * `balance = auto`: workers share a socket.  One of them may have most of the load, as happens with
 * servers that wait by EPOLLEXCLUSIVE, because the kernel wakes the same worker again and again:
 * then the status advises `balance = rr`.  The evidence is the CPU time that each worker has used
 * since it was ready.  The kernel counts that anyway, so no process is woken.
 */
void imbalance_on_status(struct json_writer *w, const struct service *service);
