/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"

#include <stddef.h>

/* Not in commands.c, whose table the supervisor never touches; the unit tests
 * compare the two. */
static const char *const names[] = {"status", "restart", "reload", "scale", "stop", "signal",
	"send", "logs", "ask", "events", "top", "upgrade", "drain", "undrain", "config", "doctor",
	"exec", "help", "version", NULL};

const char *const *cli_verbs(void)
{
	return names;
}
