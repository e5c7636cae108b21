/* SPDX-License-Identifier: MIT */
#include "config/config.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/option.h"

#include <stdio.h>
#include <string.h>

int describe_help(struct buffer *out)
{
	(void)buffer_string(out,
		"usage: nclust [OPTION]... -- COMMAND [ARG]...  "
		"run copies of a command\n"
		"       nclust [OPTION]... -c FILE              "
		"run the clusters of a file\n"
		"       nclust VERB [TARGET] [OPTION]...        "
		"talk to a running nclust\n\n");
	for (size_t i = 0; i < option_count; i++) {
		const struct option_row *row = &option_rows[i];
		char left[40];

		if (!row->common)
			continue;
		(void)snprintf(left, sizeof(left), "%c%c%c --%s%s%s",
			row->letter != 0 ? '-' : ' ',
			row->letter != 0 ? row->letter : ' ',
			row->letter != 0 ? ',' : ' ', row->name,
			row->argument != NULL ? " " : "",
			row->argument != NULL ? row->argument : "");
		(void)buffer_printf(out, "  %-25s %s\n", left, row->help);
	}
	return buffer_string(out,
		"\nEvery key of nclust.ini(5) is a long option too.  "
		"'nclust help' lists the verbs.\n"
		"Example: nclust -n auto -l 8000 -- ./myserver\n");
}
