/* SPDX-License-Identifier: MIT */
#include "cli/facts.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/affinity.h"
#include "os/cgroup.h"
#include "os/cgroup_tree.h"

#include <stdio.h>
#include <sys/resource.h>

#define OWN_DESCRIPTORS 64 /* nclust's own, listeners and clients included */
#define QUIET_DESCRIPTORS 2
#define CAPTURED_DESCRIPTORS 4
#define FEW_WORKERS 100
#define SMALL_BACKLOG 1024

unsigned facts_cpus(void)
{
	unsigned allowed = affinity_count();
	unsigned quota = cgroup_cpu_quota("");

	return quota != 0 && quota < allowed ? quota : allowed;
}

static void look_at_cpus(struct facts *f)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned allowed = affinity_count();
	unsigned quota = cgroup_cpu_quota("");

	facts_add(f, FACT_OK, "CPUs", "", "%ld online, %u allowed by affinity", online, allowed);
	if (quota != 0)
		facts_add(f, FACT_OK, "CPU quota", "", "%u by cgroup", quota);
	else
		facts_add(f, FACT_OK, "CPU quota", "", "none");
	facts_add(f, FACT_OK, "workers = auto", "", "gives %u", facts_cpus());
}

static void look_at_cgroup(struct facts *f)
{
	int version = cgroup_version("");
	unsigned long long memory = cgroup_memory_limit("");
	unsigned long long pids = cgroup_pids_limit("");
	struct error err;

	if (version == 0)
		facts_add(f, FACT_NOTE, "cgroup",
			"limits are not seen, workers = auto goes by affinity", "none found");
	else
		facts_add(f, FACT_OK, "cgroup", "", "version %d", version);
	if (memory != 0)
		facts_add(f, FACT_NOTE, "memory limit", "a worker killed for it is reported so",
			"%llu MiB by cgroup", memory >> 20);
	else
		facts_add(f, FACT_OK, "memory limit", "", "none by cgroup");
	if (pids != 0)
		facts_add(f, pids < FEW_WORKERS ? FACT_WARN : FACT_NOTE, "process limit",
			"a worker that cannot be started is tried again later", "%llu by cgroup",
			pids);
	else
		facts_add(f, FACT_OK, "process limit", "", "none by cgroup");
	if (cgroup_tree_check("", &err) == -1)
		facts_add(f, FACT_NOTE, "worker limits",
			"not all of memory-max, cpu-max, pids-max work", "%s", err.text);
	else
		facts_add(f, FACT_OK, "worker limits", "memory-max, cpu-max, pids-max work",
			"nclust may make cgroups");
	if (cgroup_oom_kills("") == -1)
		facts_add(f, FACT_NOTE, "out of memory", "shown as killed by SIGKILL",
			"kills cannot be counted");
	else
		facts_add(f, FACT_OK, "out of memory", "told apart from other SIGKILLs",
			"kills can be counted");
}

static void look_at_somaxconn(struct facts *f)
{
	long most = facts_number("/proc/sys/net/core/somaxconn", 0);

	if (most <= 0)
		facts_add(f, FACT_NOTE, "accept queue", "", "the largest cannot be read");
	else if (most < SMALL_BACKLOG)
		facts_add(f, FACT_WARN, "accept queue",
			"longer backlogs are cut; raise net.core.somaxconn",
			"at most %ld connections", most);
	else
		facts_add(f, FACT_OK, "accept queue", "the default backlog, and the largest",
			"at most %ld connections", most);
}

/* "soft 1024, hard unlimited" */
static const char *limits_text(char to[64], const struct rlimit *limit)
{
	const rlim_t values[] = {limit->rlim_cur, limit->rlim_max};
	char text[COUNT_OF(values)][24];

	for (size_t i = 0; i < COUNT_OF(values); i++)
		if (values[i] == RLIM_INFINITY)
			(void)text_copy(text[i], sizeof(text[i]), "unlimited");
		else
			(void)snprintf(
				text[i], sizeof(text[i]), "%llu", (unsigned long long)values[i]);
	(void)snprintf(to, 64, "soft %s, hard %s", text[0], text[1]);
	return to;
}

static unsigned long long workers_in(rlim_t descriptors, unsigned each)
{
	return descriptors > OWN_DESCRIPTORS
		? (unsigned long long)(descriptors - OWN_DESCRIPTORS) / each
		: 0;
}

static void look_at_descriptors(struct facts *f)
{
	struct rlimit limit;
	char text[64];
	unsigned long long captured;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return;
	captured = workers_in(limit.rlim_max, CAPTURED_DESCRIPTORS);
	facts_add(f, captured < FEW_WORKERS ? FACT_WARN : FACT_OK, "descriptors",
		"nclust may use the hard limit, workers keep the soft one",
		"%s: about %llu workers, %llu with captured output", limits_text(text, &limit),
		workers_in(limit.rlim_max, QUIET_DESCRIPTORS), captured);
}

static void look_at_processes(struct facts *f)
{
	struct rlimit limit;
	char text[64];

	if (getrlimit(RLIMIT_NPROC, &limit) == -1)
		return;
	facts_add(f, limit.rlim_cur < FEW_WORKERS && geteuid() != 0 ? FACT_WARN : FACT_OK,
		"processes",
		geteuid() == 0 || limit.rlim_cur == RLIM_INFINITY
			? ""
			: "a worker that cannot be started is tried again "
			  "later",
		"%s%s", limits_text(text, &limit),
		geteuid() == 0 ? ", which does not bind root" : "");
}

void facts_resources(struct facts *f)
{
	look_at_cpus(f);
	look_at_cgroup(f);
	look_at_somaxconn(f);
	look_at_descriptors(f);
	look_at_processes(f);
}
