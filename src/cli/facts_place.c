/* SPDX-License-Identifier: MIT */
#include "cli/facts.h"

#include "base/scope.h"
#include "os/rundir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void look_at_pid(struct facts *f)
{
	if (getpid() == 1)
		facts_add(f, FACT_OK, "PID 1",
			"nclust does init's duty and reaps what others leave",
			"yes");
	else
		facts_add(f, FACT_OK, "PID 1",
			"what daemonises below nclust comes back to it all "
			"the same",
			"no");
}

/* Where it is not there yet: could it be made? */
static void look_above(struct facts *f, const char *path)
{
	scoped_str above = strdup(path);
	char *slash = above != NULL ? strrchr(above, '/') : NULL;

	if (slash == NULL)
		return;
	*slash = '\0';
	if (access(slash == above ? "/" : above, W_OK | X_OK) == 0)
		facts_add(f, FACT_OK, "runtime directory",
			"is made when needed", "%s", path);
	else
		facts_add(f, FACT_BAD, "runtime directory",
			"set NCLUST_RUNTIME_DIR or runtime-directory to one "
			"that is yours",
			"%s cannot be made: %s", path, strerror(errno));
}

static void look_at_directory(struct facts *f, const char *wanted)
{
	struct error err;
	struct stat st;
	char path[4096];
	char **names = NULL;
	long count;

	if (rundir_path(wanted, path, sizeof(path), &err) == -1) {
		facts_add(f, FACT_BAD, "runtime directory", "", "%s", err.text);
		return;
	}
	if (lstat(path, &st) == -1 && errno == ENOENT) {
		look_above(f, path);
		return;
	}
	count = rundir_list(wanted, &names, &err);
	if (count == -1) {
		facts_add(f, FACT_BAD, "runtime directory", "", "%s", err.text);
		return;
	}
	for (long i = 0; i < count; i++)
		free(names[i]);
	free(names);
	if (access(path, W_OK | X_OK) == -1)
		facts_add(f, FACT_BAD, "runtime directory",
			"set NCLUST_RUNTIME_DIR or runtime-directory to one "
			"that is yours",
			"%s: %s", path, strerror(errno));
	else
		facts_add(f, FACT_OK, "runtime directory", "",
			"%s, %ld instance%s in it", path, count,
			count == 1 ? "" : "s");
}

static void look_at_manager(struct facts *f)
{
	static const struct {
		const char *name;
		const char *does;
	} variables[] = {
		{"NOTIFY_SOCKET",
			"nclust tells it READY, STATUS, RELOADING, STOPPING"},
		{"LISTEN_FDS", "taken by name: listen = inherit:NAME"},
		{"WATCHDOG_USEC", "answered in time"},
	};
	size_t told = 0;

	for (size_t i = 0; i < COUNT_OF(variables); i++) {
		const char *value = getenv(variables[i].name);

		if (value == NULL)
			continue;
		told++;
		facts_add(f, FACT_NOTE, variables[i].name, variables[i].does,
			"%.160s", value);
	}
	if (told == 0)
		facts_add(f, FACT_OK, "service manager", "", "none");
}

void facts_place(struct facts *f, const char *runtime_directory)
{
	look_at_pid(f);
	look_at_directory(f, runtime_directory);
	look_at_manager(f);
}
