/* SPDX-License-Identifier: MIT */
/*
 * What does a seccomp filter cost that does nothing?  allow COMMAND [ARG]...:
 * runs the command in a session of its own under a filter of one instruction,
 * which allows all.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "bench.h"

int main(int argc, char **argv)
{
	struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {1, &all};

	if (argc < 2)
		return 64;
	(void)setsid();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
		syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW,
			&program) == -1)
		bench_die("allow: seccomp");
	(void)execvp(argv[1], argv + 1);
	bench_die(argv[1]);
}
