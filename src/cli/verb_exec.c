/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "base/log.h"
#include "base/scope.h"

#include <errno.h>
#include <limits.h>
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
static int exec_search(char **command)
{
	const char *path = getenv("PATH");
	scoped_str dirs = strdup(path != NULL ? path : "/bin:/usr/bin"); /* as execvp(3) */
	int why = ENOENT;

	if (command[0][0] != '\0' && strchr(command[0], '/') != NULL) {
		(void)execv(command[0], command);
		return errno;
	}
	for (char *rest = dirs; rest != NULL && command[0][0] != '\0';) {
		const char *dir = strsep(&rest, ":");
		char file[PATH_MAX];

		if (snprintf(file, sizeof(file), "%s/%s", *dir != '\0' ? dir : ".", command[0]) >=
			(int)sizeof(file))
			continue;
		(void)execv(file, command);
		if (errno == EACCES)
			why = EACCES;
		else if (errno != ENOENT && errno != ENOTDIR)
			return errno;
	}
	return why;
}

int verb_exec(struct arguments *a)
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
