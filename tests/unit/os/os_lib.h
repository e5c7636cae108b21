/* SPDX-License-Identifier: MIT */
#ifndef TESTS_OS_LIB_H
#define TESTS_OS_LIB_H

/* What the tests of os/ share.  They run against the real kernel. */

#include "../unit.h"

#include "base/error.h"
#include "base/scope.h"
#include "os/pidfd.h"
#include "os/spawn/spawn.h"

#include <stddef.h>
#include <sys/types.h>

/* A fixture that gives each test a directory of its own; all are removed at the
 * end, by the program, as a test may have become somebody else. */
extern char os_dir[64];
void os_make_dir(void);
/* "DIR/NAME", in one of four buffers in turn. */
const char *os_path(const char *name);
void os_write(const char *path, const char *text, mode_t mode);

/* Is this root?  If not, say that the test is left out. */
bool os_is_root(const char *why);

/*
 * The test program run as "PROGRAM --tell" says what it finds itself to be,
 * one "key: value" a line.
 */
extern char os_self[4096]; /* the test program's path */

/* A plan that runs it with descriptors 0-2 only. */
struct spawn_plan os_plan(void);
/* Run a plan to its end, its stdout caught.  The exit status, 128 + signal. */
int os_run(struct spawn_plan *plan, char *out, size_t size);
/* The value of a line, in one of four buffers in turn; "" without one. */
const char *os_field(const char *out, const char *key);

struct pidfd_end os_wait(int pidfd); /* for its end, and close it */
int os_null(void);                   /* /dev/null, CLOEXEC */
unsigned os_open_count(void);        /* descriptors that are open */

#endif
