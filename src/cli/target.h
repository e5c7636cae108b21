/* SPDX-License-Identifier: MIT */
#ifndef CLI_TARGET_H
#define CLI_TARGET_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The instance, cluster and slot that a user's word means among running
 * instances.  Pure.  An instance's name wins over a cluster of that name
 * elsewhere, and a cluster's over a slot's reading of it ("web.2" may be a name).
 */
struct known {
	const char *instance;
	const char *const *clusters;
	size_t count;
};

struct resolved {
	size_t instance;  /* index into the list */
	char target[160]; /* as the server takes it: "", "web" or "web.2" */
	bool slot;
};

/* `text` may be NULL: the only instance.  -1: err->status is 64 where the word is
 * ambiguous or no target at all, 69 where no such thing exists. */
int target_resolve(struct resolved *out, const char *text, const struct known *list, size_t count,
	struct error *err);

#endif
