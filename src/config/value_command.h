/* SPDX-License-Identifier: MIT */
#pragma once

#include "config/settings.h"

/* The paths at which a program of that name may be, by a value of PATH, or NULL.  -1: no memory. */
int value_candidates(struct strings *to, const char *path, const char *name);
