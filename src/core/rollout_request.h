/* SPDX-License-Identifier: MIT */
#pragma once

#include "core/whole.h"

/* Take a request for a rollout (EVENT_ROLL). */
void rollout_ask(struct cluster *c, const struct event *e);

/* New settings without a rollout; the reference is handed over. */
void rollout_settings(struct cluster *c, const struct event *e);
