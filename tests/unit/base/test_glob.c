/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "base/glob.h"

static const struct {
	const char *pattern;
	const char *path;
	unsigned got;
} cases[] = {
	{"/a/src/x.js", "/a/src/x.js", GLOB_FILE},
	{"/a/src/x.js", "/a/src", GLOB_BELOW},
	{"/a/src/x.js", "/", GLOB_BELOW},
	{"/a/src/x.js", "/a/src/x.js/y", 0},
	{"/a/*.js", "/a/x.js", GLOB_FILE},
	{"/a/*.js", "/a/.x.js", 0},
	{"/a/*.js", "/a/b/x.js", 0},
	{"/a/*/x", "/a/b", GLOB_BELOW},
	{"/a/*/x", "/a/b/x", GLOB_FILE},
	{"/a/[xy]?", "/a/x1", GLOB_FILE},
	{"/a/.e*", "/a/.env", GLOB_FILE},
	/* any number of directories, none included */
	{"/a/**/*.js", "/a/x.js", GLOB_FILE | GLOB_BELOW},
	{"/a/**/*.js", "/a/b", GLOB_BELOW},
	{"/a/**/*.js", "/a/b/c/d/x.js", GLOB_FILE | GLOB_BELOW},
	{"/a/**/*.js", "/a/b/c/d/x.css", GLOB_BELOW},
	{"/a/**/**/*.js", "/a/x.js", GLOB_FILE | GLOB_BELOW},
	{"/a/**/t/*.js", "/a/b/t/x.js", GLOB_FILE | GLOB_BELOW},
	{"/a/**/t/*.js", "/a/b/u/x.js", GLOB_BELOW},
	/* but not those that nobody means */
	{"/a/**/*.js", "/a/node_modules", 0},
	{"/a/**/*.js", "/a/b/node_modules/c/x.js", 0},
	{"/a/**/*.js", "/a/.git/x.js", 0},
	{"/a/node_modules/mine/**", "/a/node_modules", GLOB_BELOW},
	{"/a/node_modules/mine/**", "/a/node_modules/mine/x", GLOB_FILE | GLOB_BELOW},
	/* at the end it is all that is below */
	{"/a/**", "/a", GLOB_BELOW},
	{"/a/**", "/a/x", GLOB_FILE | GLOB_BELOW},
	{"/a/**", "/a/b/c", GLOB_FILE | GLOB_BELOW},
	{"/a/**", "/a/.x", 0},
	{"/a/**", "/b", 0},
	{"/**/*.c", "/x.c", GLOB_FILE | GLOB_BELOW},
};

TEST_LOOP(a_path_matches_name_by_name, 0, (int)(sizeof(cases) / sizeof(*cases)))
{
	ck_assert_msg(glob_match(cases[_i].pattern, cases[_i].path) == cases[_i].got, "%s, %s: %u",
		cases[_i].pattern, cases[_i].path, glob_match(cases[_i].pattern, cases[_i].path));
}
