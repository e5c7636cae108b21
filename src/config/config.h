/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/text.h"
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

/* Read the bearer token, if the settings name a file for it.  0, or -1 and
 * `err`, with the exit status that fits. */
int config_read_token(struct settings *s, struct error *err);

/* Do the templates of the cluster's command, such as "{fd:http}", fit its listeners?
 * 0; or -1, and in `err` the first that does not. */
int config_check_command(const struct cluster_settings *c, struct error *err);

/* Checks that depend on this machine: can the sinks of the workers' output be opened
 * (this makes new files), and has each slot an address of its own where `listen` has
 * "{slot}"?  Mistakes are added to `faults`; `cpus`: for `workers`. */
void config_check_here(const struct settings *s, unsigned cpus, struct faults *faults);

/* Can each program be executed, and each `env-file` and the token be read?  A start finds out by
 * doing so. */
void config_note_files(struct settings *s, struct faults *faults);

/* Has a cluster a `relay` to a broker?  And if no broker can be used: add `why` to `faults`, for
 * each such cluster. */
bool config_has_broker(const struct settings *s);
void config_no_broker(const struct settings *s, const char *why, struct faults *faults);

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

/* What a reload changes, per cluster and for the instance. */
enum change {
	CHANGE_NONE,
	CHANGE_LIVE,    /* the new settings apply at once */
	CHANGE_ROLL,    /* the workers must be replaced */
	CHANGE_RESTART, /* only a restart of nclust can apply it */
} __attribute__((packed));

/*
 * A digest of all settings that workers are born with: two clusters with the same
 * one need no rollout from one to the other.  0: out of memory.
 */
uint64_t config_digest(const struct cluster_settings *c);
/* The same for `workers` alone. */
uint64_t config_digest_workers(const struct cluster_settings *c);

struct diff_cluster {
	const struct cluster_settings *old; /* NULL: a new cluster */
	struct cluster_settings *new;       /* NULL: dropped */
	enum change change;
	bool workers_changed; /* `workers`: the operator's number is void */
	bool command_changed; /* learned readiness is void */
	char keys[256];       /* the changed keys: "workers, env" */
};

struct diff {
	struct diff_cluster *clusters; /* heap */
	size_t count;
	enum change instance;
	char instance_keys[256];
};

/* Compare; 0, or -1 when out of memory.  Pointers are borrowed from both. */
int diff_settings(struct diff *d, const struct settings *old, const struct settings *new);
void diff_fini(struct diff *d);
