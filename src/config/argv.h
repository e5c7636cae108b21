/* SPDX-License-Identifier: MIT */
#pragma once

#include "config/config.h"

/* The outcome of reading a command line. */
enum invocation_kind {
	INVOKE_RUN,     /* `settings` is filled */
	INVOKE_VERB,    /* a verb and the words after it, for cli/ */
	INVOKE_HELP,    /* --help: print describe_help() */
	INVOKE_VERSION, /* --version */
};

struct invocation {
	enum invocation_kind kind;
	struct settings *settings; /* INVOKE_RUN; owned by the caller */
	int verb_argc;             /* INVOKE_VERB: the verb is verb_argv[0] */
	char **verb_argv;          /* points into argv */
};

/*
 * Read a command line (and the file that -c names).  A first word that is in
 * `verbs` (NULL-terminated, or NULL) makes it a verb's, read by cli/.  argc may be 0.
 * Returns 0, or -1 with at least one fault and nothing to free.  A reload reads the words
 * of nclust's start again; relative paths are those of the working directory.
 */
int config_read(struct invocation *out, int argc, char **argv, const char *const *verbs,
	struct faults *faults);

/* Is that the name of a file for -c, or of another tool's, of which -c says more? */
bool config_is_file(const char *word);
