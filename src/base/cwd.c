/* SPDX-License-Identifier: MIT */
#include "base/trusted.h"

#include "base/scope.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool is_here(const char *path)
{
	struct stat there;
	struct stat here;

	return path != NULL && *path == '/' && stat(path, &there) == 0 && stat(".", &here) == 0 &&
		there.st_dev == here.st_dev && there.st_ino == here.st_ino;
}

char *cwd_name(void)
{
	const char *called = getenv("PWD");
	char *name = is_here(called) ? strdup(called) : getcwd(NULL, 0);

	if (is_here(name))
		return name;
	free(name);
	return NULL;
}

char *cwd_whole(const char *path)
{
	scoped_str here = NULL;
	char *whole;

	if (*path == '/')
		return strdup(path);
	here = cwd_name();
	return here != NULL && asprintf(&whole, "%s/%s", here, path) != -1 ? whole : NULL;
}
