/* SPDX-License-Identifier: MIT */
#include "base/glob.h"

#include <fnmatch.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

static size_t name_length(const char *at)
{
	return strcspn(at, "/");
}

/* Where the next name begins; after the last one: the path's end. */
static const char *next_name(const char *at)
{
	at += name_length(at);
	return *at == '/' ? at + 1 : at;
}

static bool is_name(const char *at, const char *name)
{
	return name_length(at) == strlen(name) && strncmp(at, name, strlen(name)) == 0;
}

static bool matches_name(const char *pattern, const char *at)
{
	char want[NAME_MAX + 1] = "";
	char name[NAME_MAX + 1] = "";

	if (name_length(pattern) > NAME_MAX || name_length(at) > NAME_MAX)
		return false;
	memcpy(want, pattern, name_length(pattern));
	memcpy(name, at, name_length(at));
	return fnmatch(want, name, FNM_PERIOD) == 0;
}

/* May "**" stand for the name at `at`? */
static bool is_entered(const char *at)
{
	return *at != '.' && !is_name(at, "node_modules");
}

static unsigned match_all(const char *at)
{
	for (; *next_name(at) != '\0'; at = next_name(at))
		if (!is_entered(at))
			return 0;
	return (*at != '.' ? GLOB_FILE : 0) | (is_entered(at) ? GLOB_BELOW : 0);
}

static unsigned match_names(const char *pattern, const char *at)
{
	const char *rest = next_name(pattern);
	unsigned got;

	if (*at == '\0')
		return *pattern != '\0' ? GLOB_BELOW : GLOB_FILE;
	if (*pattern == '\0')
		return 0;
	if (!is_name(pattern, "**"))
		return matches_name(pattern, at) ? match_names(rest, next_name(at)) : 0;
	while (is_name(rest, "**"))
		rest = next_name(rest);
	if (*rest == '\0')
		return match_all(at);
	got = match_names(rest, at);
	if (is_entered(at))
		got |= match_names(pattern, next_name(at));
	return got;
}

unsigned glob_match(const char *pattern, const char *path)
{
	return match_names(pattern + 1, path + 1);
}
