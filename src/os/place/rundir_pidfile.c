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

static int write_as(int dir, const char *name, pid_t pid)
{
	scoped_fd fd = openat(dir, name,
		O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	char text[24];
	int n = snprintf(text, sizeof(text), "%ld\n", (long)pid);

	if (fd == -1)
		return -1;
	if (write(fd, text, (size_t)n) == n)
		return 0;
	if (errno == 0)
		errno = ENOSPC;
	return -1;
}

int rundir_write_pidfile(const char *path, pid_t pid, struct error *err)
{
	const char *name = "";
	char temporary[NAME_MAX + 1];
	struct stat st;
	scoped_fd dir = open_parent(path, &name, err);
	int saved;

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
	/* left by one of our pid that was killed here; nobody else can */
	(void)unlinkat(dir, temporary, 0);
	if (write_as(dir, temporary, pid) == 0 &&
		renameat(dir, temporary, dir, name) == 0)
		return 0;
	saved = errno;
	(void)unlinkat(dir, temporary, 0);
	return error_set(err, saved, "cannot write pid file '%s'", path);
}
