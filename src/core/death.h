/* SPDX-License-Identifier: MIT */
#pragma once

#include "core/whole.h"

/* A worker has ended, as `event` says. */
void slot_bury(struct cluster *c, uint32_t i, struct worker *w, enum worker_event event,
	const struct ending *ending);
