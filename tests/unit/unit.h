/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/scope.h"

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/*
 * All tests of a folder are one program, of libcheck's.  A file defines them, and they
 * register themselves before main(), which is in unit.c:
 *
 *	FIXTURE(set_up, tear_down)     for the tests below, in the process of each
 *	TEST(what_holds) { ... }
 *	TEST_LOOP(what_holds_of_each, 0, COUNT_OF(rows)) { ... rows[_i] ... }
 *
 * The tests of a file are a case, called like the file.  CASE(name) begins another one,
 * without fixtures.  NATIVE_TEST is left out under valgrind, which emulates some calls
 * wrongly.  `CK_RUN_CASE=name` runs one case.
 */
/* By their order in the file: a compiler may have another one. */
#define UNIT_CONSTRUCTOR(name, what) \
	__attribute__((constructor(1000 + __COUNTER__))) static void name(void) \
	{ \
		what; \
	}

#define UNIT_TEST(name, from, to, native) \
	static void name##_fn(int _i); \
	static const TTest name##_test = {#name, name##_fn, __BASE_FILE__, __LINE__}; \
	UNIT_CONSTRUCTOR(name##_add, unit_add(&name##_test, from, to, native)) \
	static void name##_fn(int _i __attribute__((unused)))

#define TEST(name) UNIT_TEST(name, 0, 1, false)
#define TEST_LOOP(name, from, to) UNIT_TEST(name, from, to, false)
#define NATIVE_TEST(name) UNIT_TEST(name, 0, 1, true)
#define NATIVE_TEST_LOOP(name, from, to) UNIT_TEST(name, from, to, true)

#define UNIT_PASTE(a, b) a##b
#define UNIT_NAME(a, b) UNIT_PASTE(a, b)
#define FIXTURE(up, down) \
	UNIT_CONSTRUCTOR(UNIT_NAME(fixture_, __LINE__), unit_add_fixture(__BASE_FILE__, up, down))
/* The same for all tests of the file, also of other cases. */
#define FILE_FIXTURE(up) \
	UNIT_CONSTRUCTOR( \
		UNIT_NAME(file_fixture_, __LINE__), unit_add_file_fixture(__BASE_FILE__, up))
#define CASE(name) UNIT_CONSTRUCTOR(UNIT_NAME(case_, __LINE__), unit_add_case(__BASE_FILE__, #name))

void unit_add(const TTest *test, int from, int to, bool native);
void unit_add_fixture(const char *file, SFun up, SFun down);
void unit_add_file_fixture(const char *file, SFun up);
/* In tests of that file, *where is `what`: from unit_replace_all(file) on. */
void unit_replace(const char *file, SFun *where, SFun what);
void unit_replace_all(const char *file);
void unit_add_case(const char *file, const char *name);

bool unit_is_valgrind(void);

#if defined(__SANITIZE_ADDRESS__)
#define UNIT_IS_SANITIZED true
#elif defined(__has_feature)
#define UNIT_IS_SANITIZED __has_feature(address_sanitizer)
#else
#define UNIT_IS_SANITIZED false
#endif

/* What main() does first and last; a folder's lib may define it. */
void unit_begin(int argc, char **argv);
void unit_end(void);
