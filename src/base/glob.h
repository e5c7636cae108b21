/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Patterns of paths, matched name by name.  `*`, `?` and `[...]` are as in
 * fnmatch(3): they match no '/', and no dot that a name begins with.  A name
 * `**` stands for any number of directories; at the end of the pattern, for all
 * files below.  It enters no directory whose name begins with a dot, and none
 * that is called node_modules: a pattern has to name these.
 */
enum {
	GLOB_FILE = 1,  /* a file of this path matches */
	GLOB_BELOW = 2, /* something in a directory of this path may */
};

/* Both begin with '/', and have neither empty names nor a '/' at the end but for
 * "/" itself.  A set of the above. */
unsigned glob_match(const char *pattern, const char *path);
