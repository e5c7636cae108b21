/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "base/scope.h"
#include "os/cgroup.h"

#include <sys/inotify.h>

static void put_v2(const char *own)
{
	os_put("/proc/self/cgroup", own);
	os_put("/proc/self/mountinfo",
		"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
		"30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 "
		"cgroup2 rw,nsdelegate\n");
}

static long count_oom_kills(void)
{
	scoped_fd fd = cgroup_oom_open(os_dir);

	return fd != -1 ? cgroup_oom_read(fd) : -1;
}

FIXTURE(os_make_dir, NULL)

TEST(v2_takes_the_smallest_of_all_ancestors)
{
	put_v2("0::/a/b/c\n");
	os_put("/sys/fs/cgroup/a/cpu.max", "150000 100000\n");
	os_put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
	os_put("/sys/fs/cgroup/a/b/c/cpu.max", "400000 100000\n");
	os_put("/sys/fs/cgroup/a/memory.max", "2000000\n");
	os_put("/sys/fs/cgroup/a/b/memory.max", "1000000\n");
	os_put("/sys/fs/cgroup/a/b/c/memory.max", "max\n");
	os_put("/sys/fs/cgroup/a/b/c/pids.max", "77\n");
	os_put("/sys/fs/cgroup/a/b/c/memory.events",
		"low 0\nhigh 0\nmax 3\noom 2\noom_kill 5\n"
		"oom_group_kill 0\n");
	ck_assert_uint_eq(cgroup_cpu_quota(os_dir), 2); /* 1.5 */
	ck_assert_uint_eq(cgroup_memory_limit(os_dir), 1000000);
	ck_assert_uint_eq(cgroup_pids_limit(os_dir), 77);
	ck_assert_int_eq(count_oom_kills(), 5);
}

TEST(the_quota_is_rounded_up)
{
	static const struct {
		const char *text;
		unsigned cpus;
	} quotas[] = {{"1000 100000", 1}, {"100000 100000", 1}, {"100001 100000", 2},
		{"250000 50000", 5}, {"max 100000", 0}, {"0 100000", 0}, {"5 0", 0}, {"garbage", 0},
		{"", 0}, {"-1 100000", 0}};

	put_v2("0::/a\n");
	for (size_t i = 0; i < COUNT_OF(quotas); i++) {
		os_put("/sys/fs/cgroup/a/cpu.max", quotas[i].text);
		ck_assert_uint_eq(cgroup_cpu_quota(os_dir), quotas[i].cpus);
	}
}

TEST(in_a_container_of_its_own_namespace)
{
	put_v2("0::/\n");
	os_put("/sys/fs/cgroup/cpu.max", "300000 100000\n");
	ck_assert_uint_eq(cgroup_cpu_quota(os_dir), 3);
	/* what is above us by name cannot be reached by the mount */
	os_put("/proc/self/cgroup", "0::/../../host\n");
	ck_assert_uint_eq(cgroup_cpu_quota(os_dir), 3);
}

TEST(the_quota_of_v1_counts_too)
{
	os_put("/proc/self/cgroup",
		"9:name=systemd:/\n4:memory:/box/inner\n2:cpu,cpuacct:/box/inner\n0::/unit\n");
	os_put("/proc/self/mountinfo",
		"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
		"31 22 0:28 / /cg\\040roots rw - tmpfs tmpfs rw\n"
		"32 31 0:29 / /cg\\040roots/cpu rw,relatime shared:1 - cgroup "
		"cgroup rw,cpu,cpuacct\n"
		"33 31 0:30 / /cg\\040roots/memory rw - cgroup cgroup "
		"rw,memory\n"
		"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
	os_put("/cg roots/cpu/box/cpu.cfs_quota_us", "250000\n");
	os_put("/cg roots/cpu/box/cpu.cfs_period_us", "100000\n");
	os_put("/cg roots/cpu/box/inner/cpu.cfs_quota_us", "-1\n");
	os_put("/cg roots/cpu/box/inner/cpu.cfs_period_us", "100000\n");
	os_put("/sys/fs/cgroup/unified/unit/memory.max", "123456\n");
	ck_assert_uint_eq(cgroup_cpu_quota(os_dir), 3);
	ck_assert_uint_eq(cgroup_memory_limit(os_dir), 123456);
}

TEST(where_v1_has_other_controllers_the_quota_is_that_of_v2)
{
	os_put("/proc/self/cgroup", "4:memory:/box\n1:name=systemd:/\n0::/unit\n");
	os_put("/proc/self/mountinfo",
		"33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup "
		"rw,memory\n"
		"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 "
		"rw\n");
	os_put("/sys/fs/cgroup/unified/unit/cpu.max", "100000 100000\n");
	ck_assert_uint_eq(cgroup_cpu_quota(os_dir), 1);
}

TEST(a_mount_of_a_part_of_the_hierarchy)
{
	/* Docker with v1 and without a namespace: the paths of the host, of
	 * which only our own part is mounted */
	os_put("/proc/self/cgroup", "2:cpu:/docker/abc/sub\n");
	os_put("/proc/self/mountinfo",
		"32 31 0:29 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup "
		"rw,cpu\n");
	os_put("/sys/fs/cgroup/cpu/sub/cpu.cfs_quota_us", "700000\n");
	os_put("/sys/fs/cgroup/cpu/sub/cpu.cfs_period_us", "100000\n");
	os_put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "600000\n");
	os_put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
	ck_assert_uint_eq(cgroup_cpu_quota(os_dir), 6);
	/* a path that only begins with the same letters is elsewhere */
	os_put("/proc/self/cgroup", "2:cpu:/docker/abcdef/sub\n");
	ck_assert_uint_eq(cgroup_cpu_quota(os_dir), 6);
}

/* How many writes were reported. */
static unsigned reported(int inotify)
{
	char events[4096] __attribute__((aligned(8)));
	ssize_t got = read(inotify, events, sizeof(events));

	return got < 0 ? 0 : (unsigned)got / sizeof(struct inotify_event);
}

TEST(writes_to_what_limits_the_cpus_are_reported)
{
	int fd = inotify_init1(IN_NONBLOCK);

	put_v2("0::/a/b\n");
	ck_assert_uint_eq(cgroup_cpu_watch(os_dir, fd), 0);
	os_put("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
	os_put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
	os_put("/sys/fs/cgroup/a/b/cpuset.cpus", "0-3\n");
	os_put("/sys/fs/cgroup/a/b/memory.max", "max\n");
	os_put("/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
	ck_assert_uint_eq(cgroup_cpu_watch(os_dir, fd), 3);
	ck_assert_uint_eq(cgroup_cpu_quota(os_dir), 0);
	ck_assert_uint_eq(reported(fd), 0); /* we only read */
	os_put("/sys/fs/cgroup/a/cpu.max", "150000 100000\n");
	ck_assert_uint_eq(reported(fd), 1);
	os_put("/sys/fs/cgroup/a/b/cpuset.cpus", "0-1\n");
	os_put("/sys/fs/cgroup/a/b/cpu.max", "300000 100000\n");
	ck_assert_uint_eq(reported(fd), 2);
	os_put("/sys/fs/cgroup/a/b/memory.max", "1000\n");
	os_put("/sys/fs/cgroup/a/b/c/cpu.max", "9 9\n"); /* not ours */
	ck_assert_uint_eq(reported(fd), 0);
}

TEST(without_proc_or_sys_there_is_no_limit)
{
	ck_assert_uint_eq(cgroup_cpu_quota(os_dir), 0);
	ck_assert_uint_eq(cgroup_memory_limit(os_dir), 0);
	ck_assert_uint_eq(cgroup_pids_limit(os_dir), 0);
	ck_assert_int_eq(count_oom_kills(), -1);
	put_v2("0::/gone\n"); /* the tables, but no files */
	ck_assert_uint_eq(cgroup_cpu_quota(os_dir), 0);
	ck_assert_uint_eq(cgroup_memory_limit(os_dir), 0);
}

TEST(oom_kills_of_the_machine_stand_in)
{
	char text[8192] = "";
	int fd;

	put_v2("0::/\n"); /* the root cgroup has no memory.events */
	os_put("/proc/vmstat", "nr_free_pages 1\noom_kill 11\nnr_x 3\n");
	fd = cgroup_oom_open(os_dir);
	ck_assert_int_eq(cgroup_oom_read(fd), 11);
	for (int i = 0; i < 150; i++) /* as far down as in earnest */
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			"nr_some_counter_%d %d\n", i, i * 1000);
	strncat(text, "oom_kill 12\nnr_x 3\n", 30);
	os_put("/proc/vmstat", text);
	ck_assert_int_eq(cgroup_oom_read(fd), 12);
	os_put("/proc/vmstat", "nothing\nof_the_kind 1\nno newline");
	ck_assert_int_eq(cgroup_oom_read(fd), -1);
}

TEST(mangled_tables_do_no_harm)
{
	os_put("/proc/self/cgroup", "\n:\n::\n0::\nx\n4:memory\n0::/a\n");
	os_put("/proc/self/mountinfo",
		"\n - \n1 2 3\n1 2 3 - cgroup2\n1 2 3 / /x\\04 - cgroup2 s rw\n"
		"1 2 3 4 5 6 7 8 9\n");
	ck_assert_uint_eq(cgroup_cpu_quota(os_dir), 0);
}
