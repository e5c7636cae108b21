/* SPDX-License-Identifier: MIT */
#include "base/trusted.h"

#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

enum {
	/* O_NONBLOCK: a FIFO must not keep us waiting for its writer */
	TO_READ = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
	AS_IT_IS = O_PATH | O_NOFOLLOW | O_CLOEXEC,
	LINKS_MOST = 40, /* as Linux: path_resolution(7); each takes 4 KiB of the stack */
	NOBODY = 65534,
};

/* ---- one file or directory ---- */

static int cannot_open(int error, struct error *err)
{
	return error_set(err, error, "cannot open");
}

static int refuse_path(struct error *err, const char *path, const char *why, const char *cure)
{
	return error_set(err, 0, "'%s' %s, refused%s; try %s", *path != '\0' ? path : "/", why,
		geteuid() == 0 ? " for root" : "", cure);
}

bool trusted_id_is_mapped(const char *map, unsigned long id, unsigned long *count)
{
	FILE *file = fopen(map, "re");
	unsigned long inside;
	bool found = file == NULL;

	*count = UINT32_MAX;
	while (!found && fscanf(file, "%lu %*u %lu", &inside, count) == 2)
		found = id >= inside && id - inside < *count;
	if (file != NULL)
		(void)fclose(file);
	return found;
}

/* Has the owner of this file no uid in our user namespace?  Then not even root may do what
 * only an owner may, such as to open it with O_NOATIME. */
static bool is_strangers(int fd)
{
	char path[40];
	scoped_fd again = -1;

	if (prctl(PR_CAPBSET_READ, CAP_FOWNER) != 1)
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, TO_READ | O_NOATIME);
	return again == -1 && errno == EPERM;
}

/* Does the file belong to a user outside of our user namespace?  All of these have the
 * same uid here, and a user inside may have that uid as well.  The outside user who made
 * the namespace controls it anyway, and / mostly belongs to an outside user. */
static bool is_outside(int fd, uid_t uid)
{
	unsigned long count;

	if (uid != NOBODY)
		return false;
	return !trusted_id_is_mapped("/proc/self/uid_map", uid, &count) ||
		(count < UINT32_MAX && is_strangers(fd));
}

static int check_owner(const char *path, int fd, const struct stat *st, struct error *err)
{
	char why[40];

	if (st->st_uid == 0 || st->st_uid == geteuid() || is_outside(fd, st->st_uid))
		return 0;
	snprintf(why, sizeof(why), "belongs to user %u", (unsigned)st->st_uid);
	return refuse_path(err, path, why, "chown root, or as that user");
}

/* Has the file an access list?  Then the group bits of its mode may be rights of
 * other users (acl(5)). */
static bool has_list(int fd)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return getxattr(path, "system.posix_acl_access", NULL, 0) != -1 ||
		(errno != ENODATA && errno != EOPNOTSUPP);
}

bool trusted_is_shared(int fd, const struct stat *st)
{
	return (st->st_mode & S_IWOTH) != 0 ||
		((st->st_mode & S_IWGRP) != 0 && (st->st_gid != 0 || has_list(fd)));
}

const char *trusted_advice(int fd, const struct stat *dir, bool sticky_will_do)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) == 0 && (fs.f_flags & ST_RDONLY) != 0)
		return "to mount the file alone, or as another user";
	if ((dir->st_mode & S_ISVTX) != 0)
		return "another directory";
	return sticky_will_do ? "chmod go-w, or +t" : "chmod go-w";
}

static int check_directory(
	const char *path, int fd, const struct stat *st, bool sticky_will_do, struct error *err)
{
	if (check_owner(path, fd, st, err) == -1)
		return -1;
	if (!trusted_is_shared(fd, st) || (sticky_will_do && (st->st_mode & S_ISVTX) != 0))
		return 0;
	return refuse_path(err, path, "is writable by others than its owner",
		trusted_advice(fd, st, sticky_will_do));
}

/* ---- the way to a file ---- */

/*
 * A path is checked by its names, from / on: whoever is trusted with a directory could lead
 * us elsewhere anyway, and nobody else can replace what was checked there.
 */

/* Is it a link of /proc, such as /proc/self/fd/N, whose text need not be a path? */
static bool is_magic(int link)
{
	struct statfs fs;

	return fstatfs(link, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

static int check_names(char *path, bool whole, unsigned links, struct error *err);

/* Check the way to which a link leads.  The caller has checked that of the link. */
static int check_target(const char *path, int link, bool whole, unsigned links, struct error *err)
{
	char way[PATH_MAX] uninitialized;
	size_t dir = (size_t)(strrchr(path, '/') + 1 - path);
	ssize_t len;

	memcpy(way, path, dir);
	len = readlinkat(link, "", way + dir, sizeof(way) - dir);
	if (len <= 0 || links == LINKS_MOST)
		return cannot_open(len == -1 ? errno : ELOOP, err);
	if (dir + (size_t)len == sizeof(way))
		return cannot_open(ENAMETOOLONG, err);
	way[dir + (size_t)len] = '\0';
	return check_names(way[dir] == '/' ? way + dir : way, whole, links + 1, err);
}

/* Check a directory, or, where it is `last`, a link alone. */
static int check_name(const char *path, bool last, unsigned links, struct error *err)
{
	scoped_fd fd = open(path, AS_IT_IS);
	struct stat st;

	if (fd == -1 || fstat(fd, &st) == -1)
		return cannot_open(errno, err);
	if (!S_ISLNK(st.st_mode))
		return last ? 0 : check_directory(path, fd, &st, true, err);
	if (last && is_magic(fd))
		return 0;
	return check_owner(path, fd, &st, err) == 0 ? check_target(path, fd, !last, links, err)
						    : -1;
}

/* Skip slashes, and "." names. */
static char *skip_nothing(char *at)
{
	while (*at == '/' || (*at == '.' && (at[1] == '/' || at[1] == '\0')))
		at++;
	return at;
}

/* Check each name of an absolute path, the last one as a directory only if it is the `whole` of a
 * way. */
static int check_names(char *path, bool whole, unsigned links, struct error *err)
{
	char *at = skip_nothing(path);

	if (check_name("/", false, links, err) == -1)
		return -1;
	while (*at != '\0') {
		char *end = at + strcspn(at, "/");
		char kept = *end;
		int got;

		at = skip_nothing(end);
		*end = '\0';
		got = check_name(path, *at == '\0' && !whole, links, err);
		*end = kept;
		if (got == -1)
			return -1;
	}
	return 0;
}

/* Check the way to the `len` bytes of a path, which is made absolute in `to`. */
static int check_way(char to[PATH_MAX], const char *path, size_t len, bool whole, struct error *err)
{
	scoped_str here = *path != '/' ? cwd_name() : NULL;

	*to = '\0';
	if (*path != '/' && here == NULL)
		return cannot_open(errno, err);
	if (snprintf(to, PATH_MAX, "%s%s%.*s", here != NULL ? here : "", here != NULL ? "/" : "",
		    (int)len, path) >= PATH_MAX)
		return cannot_open(ENAMETOOLONG, err);
	return check_names(to, whole, 0, err);
}

/* ---- files ---- */

/* The path to which the name of an open file has led. */
static const char *name_of(int fd, char to[PATH_MAX])
{
	char link[40];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, to, PATH_MAX - 1);
	if (len > 0)
		to[len] = '\0';
	return to;
}

int trusted_open(const char *path, struct error *err)
{
	char whole[PATH_MAX] uninitialized;
	scoped_fd fd = -1;
	struct stat st;

	if (*path == '\0')
		return cannot_open(ENOENT, err);
	if (geteuid() == 0 && check_way(whole, path, strlen(path), false, err) == -1)
		return -1;
	fd = open(path, TO_READ);
	if (fd == -1 || fstat(fd, &st) == -1)
		return cannot_open(errno, err);
	if (geteuid() == 0 && check_owner(name_of(fd, whole), fd, &st, err) == -1)
		return -1;
	return fd_release(&fd);
}

char *read_whole(int fd, size_t most, size_t *len)
{
	scoped_str data = NULL;
	struct stat st;
	ssize_t got = 1;

	if (fstat(fd, &st) == -1)
		return NULL;
	errno = EFBIG;
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)most)
		return NULL;
	data = malloc((size_t)st.st_size + 1);
	if (data == NULL)
		return NULL;
	for (*len = 0; got > 0 && *len < (size_t)st.st_size; *len += (size_t)got) {
		got = pread(fd, data + *len, (size_t)st.st_size - *len, (off_t)*len);
		if (got == -1)
			return NULL;
	}
	data[*len] = '\0';
	return str_release(&data);
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
		a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

char *trusted_read(const char *path, size_t most, size_t *len, struct stat *st, struct error *err)
{
	scoped_fd fd = trusted_open(path, err);
	scoped_str data = NULL;
	struct stat before;
	struct stat after;

	if (fd == -1)
		return NULL;
	if (fstat(fd, &before) == -1 || !S_ISREG(before.st_mode)) {
		error_set(err, 0, "is not a regular file");
		return NULL;
	}
	if (geteuid() == 0 && trusted_is_shared(fd, &before)) {
		error_set(err, 0,
			"writable by others than its owner, refused for root; try chmod go-w");
		return NULL;
	}
	data = read_whole(fd, most, len);
	if (data == NULL && errno == EFBIG)
		error_set(err, 0, "larger than %zu KiB", most / 1024);
	else if (data == NULL || fstat(fd, &after) == -1)
		error_set(err, errno, "cannot read");
	else if (*len != (size_t)before.st_size || !is_same(&before, &after))
		error_set(err, 0, "changed while it was read; try again");
	else {
		if (st != NULL)
			*st = after;
		return str_release(&data);
	}
	return NULL;
}

/* ---- directories ---- */

/* The process's umask takes no bits of the mode away. */
static int make_directory(int dirfd, const char *name, mode_t mode)
{
	mode_t before = umask(0);
	int done = mkdirat(dirfd, name, mode);
	int saved = errno;

	(void)umask(before);
	errno = saved;
	return done == -1 && errno != EEXIST ? -1 : 0;
}

int trusted_enter(int dirfd, const char *name, mode_t mode, const char *path, struct error *err)
{
	scoped_fd fd = -1;
	struct stat st;

	fd = openat(dirfd, name, AS_IT_IS);
	/* look first: mkdir(2) takes the directory's lock, which another process may hold */
	if (fd == -1 && errno == ENOENT && mode != 0) {
		if (make_directory(dirfd, name, mode) == -1)
			return error_set(err, errno, "cannot make '%s'", path);
		fd = openat(dirfd, name, AS_IT_IS);
	}
	if (fd == -1 || fstat(fd, &st) == -1)
		return error_set(err, errno, "cannot open '%s'", path);
	if (S_ISLNK(st.st_mode))
		return error_set(err, 0, "'%s' is not safe: it is a symbolic link", path);
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ENOTDIR, "cannot use '%s'", path);
	if (check_directory(path, fd, &st, false, err) == -1)
		return -1;
	return fd_release(&fd);
}

int trusted_directory(const char *path, mode_t mode, struct error *err)
{
	char above[PATH_MAX] uninitialized;
	char name[PATH_MAX] uninitialized;
	size_t len = strlen(path);
	size_t dir;
	scoped_fd fd = -1;

	if (*path != '/')
		return error_set(err, 0, "'%s' is not an absolute path", path);
	while (path[len - 1] == '/' && len > 1)
		len--;
	dir = (size_t)((const char *)memrchr(path, '/', len) + 1 - path);
	if (check_way(above, path, dir, true, err) == -1)
		return err->sys != 0 ? error_set(err, err->sys, "cannot open '%s'", path) : -1;
	snprintf(name, sizeof(name), "%.*s", (int)(len - dir), path + dir);
	fd = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return error_set(err, errno, "cannot open '%s'", path);
	return trusted_enter(fd, *name != '\0' ? name : ".", mode, path, err);
}

int trusted_way(const char *path, struct error *err)
{
	char way[PATH_MAX] uninitialized;
	const char *slash = strrchr(path, '/');
	size_t len = slash != NULL ? (size_t)(slash - path) + 1 : 0;
	scoped_fd fd = -1;
	scoped_fd above = -1;
	struct stat last;
	struct stat dir;

	if (check_way(way, len > 0 ? path : ".", len > 0 ? len : 1, false, err) == -1)
		return -1;
	fd = open(way, O_PATH | O_DIRECTORY | O_CLOEXEC);
	above = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (above == -1 || fstat(fd, &last) == -1 || fstat(above, &dir) == -1)
		return cannot_open(errno, err);
	/* sticky: its owner can turn the link */
	return trusted_is_shared(above, &dir) ? check_owner(way, fd, &last, err) : 0;
}

/* ---- cwd ---- */

static bool is_here(const char *path)
{
	struct stat there;
	struct stat here;

	return path != NULL && *path == '/' && stat(path, &there) == 0 && stat(".", &here) == 0 &&
		there.st_dev == here.st_dev && there.st_ino == here.st_ino;
}

char *cwd_name(void)
{
	const char *called = getenv("PWD");
	char *name = is_here(called) ? strdup(called) : getcwd(NULL, 0);

	if (is_here(name))
		return name;
	free(name);
	return NULL;
}

char *cwd_whole(const char *path)
{
	scoped_str here = NULL;
	char *whole;

	if (*path == '/')
		return strdup(path);
	here = cwd_name();
	return here != NULL && asprintf(&whole, "%s/%s", here, path) != -1 ? whole : NULL;
}
