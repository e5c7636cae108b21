/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"
#include "base/nsec.h"
#include "protocol/control.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * One verb is one row of the table in commands.c: its name, the words and options
 * that it takes, and the function that runs it.  Parsing, help, the manual and
 * completion are read from the row.
 */

/* The options that a verb may take, or-ed in its row. */
enum verb_option {
	OPTION_JSON = 1 << 0,
	OPTION_WATCH = 1 << 1,
	OPTION_NO_WAIT = 1 << 2,
	OPTION_NOW = 1 << 3,
	OPTION_ALL = 1 << 4,
	OPTION_FOLLOW = 1 << 5,
	OPTION_LINES = 1 << 6,
	OPTION_CHECK = 1 << 7,
	OPTION_FILE = 1 << 8,
	OPTION_RUNTIME = 1 << 9,
	OPTION_HELP = 1 << 10,
	OPTION_CANARY = 1 << 12,
	OPTION_BAKE = 1 << 13,
	OPTION_DROP_PORTS = 1 << 14,
	OPTION_EACH = 1 << 15, /* --all, with another meaning */
	OPTION_SINCE = 1 << 16,
	OPTION_CLUSTER = 1 << 17,
	OPTION_KIND = 1 << 18,
	OPTION_STDERR = 1 << 19,
	OPTION_GREP = 1 << 20,
	OPTION_DEFAULTS = 1 << 24, /* --all of config */
	OPTION_TIMEOUT = 1 << 25,
};

/* Words other than options. */
enum verb_words {
	WORDS_NONE,
	WORDS_TARGET,  /* [TARGET] */
	WORDS_COUNT,   /* [TARGET] N|+N|-N, in either order */
	WORDS_SIGNAL,  /* [TARGET] SIGNAL, in either order */
	WORDS_VERB,    /* [VERB] */
	WORDS_COMMAND, /* all that follows, with options of that command */
	WORDS_TRIAL,   /* a command, after options that are to be tried with it; or nothing */
	WORDS_RESTART, /* [TARGET] [-- COMMAND] */
	WORDS_MESSAGE, /* [TARGET] JSON */
};

struct arguments;

#define GIVEN_MAX 128 /* words of one trial */

struct verb {
	const char *name;
	const char *help;   /* one line, no capital, no full stop */
	const char *manual; /* sentences; lines are filled */
	unsigned options;
	enum verb_words words;
	enum control_method method;      /* of its request */
	int (*run)(struct arguments *a); /* returns the exit status */
};

/* The table; ends with a row whose name is NULL. */
extern const struct verb verbs[];
const struct verb *verb_find(const char *name); /* NULL: no such verb */

/* A verb's words, parsed.  Strings are argv's. */
struct arguments {
	const struct verb *verb;
	char **argv; /* argv[0] is the verb */
	int argc;
	/* What they ask of an instance: session_ask() fills in its target, when it is known.
	 * `last` is -1 where no OPTION_LINES is given. */
	struct control_request request;
	const char *target; /* or the verb of WORDS_VERB; NULL: none */
	char **command;     /* NULL-terminated, not empty; NULL: none */
	unsigned options;   /* an or of enum verb_option */
	const char *cluster;
	const char *pattern; /* OPTION_GREP */
	const char *kinds;   /* OPTION_KIND: names with commas */
	const char *file;    /* OPTION_FILE */
	const char *runtime_directory;
	/* WORDS_TRIAL: options of the command line that is tried, with their values;
	 * ends with a NULL */
	const char *given[GIVEN_MAX + 1];
	size_t given_count;
};

/* Read a verb's words; argv[0] is the verb.  -1: err->status is 64. */
int arguments_parse(
	struct arguments *a, const struct verb *verb, int argc, char **argv, struct error *err);

static inline bool arguments_has(const struct arguments *a, enum verb_option option)
{
	return (a->options & (unsigned)option) != 0;
}

/* An option's row, for help texts; a NULL follows the last. */
struct verb_option_row {
	unsigned option;
	char letter; /* 0: none */
	const char *name;
	const char *argument; /* NULL: takes none */
	const char *help;
	size_t given; /* offset in struct arguments of a bool that becomes true; 0: none */
};
const struct verb_option_row *verb_option_row(size_t n);

/* The functions of the verbs. */
int verb_status(struct arguments *a);
int verb_change(struct arguments *a);
int verb_logs(struct arguments *a);
int verb_events(struct arguments *a);
int verb_top(struct arguments *a);
int verb_config(struct arguments *a);
int verb_doctor(struct arguments *a);
int verb_exec(struct arguments *a);
int verb_help(struct arguments *a);
int verb_version(struct arguments *a);

/* ---- when ---- */

/*
 * A moment as a user writes it, made into nanoseconds since 1970:
 *   10m, 2h, 90s              so long before `now`
 *   05:00, 05:00:30           the latest such time of day, in local time
 *   2026-11-22 05:00          local time; the date alone, too, and with seconds
 *   2026-11-22T05:00:00+01:00 RFC 3339, or Z
 *   @1795167360               seconds since 1970
 * -1: err->status is 64.
 */
int when_parse(nsec_t *at, const char *text, nsec_t now, struct error *err);
