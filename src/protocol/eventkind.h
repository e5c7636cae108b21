/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"

#include <stddef.h>

/*
 * The names of events: `events --kind` takes them, the manual lists and the shells
 * complete them. scripts/lint gates checks that the supervisor uses no other.
 */
extern const char *const event_kinds[];
extern const size_t event_kind_count;

/* Several of them as one text, with commas between: "exited,ready". */
#define EVENTKINDS_TEXT 512

/* Is the name in such a text? */
bool eventkind_listed(const char *kinds, const char *name, size_t len);
/* Add a name to such a text, once.  -1 and `err`: unknown, or no room. */
int eventkind_add(char kinds[EVENTKINDS_TEXT], const char *name, size_t len, struct error *err);
