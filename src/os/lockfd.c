/* SPDX-License-Identifier: MIT */
#include "os/descriptors.h"

#include "base/scope.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

int lockfd_make(const char *name)
{
	scoped_fd fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd == -1 || fcntl(fd, F_ADD_SEALS, SEALS) == -1)
		return -1;
	return fd_release(&fd);
}

int lockfd_again(int fd)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDWR | O_CLOEXEC);
}

bool lockfd_is_one(int fd)
{
	return fcntl(fd, F_GET_SEALS) == SEALS;
}

bool lockfd_take(int fd)
{
	return flock(fd, LOCK_EX | LOCK_NB) == 0;
}

void lockfd_drop(int fd)
{
	(void)flock(fd, LOCK_UN);
}
