/* SPDX-License-Identifier: MIT */
#include "describe.h"

#include "base/scope.h"
#include "cli/commands.h"
#include "cli/verb_help.h"
#include "config/config.h"

#include <stdio.h>
#include <string.h>

/* Usage: describe PIECE.  Writes that piece of the documentation to standard
 * output. */

static const struct {
	const char *name;
	int (*make)(struct buffer *out);
} pieces[] = {
	{"mdoc-options", describe_mdoc_options},
	{"mdoc-keys", describe_mdoc_keys},
	{"mdoc-index", describe_mdoc_index},
	{"mdoc-glance", describe_mdoc_glance},
	{"mdoc-verbs", describe_mdoc_verbs},
	{"mdoc-events", describe_mdoc_events},
	{"help", cli_describe_help},
	{"sample-ini", describe_sample_ini},
	{"bash", describe_bash},
	{"zsh", describe_zsh},
};

static int print(int (*make)(struct buffer *out))
{
	struct buffer text;
	bool done;

	buffer_init(&text, 0);
	done = make(&text) == 0 && fwrite(text.data, 1, text.len, stdout) == text.len &&
		fflush(stdout) == 0;
	buffer_fini(&text);
	return done ? 0 : 1;
}

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < COUNT_OF(pieces); i++)
		if (strcmp(argv[1], pieces[i].name) == 0)
			return print(pieces[i].make);
	(void)fprintf(stderr, "usage: describe PIECE\n");
	return 1;
}
