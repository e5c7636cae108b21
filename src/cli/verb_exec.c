/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CANNOT_RUN 126
#define NOT_FOUND 127

/* If the variable is set, whatever its value, it names this process from now on. */
static int set_own_pid(const char *name)
{
	char pid[24];

	if (getenv(name) == NULL)
		return 0;
	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	return setenv(name, pid, 1);
}

int verb_exec(struct arguments *a)
{
	int why;

	if (set_own_pid("LISTEN_PID") == -1 || set_own_pid("WATCHDOG_PID") == -1) {
		log_syserr("cannot set LISTEN_PID");
		return 1;
	}
	(void)execvp(a->command[0], a->command);
	why = errno;
	log_syserr("cannot execute '%s'", a->command[0]);
	return why == ENOENT || why == ENOTDIR ? NOT_FOUND : CANNOT_RUN;
}
