/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/descriptors.h"
#include "os/privilege.h"

#include <linux/capability.h>
#include <sys/syscall.h>

static struct error err;
static char out[65536];

TEST(capabilities_are_known)
{
	struct capset set;

	ck_assert_int_eq(capset_get(&set), 0);
	ck_assert_int_eq(privilege_has(CAP_SETUID), (set.effective >> CAP_SETUID & 1) != 0);
	set.effective = 0;
	ck_assert_int_eq(capset_put(&set), 0);
	ck_assert(!privilege_has(CAP_SETUID));
}

NATIVE_TEST(everything_is_given_up)
{
	struct capset set;
	bool root = geteuid() == 0;

	if (privilege_shed(65533, &err) == -1)
		ck_abort_msg("%s", err.text);
	ck_assert_int_eq(capset_get(&set), 0);
	ck_assert_uint_eq(set.permitted | set.effective | set.inheritable, 0);
	ck_assert_int_eq(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	ck_assert_int_eq(setresuid(0, 0, 0), -1);
	if (!root)
		return;
	ck_assert_uint_eq(getuid(), 65533);
	ck_assert_uint_eq(getegid(), 65533);
	ck_assert_int_eq(getgroups(0, NULL), 0);
	ck_assert_int_eq(prctl(PR_CAPBSET_READ, CAP_KILL, 0, 0, 0), 0);
}

NATIVE_TEST(closed_standard_descriptors_are_filled_first)
{
	struct stat st;
	struct stat null;
	int keep = fcntl(2, F_DUPFD_CLOEXEC, 50); /* what libcheck writes to */

	ck_assert_int_eq(fstat(os_null(), &null), 0);
	(void)close(0);
	(void)close(1);
	(void)close(2);
	ck_assert_int_eq(privilege_clean_start(&err), 0);
	for (int fd = 0; fd < 3; fd++) {
		ck_assert_int_eq(fstat(fd, &st), 0);
		ck_assert_uint_eq(st.st_rdev, null.st_rdev);
		ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	}
	ck_assert_int_ne(dup2(keep, 2), -1);
}

NATIVE_TEST(a_clean_start_undoes_what_a_caller_did)
{
	struct spawn_plan plan = os_plan();
	struct sigaction now;
	int leaked = open("/etc/passwd", O_RDONLY);
	sigset_t mask;

	os_ignore_signals();
	if (privilege_clean_start(&err) == -1)
		ck_abort_msg("%s", err.text);
	(void)sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int n = 1; n < 32; n++) {
		ck_assert_int_eq(sigismember(&mask, n), 0);
		ck_assert_int_eq(sigaction(n, NULL, &now), 0);
		ck_assert(now.sa_handler == (n == SIGPIPE || n == SIGXFSZ ? SIG_IGN : SIG_DFL));
	}
	ck_assert_int_ne(fcntl(leaked, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
	ck_assert_str_eq(os_field(out, "SigIgn"), "0000000000000000");
}

TEST(orphans_of_a_child_come_to_us)
{
	int ends[2];
	pid_t pid;
	pid_t orphan;

	ck_assert_int_eq(privilege_become_subreaper(&err), 0);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		orphan = fork();
		if (orphan == 0)
			_exit(9);
		(void)!write(ends[1], &orphan, sizeof(orphan));
		_exit(0);
	}
	ck_assert_int_eq(read(ends[0], &orphan, sizeof(orphan)), (ssize_t)sizeof(orphan));
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(waitpid(orphan, NULL, 0), orphan);
}

static bool is_marked(int fd)
{
	return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

TEST(a_range_of_descriptors_is_counted_and_marked_either_way)
{
	int (*const ways[])(unsigned, unsigned) = {
		descriptors_cloexec, descriptors_cloexec_by_proc};
	const long before = descriptors_count();

	for (size_t i = 0; i < COUNT_OF(ways); i++) {
		int low = fcntl(0, F_DUPFD, 20);
		int middle = fcntl(0, F_DUPFD, 300);
		int high = fcntl(0, F_DUPFD, 900);

		for (int fd = 310; fd < 890; fd++) /* several blocks */
			ck_assert_int_eq(dup2(0, fd), fd);
		ck_assert_int_eq(descriptors_count(), before + 3 + 580);
		ck_assert_int_eq(ways[i](21, 800), 0);
		ck_assert(!is_marked(low));
		ck_assert(is_marked(middle));
		ck_assert(!is_marked(high));
		ck_assert_int_eq(ways[i](3, ~0U), 0);
		ck_assert(is_marked(low) && is_marked(high));
		ck_assert(!is_marked(0));
		ck_assert_int_eq(close(low) | close(middle) | close(high), 0);
	}
}
