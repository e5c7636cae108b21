/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/text.h"
#include "config/option.h"

/*
 * What is written from the tables of options (config/option.h) and verbs
 * (cli/verb.h) when nclust is built, and is no part of the program: the lists in
 * the manual pages, the sample file and the shells' completions.
 * scripts/generate calls `describe PIECE` for each.  All return 0, or -1 when out
 * of memory.
 */
int describe_mdoc_options(struct buffer *out); /* man/nclust.1 */
int describe_mdoc_keys(struct buffer *out);    /* man/nclust.ini.5 */
int describe_mdoc_index(struct buffer *out);   /* man/nclust-index.7 */
int describe_mdoc_glance(struct buffer *out);  /* man/nclust.1 */
int describe_mdoc_verbs(struct buffer *out);   /* man/nclust.1 */
int describe_mdoc_events(struct buffer *out);  /* man/nclust-control.7 */
int describe_sample_ini(struct buffer *out);   /* etc/nclust.ini */
int describe_bash(struct buffer *out);         /* etc/completion/ */
int describe_zsh(struct buffer *out);

/* The text after the mark ".\" KIND NAME" in man/settings.mdoc; `out` fails if there is none. */
void describe_text(struct buffer *out, const char *kind, const char *name);
/* The heading of a group of keys. */
const char *describe_group(enum option_group group);
