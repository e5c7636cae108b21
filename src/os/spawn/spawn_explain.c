/* SPDX-License-Identifier: MIT */
#include "os/spawn/spawn.h"

#include "base/scope.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* The step that failed, for a sentence "cannot STEP for 'name'". */
static const char *const steps[] = {
	[SPAWN_TRAP] = "trap bind and listen",
	[SPAWN_SESSION] = "make a session",
	[SPAWN_SIGNALS] = "reset the signals",
	[SPAWN_LIMIT] = "set the resource limit",
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
	[SPAWN_CGROUP] = "enter the cgroup",
};

int spawn_exit_status(const struct spawn_failure *f)
{
	if (f->step == SPAWN_CLONE || f->step == SPAWN_CGROUP || f->error == ETIMEDOUT)
		return 0;
	if (f->error == EAGAIN && (f->step == SPAWN_EXEC || f->step == SPAWN_USER))
		return 0; /* RLIMIT_NPROC of the user */
	if (f->step == SPAWN_EXEC && (f->error == ENOENT || f->error == ENOTDIR))
		return 127;
	return 126;
}

static const struct {
	enum spawn_step step;
	int error;
	const char *text;
} hints[] = {
	{SPAWN_CLONE, EAGAIN, "a limit of processes is reached (RLIMIT_NPROC, pids.max)"},
	{SPAWN_CLONE, EMFILE, "nclust's limit of open files is reached (RLIMIT_NOFILE)"},
	{SPAWN_CHROOT, EPERM, "this needs root"},
	{SPAWN_GROUPS, EPERM, "this needs root"},
	{SPAWN_USER, EPERM, "this needs root"},
	{SPAWN_CAPABILITIES, EPERM,
		"nclust can only pass on what it has, and needs CAP_SETPCAP, "
		"or no-new-privs = yes, to take the rest away"},
	{SPAWN_CHROOT, ETIMEDOUT, "does its file server answer?"},
	{SPAWN_DIRECTORY, ETIMEDOUT, "does its file server answer?"},
	{SPAWN_EXEC, ETIMEDOUT, "does its file server answer?"},
	{SPAWN_EXEC, ENOEXEC,
		"neither a program for this machine nor a script whose first "
		"line names its interpreter ('#!/bin/sh')"},
	{SPAWN_EXEC, E2BIG,
		"its arguments and environment together are larger than the kernel takes"},
	{SPAWN_EXEC, ETXTBSY, "a process has it open for writing"},
	{SPAWN_EXEC, ENOMEM, "the machine or the cgroup is short of memory"},
	{SPAWN_EXEC, EAGAIN, "the user's limit of processes (RLIMIT_NPROC) is reached"},
};

static void explain_step(const struct spawn_failure *f, const char *name, struct error *err)
{
	const char *step = f->step < COUNT_OF(steps) ? steps[f->step] : NULL;

	if (!step)
		step = "go on";
	if (f->what[0] != '\0')
		error_set(err, f->error, "cannot %s '%s' for '%s'", step, f->what, name);
	else
		error_set(err, f->error, "cannot %s for '%s'", step, name);
}

void spawn_explain(const struct spawn_failure *f, const char *name, struct error *err)
{
	switch (f->step) {
	case SPAWN_CLONE:
		error_set(err, f->error, "cannot start '%s'", name);
		break;
	case SPAWN_EXEC:
		if (f->error == ENOENT && strchr(name, '/') == NULL)
			error_set(err, 0, "cannot find '%s' in PATH", name);
		else
			error_set(err, f->error, "cannot execute '%s'",
				f->what[0] != '\0' ? f->what : name);
		break;
	case SPAWN_INTERPRETER:
		if (f->what[0] != '\0')
			error_set(err, f->error, "cannot execute '%s': its interpreter '%s'", name,
				f->what);
		else
			error_set(err, f->error, "cannot execute '%s': its dynamic loader", name);
		break;
	case SPAWN_REGAIN:
		error_set(err, 0, "cannot start '%s': the new user could become root again", name);
		break;
	default:
		explain_step(f, name, err);
		break;
	}
	for (size_t i = 0; i < COUNT_OF(hints); i++)
		if (hints[i].step == f->step && hints[i].error == f->error)
			error_hint(err, "%s", hints[i].text);
	(void)error_status(err, spawn_exit_status(f));
}
