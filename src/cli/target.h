/* SPDX-License-Identifier: MIT */
#ifndef CLI_TARGET_H
#define CLI_TARGET_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Which instance, cluster and slot a user's word means, given who is running.
 * Pure.  An instance's name wins over a cluster of that name elsewhere, and
 * a cluster's over a slot's reading of it ("web.2" may be a name).
 */
struct known {
	const char *instance;
	const char *const *clusters;
	size_t count;
};

struct resolved {
	size_t instance;  /* index into the list */
	char target[160]; /* for the server: "", "web" or "web.2" */
	bool slot;
};

/* `text` may be NULL: the only one there is.  -1: err->status is 64 where the
 * word is ambiguous or no target at all, 69 where there is no such thing. */
int target_resolve(struct resolved *out, const char *text, const struct known *list, size_t count,
	struct error *err);

#endif
