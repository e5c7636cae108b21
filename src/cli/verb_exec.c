/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "base/log.h"
#include "os/spawn/spawn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* If nclust has set the other variable, this one names this process from now on. */
static int set_own_pid(const char *name, const char *other)
{
	char pid[24];

	if (getenv(other) == NULL)
		return 0;
	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	return setenv(name, pid, 1);
}

int verb_exec(struct arguments *a)
{
	struct spawn_failure failure = {.step = SPAWN_EXEC};
	struct error err;

	if (set_own_pid("LISTEN_PID", "LISTEN_FDS") == -1 ||
		set_own_pid("WATCHDOG_PID", "WATCHDOG_USEC") == -1) {
		log_syserr("cannot set LISTEN_PID");
		return 1;
	}
	(void)execvp(a->command[0], a->command);
	failure.error = errno;
	spawn_explain(&failure, a->command[0], &err);
	log_error("%s", err.text);
	return error_exit_status(&err);
}
