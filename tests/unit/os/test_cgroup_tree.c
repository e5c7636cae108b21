/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/cgroup_tree.h"

#include <sys/xattr.h>

/*
 * Groups in a made tree (v2, whose files are made beforehand), and what the
 * kernel does with real ones, where a v2 hierarchy is there to be written to,
 * with controllers or without.
 */
#define ALL ((1U << CGROUP_KINDS) - 1)
#define OWN "nclust@shop"

#define WORKER "nclust@shop@web/3.17"

static struct cgroup_tree t = {.base = -1};
static struct error err;

static const struct cgroup_limits everything = {{
	[CGROUP_MEMORY_MAX] = 64 << 20,
	[CGROUP_MEMORY_HIGH] = (32 << 20) + 1,
	[CGROUP_CPU_MAX] = 150,
	[CGROUP_PIDS_MAX] = 40,
	[CGROUP_CPU_WEIGHT] = 300,
	[CGROUP_IO_WEIGHT] = 50,
}};

static unsigned open_trees(unsigned kinds)
{
	return cgroup_tree_open(&t, os_dir, kinds, OWN, &err);
}

/* Make the worker's group. */
static int make_group(bool fresh, const struct cgroup_limits *limits)
{
	return cgroup_make(&t, WORKER, fresh, limits, &err);
}

static const char *content(const char *path)
{
	static char text[256];
	scoped_fd fd = open(os_path(path), O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	ck_assert_int_ne(fd, -1);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

#define BASE "/sys/fs/cgroup/shop.service"

/* We are in that group below BASE; a kernel would have made these files. */
static void put_tree(const char *below)
{
	static const char *const empty[] = {
		BASE "/cgroup.subtree_control",
		BASE "/cgroup.type",
		BASE "/" OWN "/cgroup.procs",
		BASE "/nclust@shop@web/cpu.weight",
		BASE "/nclust@shop@web/io.weight",
		BASE "/" WORKER "/cgroup.procs",
		BASE "/" WORKER "/memory.max",
		BASE "/" WORKER "/memory.high",
		BASE "/" WORKER "/memory.oom.group",
		BASE "/" WORKER "/cpu.max",
		BASE "/" WORKER "/pids.max",
	};
	char own[64];

	snprintf(own, sizeof(own), "0::/shop.service%s\n", below);
	os_put("/proc/self/cgroup", own);
	os_put("/proc/self/mountinfo",
		"30 22 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 "
		"rw,nsdelegate\n");
	os_put(BASE "/cgroup.controllers", "cpuset cpu io memory pids\n");
	os_put(BASE "/nclust@shop@web/cgroup.subtree_control", "cpu io memory pids\n");
	for (size_t i = 0; i < COUNT_OF(empty); i++)
		os_put(empty[i], "");
}

FIXTURE(os_make_dir, NULL)

static const struct {
	const char *file;
	const char *text;
	bool later; /* not before the exec: a child has our memory till then */
} written[] = {
	{WORKER "/memory.max", "67108864", true},
	{WORKER "/memory.high", "33554433", true},
	{WORKER "/memory.oom.group", "1", true},
	{WORKER "/cpu.max", "150000", false},
	{WORKER "/pids.max", "40", false},
	{"nclust@shop@web/cpu.weight", "300", false},
	{"nclust@shop@web/io.weight", "50", false},
};

static void expect_written(bool all)
{
	char path[128];

	for (size_t i = 0; i < COUNT_OF(written); i++) {
		snprintf(path, sizeof(path), BASE "/%s", written[i].file);
		if (all || written[i].later)
			ck_assert_str_eq(content(path), all ? written[i].text : "");
	}
}

TEST(all_limits_go_to_the_files_of_v2)
{
	int dir;

	put_tree("");
	ck_assert_int_eq(open_trees(ALL), ALL);
	dir = make_group(false, &everything);
	ck_assert_int_ne(dir, -1);
	expect_written(false);
	cgroup_limit(&t, dir, &everything, &err);
	ck_assert_str_eq(err.text, "");
	expect_written(true);
	/* what an earlier nclust's worker has left would count for a fresh one */
	ck_assert_int_eq(make_group(true, &everything), -1);
	ck_assert_int_eq(err.sys, EEXIST);
}

TEST(a_weight_that_is_deleted_is_the_usual_one)
{
	const struct cgroup_limits pids = {{[CGROUP_PIDS_MAX] = 40}};

	put_tree("");
	os_put(BASE "/nclust@shop@web/cpu.weight", "300");
	os_put(BASE "/nclust@shop@web/io.weight", "50\n");
	(void)open_trees(1U << CGROUP_PIDS);
	(void)close(make_group(false, &pids));
	ck_assert_str_eq(err.text, "");
	ck_assert_str_eq(content(BASE "/nclust@shop@web/cpu.weight"), "100");
	ck_assert_str_eq(content(BASE "/nclust@shop@web/io.weight"), "100");
}

/* A controller that others have switched on is not ours to switch off; what we
 * have, also before an upgrade, is. */
TEST(only_our_controllers_are_switched_off)
{
	put_tree("/" OWN);
	os_put(BASE "/cgroup.subtree_control", "cpuset memory pids\n");
	ck_assert_uint_eq(open_trees(1U << CGROUP_MEMORY | 1U << CGROUP_PIDS),
		1U << CGROUP_MEMORY | 1U << CGROUP_PIDS);
	cgroup_tree_close(&t, OWN);
	ck_assert_str_eq(content(BASE "/cgroup.subtree_control"), "cpuset memory pids\n");

	(void)open_trees(1U << CGROUP_CPU);
	ck_assert_uint_eq(t.enabled, 1U << CGROUP_CPU);
	os_put(BASE "/cgroup.subtree_control", "");
	cgroup_tree_close(&t, OWN);
	ck_assert_str_eq(content(BASE "/cgroup.subtree_control"), "-cpu");
}

TEST(after_an_upgrade_the_base_is_above_our_leaf)
{
	put_tree("/" OWN);
	os_put("/run/systemd/system/here", ""); /* it need not be asked */
	ck_assert_int_eq(open_trees(0), 0);     /* groups are there already */
	ck_assert_int_ne(t.base, -1);
	ck_assert_int_eq(open_trees(ALL), ALL);
	ck_assert_int_ne(faccessat(t.base, WORKER, F_OK, 0), -1);
}

/* With processes beside leaves the kernel refuses controllers, or makes the group a threaded
 * one, where no worker can enter its own. */
TEST(we_move_to_a_leaf_and_others_stay)
{
	char pid[16];
	char pids[32];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	put_tree("");
	/* somebody else's stays where it is */
	snprintf(pids, sizeof(pids), "1\n%s\n", pid);
	os_put(BASE "/cgroup.procs", pids);
	ck_assert_uint_eq(open_trees(ALL), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "other processes are in"));
	ck_assert_str_eq(content(BASE "/" OWN "/cgroup.procs"), pid);
	ck_assert_str_eq(content(BASE "/cgroup.subtree_control"), "");
	os_put(BASE "/cgroup.procs", "");
	ck_assert_uint_eq(open_trees(ALL), ALL);
	cgroup_tree_close(&t, OWN);
	/* in the root's group there may be others */
	os_put(BASE "/cgroup.procs", pids);
	os_put(BASE "/cgroup.subtree_control", "");
	ck_assert_int_eq(unlink(os_path(BASE "/cgroup.type")), 0);
	ck_assert_uint_eq(open_trees(ALL), ALL);
}

/* As root only systemd's mark counts, where systemd runs. */
ROOT_TEST(systemd_must_have_delegated_it)
{
	put_tree("");
	os_put("/run/systemd/system/here", "");
	ck_assert_int_eq(open_trees(ALL), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "Delegate=yes"));
	ck_assert_ptr_nonnull(strstr(err.text, "cgroups in '"));
	ck_assert_int_eq(cgroup_tree_check(os_dir, &err), -1);
	cgroup_tree_close(&t, OWN);

	if (setxattr(os_path(BASE), "trusted.delegate", "1", 1, 0) == -1)
		return; /* no such attributes here */
	ck_assert_int_eq(cgroup_tree_check(os_dir, &err), 0);
	ck_assert_int_eq(open_trees(ALL), ALL);
	cgroup_tree_close(&t, OWN);
	/* DelegateSubgroup=: we are put one below what is marked */
	put_tree("/main");
	os_put(BASE "/main/cgroup.procs", "");
	ck_assert_int_eq(open_trees(ALL), ALL);
	ck_assert_int_ne(faccessat(t.base, WORKER, F_OK, 0), -1);
}

TEST(a_controller_that_the_group_does_not_have)
{
	put_tree("");
	os_put(BASE "/cgroup.controllers", "cpuset cpu memory\n");
	ck_assert_int_eq(cgroup_tree_check(os_dir, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "no controller for 'pids'"));
	ck_assert_int_eq(unlink(os_path(BASE "/cgroup.subtree_control")), 0);
	ck_assert_uint_eq(open_trees(ALL), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "no controller for 'pids'"));
	/* again: the hierarchy is known */
	os_put(BASE "/cgroup.controllers", "");
	ck_assert_uint_eq(open_trees(ALL), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "no controller for 'memory'"));
	ck_assert_int_eq(cgroup_tree_check(os_dir, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "no controller for 'memory'"));
	cgroup_tree_close(&t, OWN);
	os_put(BASE "/cgroup.controllers", "pids cpu memory"); /* no io: fine */
	ck_assert_int_eq(cgroup_tree_check(os_dir, &err), 0);
}

TEST(no_cgroup_at_all)
{
	ck_assert_int_eq(open_trees(ALL), 0);
	ck_assert_int_eq(cgroup_tree_check(os_dir, &err), -1);
	ck_assert_int_eq(t.base, -1);
}

/* The worker of that name; NULL: none. */
static bool is_used(void *context, const char *name, const char *worker)
{
	(void)name;
	return context != NULL && strcmp(worker, context) == 0;
}

static void make(const char *path)
{
	char file[512];

	snprintf(file, sizeof(file), "%s/x", path);
	os_put(file, "");
	ck_assert_int_eq(unlink(os_path(file)), 0);
}

static const struct {
	const char *path;
	bool stays;
} swept[] = {
	{BASE "/nclust@shop@web/3.17", true},
	{BASE "/nclust@shop@web/4.18/made/by/it", false},
	{BASE "/nclust@shop@web/4.18/too", false},
	{BASE "/nclust@shop@web/4.18", false},
	{BASE "/nclust@shop@web/5.19", true}, /* a file of ours keeps it */
	{BASE "/nclust@shop@old/0.2", false},
	{BASE "/nclust@shop@old", false},
	{BASE "/nclust@shop2@web/4.18", true},
	{BASE "/" OWN, true},
	{BASE "/somebody/4.18", true},
	{"/outside/4.18", true},
};

TEST(only_what_is_ours_and_unused_is_swept)
{
	struct cgroup_tree tree = {.base = -1};

	for (size_t i = 0; i < COUNT_OF(swept); i++)
		make(swept[i].path);
	os_put(BASE "/nclust@shop@web/5.19/busy", "");
	tree.base = open(os_path(BASE), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* no link is followed, whoever has put it there */
	ck_assert_int_eq(symlink(os_path("outside"), os_path(BASE "/nclust@shop@link")), 0);
	ck_assert_int_eq(symlink(os_path("outside"), os_path(BASE "/" WORKER "/link")), 0);
	ck_assert_uint_eq(cgroup_sweep(&tree, "nclust@shop@", is_used, (char[]){"3.17"}), 1);
	for (size_t i = 0; i < COUNT_OF(swept); i++)
		ck_assert_msg(access(os_path(swept[i].path), F_OK) == (swept[i].stays ? 0 : -1),
			"%s", swept[i].path);
}

TEST(numbers_of_groups_are_read)
{
	int dir;

	os_put("/g/memory.events", "low 0\nhigh 0\nmax 3\noom 2\noom_kill 5\noom_group_kill 7\n");
	os_put("/g/pids.current", "12\n");
	os_put("/g/memory.pressure",
		"some avg10=1.25 avg60=0.00 avg300=0.00 total=9\n"
		"full avg10=0.50 avg60=0.00 avg300=0.00 total=9\n");
	os_put("/g/pids.max", "max\n");
	dir = open(os_path("g"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert(cgroup_number(dir, "memory.events", "oom_kill ") == 5);
	ck_assert(cgroup_number(dir, "pids.current", NULL) == 12);
	ck_assert(cgroup_number(dir, "memory.pressure", "avg10=") == 1.25);
	ck_assert(cgroup_number(dir, "pids.max", NULL) == -1);
	ck_assert(cgroup_number(dir, "absent", NULL) == -1);
	ck_assert(cgroup_number(dir, "pids.current", "max ") == -1);
}

/* ---- real ones ---- */

/* Make a directory for us in a real hierarchy that has such files: the place's
 * descriptor; or -1. */
static int real_base(const char *place, const char *file, char name[64])
{
	int at = -1;

	if (!unit_is_valgrind())
		at = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(name, 64, "nclust-unit.%d", (int)getpid());
	if (at != -1 && faccessat(at, file, F_OK, 0) == 0 && mkdirat(at, name, 0755) == 0)
		return at;
	fprintf(stderr, "left out: '%s' is not to be written\n", place);
	fd_close(&at);
	return -1;
}

static const char *place; /* where v2 is */

static int real_base_of_v2(char name[64])
{
	place = access("/sys/fs/cgroup/unified", F_OK) == 0 ? "/sys/fs/cgroup/unified"
							    : "/sys/fs/cgroup";
	return real_base(place, "cgroup.controllers", name);
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
	static pid_t children[CHILDREN];
	char whole[512];
	char text[80];
	char name[64];
	int at = real_base_of_v2(name);
	int base;
	int leaf;

	if (at == -1)
		return;
	snprintf(text, sizeof(text), "0::/%s\n", name);
	os_put("/proc/self/cgroup", text);
	os_put("/proc/self/mountinfo",
		"30 22 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 "
		"rw\n");
	make("/sys/fs");
	snprintf(whole, sizeof(whole), "%s/sys/fs/cgroup", os_dir);
	ck_assert_int_eq(symlink(place, whole), 0);
	base = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enter(base);
	for (size_t i = 0; i < CHILDREN; i++) {
		children[i] = fork();
		ck_assert_int_ne(children[i], -1);
		while (children[i] == 0)
			(void)pause();
	}
	(void)open_trees(1U << CGROUP_MEMORY);
	ck_assert(t.in_own);
	ck_assert_uint_eq(count_processes(base), 0);
	leaf = openat(base, OWN, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_uint_eq(count_processes(leaf), CHILDREN + 1);
	(void)close(leaf);
	cgroup_tree_close(&t, OWN);
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
		(void)usleep(5000);
	ck_assert_int_eq(faccessat(at, name, F_OK, 0), -1);
}

/* A process is born in its group by spawn(); all that is left in the group ends with it; and the group goes when that is so. */
TEST(a_process_is_born_in_its_group_and_ends_with_it)
{
	const struct cgroup_limits none = {{0}};
	struct spawn_plan plan = os_plan();
	char *argv[] = {"sh", "-c", "setsid sleep 100 & exec sleep 100", NULL};
	const char *const candidates[] = {"/bin/sh", NULL};
	struct spawn_failure failure;
	struct cgroup_tree tree = {.base = -1};
	char name[64];
	int at = real_base_of_v2(name);
	pid_t pid;
	int pidfd;
	int dir;

	if (at == -1)
		return;
	tree.base = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = cgroup_make(&tree, "nclust@shop@web/0.1", true, &none, &err);
	ck_assert_int_ne(dir, -1);
	plan.candidates = candidates;
	plan.argv = argv;
	plan.new_session = true;
	plan.cgroup = cgroup_procs(dir);
	plan.enters_cgroup = true;
	ck_assert_int_eq(spawn(&plan, &pid, &pidfd, &failure), 0);
	(void)close(plan.cgroup);
	ck_assert(cgroup_number(dir, "cgroup.events", "populated ") == 1);
	if (cgroup_number(dir, "cpu.pressure", NULL) != -1)
		ck_assert(cgroup_number(dir, "cpu.pressure", "avg10=") >= 0);
	while (count_processes(dir) < 2)
		(void)usleep(5000);
	ck_assert_uint_eq(cgroup_sweep(&tree, "nclust@shop@", is_used, (char[]){"3.17"}),
		1); /* kills nothing */
	ck_assert(cgroup_number(dir, "cgroup.events", "populated ") == 1);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	(void)os_wait(pidfd);
	(void)cgroup_end(&tree, "nclust@shop@web/0.1");
	for (int i = 0; i < 2000 && !cgroup_end(&tree, "nclust@shop@web/0.1"); i++)
		(void)usleep(5000);
	ck_assert_int_eq(cgroup_open(&tree, "nclust@shop@web/0.1"), -1);
	/* again: that it is gone already is as good */
	ck_assert(cgroup_end(&tree, "nclust@shop@web/0.1"));
	ck_assert_uint_eq(cgroup_sweep(&tree, "nclust@shop@", is_used, (char[]){"3.17"}), 0);
	(void)close(dir);
	(void)close(tree.base);
	ck_assert_int_eq(unlinkat(at, name, AT_REMOVEDIR), 0);
}

/* A child that is in the group, and waits for its end. */
static pid_t child_in(int dir)
{
	int entered[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(entered), 0);
	pid = fork();
	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		enter(dir);
		(void)!write(entered[1], "", 1);
		for (;;)
			(void)pause();
	}
	(void)close(entered[1]);
	ck_assert_int_eq(read(entered[0], &byte, 1), 1);
	(void)close(entered[0]);
	return pid;
}

/* A directory of v1 has no cgroup.kill, as those of v2 had none before Linux 5.14.  Some are
 * below; what is in a group that was not ended lives on. */
#define LEFT 600
static const char *const controllers[] = {"/sys/fs/cgroup/pids", "/sys/fs/cgroup/memory"};
TEST_LOOP(without_cgroup_kill_what_is_left_is_killed_one_by_one, 0, COUNT_OF(controllers))
{
	const struct cgroup_limits none = {{0}};
	struct cgroup_tree tree = {.base = -1};
	char name[64];
	int at = real_base(controllers[_i], "notify_on_release", name);
	unsigned turns = 0;
	unsigned ended = 0;
	pid_t other;
	int status;
	int dir[3];

	if (at == -1)
		return;
	tree.base = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir[0] = cgroup_make(&tree, "nclust@shop@web/0.1", true, &none, &err);
	dir[1] = cgroup_make(&tree, "nclust@shop@web/0.1/by-it", true, &none, &err);
	dir[2] = cgroup_make(&tree, "nclust@shop@web/1.2", true, &none, &err);
	for (int i = 0; i < LEFT; i++)
		(void)child_in(dir[i % 2]);
	other = child_in(dir[2]);
	ck_assert_uint_eq(count_processes(dir[0]) + count_processes(dir[1]), LEFT);
	ck_assert_uint_eq(count_processes(dir[2]), 1);

	(void)cgroup_end(&tree, "nclust@shop@web/0.1");
	for (; turns < 2000 &&
		(ended < LEFT || faccessat(tree.base, "nclust@shop@web/0.1", F_OK, 0) == 0);
		turns++) {
		(void)usleep(5000);
		while (waitpid(-1, &status, WNOHANG) > 0) {
			ck_assert(WIFSIGNALED(status));
			ended++;
		}
		ck_assert_uint_ge(cgroup_sweep(&tree, "nclust@shop@", is_used, NULL), 1);
	}
	ck_assert_uint_eq(ended, LEFT);
	ck_assert_int_eq(waitpid(other, &status, WNOHANG), 0);

	(void)cgroup_end(&tree, "nclust@shop@web/1.2");
	ck_assert_int_eq(waitpid(other, &status, 0), other);
	while (cgroup_sweep(&tree, "nclust@shop@", is_used, NULL) > 0)
		(void)usleep(5000);
	for (int i = 0; i < 3; i++)
		(void)close(dir[i]);
	(void)close(tree.base);
	ck_assert_int_eq(unlinkat(at, name, AT_REMOVEDIR), 0);
}
