/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_AFTER_H
#define CONFIG_AFTER_H

#include "config/settings.h"

#include <stdbool.h>

/* The value of `after`: "db, cache, migrate: done". */
struct dependency {
	char name[65]; /* of a cluster */
	bool done;     /* wait until it has ended with success, not until it is
			  ready */
};

/* The next one of such a text, from *at on, which moves (NULL: there is none).
 * False: that was the last. */
bool after_next(const char **at, struct dependency *d);

/* Take the one of this name out of the cluster's.  -1 and `err`. */
int after_drop(struct cluster_settings *c, const char *name, struct error *err);

#endif
