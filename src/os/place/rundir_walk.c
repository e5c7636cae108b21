/* SPDX-License-Identifier: MIT */
#include "os/place/rundir_walk.h"

#include "base/scope.h"
#include "os/vfork.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	AS_DIRECTORY = O_PATH | O_DIRECTORY | O_CLOEXEC,
	AS_IT_IS = O_PATH | O_NOFOLLOW | O_CLOEXEC,
};

static bool is_trusted(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

static int refuse_owner(const char *path, uid_t uid, struct error *err)
{
	return error_set(err, 0,
		"'%s' is not safe: it belongs to uid %u, neither to root nor "
		"to us",
		path, (unsigned)uid);
}

static int check(int fd, const char *path, bool sticky_will_do, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return error_set(err, errno, "cannot look at '%s'", path);
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ENOTDIR, "cannot use '%s'", path);
	if (!is_trusted(st.st_uid))
		return refuse_owner(path, st.st_uid, err);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) == 0)
		return 0;
	if (sticky_will_do && (st.st_mode & S_ISVTX))
		return 0;
	return error_set(err, 0, "'%s' is not safe: others may write to it (mode %04o)", path,
		(unsigned)(st.st_mode & 07777));
}

struct making {
	int dirfd;
	const char *name;
	mode_t mode;
};

/* The umask is the process's; the mode must not depend on it. */
static int make_it(void *argument)
{
	const struct making *m = argument;
	struct stat st;
	mode_t before;
	int done;
	int saved;

	/* mkdir(2) would take the lock for what is there, too */
	if (fstatat(m->dirfd, m->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	before = umask(0);
	done = mkdirat(m->dirfd, m->name, m->mode);
	saved = errno;
	(void)umask(before);
	errno = saved;
	return done == -1 && errno != EEXIST ? -1 : 0;
}

static int make_directory(int dirfd, const char *name, mode_t mode)
{
	struct making making = {dirfd, name, mode};
	struct stat st;

	/* whoever can read a directory can hold its lock */
	if (fstat(dirfd, &st) == 0 && st.st_uid == geteuid() &&
		(st.st_mode & (S_IRGRP | S_IROTH)) == 0)
		return make_it(&making);
	return vfork_call_in(dirfd, make_it, &making);
}

int rundir_enter(
	int dirfd, const char *name, bool make, mode_t mode, const char *path, struct error *err)
{
	scoped_fd fd = -1;
	struct stat st;

	if (make && make_directory(dirfd, name, mode) == -1)
		return error_set(err, errno, "cannot make '%s'", path);
	fd = openat(dirfd, name, AS_IT_IS);
	if (fd == -1 || fstat(fd, &st) == -1)
		return error_set(err, errno, "cannot open '%s'", path);
	if (S_ISLNK(st.st_mode))
		return error_set(err, 0, "'%s' is not safe: it is a symbolic link", path);
	if (check(fd, path, false, err) == -1)
		return -1;
	return fd_release(&fd);
}

/* One component on the way.  A link leads wherever its maker wants. */
static int step(int dirfd, const char *name, const char *path, struct error *err)
{
	scoped_fd fd = openat(dirfd, name, AS_IT_IS);
	struct stat st;

	if (fd == -1 || fstat(fd, &st) == -1)
		return error_set(err, errno, "cannot open '%s'", path);
	if (S_ISLNK(st.st_mode)) {
		if (!is_trusted(st.st_uid))
			return refuse_owner(path, st.st_uid, err);
		(void)close(fd);
		fd = openat(dirfd, name, AS_DIRECTORY);
		if (fd == -1)
			return error_set(err, errno, "cannot open '%s'", path);
	}
	if (check(fd, path, true, err) == -1)
		return -1;
	return fd_release(&fd);
}

int rundir_walk(const char *path, mode_t mode, struct error *err)
{
	char done[PATH_MAX];
	char *at = done;
	scoped_fd fd = -1;
	size_t len = strlen(path);

	if (path[0] != '/')
		return error_set(err, 0, "'%s' is not an absolute path", path);
	if (len >= sizeof(done))
		return error_set(err, ENAMETOOLONG, "cannot open '%s'", path);
	(void)memcpy(done, path, len + 1);
	while (len > 1 && done[len - 1] == '/')
		done[--len] = '\0';
	fd = open("/", AS_DIRECTORY);
	if (fd == -1)
		return error_set(err, errno, "cannot open '/'");
	for (;;) {
		char *name = at + strspn(at, "/");
		char *end = name + strcspn(name, "/");
		bool last = *end == '\0';
		char kept = *end;
		int next;

		if (*name == '\0')
			break; /* it was "/" */
		*end = '\0';   /* so that `done` is how far we are */
		next = last ? rundir_enter(fd, name, mode != 0, mode, done, err)
			    : step(fd, name, done, err);
		if (next == -1)
			return -1;
		(void)close(fd);
		fd = next;
		*end = kept;
		if (last)
			return fd_release(&fd);
		at = end;
	}
	if (check(fd, "/", false, err) == -1)
		return -1;
	return fd_release(&fd);
}

/* ---- the way to a directory of others ---- */

#define LINKS_MOST 5

/* Can nobody else put another `entry` into that directory? */
static bool keeps(int dirfd, const struct stat *entry)
{
	struct stat st;

	if (fstat(dirfd, &st) == -1 || !is_trusted(st.st_uid))
		return false;
	return (st.st_mode & (S_IWGRP | S_IWOTH)) == 0 ||
		((st.st_mode & S_ISVTX) != 0 && is_trusted(entry->st_uid));
}

static int go(int from, const char *path, unsigned links);

/* Go on from there to an entry of that name, which is so long. */
static int go_to(int dirfd, const char *start, size_t len, unsigned links)
{
	char name[NAME_MAX + 1];
	char target[PATH_MAX];
	scoped_fd fd = -1;
	struct stat st;
	ssize_t got;

	errno = ENAMETOOLONG;
	if (len >= sizeof(name))
		return -1;
	(void)memcpy(name, start, len);
	name[len] = '\0';
	fd = openat(dirfd, name, AS_IT_IS);
	if (fd == -1 || fstat(fd, &st) == -1)
		return -1;
	errno = EPERM;
	if (!keeps(dirfd, &st))
		return -1;
	if (!S_ISLNK(st.st_mode))
		return fd_release(&fd);
	got = readlinkat(fd, "", target, sizeof(target) - 1);
	errno = ELOOP;
	if (got < 0 || links == 0)
		return -1;
	target[got] = '\0';
	return go(dirfd, target, links - 1);
}

static int go(int from, const char *path, unsigned links)
{
	scoped_fd fd = openat(from, *path == '/' ? "/" : ".", AS_DIRECTORY);

	while (fd != -1) {
		size_t len;
		int next;

		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (len == 0)
			return fd_release(&fd);
		path += len;
		if (len == 1 && path[-1] == '.')
			continue;
		next = go_to(fd, path - len, len, links);
		if (next == -1)
			return -1;
		(void)close(fd);
		fd = next;
	}
	return -1;
}

static int go_all_the_way(void *argument)
{
	scoped_fd fd = go(AT_FDCWD, argument, LINKS_MOST);

	return fd == -1 ? -1 : 0;
}

int rundir_check_way(const char *path)
{
	char way[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t len = slash != NULL ? (size_t)(slash - path) + 1 : 0;

	if (len >= sizeof(way)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	(void)memcpy(way, path, len);
	way[len] = '\0';
	return vfork_call_in(-1, go_all_the_way, way);
}
