/* SPDX-License-Identifier: MIT */
#include "os/place/open_for.h"

#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };

static int open_without_links(const char *path)
{
	struct open_how how = {
		.flags = FLAGS,
		.resolve = RESOLVE_NO_SYMLINKS,
	};
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	/* an emulation, or a filter that does not know the call */
	if (fd == -1 && (errno == ENOSYS || errno == EPERM))
		fd = open(path, FLAGS | O_NOFOLLOW);
	return fd;
}

int open_for(long uid, const char *path)
{
	scoped_fd fd = -1;
	struct stat st;

	if (geteuid() != 0 || uid <= 0)
		return open(path, FLAGS);
	fd = open_without_links(path);
	if (fd != -1 || errno != ELOOP)
		return fd_release(&fd);
	fd = open(path, FLAGS);
	if (fd == -1 || fstat(fd, &st) == -1)
		return -1;
	if ((long)st.st_uid == uid)
		return fd_release(&fd);
	errno = ELOOP;
	return -1;
}
