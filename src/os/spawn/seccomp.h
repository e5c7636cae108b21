/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Trapping system calls of another process, which wait for our answer:
 * seccomp(2) with SECCOMP_RET_USER_NOTIF, see seccomp_unotify(2).  Only bind
 * and listen are trapped, in all forms that the machine knows (x86-64, x32,
 * i386 and its socketcall(2); AArch64 and ARM; RISC-V), and on request
 * setsockopt(IPV6_V6ONLY); or connect alone, but not as a socketcall(2).
 */
enum seccomp_calls { SECCOMP_BINDS, SECCOMP_BINDS_V6ONLY, SECCOMP_CONNECTS };
enum seccomp_call {
	SECCOMP_BIND,
	SECCOMP_LISTEN,
	SECCOMP_V6ONLY,
	SECCOMP_CONNECT,
	SECCOMP_ARGUMENTS, /* socketcall(2): its arguments are in the caller's memory */
};

struct seccomp_notice {
	uint64_t id;
	pid_t tid; /* the calling thread, in our pid namespace; 0: not in it */
	enum seccomp_call call;
	int fd;
	uint64_t at; /* BIND, CONNECT: the sockaddr's; V6ONLY: the value's; ARGUMENTS: the words' */
	uint32_t size; /* bytes at that address */
	int backlog;   /* LISTEN */
};

/*
 * In a child before exec: install the filter on this thread and all that it will
 * become.  Returns the notify descriptor (CLOEXEC); -1 and errno: EBUSY: another filter in
 * force has a listener already; EACCES: neither CAP_SYS_ADMIN nor no_new_privs; EINVAL, ENOSYS: not supported.  Async-signal-safe.
 */
int seccomp_install(enum seccomp_calls which);

/* Receive one trapped call.  1; 0: none waits, or its caller has gone; -1 and errno.
 * Call it only when poll(2) has reported one: else it blocks. */
int seccomp_receive(int fd, struct seccomp_notice *notice);
/* Complete a notice with the words that socketcall(2) was given. */
#define SECCOMP_ARGUMENTS_MAX 5
void seccomp_arguments(struct seccomp_notice *notice, const uint32_t words[SECCOMP_ARGUMENTS_MAX]);

/* Does the caller still wait?  If so, all that was read of it (by its thread id!)
 * before this call was really its own. */
bool seccomp_waits(int fd, uint64_t id);

/* Answer with 0, or an errno.  A caller that has gone is no error. */
void seccomp_answer(int fd, uint64_t id, int error);
/* Let the kernel make the call. */
void seccomp_continue(int fd, uint64_t id);

/* Replace the caller's descriptor `theirs` by ours; waits until the caller has taken
 * it.  -1 and errno (ENOENT: the caller has gone). */
int seccomp_put(int fd, uint64_t id, int ours, int theirs, bool cloexec);

/* Is a call that was received trapped only once?  Before Linux 5.19 a signal that interrupts
 * the call has it trapped again.  Asks the kernel. */
bool seccomp_waits_killable(void);
