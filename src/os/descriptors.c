/* SPDX-License-Identifier: MIT */
#include "os/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

static int mark(unsigned fd)
{
	int flags = fcntl((int)fd, F_GETFD);

	if (flags == -1)
		return errno == EBADF ? 0 : -1; /* not open: nothing to mark */
	if (flags & FD_CLOEXEC)
		return 0;
	return fcntl((int)fd, F_SETFD, flags | FD_CLOEXEC);
}

/* The number that a directory entry names, or UINT_MAX ("." and ".."). */
static unsigned number(const char *name)
{
	unsigned n = 0;

	for (; *name >= '0' && *name <= '9'; name++)
		n = n * 10 + (unsigned)(*name - '0');
	return *name == '\0' ? n : UINT_MAX;
}

/* linux/dirent.h is not for programs: offsets of struct linux_dirent64. */
enum { DIRENT_LENGTH = 16, DIRENT_NAME = 19 };

int descriptors_cloexec_by_proc(unsigned first, unsigned last)
{
	char block[2048];
	long n;
	int dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir == -1)
		return -1;
	while ((n = syscall(SYS_getdents64, dir, block, sizeof(block))) > 0) {
		for (size_t at = 0; at < (size_t)n;) {
			unsigned fd = number(block + at + DIRENT_NAME);
			uint16_t length;

			(void)memcpy(&length, block + at + DIRENT_LENGTH,
				sizeof(length));
			if (fd != UINT_MAX && fd >= first && fd <= last &&
				mark(fd) == -1)
				n = -1;
			if (n == -1)
				break;
			at += length;
		}
		if (n == -1)
			break;
	}
	(void)close(dir);
	return n == -1 ? -1 : 0;
}

int descriptors_cloexec(unsigned first, unsigned last)
{
	if (syscall(SYS_close_range, first, last, CLOSE_RANGE_CLOEXEC) == 0)
		return 0;
	return descriptors_cloexec_by_proc(first, last);
}

bool descriptors_same(int a, int b)
{
	struct stat x;
	struct stat y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
		x.st_ino == y.st_ino;
}
