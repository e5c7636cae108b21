/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "base/text.h"
#include "os/cgroup_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

/*
 * Groups in a made tree (v2, whose files are made beforehand), and what the
 * kernel does with real ones, where a v2 hierarchy is there to be written to,
 * with controllers or without.  What v1 does is in tests/e2e/workers/test_limits.py,
 * but for what is left in a group.
 */
#define ALL ((1U << CGROUP_KINDS) - 1)
#define OWN "nclust@shop"

static const struct cgroup_limits everything = {{
	[CGROUP_MEMORY_MAX] = 64 << 20,
	[CGROUP_MEMORY_HIGH] = (32 << 20) + 1,
	[CGROUP_CPU_MAX] = 150,
	[CGROUP_PIDS_MAX] = 40,
	[CGROUP_CPU_WEIGHT] = 300,
	[CGROUP_IO_WEIGHT] = 50,
}};

/* Write a file of the made tree, and the directories above it. */
static void put(const char *path, const char *text)
{
	char whole[512];
	char *at;

	(void)snprintf(whole, sizeof(whole), "%s%s", os_dir, path);
	for (at = whole + strlen(os_dir) + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		(void)mkdir(whole, 0755); /* there already: fine */
		*at = '/';
	}
	os_write(whole, text, 0644);
}

static const char *content(const char *path)
{
	static char text[256];
	char whole[512];
	int fd;
	ssize_t n;

	(void)snprintf(whole, sizeof(whole), "%s%s", os_dir, path);
	fd = open(whole, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ne(fd, -1);
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

#define BASE "/sys/fs/cgroup/shop.service"

/* We are in that group below BASE; a kernel would have made these files. */
static void put_tree(const char *below)
{
	char own[64];

	(void)snprintf(own, sizeof(own), "0::/shop.service%s\n", below);
	put("/proc/self/cgroup", own);
	put("/proc/self/mountinfo",
		"30 22 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 "
		"rw,nsdelegate\n");
	put(BASE "/cgroup.controllers", "cpuset cpu io memory pids\n");
	put(BASE "/cgroup.subtree_control", "");
	put(BASE "/" OWN "/cgroup.procs", "");
	put(BASE "/nclust@shop@web/cgroup.subtree_control",
		"cpu io memory pids\n");
	put(BASE "/nclust@shop@web/cpu.weight", "");
	put(BASE "/nclust@shop@web/io.weight", "");
	put(BASE "/nclust@shop@web/3.17/cgroup.procs", "");
	put(BASE "/nclust@shop@web/3.17/memory.max", "");
	put(BASE "/nclust@shop@web/3.17/memory.high", "");
	put(BASE "/nclust@shop@web/3.17/memory.oom.group", "");
	put(BASE "/nclust@shop@web/3.17/cpu.max", "");
	put(BASE "/nclust@shop@web/3.17/pids.max", "");
}

static void put_ourselves(void)
{
	char pids[64];

	/* somebody else's stays where it is */
	(void)snprintf(pids, sizeof(pids), "1\n%d\n", (int)getpid());
	put(BASE "/cgroup.procs", pids);
}

FIXTURE(os_make_dir, NULL)

TEST(all_limits_go_to_the_files_of_v2)
{
	struct cgroup_trees t = {.count = 0};
	struct error err;
	int dir;

	put_tree("");
	ck_assert_int_eq(cgroup_trees_open(&t, os_dir, ALL, OWN, &err), ALL);
	ck_assert_uint_eq(t.count, 1);
	dir = cgroup_make(
		&t.list[0], "nclust@shop@web/3.17", false, &everything, &err);
	ck_assert_int_ne(dir, -1);
	/* a child that has our memory goes in now */
	ck_assert_str_eq(content(BASE "/nclust@shop@web/3.17/memory.max"), "");
	ck_assert_str_eq(content(BASE "/nclust@shop@web/3.17/memory.high"), "");
	ck_assert_str_eq(
		content(BASE "/nclust@shop@web/3.17/memory.oom.group"), "");
	ck_assert(!cgroup_limit(&t.list[0], dir, &everything, &err));
	ck_assert_str_eq(err.text, "");
	(void)close(dir);
	ck_assert_str_eq(
		content(BASE "/nclust@shop@web/3.17/memory.max"), "67108864");
	ck_assert_str_eq(
		content(BASE "/nclust@shop@web/3.17/memory.high"), "33554433");
	ck_assert_str_eq(
		content(BASE "/nclust@shop@web/3.17/memory.oom.group"), "1");
	ck_assert_str_eq(
		content(BASE "/nclust@shop@web/3.17/cpu.max"), "150000");
	ck_assert_str_eq(content(BASE "/nclust@shop@web/3.17/pids.max"), "40");
	ck_assert_str_eq(content(BASE "/nclust@shop@web/cpu.weight"), "300");
	ck_assert_str_eq(content(BASE "/nclust@shop@web/io.weight"), "50");
	cgroup_trees_close(&t, OWN);
}

/* What an earlier nclust's worker has left would count for this one. */
TEST(a_group_that_exists_is_no_fresh_one)
{
	struct cgroup_trees t = {.count = 0};
	struct error err;

	put_tree("");
	(void)cgroup_trees_open(&t, os_dir, ALL, OWN, &err);
	ck_assert_int_eq(cgroup_make(&t.list[0], "nclust@shop@web/3.17", true,
				 &everything, &err),
		-1);
	ck_assert_int_eq(err.sys, EEXIST);
	cgroup_trees_close(&t, OWN);
}

TEST(a_weight_that_is_deleted_is_the_usual_one)
{
	const struct cgroup_limits pids = {{[CGROUP_PIDS_MAX] = 40}};
	struct cgroup_trees t = {.count = 0};
	struct error err;

	put_tree("");
	put(BASE "/nclust@shop@web/cpu.weight", "300");
	put(BASE "/nclust@shop@web/io.weight", "50\n");
	(void)cgroup_trees_open(&t, os_dir, 1U << CGROUP_PIDS, OWN, &err);
	(void)close(cgroup_make(
		&t.list[0], "nclust@shop@web/3.17", false, &pids, &err));
	ck_assert_str_eq(err.text, "");
	ck_assert_str_eq(content(BASE "/nclust@shop@web/cpu.weight"), "100");
	ck_assert_str_eq(content(BASE "/nclust@shop@web/io.weight"), "100");
	cgroup_trees_close(&t, OWN);
}

/* A controller that others have switched on is not ours to switch off; what we
 * have, also before an upgrade, is. */
TEST(only_our_controllers_are_switched_off)
{
	struct cgroup_trees t = {.count = 0};
	struct error err;

	put_tree("/" OWN);
	put(BASE "/cgroup.subtree_control", "cpuset memory pids\n");
	ck_assert_uint_eq(
		cgroup_trees_open(&t, os_dir,
			1U << CGROUP_MEMORY | 1U << CGROUP_PIDS, OWN, &err),
		1U << CGROUP_MEMORY | 1U << CGROUP_PIDS);
	cgroup_trees_close(&t, OWN);
	ck_assert_str_eq(content(BASE "/cgroup.subtree_control"),
		"cpuset memory pids\n");

	(void)cgroup_trees_open(&t, os_dir, 1U << CGROUP_CPU, OWN, &err);
	ck_assert_uint_eq(t.enabled, 1U << CGROUP_CPU);
	put(BASE "/cgroup.subtree_control", "");
	cgroup_trees_close(&t, OWN);
	ck_assert_str_eq(content(BASE "/cgroup.subtree_control"), "-cpu");
}

TEST(after_an_upgrade_the_base_is_above_our_leaf)
{
	struct cgroup_trees t = {.count = 0};
	struct error err;

	put_tree("/" OWN);
	put("/run/systemd/system/here", ""); /* it need not be asked */
	ck_assert_int_eq(cgroup_trees_open(&t, os_dir, ALL, OWN, &err), ALL);
	ck_assert_int_ne(
		faccessat(t.list[0].base, "nclust@shop@web/3.17", F_OK, 0), -1);
	cgroup_trees_close(&t, OWN);
}

/* A kernel refuses controllers while there are processes beside leaves. */
TEST(we_move_to_a_leaf_and_others_stay)
{
	struct cgroup_trees t = {.count = 0};
	struct error err;
	char path[256];
	char pid[16];

	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	put_tree("");
	put_ourselves();
	(void)snprintf(path, sizeof(path), "%s" BASE "/cgroup.subtree_control",
		os_dir);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_uint_eq(cgroup_trees_open(&t, os_dir, ALL, OWN, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "other processes are in"));
	ck_assert_ptr_null(strstr(err.text, "controller"));
	ck_assert_str_eq(content(BASE "/" OWN "/cgroup.procs"), pid);
	/* not all have moved, as we are still listed there */
	ck_assert_int_eq(t.list[0].place, CGROUP_IN_BASE);
	put(BASE "/cgroup.subtree_control", "");
	ck_assert_uint_eq(cgroup_trees_open(&t, os_dir, ALL, OWN, &err), ALL);
	cgroup_trees_close(&t, OWN);
}

/* As root only systemd's mark counts, where systemd runs. */
ROOT_TEST(systemd_must_have_delegated_it)
{
	struct cgroup_trees t = {.count = 0};
	struct error err;
	char path[256];

	put_tree("");
	put("/run/systemd/system/here", "");
	ck_assert_int_eq(cgroup_trees_open(&t, os_dir, ALL, OWN, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "Delegate=yes"));
	ck_assert_ptr_nonnull(strstr(err.text, "cgroups in '"));
	ck_assert_int_eq(cgroup_trees_check(os_dir, &err), -1);
	cgroup_trees_close(&t, OWN);

	(void)snprintf(path, sizeof(path), "%s" BASE, os_dir);
	if (setxattr(path, "trusted.delegate", "1", 1, 0) == -1)
		return; /* no such attributes here */
	ck_assert_int_eq(cgroup_trees_check(os_dir, &err), 0);
	ck_assert_int_eq(cgroup_trees_open(&t, os_dir, ALL, OWN, &err), ALL);
	cgroup_trees_close(&t, OWN);
	/* DelegateSubgroup=: we are put one below what is marked */
	put_tree("/main");
	put(BASE "/main/cgroup.procs", "");
	ck_assert_int_eq(cgroup_trees_open(&t, os_dir, ALL, OWN, &err), ALL);
	ck_assert_int_ne(
		faccessat(t.list[0].base, "nclust@shop@web/3.17", F_OK, 0), -1);
	cgroup_trees_close(&t, OWN);
}

TEST(a_controller_that_the_group_does_not_have)
{
	struct cgroup_trees t = {.count = 0};
	struct error err;
	char path[256];

	put_tree("");
	put(BASE "/cgroup.controllers", "cpuset cpu memory\n");
	ck_assert_int_eq(cgroup_trees_check(os_dir, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "no controller for 'pids'"));
	(void)snprintf(path, sizeof(path), "%s" BASE "/cgroup.subtree_control",
		os_dir);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_uint_eq(cgroup_trees_open(&t, os_dir, ALL, OWN, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "no controller for 'pids'"));
	/* again: the hierarchy is known */
	put(BASE "/cgroup.controllers", "");
	ck_assert_uint_eq(cgroup_trees_open(&t, os_dir, ALL, OWN, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "no controller for 'memory'"));
	ck_assert_int_eq(cgroup_trees_check(os_dir, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "no controller for 'memory'"));
	cgroup_trees_close(&t, OWN);
	put(BASE "/cgroup.controllers", "pids cpu memory"); /* no io: fine */
	ck_assert_int_eq(cgroup_trees_check(os_dir, &err), 0);
}

TEST(no_cgroup_at_all)
{
	struct cgroup_trees t = {.count = 0};
	struct error err;

	ck_assert_int_eq(cgroup_trees_open(&t, os_dir, ALL, OWN, &err), 0);
	ck_assert_int_eq(cgroup_trees_check(os_dir, &err), -1);
	ck_assert_int_eq(t.count, 0);
}

static bool is_seventeen(void *context, const char *name, const char *worker)
{
	(void)context;
	(void)name;
	return strcmp(worker, "3.17") == 0;
}

static bool is_there(const char *path)
{
	char whole[512];

	(void)snprintf(whole, sizeof(whole), "%s%s", os_dir, path);
	return access(whole, F_OK) == 0;
}

static void make(const char *path)
{
	char file[512];

	(void)snprintf(file, sizeof(file), "%s%s/x", os_dir, path);
	put(file + strlen(os_dir), "");
	ck_assert_int_eq(unlink(file), 0);
}

TEST(only_what_is_ours_and_unused_is_swept)
{
	struct cgroup_tree t = {.version = 2};
	char path[256];

	make(BASE "/nclust@shop@web/3.17");
	make(BASE "/nclust@shop@web/4.18/made/by/it");
	make(BASE "/nclust@shop@web/4.18/too");
	make(BASE "/nclust@shop@old/0.2");
	make(BASE "/nclust@shop2@web/4.18");
	make(BASE "/" OWN);
	make(BASE "/somebody/4.18");
	make("/outside/4.18");
	(void)snprintf(path, sizeof(path), "%s" BASE, os_dir);
	t.base = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* no link is followed, whoever has put it there */
	(void)snprintf(path, sizeof(path), "%s/outside", os_dir);
	ck_assert_int_eq(symlinkat(path, t.base, "nclust@shop@link"), 0);
	ck_assert_int_eq(
		symlinkat(path, t.base, "nclust@shop@web/3.17/link"), 0);
	/* a process keeps it, as here a file does */
	put(BASE "/nclust@shop@web/5.19/busy", "");
	ck_assert_uint_eq(
		cgroup_sweep(&t, "nclust@shop@", is_seventeen, NULL), 1);
	ck_assert(is_there(BASE "/nclust@shop@web/3.17"));
	ck_assert(is_there(BASE "/nclust@shop@web/5.19"));
	ck_assert(!is_there(BASE "/nclust@shop@web/4.18"));
	ck_assert(!is_there(BASE "/nclust@shop@old"));
	ck_assert(is_there(BASE "/nclust@shop2@web/4.18"));
	ck_assert(is_there(BASE "/" OWN));
	ck_assert(is_there(BASE "/somebody/4.18"));
	ck_assert(is_there("/outside/4.18"));
}

TEST(numbers_of_groups_are_read)
{
	char path[256];
	int dir;

	put("/g/memory.events",
		"low 0\nhigh 0\nmax 3\noom 2\noom_kill 5\noom_group_kill 7\n");
	put("/g/memory.oom_control",
		"oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
	put("/g/pids.current", "12\n");
	put("/g/memory.pressure",
		"some avg10=1.25 avg60=0.00 avg300=0.00 total=9\n"
		"full avg10=0.50 avg60=0.00 avg300=0.00 total=9\n");
	put("/g/pids.max", "max\n");
	(void)snprintf(path, sizeof(path), "%s/g", os_dir);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert(cgroup_number(dir, "memory.events", "oom_kill ") == 5);
	ck_assert(cgroup_number(dir, "memory.oom_control", "oom_kill ") == 4);
	ck_assert(cgroup_number(dir, "pids.current", NULL) == 12);
	ck_assert(cgroup_number(dir, "memory.pressure", "avg10=") == 1.25);
	ck_assert(cgroup_number(dir, "pids.max", NULL) == -1);
	ck_assert(cgroup_number(dir, "absent", NULL) == -1);
	ck_assert(cgroup_number(dir, "pids.current", "max ") == -1);
}

/* ---- real ones ---- */

static const char *const places[] = {
	"/sys/fs/cgroup/unified", "/sys/fs/cgroup"};

/* Make a directory for us in a real v2 hierarchy: which place is that, and the
 * place's descriptor; or -1. */
static int real_base(char *name, size_t size, const char **place)
{
	int at = -1;

	(void)snprintf(name, size, "nclust-unit.%d", (int)getpid());
	for (size_t i = 0; i < COUNT_OF(places) && at == -1; i++) {
		*place = places[i];
		at = open(places[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (at != -1 &&
			(faccessat(at, "cgroup.controllers", F_OK, 0) == -1 ||
				mkdirat(at, name, 0755) == -1))
			fd_close(&at);
	}
	return at;
}

/* The same in one of v1. */
static int real_base_of_v1(char *name, size_t size, const char *controller)
{
	char path[64];
	int at;

	(void)snprintf(name, size, "nclust-unit.%d", (int)getpid());
	(void)snprintf(path, sizeof(path), "/sys/fs/cgroup/%s", controller);
	at = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (at != -1 &&
		(faccessat(at, "notify_on_release", F_OK, 0) == -1 ||
			mkdirat(at, name, 0755) == -1))
		fd_close(&at);
	return at;
}

static unsigned count_processes(int dir)
{
	int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	char text[4096];
	unsigned count = 0;
	ssize_t n;

	while ((n = read(fd, text, sizeof(text))) > 0)
		for (ssize_t i = 0; i < n; i++)
			count += text[i] == '\n';
	(void)close(fd);
	return count;
}

static void enter(int dir)
{
	int fd = cgroup_procs(dir);

	ck_assert_int_eq(write(fd, "0", 1), 1);
	(void)close(fd);
}

/* The list of so many does not come with one read. */
#define CHILDREN 1000
TEST(all_of_ours_move_to_a_leaf_and_back)
{
	const struct timespec wait_a_bit = {.tv_nsec = 5 * 1000 * 1000};
	struct cgroup_trees t = {.count = 0};
	static pid_t children[CHILDREN];
	char whole[512];
	char text[80];
	char name[64];
	const char *place;
	struct error err;
	int at = real_base(name, sizeof(name), &place);
	int base;
	int leaf;

	if (at == -1 || unit_is_valgrind()) {
		(void)fprintf(stderr, "left out: no cgroup v2 to write to\n");
		return;
	}
	(void)snprintf(text, sizeof(text), "0::/%s\n", name);
	put("/proc/self/cgroup", text);
	put("/proc/self/mountinfo",
		"30 22 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 "
		"rw\n");
	make("/sys/fs");
	(void)snprintf(whole, sizeof(whole), "%s/sys/fs/cgroup", os_dir);
	ck_assert_int_eq(symlink(place, whole), 0);
	base = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enter(base);
	for (size_t i = 0; i < CHILDREN; i++) {
		children[i] = fork();
		ck_assert_int_ne(children[i], -1);
		while (children[i] == 0)
			(void)pause();
	}
	(void)cgroup_trees_open(&t, os_dir, 1U << CGROUP_MEMORY, OWN, &err);
	ck_assert_uint_eq(t.count, 1);
	ck_assert_int_eq(t.list[0].place, CGROUP_IN_OWN);
	ck_assert_uint_eq(count_processes(base), 0);
	leaf = openat(base, OWN, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_uint_eq(count_processes(leaf), CHILDREN + 1);
	(void)close(leaf);
	cgroup_trees_close(&t, OWN);
	ck_assert_uint_eq(count_processes(base), CHILDREN + 1);
	ck_assert_int_eq(faccessat(base, OWN, F_OK, 0), -1);

	for (size_t i = 0; i < CHILDREN; i++)
		ck_assert_int_eq(kill(children[i], SIGKILL), 0);
	while (wait(NULL) != -1)
		;
	enter(at);
	(void)close(base);
	/* one that has been waited for may be in its group for a moment */
	for (int i = 0; i < 2000 && unlinkat(at, name, AT_REMOVEDIR) == -1; i++)
		(void)nanosleep(&wait_a_bit, NULL);
	ck_assert_int_eq(faccessat(at, name, F_OK, 0), -1);
}

/* A process is born in its group by spawn(); all that is left in the group ends with it; and the group goes when that is so. */
TEST(a_process_is_born_in_its_group_and_ends_with_it)
{
	const struct cgroup_limits none = {{0}};
	const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
	struct spawn_plan plan = os_plan();
	char *argv[] = {"sh", "-c", "setsid sleep 100 & exec sleep 100", NULL};
	const char *const candidates[] = {"/bin/sh", NULL};
	struct spawn_failure failure;
	struct cgroup_tree t = {.version = 2};
	struct error err;
	const char *place;
	char name[64];
	int at = real_base(name, sizeof(name), &place);
	pid_t pid;
	int pidfd;
	int dir;

	if (at == -1 || unit_is_valgrind()) {
		(void)fprintf(stderr, "left out: no cgroup v2 to write to\n");
		return;
	}
	t.base = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = cgroup_make(&t, "nclust@shop@web/0.1", true, &none, &err);
	ck_assert_int_ne(dir, -1);
	plan.candidates = candidates;
	plan.argv = argv;
	plan.new_session = true;
	plan.cgroups[0] = cgroup_procs(dir);
	plan.cgroup_count = 1;
	ck_assert_int_eq(spawn(&plan, &pid, &pidfd, &failure), 0);
	(void)close(plan.cgroups[0]);
	ck_assert(cgroup_number(dir, "cgroup.events", "populated ") == 1);
	if (cgroup_number(dir, "cpu.pressure", NULL) != -1)
		ck_assert(cgroup_number(dir, "cpu.pressure", "avg10=") >= 0);
	while (count_processes(dir) < 2)
		(void)nanosleep(&pause, NULL);
	ck_assert_uint_eq(cgroup_sweep(&t, "nclust@shop@", is_seventeen, NULL),
		1); /* kills nothing */
	ck_assert(cgroup_number(dir, "cgroup.events", "populated ") == 1);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	(void)os_wait(pidfd);
	(void)cgroup_end(&t, "nclust@shop@web/0.1");
	for (int i = 0; i < 2000 && !cgroup_end(&t, "nclust@shop@web/0.1"); i++)
		(void)nanosleep(&pause, NULL);
	ck_assert_int_eq(cgroup_open(&t, "nclust@shop@web/0.1"), -1);
	/* again: that it is gone already is as good */
	ck_assert(cgroup_end(&t, "nclust@shop@web/0.1"));
	ck_assert_uint_eq(
		cgroup_sweep(&t, "nclust@shop@", is_seventeen, NULL), 0);
	(void)close(dir);
	(void)close(t.base);
	ck_assert_int_eq(unlinkat(at, name, AT_REMOVEDIR), 0);
}

static bool no_group(void *context, const char *name, const char *worker)
{
	(void)context;
	(void)name;
	(void)worker;
	return false;
}

/* A child in the group that waits for its end. */
static pid_t child_in(int dir)
{
	pid_t pid = fork();

	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		enter(dir);
		for (;;)
			(void)pause();
	}
	return pid;
}

/* More than are killed in a turn, and some below; what is in a group that was not
 * ended lives on. */
#define LEFT 150
static const char *const controllers[] = {"pids", "memory"};
TEST_LOOP(what_is_left_in_a_group_of_v1_is_killed_in_some_turns, 0,
	COUNT_OF(controllers))
{
	const struct cgroup_limits none = {{0}};
	const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
	struct cgroup_tree t = {.version = 1};
	struct error err;
	char name[64];
	int at = real_base_of_v1(name, sizeof(name), controllers[_i]);
	unsigned turns = 0;
	unsigned ended = 0;
	pid_t other;
	int status;
	int dir[3];

	if (at == -1 || unit_is_valgrind()) {
		(void)fprintf(stderr, "left out: no cgroup v1 to write to\n");
		return;
	}
	t.base = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir[0] = cgroup_make(&t, "nclust@shop@web/0.1", true, &none, &err);
	dir[1] =
		cgroup_make(&t, "nclust@shop@web/0.1/by-it", true, &none, &err);
	dir[2] = cgroup_make(&t, "nclust@shop@web/1.2", true, &none, &err);
	for (int i = 0; i < LEFT; i++)
		(void)child_in(dir[i % 2]);
	other = child_in(dir[2]);
	while (count_processes(dir[0]) + count_processes(dir[1]) < LEFT ||
		count_processes(dir[2]) < 1)
		(void)nanosleep(&pause, NULL);

	ck_assert(!cgroup_end(&t, "nclust@shop@web/0.1"));
	for (; turns < 2000 &&
		(ended < LEFT ||
			faccessat(t.base, "nclust@shop@web/0.1", F_OK, 0) == 0);
		turns++) {
		(void)nanosleep(&pause, NULL);
		while (waitpid(-1, &status, WNOHANG) > 0) {
			ck_assert(WIFSIGNALED(status));
			ended++;
		}
		ck_assert_uint_ge(
			cgroup_sweep(&t, "nclust@shop@", no_group, NULL), 1);
	}
	ck_assert_uint_eq(ended, LEFT);
	ck_assert_uint_ge(turns, 2);
	ck_assert_int_eq(waitpid(other, &status, WNOHANG), 0);

	(void)cgroup_end(&t, "nclust@shop@web/1.2");
	ck_assert_int_eq(waitpid(other, &status, 0), other);
	while (cgroup_sweep(&t, "nclust@shop@", no_group, NULL) > 0)
		(void)nanosleep(&pause, NULL);
	for (int i = 0; i < 3; i++)
		(void)close(dir[i]);
	(void)close(t.base);
	ck_assert_int_eq(unlinkat(at, name, AT_REMOVEDIR), 0);
}
