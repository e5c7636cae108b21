/* SPDX-License-Identifier: MIT */
#ifndef WEB_METRICS_H
#define WEB_METRICS_H

#include "base/buffer.h"

#include <jansson.h>
#include <stdbool.h>

/*
 * A status (man/nclust-control.7) as metrics: Prometheus' text format 0.0.4, or
 * OpenMetrics 1.0.  What the status does not have, or as null, is left out.
 * Labels are names of clusters, listeners and states, and numbers of slots, never
 * a pid: there are as many series as the settings allow.
 */
void metrics_write(struct buffer *out, const json_t *status, bool openmetrics);

#endif
