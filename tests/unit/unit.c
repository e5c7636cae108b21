/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdio.h>

static Suite *suite;

/* The present case of each file: what files register comes in turns. */
static struct {
	const char *file;
	TCase *present;
	SFun up; /* of all its cases */
} files[64];

static unsigned place_of(const char *file)
{
	unsigned i = 0;

	while (files[i].file != NULL && strcmp(files[i].file, file) != 0)
		i++;
	if (i + 1 == COUNT_OF(files))
		abort();
	files[i].file = file;
	return i;
}

/* "tests/unit/core/test_backoff.c": "backoff" */
static const char *name_of(const char *file)
{
	static char names[256][64];
	static unsigned used;
	const char *base = strstr(file, "/test_");
	char *to = names[used++];

	if (base == NULL || used == COUNT_OF(names))
		abort();
	base += strlen("/test_");
	snprintf(to, sizeof(names[0]), "%.*s", (int)strcspn(base, "."), base);
	return to;
}

void unit_add_case(const char *file, const char *name)
{
	TCase *tc = tcase_create(name_of(file));
	unsigned at = place_of(file);

	if (suite == NULL)
		suite = suite_create("unit");
	tcase_set_tags(tc, name);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	files[at].present = tc;
	if (files[at].up != NULL)
		tcase_add_checked_fixture(tc, files[at].up, NULL);
}

void unit_add_file_fixture(const char *file, SFun up)
{
	files[place_of(file)].up = up;
}

static TCase *case_of(const char *file)
{
	unsigned at = place_of(file);

	if (files[at].present == NULL)
		unit_add_case(file, "");
	return files[at].present;
}

void unit_add_fixture(const char *file, SFun up, SFun down)
{
	tcase_add_checked_fixture(case_of(file), up, down);
}

bool unit_is_valgrind(void)
{
	const char *preloaded = getenv("LD_PRELOAD");

	return preloaded != NULL && strstr(preloaded, "vgpreload") != NULL;
}

void unit_add(const TTest *test, int from, int to, bool native)
{
	if (!native || !unit_is_valgrind())
		tcase_add_loop_test(case_of(test->file), test, from, to);
}

/* ---- what is replaced ---- */

static struct {
	const char *file;
	SFun *where;
	SFun what;
	SFun before;
} replaced[128];
static unsigned replaced_count;

void unit_replace(const char *file, SFun *where, SFun what)
{
	if (replaced_count == COUNT_OF(replaced))
		abort();
	replaced[replaced_count].file = file;
	replaced[replaced_count].where = where;
	replaced[replaced_count].what = what;
	replaced[replaced_count++].before = *where;
}

void unit_replace_all(const char *file)
{
	for (unsigned i = 0; i < replaced_count; i++)
		*replaced[i].where = replaced[i].before;
	for (int own = 0; own < 2; own++) /* after those of the lib */
		for (unsigned i = 0; i < replaced_count; i++)
			if (own ? strcmp(replaced[i].file, file) == 0
				: strstr(replaced[i].file, "room_lib.c") != NULL)
				*replaced[i].where = replaced[i].what;
}

/* ---- the program ---- */

__attribute__((weak)) void unit_begin(int argc, char **argv)
{
	(void)argc;
	(void)argv;
}

__attribute__((weak)) void unit_end(void)
{
}

int main(int argc, char **argv)
{
	SRunner *runner;
	int failed;

	unit_begin(argc, argv);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	unit_end();
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
