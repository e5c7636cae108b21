/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "config/settings.h"

/*
 * The front of config/: words to settings, and back.
 *
 * Every mistake is collected, not only the first: `struct faults` holds one line
 * each ("shop.ini:12: cluster:web.workers: wanted a number, found 'many'").
 */
struct faults {
	struct buffer text; /* lines, each ended by '\n' */
	unsigned count;
	int status; /* exit status: the first one's, but any other in place of EX_TEMPFAIL */
};

void faults_fini(struct faults *f);
/* Add a line (without '\n'); control bytes in it are shown as text_escape() does. */
void faults_add(struct faults *f, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Read the bearer token, if the settings name a file for it.  0, or -1 and
 * `err`, with the exit status that fits. */
int config_read_token(struct settings *s, struct error *err);
