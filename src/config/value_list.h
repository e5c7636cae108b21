/* SPDX-License-Identifier: MIT */
#pragma once

#include "config/settings.h"

#define HEADERS_MAX 8

/* As text_signal(), without those that the C library keeps for itself. */
int value_signal(const char *name);

/* "8000 8443": is this port one of them? */
bool value_ports_have(const char *text, unsigned port);

/* The value of `after`: "db, cache, migrate: done". */
struct dependency {
	char name[65]; /* of a cluster */
	bool done;     /* wait until it has ended with success, not until it is ready */
};

/* The next dependency of such a text, from *at on, which moves (NULL at the end).
 * False: no more. */
bool after_next(const char **at, struct dependency *d);

/* Remove the dependency of this name from the cluster's.  -1 and `err`. */
int after_drop(struct cluster_settings *c, const char *name, struct error *err);
