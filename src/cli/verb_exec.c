/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "base/log.h"
#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* The search of execvp(3), without its fall-back to a shell: a file of no known
 * format is an error.  Returns the errno to report. */
static int exec_in(const char *dir, size_t len, char **command)
{
	scoped_str path = NULL;

	if (asprintf(&path, "%.*s%s%s", (int)len, dir, len > 0 ? "/" : "", command[0]) == -1) {
		path = NULL;
		return ENOMEM;
	}
	(void)execv(path, command);
	return errno;
}

static int exec_search(char **command)
{
	const char *path = getenv("PATH");
	bool denied = false;

	if (command[0][0] == '\0')
		return ENOENT;
	if (strchr(command[0], '/') != NULL)
		return exec_in("", 0, command);
	if (path == NULL)
		path = "/bin:/usr/bin"; /* the default of execvp(3) */
	for (;;) {
		size_t len = strcspn(path, ":");
		int why = exec_in(path, len, command);

		if (why == EACCES)
			denied = true;
		else if (why != ENOENT && why != ENOTDIR)
			return why;
		if (path[len] == '\0')
			return denied ? EACCES : ENOENT;
		path += len + 1;
	}
}

int verb_exec(const struct arguments *a)
{
	int why;

	if (set_own_pid("LISTEN_PID") == -1 || set_own_pid("WATCHDOG_PID") == -1) {
		log_syserr("cannot set LISTEN_PID");
		return 1;
	}
	why = exec_search(a->command);
	log_error("cannot execute '%s': %s", a->command[0], strerror(why));
	return why == ENOENT || why == ENOTDIR ? NOT_FOUND : CANNOT_RUN;
}
