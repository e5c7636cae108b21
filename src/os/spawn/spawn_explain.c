/* SPDX-License-Identifier: MIT */
#include "os/spawn/spawn.h"

#include "base/scope.h"

#include <errno.h>
#include <stddef.h>

/* What could not be done, for a sentence "cannot … for 'name'". */
static const char *const deeds[] = {
	[SPAWN_TRAP] = "trap bind and listen",
	[SPAWN_SESSION] = "make a session",
	[SPAWN_SIGNALS] = "reset the signals",
	[SPAWN_LIMIT] = "set a resource limit",
	[SPAWN_NICE] = "set the nice value",
	[SPAWN_OOM_SCORE] = "set the OOM score",
	[SPAWN_AFFINITY] = "pin the CPU",
	[SPAWN_DESCRIPTORS] = "arrange descriptor",
	[SPAWN_CHROOT] = "change root to",
	[SPAWN_GROUPS] = "set the groups",
	[SPAWN_USER] = "change the user",
	[SPAWN_DIRECTORY] = "enter directory",
	[SPAWN_PARENT] = "follow the supervisor",
	[SPAWN_CAPABILITIES] = "set the capabilities",
	[SPAWN_NO_NEW_PRIVS] = "set no_new_privs",
};

int spawn_exit_status(const struct spawn_failure *f)
{
	if (f->step == SPAWN_CLONE)
		return 0;
	if (f->error == EAGAIN &&
		(f->step == SPAWN_EXEC || f->step == SPAWN_USER))
		return 0; /* RLIMIT_NPROC of the user */
	if (f->step == SPAWN_EXEC &&
		(f->error == ENOENT || f->error == ENOTDIR))
		return 127;
	return 126;
}

static void hint_exec(int error, struct error *err)
{
	switch (error) {
	case ENOEXEC:
		(void)error_hint(err,
			"neither a program for this machine nor a script whose "
			"first line names its interpreter ('#!/bin/sh')");
		break;
	case E2BIG:
		(void)error_hint(err,
			"its arguments and environment together "
			"are larger than the kernel takes");
		break;
	case ETXTBSY:
		(void)error_hint(err, "somebody has it open for writing");
		break;
	case ENOMEM:
		(void)error_hint(err,
			"the machine or the cgroup is short of "
			"memory");
		break;
	case EAGAIN:
		(void)error_hint(err,
			"the user's limit of processes "
			"(RLIMIT_NPROC) is reached");
		break;
	default:
		break;
	}
}

static void hint_clone(int error, struct error *err)
{
	if (error == EAGAIN)
		(void)error_hint(err,
			"a limit of processes is reached "
			"(RLIMIT_NPROC, pids.max)");
	else if (error == EMFILE)
		(void)error_hint(err,
			"nclust's limit of open files is reached "
			"(RLIMIT_NOFILE)");
}

static void explain_deed(
	const struct spawn_failure *f, const char *name, struct error *err)
{
	const char *deed = f->step < COUNT_OF(deeds) ? deeds[f->step] : NULL;

	if (!deed)
		deed = "go on";
	if (f->what[0] != '\0')
		(void)error_set(err, f->error, "cannot %s '%s' for '%s'", deed,
			f->what, name);
	else
		(void)error_set(
			err, f->error, "cannot %s for '%s'", deed, name);
	if (f->error != EPERM)
		return;
	if (f->step == SPAWN_GROUPS || f->step == SPAWN_USER ||
		f->step == SPAWN_CHROOT)
		(void)error_hint(err, "this needs root");
	else if (f->step == SPAWN_CAPABILITIES)
		(void)error_hint(err,
			"nclust can only pass on what it has, and needs "
			"CAP_SETPCAP, or no-new-privs = yes, to take the rest "
			"away");
}

void spawn_explain(
	const struct spawn_failure *f, const char *name, struct error *err)
{
	switch (f->step) {
	case SPAWN_CLONE:
		(void)error_set(err, f->error, "cannot start '%s'", name);
		hint_clone(f->error, err);
		break;
	case SPAWN_EXEC:
		(void)error_set(err, f->error, "cannot execute '%s'",
			f->what[0] != '\0' ? f->what : name);
		hint_exec(f->error, err);
		break;
	case SPAWN_INTERPRETER:
		if (f->what[0] != '\0')
			(void)error_set(err, f->error,
				"cannot execute '%s': its interpreter '%s'",
				name, f->what);
		else
			(void)error_set(err, f->error,
				"cannot execute '%s': its dynamic loader",
				name);
		break;
	case SPAWN_REGAIN:
		(void)error_set(err, 0,
			"cannot start '%s': the new user could become root "
			"again",
			name);
		break;
	default:
		explain_deed(f, name, err);
		break;
	}
	(void)error_status(err, spawn_exit_status(f));
}
