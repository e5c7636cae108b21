/* SPDX-License-Identifier: MIT */
#pragma once

#include "config/settings.h"

/* A sink's path with {cluster} and {slot} replaced; false: too long. */
bool value_log_path(
	const struct log_sink *sink, const char *cluster, unsigned slot, char *to, size_t size);
/* What a sink without a path is given as, by its kind. */
extern const char *const value_log_kinds[];
/* Has each slot a file of its own? */
bool value_log_is_by_slot(const struct log_sink *sink);
