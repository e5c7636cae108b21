/* SPDX-License-Identifier: MIT */
#include "os/needs.h"

#include "base/scope.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sysexits.h>
#include <unistd.h>

#define FOUND_TEXT 320

bool needs_release(const char *release, unsigned major, unsigned minor)
{
	unsigned its[2] = {0, 0};

	(void)sscanf(release, "%u.%u", &its[0], &its[1]);
	return its[0] > major || (its[0] == major && its[1] >= minor);
}

/* gVisor, which calls itself Linux 4.4 or 4.19, does not tell that a child has called exec, and
 * knows no seccomp notifications. */
static const char *look_at_kernel(char found[FOUND_TEXT])
{
	struct utsname name;

	(void)uname(&name); /* fails only for a bad pointer */
	snprintf(found, FOUND_TEXT, "%s %s, %s", name.sysname, name.release, name.machine);
	return needs_release(name.release, 5, 10)
		? NULL
		: "nclust needs Linux 5.10 or later, and no sandbox in its place such as gVisor";
}

/* Its numbers of processes have to be ours. */
static const char *look_at_proc(char found[FOUND_TEXT])
{
	char it[24] = "";
	char us[24];

	snprintf(us, sizeof(us), "%d", (int)getpid());
	if (readlink("/proc/self", it, sizeof(it) - 1) == -1)
		snprintf(found, FOUND_TEXT, "cannot be read: %s", strerror(errno));
	else if (strcmp(it, us) != 0)
		snprintf(found, FOUND_TEXT, "is that of another PID namespace");
	else
		return text_copy(found, FOUND_TEXT, "readable"), NULL;
	return "nclust needs this namespace's: mount -t proc proc /proc (unshare: --mount-proc)";
}

/* Every kernel since 3.4 knows it; qemu-user answers EINVAL in its place. */
static const char *look_at_subreaper(char found[FOUND_TEXT])
{
	int is;

	if (prctl(PR_GET_CHILD_SUBREAPER, &is, 0, 0, 0) == -1) {
		snprintf(found, FOUND_TEXT, "cannot be had: %s", strerror(errno));
		return "an emulator (qemu-user) runs this program: run one, or an image, that is "
		       "made "
		       "for this machine's CPU";
	}
	return text_copy(found, FOUND_TEXT, "works"), NULL;
}

const struct need needs[3] = {
	{"kernel", look_at_kernel},
	{"/proc", look_at_proc},
	{"child subreaper", look_at_subreaper},
};

int needs_check(struct error *err)
{
	char found[FOUND_TEXT];

	for (size_t i = 0; i < COUNT_OF(needs); i++) {
		const char *advice = needs[i].look(found);

		if (advice != NULL) {
			error_fail(err, EX_OSERR, "%s %s", needs[i].name, found);
			return error_hint(err, "%s", advice);
		}
	}
	return 0;
}
