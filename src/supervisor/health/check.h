/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

/* The worker was started: probes it, if its settings ask for that. */
void health_prove(struct child *child);

extern const struct monitor_kind probe_kind;

/* What to ask the worker now; NULL: nothing. */
const struct probe *check_wants(const struct child *child);
/* The result; if not `well`, `why` says how it failed. */
void check_answered(struct child *child, bool well, const char *why);
/* nclust cannot connect to where the worker listens. */
void check_unreached(struct child *child, const struct error *err);
