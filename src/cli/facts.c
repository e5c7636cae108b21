/* SPDX-License-Identifier: MIT */
#include "cli/doctor.h"

#include "base/error.h"
#include "base/scope.h"
#include "base/text.h"
#include "cli/render.h"
#include "os/affinity.h"
#include "os/cgroup.h"
#include "os/cgroup_tree.h"
#include "os/look/remote.h"
#include "os/needs.h"
#include "os/place/rundir_place.h"
#include "os/privilege.h"
#include "os/process.h"
#include "os/spawn/seccomp.h"
#include "os/trycall.h"
#include "os/vfork.h"

#include <errno.h>
#include <libgen.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#define NAME_COLUMN 6
#define TEXT_COLUMN 25

static const struct {
	const char *name;
	enum colour colour;
} marks[] = {
	[FACT_OK] = {"ok", GREEN},
	[FACT_NOTE] = {"note", CYAN},
	[FACT_WARN] = {"warn", YELLOW},
	[FACT_BAD] = {"bad", RED},
};

void facts_add(json_t *facts, enum fact_mark mark, const char *name, const char *does,
	const char *format, ...)
{
	char raw[800];
	char found[sizeof(raw)];
	va_list args;

	va_start(args, format);
	vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	/* paths and variables may contain any bytes */
	text_escape(found, sizeof(found), raw, strlen(raw));
	(void)json_array_append_new(facts,
		json_pack("{s:s, s:s, s:s, s:s}", "name", name, "mark", marks[mark].name, "found",
			found, "does", does));
}

void facts_add_finding(json_t *facts, const struct finding *f, const char *subject)
{
	if (f->name != NULL)
		facts_add(facts, f->mark, f->name, f->advice, "%s%s", subject, f->found);
}

const char *facts_seconds(char to[24], double seconds)
{
	char age[16];

	if (seconds < 0.1)
		snprintf(to, 24, "%.0f ms", seconds > 0 ? seconds * 1000 : 0);
	else
		snprintf(to, 24, "%s", text_age(age, (nsec_t)(seconds * (double)SECOND)));
	return to;
}

bool facts_bad(const json_t *facts)
{
	for (size_t i = 0; i < json_array_size(facts); i++)
		if (strcmp(field_raw(json_array_get(facts, i), "mark"), marks[FACT_BAD].name) == 0)
			return true;
	return false;
}

void facts_put(const json_t *facts, size_t n, struct wrap *lines)
{
	for (size_t i = n; i < json_array_size(facts); i++) {
		const json_t *fact = json_array_get(facts, i);
		const char *mark = field_raw(fact, "mark");
		enum colour colour = PLAIN;

		for (size_t m = 0; m < COUNT_OF(marks); m++)
			if (strcmp(marks[m].name, mark) == 0)
				colour = marks[m].colour;
		wrap_put(lines, colour, mark);
		wrap_spaces(lines, NAME_COLUMN - strlen(mark));
		wrap_putf(lines, PLAIN, "%-*s", TEXT_COLUMN - NAME_COLUMN, field_raw(fact, "name"));
		field_put(lines, PLAIN, "", fact, "found");
		field_put(lines, PLAIN, "; ", fact, "does");
		wrap_end(lines, TEXT_COLUMN);
	}
}

/* ---- what this kernel lacks ---- */

/* What newer kernels have and users of an older one notice, oldest first. */
static const struct {
	unsigned major, minor;
	const char *name;
	const char *does;
} lacks[] = {
	{5, 12, "balance = rr",
		"may pass over a worker when several CPUs take connections at once"},
	{5, 14, "waiting clients",
		"with a socket for each worker, those of a worker that has died wait for its "
		"successor"},
	{5, 14, "network namespaces",
		"ports of workers in another one are taken over, too, unless intercept = off"},
	{5, 19, "bind and signals",
		"a signal may interrupt a worker's bind (EINTR) until nclust has answered it"},
	{6, 9, "taken-over threads",
		"a taken-over worker with threads of which the main one alone handles signals "
		"(Python) may sleep through its stop signal, until stop-timeout"},
	{6, 15, "taken-over workers", "the exit status of one may be unknown"},
};

void facts_kernel(json_t *facts, const char *release)
{
	for (size_t i = 0; i < COUNT_OF(lacks); i++)
		if (!needs_release(release, lacks[i].major, lacks[i].minor))
			facts_add(facts, FACT_NOTE, lacks[i].name, lacks[i].does,
				"before Linux %u.%u", lacks[i].major, lacks[i].minor);
}

/* ---- this machine ---- */

/* What this machine allows: one table, and facts that do not fit into its rows. */

#define OWN_DESCRIPTORS 64 /* nclust's own, listeners and clients included */
#define QUIET_DESCRIPTORS 2
#define CAPTURED_DESCRIPTORS 4
#define FEW_WORKERS 100
#define SMALL_BACKLOG 1024

#ifndef CAP_BPF
#define CAP_BPF 39 /* linux/capability.h, 5.8 */
#endif

#define FOUND_TEXT 320
#define ALLOW_PTRACE "run the container with --cap-add SYS_PTRACE, or a profile that allows it"

/* Writes what was found, and returns whether that is good. */
typedef bool look_at(char found[FOUND_TEXT]);

/* ---- kernel ---- */

static bool find_pidfd(char found[FOUND_TEXT])
{
	scoped_fd fd = pidfd_to_watch(getpid());
	bool works = fd != -1 && trycall(SYS_pidfd_send_signal, fd, 0, NULL, 0U) != -1;

	snprintf(found, FOUND_TEXT, works ? "works" : "refused: %s", strerror(errno));
	return works;
}

/* ---- CPUs, memory, limits ---- */

static bool find_cpus(char found[FOUND_TEXT])
{
	unsigned quota = cgroup_cpu_quota("");
	int n = snprintf(found, FOUND_TEXT, "%ld online, %u allowed by affinity",
		sysconf(_SC_NPROCESSORS_ONLN), affinity_count());

	if (quota != 0)
		n += snprintf(found + n, FOUND_TEXT - (size_t)n, ", %u by cgroup", quota);
	snprintf(found + n, FOUND_TEXT - (size_t)n, ": workers = auto gives %u", affinity_usable());
	return true;
}

static bool find_tree(char found[FOUND_TEXT])
{
	struct error err;
	bool works = cgroup_tree_check("", &err) != -1;

	snprintf(found, FOUND_TEXT, "%.*s", FOUND_TEXT - 1,
		works ? "nclust may make cgroups" : err.text);
	return works;
}

/* The number in a small file; `missing` where the file does not exist. */
static long read_number(const char *path, long missing)
{
	char text[32];

	return process_read_path(path, text, sizeof(text)) > 0 ? strtol(text, NULL, 10) : missing;
}

static bool find_somaxconn(char found[FOUND_TEXT])
{
	long most = read_number("/proc/sys/net/core/somaxconn", 0);

	snprintf(found, FOUND_TEXT, "at most %ld connections", most);
	return most >= SMALL_BACKLOG;
}

/* The hard limit, up to which nclust raises the soft one. */
static unsigned long long hard_limit(int resource)
{
	struct rlimit limit = {0};

	(void)getrlimit((__rlimit_resource_t)resource, &limit);
	return limit.rlim_max;
}

static bool find_descriptors(char found[FOUND_TEXT])
{
	unsigned long long most = hard_limit(RLIMIT_NOFILE);
	unsigned long long left = most > OWN_DESCRIPTORS ? most - OWN_DESCRIPTORS : 0;

	snprintf(found, FOUND_TEXT, "at most %llu: about %llu workers, %llu with captured output",
		most, left / QUIET_DESCRIPTORS, left / CAPTURED_DESCRIPTORS);
	return left / CAPTURED_DESCRIPTORS >= FEW_WORKERS;
}

/* root is bound by the cgroup alone. */
static bool find_processes(char found[FOUND_TEXT])
{
	unsigned long long pids = cgroup_pids_limit("");
	unsigned long long most = geteuid() != 0 ? hard_limit(RLIMIT_NPROC) : RLIM_INFINITY;

	if (pids != 0 && pids < most)
		most = pids;
	snprintf(found, FOUND_TEXT, most == RLIM_INFINITY ? "no limit" : "at most %llu", most);
	return most >= FEW_WORKERS;
}

/* ---- privileges ---- */

static bool find_user(char found[FOUND_TEXT])
{
	snprintf(found, FOUND_TEXT, "uid %u, gid %u", (unsigned)geteuid(), (unsigned)getegid());
	return true;
}

static bool find_ports(char found[FOUND_TEXT])
{
	/* 1024 where the kernel has no such setting (before 4.11) */
	long first = read_number("/proc/sys/net/ipv4/ip_unprivileged_port_start", 1024);
	bool any = first <= 1 || privilege_has(CAP_NET_BIND_SERVICE);

	snprintf(found, FOUND_TEXT, any ? "any" : "from %ld on", first);
	return any;
}

/* ---- taking over ports ---- */

/*
 * Can nclust take over the port of a server that binds by itself, and how?  The
 * system calls that the supervisor needs for that are tried: the filter in a
 * child that exits at once, all others on this process.
 */

#define TRIAL_PATIENCE (1 * SECOND)

/* A try in a child, with no_new_privs where the filter needs that; the flag is the child's alone. */
static int install_listener(void *privileged)
{
	scoped_fd fd = -1;

	if (!*(const bool *)privileged && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return -1;
	fd = seccomp_install(SECCOMP_BINDS);
	return fd == -1 ? -1 : 0;
}

/* The system calls that read a worker's socket and its memory, tried on this process. */

static bool find_getfd(char found[FOUND_TEXT])
{
	struct remote ourselves = {.tid = getpid()};
	scoped_fd fd = remote_fd(&ourselves, STDERR_FILENO);
	bool works = fd != -1 || errno == EBADF; /* that is no refusal */

	snprintf(found, FOUND_TEXT, works ? "works" : "refused: %s", strerror(errno));
	return works;
}

static bool find_readv(char found[FOUND_TEXT])
{
	struct remote ourselves = {.tid = getpid()};
	char from = '\0';
	char to;
	bool works = remote_read(&ourselves, (uintptr_t)&from, &to, 1) == 0;

	snprintf(found, FOUND_TEXT, works ? "works" : "refused: %s", strerror(errno));
	return works;
}

static bool find_ptrace_scope(char found[FOUND_TEXT])
{
	long scope = read_number("/proc/sys/kernel/yama/ptrace_scope", -1);

	snprintf(found, FOUND_TEXT, scope == -1 ? "no Yama" : "%ld", scope);
	return scope < 2 || (scope == 2 && privilege_has(CAP_SYS_PTRACE));
}

static void tell_taking_over(json_t *facts, int listener)
{
	static const char name[] = "taking over ports";
	char found[FOUND_TEXT];
	const char *why = listener != 0     ? "no seccomp notifications"
		: !find_readv(found)        ? "addresses cannot be read"
		: !find_ptrace_scope(found) ? "ptrace_scope is too strict"
					    : NULL;

	if (listener == EBUSY)
		facts_add(facts, FACT_WARN, name,
			"if that supervisor is an nclust, it takes over for all below it; else "
			"servers that bind by themselves run as one copy",
			"not by this nclust: another supervisor above it does so");
	else if (why != NULL)
		facts_add(facts, FACT_WARN, name,
			"servers that bind by themselves run as one copy, those that take "
			"LISTEN_FDS as many",
			"not possible: %s", why);
	else if (!find_getfd(found))
		facts_add(facts, FACT_NOTE, name,
			"servers that bind by themselves share their port, without the options "
			"that they set before bind",
			"each server gets a socket of nclust's in place of its own");
	else
		facts_add(facts, FACT_OK, name, "servers that bind by themselves share their port",
			"works, with the sockets that the servers make");
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
		advice = "a sandbox such as gVisor, which stands in for the kernel, does not have "
			 "it";
	facts_add(facts, FACT_NOTE, name, advice, "%s: %s",
		error == EBUSY                               ? "in use"
			: error == EINVAL || error == ENOSYS ? "missing"
							     : "refused",
		strerror(error));
}

/* ---- the runtime directory ---- */

/* Would an instance get this place, or could it make it?  Else `err`. */
static bool is_usable(const char *path, struct error *err)
{
	scoped_fd fd = rundir_open_place(path, false, err);
	scoped_str above = strdup(path);
	const char *place = fd == -1 && above != NULL ? dirname(above) : path;

	if (fd == -1 && err->sys != ENOENT)
		return false;
	if (access(place, W_OK | X_OK) == 0)
		return true;
	error_set(err, errno, fd == -1 ? "%s cannot be made" : "%s", path);
	return false;
}

static void look_at_directory(json_t *facts, const char *wanted)
{
	struct error err;
	char path[4096];
	char why[sizeof(err.text)] = "";
	int got;

	for (unsigned n = 0; (got = rundir_place(wanted, false, n, path, sizeof(path), &err)) == 1;
		n++) {
		if (is_usable(path, &err)) {
			facts_add(facts, FACT_OK, "runtime directory", "", "%s", path);
			return;
		}
		if (*why == '\0')
			text_copy(why, sizeof(why), err.text);
	}
	facts_add(facts, FACT_BAD, "runtime directory",
		"set NCLUST_RUNTIME_DIR or runtime-directory to one that is yours; without one "
		"there is no control socket",
		"%s", got == -1 ? err.text : why);
}

static const struct {
	const char *name;
	look_at *look;
	const char *good;    /* the consequence where the look returns true */
	enum fact_mark mark; /* where the look returns false */
	const char *bad;
} table[] = {
	{"pidfd", find_pidfd, "no process is ever signalled by a reused number", FACT_NOTE,
		"processes are signalled by number, after a look; workers that a killed nclust has "
		"left may not be taken over"},
	{"CPUs", find_cpus, "", FACT_OK, ""},
	{"worker limits", find_tree, "memory-max, cpu-max, pids-max work", FACT_NOTE,
		"not all of memory-max, cpu-max, pids-max work"},
	{"accept queue", find_somaxconn, "the default backlog, and the largest", FACT_WARN,
		"longer backlogs are cut; raise net.core.somaxconn"},
	{"descriptors", find_descriptors,
		"nclust uses up to the hard limit, workers keep the soft one", FACT_WARN,
		"nclust uses up to the hard limit: raise it for more workers"},
	{"processes", find_processes, "", FACT_WARN,
		"a worker that cannot be started is tried again later"},
	{"user", find_user, "", FACT_OK, ""},
	{"ports", find_ports, "", FACT_NOTE,
		"for lower ones: a socket unit, CAP_NET_BIND_SERVICE, or "
		"ip_unprivileged_port_start"},
	{"pidfd_getfd", find_getfd, "", FACT_NOTE, ALLOW_PTRACE},
	{"process_vm_readv", find_readv, "", FACT_NOTE, ALLOW_PTRACE},
	{"ptrace_scope", find_ptrace_scope, "", FACT_NOTE,
		"give nclust CAP_SYS_PTRACE, or start the machine with "
		"kernel.yama.ptrace_scope=1"},
};

static const struct {
	const char *name;
	int capability;
	const char *held;
	const char *missing;
} capabilities[] = {
	{"CAP_SETUID", CAP_SETUID, "workers may have a user of their own",
		"workers run as this user: 'user' is refused"},
	{"CAP_SETGID", CAP_SETGID, "workers may have a group of their own",
		"workers run with this group: 'group' is refused"},
	{"CAP_KILL", CAP_KILL, "", "workers of another user cannot be stopped"},
	{"CAP_SYS_RESOURCE", CAP_SYS_RESOURCE, "limit-KEY may raise hard limits",
		"limit-KEY stays below the hard limits"},
	{"CAP_SYS_PTRACE", CAP_SYS_PTRACE, "",
		"nclust looks at workers of another user with that user's rights; a program whose "
		"file that user may not read cannot share its port"},
	{"CAP_BPF", CAP_BPF, "balance = rr takes turns",
		"balance = rr chooses at random; a shared socket does not need it"},
};

void facts_machine(json_t *facts, const char *runtime_directory)
{
	char found[FOUND_TEXT];
	bool privileged = privilege_has(CAP_SYS_ADMIN);
	int listener = vfork_run(install_listener, &privileged, TRIAL_PATIENCE) == -1 ? errno : 0;
	struct utsname name;

	for (size_t i = 0; i < COUNT_OF(needs); i++) {
		const char *advice = needs[i].look(found);

		facts_add(facts, advice == NULL ? FACT_OK : FACT_BAD, needs[i].name,
			advice == NULL ? "" : advice, "%s", found);
	}
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		bool good = table[i].look(found);

		facts_add(facts, good ? FACT_OK : table[i].mark, table[i].name,
			good ? table[i].good : table[i].bad, "%s", found);
	}
	for (size_t i = 0; i < COUNT_OF(capabilities); i++) {
		bool held = privilege_has(capabilities[i].capability);

		facts_add(facts, held ? FACT_OK : FACT_NOTE, capabilities[i].name,
			held ? capabilities[i].held : capabilities[i].missing,
			held ? "held" : "not held");
	}
	tell_taking_over(facts, listener);
	tell_listener(facts, listener);
	(void)uname(&name);
	facts_kernel(facts, name.release);
	look_at_directory(facts, runtime_directory);
}
