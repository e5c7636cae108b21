/* SPDX-License-Identifier: MIT */
#pragma once

#include "../unit.h"

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* A directory of the test's own, which it is in: FIXTURE(enter, leave). */
static char dir[40];
static char before[4096];

static inline void enter(void)
{
	ck_assert_ptr_nonnull(getcwd(before, sizeof(before)));
	strcpy(dir, "/tmp/test_config.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
}

static inline int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static inline void leave(void)
{
	ck_assert_int_eq(chdir(before), 0);
	ck_assert_int_eq(nftw(dir, remove_one, 10, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void write_file(const char *path, const char *text, mode_t mode)
{
	FILE *out = fopen(path, "we");

	ck_assert_ptr_nonnull(out);
	ck_assert_int_ne(fputs(text, out), EOF);
	ck_assert_int_eq(fclose(out), 0);
	ck_assert_int_eq(chmod(path, mode), 0);
}
