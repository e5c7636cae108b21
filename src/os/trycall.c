/* SPDX-License-Identifier: MIT */
#include "os/trycall.h"

#include "base/scope.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static const struct {
	long number;
	const char *name;
} calls[] = {
	{SYS_bpf, "bpf"},
	{SYS_close_range, "close_range"},
	{SYS_openat2, "openat2"},
	{SYS_pidfd_getfd, "pidfd_getfd"},
	{SYS_pidfd_open, "pidfd_open"},
	{SYS_pidfd_send_signal, "pidfd_send_signal"},
	{SYS_seccomp, "seccomp"},
};

/* A bit for each deadly call: a fact about the process, as its filter stays. */
static unsigned deadly;

/* Runs in a child: with such arguments none of these calls has an effect. */
static void try_from(size_t first, int report)
{
	(void)prctl(PR_SET_DUMPABLE, 0); /* no core file */
	for (size_t i = first; i < COUNT_OF(calls); i++) {
		(void)syscall(calls[i].number, -1L, -1L, -1L, -1L, -1L, -1L);
		if (write(report, "", 1) != 1)
			break;
	}
	_exit(0);
}

/* Returns how many calls from the first on have not ended the child.  The child has a
 * memory of its own: before Linux 5.16 a core dump ends all processes that share one. */
static size_t count_survived(size_t first)
{
	int ends[2] = {-1, -1};
	char bytes[COUNT_OF(calls)];
	size_t count = 0;
	ssize_t n = 1;
	pid_t pid = pipe2(ends, O_CLOEXEC) == 0 ? fork() : -1;

	if (pid == 0)
		try_from(first, ends[1]);
	fd_close(&ends[1]);
	while (pid != -1 && n > 0 && count < COUNT_OF(calls)) {
		n = read(ends[0], bytes, sizeof(bytes));
		count += n > 0 ? (size_t)n : 0;
	}
	fd_close(&ends[0]);
	return pid != -1 && waitpid(pid, NULL, 0) == pid ? count : COUNT_OF(calls);
}

void trycall_probe(void)
{
	if (prctl(PR_GET_SECCOMP) != SECCOMP_MODE_FILTER)
		return;
	for (size_t i = count_survived(0); i < COUNT_OF(calls);) {
		deadly |= 1U << i++;
		i += count_survived(i);
	}
}

bool trycall_is_deadly(long number)
{
	for (size_t i = 0; deadly != 0 && i < COUNT_OF(calls); i++)
		if (calls[i].number == number && (deadly >> i & 1) != 0)
			return true;
	return false;
}

const char *trycall_deadly(char *to, size_t size)
{
	size_t used = 0;

	*to = '\0';
	for (size_t i = 0; i < COUNT_OF(calls) && used < size; i++)
		if ((deadly >> i & 1) != 0)
			used += (size_t)snprintf(
				to + used, size - used, "%s%s", used > 0 ? " " : "", calls[i].name);
	return to;
}
