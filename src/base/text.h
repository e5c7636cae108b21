/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copy as strlcpy(3) does: always a NUL, returns the length of `from`. */
size_t text_copy(char *to, size_t size, const char *from);

/*
 * Make bytes from a worker or a client harmless on a terminal: control bytes and
 * invalid UTF-8 become \xNN, a tab a space; valid UTF-8 passes, but not the C1
 * controls, nor characters that turn the text around them (U+202E and its like).
 * Cuts at `size`.  Returns the length written.
 */
size_t text_escape(char *to, size_t size, const char *from, size_t len);
/* The same for a worker's own line, which may turn. */
size_t text_escape_line(char *to, size_t size, const char *from, size_t len);
/* Does text_escape() let this UTF-8 sequence of `n` bytes pass? */
bool text_is_harmless(const char *s, size_t n);

/*
 * The length of the valid UTF-8 sequence at the start of `s` (1-4), or 0 if it is
 * invalid (RFC 3629: no surrogates, no overlong forms).
 */
size_t text_utf8(const char *s, size_t len);

/* The length of the byte order mark that some editors begin a text with, or 0. */
size_t text_bom(const char *s, size_t len);

/* [A-Za-z0-9._-]{1,64}, not starting with '.' or '-'. */
bool text_is_name(const char *s);

/* Signals by name ("TERM", "SIGTERM", "RTMIN+3", "15"): -1 if unknown. */
int text_signal(const char *name);
/* "SIGTERM", "SIGRTMIN+3".  `to` holds at least 16 bytes.  Returns `to`. */
const char *text_signal_name(char to[16], int signal);

/* The FNV-1a hash of all bytes so far: `hash` is that of the bytes before these, or
 * TEXT_HASH for the first bytes. */
#define TEXT_HASH UINT64_C(0xcbf29ce484222325)
uint64_t text_hash(uint64_t hash, const void *bytes, size_t len);

/* How many newlines there are. */
size_t text_lines(const char *s, size_t len);

/* The decimal number at the beginning of the `len` bytes: returns how many digits it
 * has; 0: no number, or more than `most`. */
size_t text_number(uint64_t *n, const char *text, size_t len, uint64_t most);

/* For people: "0.3 s", "12 s", "4 min", "3 h", "2 d".  Returns `to`. */
const char *text_age(char to[16], nsec_t age);
/* Exactly, as a user would write it: "200ms", "5s", "2m".  Returns `to`. */
const char *text_duration(char to[24], nsec_t t);
/* Parse such a duration, "1h30m", "0.5s", "5 min", and "0"; false: not a duration. */
bool text_parse_duration(nsec_t *t, const char *text);

/* A number of a unit that follows it. */
struct decimal {
	uint64_t whole;
	unsigned thousandths;
};
/* "12", "0.5" at the beginning: the bytes that it has; 0: no number, or finer than that. */
size_t text_decimal(struct decimal *d, const char *text);
/* False: more than `most`. */
bool text_of_unit(uint64_t *to, struct decimal d, uint64_t unit, uint64_t most);

/* Is the first word of a command one that only a shell knows, as in "source env"? */
bool text_is_of_shell(const char *command);
/* What runs a script of that name, by its suffix: a guess, for advice.  Or NULL. */
const char *text_interpreter(const char *file);

/*
 * Of `count` names, or of those before a NULL, the one that `word` most likely stands for; NULL: none
 * is near (edit distance over a third of the length).
 */
const char *text_nearest(const char *word, const char *const *names, size_t count);

/* ---- cmdline ---- */

/*
 * A command line, taken apart as getopt_long(3) does it: "--name=value", "--name value",
 * "-n4", "-n=4", "-n 4", "-dn 4", and "--" before words that are no options.
 */
enum cmdline_part {
	CMDLINE_END,
	CMDLINE_WORD,      /* argv[next - 1] is no option */
	CMDLINE_SEPARATOR, /* "--": argv[next] is the word after it */
	CMDLINE_OPTION,    /* `row`, and its `value`: NULL if it takes none */
	CMDLINE_UNKNOWN,   /* no option has that `name` */
	CMDLINE_NO_VALUE,  /* `row` needs a value, but the line or its options end */
	CMDLINE_VALUE,     /* `row` takes no value, but one is given */
};

enum cmdline_takes {
	TAKES_NOTHING,
	TAKES_VALUE,
	TAKES_YES, /* a value only after '='; without one it is "yes" */
};

struct cmdline {
	int argc;
	char **argv;
	int next;
	/* The row of a long name, or, where `len` is 0, of a letter; NULL: unknown. */
	const void *(*find)(
		const void *table, const char *name, size_t len, enum cmdline_takes *takes);
	const void *table;

	const char *letters; /* of "-abc", the letters not read yet; NULL: none */
	const void *row;
	const char *name; /* as written, without dashes; a value may follow */
	size_t len;       /* of the name; 0: a letter */
	const char *value;
};

enum cmdline_part cmdline_next(struct cmdline *c);
