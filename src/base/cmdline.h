/* SPDX-License-Identifier: MIT */
#ifndef BASE_CMDLINE_H
#define BASE_CMDLINE_H

#include <stddef.h>

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
	CMDLINE_NO_VALUE,  /* `row` needs a value, but the line ends */
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

#endif
