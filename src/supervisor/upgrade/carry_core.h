/* SPDX-License-Identifier: MIT */
#pragma once

extern const struct carried carried_core;  /* of a cluster */
extern const struct carried carried_whole; /* the parts of that */
extern const struct carried carried_slot;
extern const struct carried carried_generation;
