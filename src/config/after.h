/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_AFTER_H
#define CONFIG_AFTER_H

#include "base/error.h"

#include <stdbool.h>

/* The value of `after`: "db, cache, migrate: done". */
struct dependency {
	char name[65]; /* of a cluster */
	bool done;     /* wait until it has ended with success, not until it is
			  ready */
};

/* Check the text and put a copy into *field, written in the one usual way; the former
 * one is freed.  -1 and `err`: nothing is changed. */
int after_parse(char **field, const char *text, struct error *err);

/* The next one of such a copy, from *at on, which moves (NULL: there is none).
 * False: that was the last. */
bool after_next(const char **at, struct dependency *d);

/* Take the one of this name out of such a copy; *field is NULL if it was the only
 * one. */
void after_drop(char **field, const char *name);

#endif
