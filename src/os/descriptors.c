/* SPDX-License-Identifier: MIT */
#include "os/descriptors.h"

#include "base/scope.h"
#include "os/vfork.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

static int mark_cloexec(unsigned fd)
{
	int flags = fcntl((int)fd, F_GETFD);

	if (flags == -1)
		return errno == EBADF ? 0 : -1; /* not open: nothing to mark */
	if (flags & FD_CLOEXEC)
		return 0;
	return fcntl((int)fd, F_SETFD, flags | FD_CLOEXEC);
}

static int close_one(unsigned fd)
{
	(void)close((int)fd);
	return 0;
}

static int leave_open(unsigned fd)
{
	(void)fd;
	return 0;
}

/* How many there are in that range; -1: `act` failed, or they cannot be listed. */
static long each_by_proc(unsigned first, unsigned last, int (*act)(unsigned fd))
{
	scoped_fd dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_Alignas(struct dirent64) char block[2048];
	ssize_t n = -1;
	long count = 0;

	while (dir != -1 && (n = getdents64(dir, block, sizeof(block))) > 0)
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *entry = (const void *)&block[at];
			unsigned fd = (unsigned)strtoul(entry->d_name, NULL, 10);

			at += entry->d_reclen;
			if (*entry->d_name == '.' || fd < first || fd > last || fd == (unsigned)dir)
				continue;
			if (act(fd) == -1)
				return -1;
			count++;
		}
	return n == -1 ? -1 : count;
}

int descriptors_cloexec_by_proc(unsigned first, unsigned last)
{
	return each_by_proc(first, last, mark_cloexec) == -1 ? -1 : 0;
}

int descriptors_cloexec(unsigned first, unsigned last)
{
	if (trycall(SYS_close_range, first, last, CLOSE_RANGE_CLOEXEC) == 0)
		return 0;
	return descriptors_cloexec_by_proc(first, last);
}

int descriptors_close(unsigned first, unsigned last)
{
	if (trycall(SYS_close_range, first, last, 0U) == 0)
		return 0;
	return each_by_proc(first, last, close_one) == -1 ? -1 : 0;
}

void descriptors_allow_many(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

long descriptors_count(void)
{
	/* since Linux 6.2 the directory's size tells it, too */
	return each_by_proc(0, UINT_MAX, leave_open);
}

int access_in(int dir, const char *file, int mode)
{
	return (int)syscall(SYS_faccessat, dir, file, mode);
}

bool descriptors_same(int a, int b)
{
	struct stat x;
	struct stat y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
		x.st_ino == y.st_ino;
}
