/* SPDX-License-Identifier: MIT */
#include "cli/facts.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/descriptors.h"
#include "os/place/rundir_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where it is not there yet: could it be made?  0, or why not. */
static int could_be_made(const char *path)
{
	scoped_str above = strdup(path);
	char *slash = above != NULL ? strrchr(above, '/') : NULL;

	if (slash == NULL)
		return ENOMEM;
	*slash = '\0';
	return access(slash == above ? "/" : above, W_OK | X_OK) == 0 ? 0 : errno;
}

/* Is this the place that an instance would get?  Else `err`. */
static bool look_at_place(struct facts *f, const char *path, struct error *err)
{
	scoped_fd fd = rundir_open_place(path, false, err);
	int why;

	if (fd == -1 && err->sys != ENOENT)
		return false;
	if (fd == -1) {
		why = could_be_made(path);
		if (why == 0)
			facts_add(
				f, FACT_OK, "runtime directory", "is made when needed", "%s", path);
		else
			(void)error_set(err, why, "%s cannot be made", path);
		return why == 0;
	}
	if (access_in(fd, ".", W_OK | X_OK) == -1) {
		(void)error_set(err, errno, "%s", path);
		return false;
	}
	facts_add(f, FACT_OK, "runtime directory", "", "%s", path);
	return true;
}

static void look_at_directory(struct facts *f, const char *wanted)
{
	struct error err;
	char path[4096];
	char why[sizeof(err.text)] = "";
	int got;

	for (unsigned n = 0; (got = rundir_place(wanted, false, n, path, sizeof(path), &err)) == 1;
		n++) {
		if (look_at_place(f, path, &err))
			return;
		if (*why == '\0')
			(void)text_copy(why, sizeof(why), err.text);
	}
	facts_add(f, FACT_BAD, "runtime directory",
		"set NCLUST_RUNTIME_DIR or runtime-directory to one that is "
		"yours; without one there is no control socket",
		"%s", got == -1 ? err.text : why);
}

static void look_at_manager(struct facts *f)
{
	static const struct {
		const char *name;
		const char *does;
	} variables[] = {
		{"NOTIFY_SOCKET", "nclust reports READY, STATUS, RELOADING, STOPPING"},
		{"LISTEN_FDS", "taken by name: listen = inherit:NAME"},
		{"WATCHDOG_USEC", "answered in time"},
	};
	size_t told = 0;

	for (size_t i = 0; i < COUNT_OF(variables); i++) {
		const char *value = getenv(variables[i].name);

		if (value == NULL)
			continue;
		told++;
		facts_add(f, FACT_NOTE, variables[i].name, variables[i].does, "%.160s", value);
	}
	if (told == 0)
		facts_add(f, FACT_OK, "service manager", "", "none");
}

void facts_place(struct facts *f, const char *runtime_directory)
{
	look_at_directory(f, runtime_directory);
	look_at_manager(f);
}
