/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"

#include <stdbool.h>

/*
 * What nclust cannot run without on this machine.  Its start looks at all of it, and `nclust
 * doctor` shows it.
 */
struct need {
	const char *name;
	/* Writes what was found, and returns what to do; or NULL: all is well. */
	const char *(*look)(char found[320]);
};
extern const struct need needs[3];

int needs_check(struct error *err); /* -1: the first that is not met */

/* Is a kernel of this release (uname(2)) that one, or a later one? */
bool needs_release(const char *release, unsigned major, unsigned minor);
