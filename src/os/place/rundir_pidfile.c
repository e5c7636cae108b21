/* SPDX-License-Identifier: MIT */
#include "os/place/rundir.h"

#include "base/scope.h"
#include "base/trusted.h"
#include "os/vfork.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
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
		return error_set(err, 0, "pid file '%s' is not the absolute path of a file", path);
	len = (size_t)(slash - path);
	if (len >= sizeof(dir))
		return error_set(err, ENAMETOOLONG, "cannot write pid file '%s'", path);
	(void)memcpy(dir, path, len);
	dir[len] = '\0';
	*name = slash + 1;
	return trusted_directory(len == 0 ? "/" : dir, 0, err);
}

int rundir_replace(int dirfd, const char *temporary, const char *name, mode_t mode,
	const void *data, size_t size)
{
	scoped_fd fd = -1;
	ssize_t done;
	int saved;

	/* left by one that was killed here; nobody else can */
	(void)unlinkat(dirfd, temporary, 0);
	fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	done = fd != -1 ? write(fd, data, size) : -1;
	if (done == (ssize_t)size && renameat(dirfd, temporary, dirfd, name) == 0)
		return 0;
	saved = done >= 0 && done < (ssize_t)size ? ENOSPC : errno;
	(void)unlinkat(dirfd, temporary, 0);
	errno = saved;
	return -1;
}

struct pidfile {
	int dir;
	const char *name;
	const char *temporary;
	const char *text;
	bool odd; /* what is there is no plain file */
};

static int write_it(void *argument)
{
	struct pidfile *p = argument;
	struct stat st;

	p->odd = fstatat(p->dir, p->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode);
	return p->odd
		? -1
		: rundir_replace(p->dir, p->temporary, p->name, 0644, p->text, strlen(p->text));
}

int rundir_write_pidfile(const char *path, pid_t pid, struct error *err)
{
	const char *name = "";
	char temporary[NAME_MAX + 1];
	char text[24];
	scoped_fd dir = open_parent(path, &name, err);
	struct pidfile p = {dir, name, temporary, text, false};

	if (dir == -1)
		return error_wrap(err, "cannot write pid file '%s'", path);
	(void)snprintf(text, sizeof(text), "%ld\n", (long)pid);
	if (snprintf(temporary, sizeof(temporary), ".%s.%ld", name, (long)getpid()) >=
		(int)sizeof(temporary))
		return error_set(err, ENAMETOOLONG, "cannot write pid file '%s'", path);
	if (vfork_call_in(dir, write_it, &p) == 0)
		return 0;
	if (p.odd)
		return error_set(err, 0,
			"cannot write pid file '%s': it exists and is not a plain file", path);
	(void)error_set(err, errno, "cannot write pid file '%s'", path);
	if (err->sys == EACCES)
		(void)error_hint(err, "choose a directory of this user's");
	return -1;
}

static int remove_it(void *path)
{
	return unlink(path);
}

int rundir_remove_pidfile(const char *path)
{
	return vfork_call_in(-1, remove_it, (void *)(uintptr_t)path) == -1 && errno == ETIMEDOUT
		? -1
		: 0;
}
