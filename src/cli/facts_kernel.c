/* SPDX-License-Identifier: MIT */
#include "cli/doctor.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/process.h"
#include "os/spawn/seccomp.h"

#include <stdio.h>
#include <unistd.h>

static bool signals_main_thread(void)
{
	scoped_fd fd = pidfd_to_watch(getpid());

	return pidfd_signals_threads(fd);
}

/* What newer kernels have and users of an older one notice, oldest first. */
static const struct {
	unsigned major, minor;
	bool (*has)(void); /* tries it: an older kernel may have it from its distribution */
	const char *name;
	const char *does;
} lacks[] = {
	{5, 12, NULL, "balance = rr",
		"may pass over a worker when several CPUs take connections at once"},
	{5, 14, NULL, "waiting clients",
		"with a socket for each worker, those of a worker that has died wait for its "
		"successor"},
	{5, 14, NULL, "network namespaces",
		"ports of workers in another one are taken over, too, unless intercept = off"},
	{5, 19, seccomp_waits_killable, "bind and signals",
		"a signal may interrupt a worker's bind (EINTR) until nclust has answered it"},
	{6, 9, signals_main_thread, "stop of threads",
		"a worker with threads of which the main one alone handles signals (Python) may "
		"sleep through its stop signal, until stop-timeout"},
	{6, 15, NULL, "taken-over workers", "how one has ended may be unknown"},
};

bool facts_is_release(const char *release, unsigned major, unsigned minor)
{
	unsigned its[2] = {0, 0};

	(void)sscanf(release, "%u.%u", &its[0], &its[1]);
	return its[0] > major || (its[0] == major && its[1] >= minor);
}

void facts_kernel(json_t *facts, const char *release, bool try)
{
	for (size_t i = 0; i < COUNT_OF(lacks); i++)
		if (!facts_is_release(release, lacks[i].major, lacks[i].minor) &&
			!(try && lacks[i].has != NULL && lacks[i].has()))
			facts_add(facts, FACT_NOTE, lacks[i].name, lacks[i].does,
				"before Linux %u.%u", lacks[i].major, lacks[i].minor);
}
