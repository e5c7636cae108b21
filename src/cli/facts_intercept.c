/* SPDX-License-Identifier: MIT */
#include "cli/facts.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/privilege.h"
#include "os/process.h"
#include "os/look/remote.h"
#include "os/spawn/seccomp.h"
#include "os/vfork.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

/*
 * Can the port of a server that binds by itself be taken over here, and how?
 * What the supervisor asks of the kernel for it is tried: the filter in a child
 * that is gone at once, all else on ourselves.
 */

#define TRIAL_PATIENCE (1 * SECOND)

/* With no_new_privs, where that is what it takes; the child's alone. */
struct listener_trial {
	bool privileged;
	int error;
};

static void install_listener(void *argument)
{
	struct listener_trial *t = argument;

	if (!t->privileged && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1) {
		t->error = errno;
		return;
	}
	t->error = seccomp_install(false) == -1 ? errno : 0;
}

/* Those of a worker's socket and of its memory, tried on ours. */
struct ways {
	int listener; /* 0, or an errno */
	int descriptor;
	int memory;
	char yama[16]; /* ptrace_scope; "": there is none */
};

static void try_all(struct ways *w)
{
	struct listener_trial t = {
		.privileged = privilege_has(CAP_SYS_ADMIN),
		.error = EPERM,
	};
	struct remote ourselves = {.tid = getpid()};
	scoped_fd fd = remote_fd(&ourselves, STDERR_FILENO);
	char from = '\0';
	char to;

	/* a closed one is no refusal */
	w->descriptor = fd == -1 && errno != EBADF ? errno : 0;
	w->memory = remote_read(&ourselves, (uintptr_t)&from, &to, 1) == -1 ? errno : 0;
	if (vfork_run_apart(install_listener, &t, TRIAL_PATIENCE) == -1)
		t.error = errno;
	w->listener = t.error;
	(void)process_read_path("/proc/sys/kernel/yama/ptrace_scope", w->yama, sizeof(w->yama));
	w->yama[strcspn(w->yama, "\n")] = '\0';
}

static bool yama_refuses(const struct ways *w)
{
	return w->yama[0] >= '3' || (w->yama[0] == '2' && !privilege_has(CAP_SYS_PTRACE));
}

static void look_at_taking_over(json_t *facts, const struct ways *w)
{
	static const char name[] = "taking over ports";
	char why[40] = "";

	if (w->listener != 0)
		(void)text_copy(why, sizeof(why), "no seccomp notifications");
	else if (w->memory != 0)
		(void)text_copy(why, sizeof(why), "addresses cannot be read");
	else if (yama_refuses(w))
		(void)snprintf(why, sizeof(why), "ptrace_scope is %c", w->yama[0]);
	if (w->listener == EBUSY)
		facts_add(facts, FACT_WARN, name,
			"if that is an nclust, it does it for all; else "
			"servers that bind by themselves run as one copy",
			"not by this nclust: another supervisor above it "
			"does so");
	else if (why[0] != '\0')
		facts_add(facts, FACT_WARN, name,
			"servers that bind by themselves run as one copy, "
			"those that take LISTEN_FDS as many",
			"not possible: %s", why);
	else if (w->descriptor != 0)
		facts_add(facts, FACT_NOTE, name,
			"servers that bind by themselves share their port, "
			"without the options that they set before bind",
			"by sockets of nclust's in the place of their own");
	else
		facts_add(facts, FACT_OK, name, "servers that bind by themselves share their port",
			"by their own sockets");
}

static void look_at_listener(json_t *facts, int error)
{
	static const char name[] = "seccomp notify";

	if (error == 0 && privilege_has(CAP_SYS_ADMIN))
		facts_add(facts, FACT_OK, name, "", "works, by CAP_SYS_ADMIN");
	else if (error == 0)
		facts_add(facts, FACT_OK, name,
			"set-user-ID programs gain nothing in workers, unless "
			"intercept = off",
			"works, with no_new_privs");
	else if (error == EBUSY)
		facts_add(facts, FACT_NOTE, name,
			"a container manager that does so can be told not to "
			"(LXD: security.syscalls.intercept.*)",
			"in use: a process can have only one such listener");
	else if (error == EINVAL || error == ENOSYS)
		facts_add(facts, FACT_NOTE, name,
			"requires Linux 5.9, and no sandbox such as gVisor", "missing: %s",
			strerror(error));
	else
		facts_add(facts, FACT_NOTE, name, "let the container's profile allow seccomp(2)",
			"refused: %s", strerror(error));
}

static void add_look(json_t *facts, const char *name, int error)
{
	if (error == 0)
		facts_add(facts, FACT_OK, name, "", "works");
	else
		facts_add(facts, FACT_NOTE, name,
			"run the container with --cap-add SYS_PTRACE, or a "
			"profile that allows it",
			"refused: %s", strerror(error));
}

static void look_at_yama(json_t *facts, const struct ways *w)
{
	const char *does = "";

	if (w->yama[0] >= '3')
		does = "no process may look at another until the machine is "
		       "started with kernel.yama.ptrace_scope=1";
	else if (yama_refuses(w))
		does = "give nclust CAP_SYS_PTRACE, or set "
		       "kernel.yama.ptrace_scope=1";
	else if (w->yama[0] == '2')
		does = "nclust has CAP_SYS_PTRACE, which it requires";
	else if (w->yama[0] != '\0')
		does = "nclust looks at its own workers only";
	facts_add(facts, yama_refuses(w) ? FACT_NOTE : FACT_OK, "ptrace_scope", does, "%s",
		w->yama[0] != '\0' ? w->yama : "no Yama");
}

void facts_intercept(json_t *facts)
{
	struct ways w = {.yama = ""};

	try_all(&w);
	look_at_taking_over(facts, &w);
	look_at_listener(facts, w.listener);
	add_look(facts, "pidfd_getfd", w.descriptor);
	add_look(facts, "process_vm_readv", w.memory);
	look_at_yama(facts, &w);
}
