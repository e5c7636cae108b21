/* SPDX-License-Identifier: MIT */
#pragma once

/* What the tests of os/ share.  They run against the real kernel. */

#include "../unit.h"
#include "base/error.h"
#include "base/scope.h"
#include "os/pidfd.h"
#include "os/socket/socket.h"
#include "os/spawn/spawn.h"

/* The kernel, as most of them see it. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* It is left out if we are not root. */
#define ROOT_TEST(name) UNIT_TEST(name, 0, geteuid() == 0, false)
#define NATIVE_ROOT_TEST(name) UNIT_TEST(name, 0, geteuid() == 0, true)

/* It returns -1 with that errno. */
#define os_fails(call, error) \
	do { \
		errno = 0; \
		ck_assert_int_eq(call, -1); \
		ck_assert_int_eq(errno, error); \
	} while (0)

/* A fixture that gives each test a directory of its own; all are removed at the
 * end, by the program, as a test may have become somebody else. */
extern char os_dir[64];
void os_make_dir(void);
/* "DIR/NAME", in one of four buffers in turn. */
const char *os_path(const char *name);
void os_write(const char *path, const char *text, mode_t mode);
/* The same for a path below the directory, and the directories above it. */
void os_put(const char *path, const char *text);
void os_mkdir(const char *path, mode_t mode); /* exactly that */
struct stat os_stat(const char *path);        /* of itself if it is a link */

/* Is this root?  If not, say that the test is left out. */
bool os_is_root(const char *why);
/* Can sockets be bound to ::1?  If not, say that the test is left out. */
bool os_has_v6(void);

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

/* A plan that fails, again and again, and leaves nothing: how? */
struct spawn_failure os_spawn_fails(const struct spawn_plan *plan);

struct pidfd_end os_wait(int pidfd); /* for its end, and close it */
void os_reap(pid_t pid, int status); /* our child; it ends so */
/* A child that lives so, and has written a byte to `said`. */
pid_t os_start(void (*life)(int said));
/* The exit status of a child that does that. */
int os_in_child(int (*function)(void));
/* Is there something to read within so many milliseconds? */
bool os_is_readable(int fd, int milliseconds);

union os_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un un;
};
/* Of an IP, without a port, or a path. */
union os_address os_address(const char *text);
socklen_t os_size(const union os_address *at);
/* A stream socket that listens there; it gets a port, if it has none. */
int os_listen(union os_address *at);
int os_connect(const union os_address *at); /* -1 and errno */
/* Until the other end's kernel has it, and so the connection: it may lack a CPU for a while. */
void os_send(int fd, const void *data, size_t size);
/* For socket_open(), with the system's defaults: on loopback, or a path. */
struct socket_plan os_socket_plan(int family, int type, const char *path);
int os_get(int fd, int level, int option); /* of a socket */
void os_set(int fd, int level, int option, int value);
void os_ignore_signals(void);                  /* and block them */
void os_limit_descriptors(unsigned long most); /* if that is allowed */
int os_null(void);                             /* /dev/null, CLOEXEC */
unsigned os_open_count(void);                  /* descriptors that are open */
