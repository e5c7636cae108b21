/* SPDX-License-Identifier: MIT */
#include "os/place/rundir.h"

#include "base/scope.h"
#include "os/place/rundir_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A directory for an absolute path's last component; *name points to it. */
static int open_parent(const char *path, const char **name, struct error *err)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	size_t len;

	if (path[0] != '/' || slash[1] == '\0')
		return error_set(err, 0,
			"pid file '%s' is not the absolute path of a file",
			path);
	len = (size_t)(slash - path);
	if (len >= sizeof(dir))
		return error_set(
			err, ENAMETOOLONG, "cannot write pid file '%s'", path);
	(void)memcpy(dir, path, len);
	dir[len] = '\0';
	*name = slash + 1;
	return rundir_walk(len == 0 ? "/" : dir, 0, err);
}

int rundir_replace(int dirfd, const char *temporary, const char *name,
	mode_t mode, const void *data, size_t size)
{
	scoped_fd fd = -1;
	ssize_t done;
	int saved;

	/* left by one that was killed here; nobody else can */
	(void)unlinkat(dirfd, temporary, 0);
	fd = openat(dirfd, temporary,
		O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	done = fd != -1 ? write(fd, data, size) : -1;
	if (done == (ssize_t)size &&
		renameat(dirfd, temporary, dirfd, name) == 0)
		return 0;
	saved = done >= 0 && done < (ssize_t)size ? ENOSPC : errno;
	(void)unlinkat(dirfd, temporary, 0);
	errno = saved;
	return -1;
}

int rundir_write_pidfile(const char *path, pid_t pid, struct error *err)
{
	const char *name = "";
	char temporary[NAME_MAX + 1];
	char text[24];
	int len = snprintf(text, sizeof(text), "%ld\n", (long)pid);
	struct stat st;
	scoped_fd dir = open_parent(path, &name, err);

	if (dir == -1)
		return error_wrap(err, "cannot write pid file '%s'", path);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		!S_ISREG(st.st_mode))
		return error_set(err, 0,
			"cannot write pid file '%s': what is there is no plain "
			"file, and is left alone",
			path);
	if (snprintf(temporary, sizeof(temporary), ".%s.%ld", name,
		    (long)getpid()) >= (int)sizeof(temporary))
		return error_set(
			err, ENAMETOOLONG, "cannot write pid file '%s'", path);
	if (rundir_replace(dir, temporary, name, 0644, text, (size_t)len) == 0)
		return 0;
	return error_set(err, errno, "cannot write pid file '%s'", path);
}
