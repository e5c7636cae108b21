/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "config/settings.h"

/* The common options, with a line each: the first half of what --help shows. */
int describe_help(struct buffer *out);
/* The same line for the key of that name, with its default, or for those whose names contain the
 * word.  False: there are none. */
bool describe_option(struct buffer *out, const char *word);

/* The effective settings and where each came from, as an INI file with comments, or
 * as JSON: objects by section and key, with the members value and origin.  Without
 * `secrets` the values of environment variables are "***". */
int describe_settings(struct buffer *out, const struct settings *s, bool json, bool secrets);

/* Does one worker run, because nobody has said how many, until it opens a port? */
bool config_starts_once(const struct cluster_settings *s);
