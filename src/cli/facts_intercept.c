/* SPDX-License-Identifier: MIT */
#include "cli/doctor.h"

#include "base/scope.h"
#include "os/privilege.h"
#include "os/process.h"
#include "os/look/remote.h"
#include "os/spawn/seccomp.h"
#include "os/vfork.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

/*
 * Can nclust take over the port of a server that binds by itself, and how?  The
 * system calls that the supervisor needs for that are tried: the filter in a
 * child that exits at once, all others on this process.
 */

#define TRIAL_PATIENCE (1 * SECOND)

/* A try in a child, with no_new_privs where the filter needs that; the flag is the child's alone. */
static int install_listener(void *privileged)
{
	if (!*(const bool *)privileged && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return -1;
	return seccomp_install(false);
}

static int try_listener(void)
{
	bool privileged = privilege_has(CAP_SYS_ADMIN);

	return vfork_run_apart(install_listener, &privileged, TRIAL_PATIENCE) == -1 ? errno : 0;
}

/* The system calls that read a worker's socket and its memory, tried on this
 * process; EBADF is no refusal. */
static int try_descriptor(void)
{
	struct remote ourselves = {.tid = getpid()};
	scoped_fd fd = remote_fd(&ourselves, STDERR_FILENO);

	return fd == -1 && errno != EBADF ? errno : 0;
}

static int try_memory(void)
{
	struct remote ourselves = {.tid = getpid()};
	char from = '\0';
	char to;

	return remote_read(&ourselves, (uintptr_t)&from, &to, 1) == -1 ? errno : 0;
}

/* ptrace_scope; -1: the kernel has no Yama. */
static int read_yama(void)
{
	char text[16];

	return process_read_path("/proc/sys/kernel/yama/ptrace_scope", text, sizeof(text)) > 0
		? (int)strtol(text, NULL, 10)
		: -1;
}

static bool is_too_strict(int scope)
{
	return scope > 2 || (scope == 2 && !privilege_has(CAP_SYS_PTRACE));
}

static void tell_taking_over(
	json_t *facts, int listener, int memory, int descriptor, bool yama_refuses)
{
	static const char name[] = "taking over ports";
	const char *why = listener != 0 ? "no seccomp notifications"
		: memory != 0           ? "addresses cannot be read"
					: "ptrace_scope is too strict";

	if (listener == EBUSY)
		facts_add(facts, FACT_WARN, name,
			"if that is an nclust, it does it for all; else servers that bind by "
			"themselves run as one copy",
			"not by this nclust: another supervisor above it does so");
	else if (listener != 0 || memory != 0 || yama_refuses)
		facts_add(facts, FACT_WARN, name,
			"servers that bind by themselves run as one copy, those that take "
			"LISTEN_FDS as many",
			"not possible: %s", why);
	else if (descriptor != 0)
		facts_add(facts, FACT_NOTE, name,
			"servers that bind by themselves share their port, without the options "
			"that they set before bind",
			"by sockets of nclust's in the place of their own");
	else
		facts_add(facts, FACT_OK, name, "servers that bind by themselves share their port",
			"by their own sockets");
}

static void tell_listener(json_t *facts, int error)
{
	static const char name[] = "seccomp notify";
	const char *advice = "let the container's profile allow seccomp(2)";

	if (error == 0) {
		bool privileged = privilege_has(CAP_SYS_ADMIN);

		facts_add(facts, FACT_OK, name,
			privileged ? ""
				   : "set-user-ID programs gain nothing in workers, unless "
				     "intercept = off",
			"works, %s", privileged ? "by CAP_SYS_ADMIN" : "with no_new_privs");
		return;
	}
	if (error == EBUSY)
		advice = "a container manager that does so can be told not to (LXD: "
			 "security.syscalls.intercept.*)";
	else if (error == EINVAL || error == ENOSYS)
		advice = "requires Linux 5.9, and no sandbox such as gVisor";
	facts_add(facts, FACT_NOTE, name, advice, "%s: %s",
		error == EBUSY                               ? "in use"
			: error == EINVAL || error == ENOSYS ? "missing"
							     : "refused",
		strerror(error));
}

static void tell_look(json_t *facts, const char *name, int error)
{
	if (error == 0)
		facts_add(facts, FACT_OK, name, "", "works");
	else
		facts_add(facts, FACT_NOTE, name,
			"run the container with --cap-add SYS_PTRACE, or a profile that allows it",
			"refused: %s", strerror(error));
}

void facts_intercept(json_t *facts)
{
	int listener = try_listener();
	int descriptor = try_descriptor();
	int memory = try_memory();
	int scope = read_yama();
	bool yama_refuses = is_too_strict(scope);

	tell_taking_over(facts, listener, memory, descriptor, yama_refuses);
	tell_listener(facts, listener);
	tell_look(facts, "pidfd_getfd", descriptor);
	tell_look(facts, "process_vm_readv", memory);
	if (yama_refuses)
		facts_add(facts, FACT_NOTE, "ptrace_scope",
			"give nclust CAP_SYS_PTRACE, or start the machine with "
			"kernel.yama.ptrace_scope=1",
			"%d", scope);
	else
		facts_add(
			facts, FACT_OK, "ptrace_scope", "", scope == -1 ? "no Yama" : "%d", scope);
}
