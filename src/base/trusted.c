/* SPDX-License-Identifier: MIT */
#include "base/trusted.h"

#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

enum {
	/* O_NONBLOCK: a FIFO must not keep us waiting for its writer */
	TO_READ = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
	AS_IT_IS = O_PATH | O_NOFOLLOW | O_CLOEXEC,
	LINKS_MOST = 40, /* the kernel's limit */
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

const char *trusted_advice(const struct stat *dir)
{
	return (dir->st_mode & S_ISVTX) != 0 ? "another directory" : "chmod go-w";
}

static int check_directory(
	const char *path, int fd, const struct stat *st, bool sticky_will_do, struct error *err)
{
	if (check_owner(path, fd, st, err) == -1)
		return -1;
	if (!trusted_is_shared(fd, st) || (sticky_will_do && (st->st_mode & S_ISVTX) != 0))
		return 0;
	return refuse_path(err, path, "is writable by others than its owner", trusted_advice(st));
}

/* ---- the way to a file ---- */

struct way {
	int dir;             /* the directory that was reached, O_PATH */
	char done[PATH_MAX]; /* the path of `dir`, for messages; "": / */
	char room[PATH_MAX]; /* the rest of the way is at its end, from `rest` on */
	char *rest;
	char name[NAME_MAX + 1]; /* the last name taken off `rest` */
	int links;
};

static int enter_directory(struct way *w, int dir, struct error *err)
{
	struct stat st;

	fd_close(&w->dir);
	w->dir = dir;
	if (dir == -1 || fstat(dir, &st) == -1)
		return cannot_open(errno, err);
	return check_directory(w->done, dir, &st, true, err);
}

static int begin_at_root(struct way *w, struct error *err)
{
	*w->done = '\0';
	return enter_directory(w, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), err);
}

/* Put a part before the rest of the way. */
static int put_before(struct way *w, const char *part, size_t len, struct error *err)
{
	if (len + 1 > (size_t)(w->rest - w->room))
		return cannot_open(ENAMETOOLONG, err);
	*--w->rest = '/';
	w->rest -= len;
	memcpy(w->rest, part, len);
	return 0;
}

/* Begin the way to the path of these `len` bytes. */
static int set_out(struct way *w, const char *path, size_t len, struct error *err)
{
	scoped_str here = *path != '/' ? cwd_name() : NULL;

	w->dir = -1;
	w->links = 0;
	w->rest = w->room + sizeof(w->room) - 1;
	*w->rest = '\0';
	if (*path == '\0' || (*path != '/' && here == NULL))
		return cannot_open(*path == '\0' ? ENOENT : errno, err);
	if (put_before(w, path, len, err) == -1 ||
		(here != NULL && put_before(w, here, strlen(here), err) == -1))
		return -1;
	return begin_at_root(w, err);
}

static int follow_link(struct way *w, int link, struct error *err)
{
	char target[PATH_MAX] uninitialized;
	ssize_t len = readlinkat(link, "", target, sizeof(target));

	if (len <= 0 || ++w->links > LINKS_MOST)
		return cannot_open(len == -1 ? errno : ELOOP, err);
	if (put_before(w, target, (size_t)len, err) == -1)
		return -1;
	return *target == '/' ? begin_at_root(w, err) : 0;
}

/* Skip slashes, and "." names. */
static char *skip_nothing(char *at)
{
	while (*at == '/' || (*at == '.' && (at[1] == '/' || at[1] == '\0')))
		at++;
	return at;
}

/* Take the next name off the way.  Returns whether it is the last one. */
static bool next_name(struct way *w)
{
	char *at = skip_nothing(w->rest);
	size_t len = strcspn(at, "/");

	snprintf(w->name, sizeof(w->name), "%.*s", len > 0 ? (int)len : 1, len > 0 ? at : ".");
	w->rest = skip_nothing(at + len);
	return *w->rest == '\0';
}

/* Open the file w->name itself, even if it is a link, and append the name to w->done. */
static int open_name(struct way *w, struct stat *st, struct error *err)
{
	scoped_fd fd = openat(w->dir, w->name, AS_IT_IS);
	size_t len = strlen(w->done);

	if (fd == -1 || fstat(fd, st) == -1)
		return cannot_open(errno, err);
	if (len + 1 + strlen(w->name) >= sizeof(w->done))
		return cannot_open(ENAMETOOLONG, err);
	snprintf(w->done + len, sizeof(w->done) - len, "/%s", w->name);
	return fd_release(&fd);
}

static int follow_name(struct way *w, int fd, const struct stat *st, struct error *err)
{
	if (check_owner(w->done, fd, st, err) == -1)
		return -1;
	*strrchr(w->done, '/') = '\0';
	return follow_link(w, fd, err);
}

/* Go to the directory of the last name, which stays in w->name. */
static int walk_to_last(struct way *w, struct error *err)
{
	while (!next_name(w)) {
		struct stat st = {0};
		scoped_fd fd = open_name(w, &st, err);

		if (fd == -1 ||
			(S_ISLNK(st.st_mode) ? follow_name(w, fd, &st, err)
					     : enter_directory(w, fd_release(&fd), err)) == -1)
			return -1;
	}
	return 0;
}

/* Is it a link of /proc, such as /proc/self/fd/N, whose text need not be a path? */
static bool is_magic(int link)
{
	struct statfs fs;

	return fstatfs(link, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

/* Go the whole way, and open what is at its end, O_PATH. */
static int open_end(struct way *w, struct stat *st, struct error *err)
{
	while (walk_to_last(w, err) == 0) {
		scoped_fd fd = open_name(w, st, err);

		if (fd == -1 || !S_ISLNK(st->st_mode) || is_magic(fd))
			return fd_release(&fd);
		if (follow_name(w, fd, st, err) == -1)
			return -1;
	}
	return -1;
}

/* ---- files ---- */

static int find_file(struct way *w, struct error *err)
{
	struct stat st = {0};
	scoped_fd found = open_end(w, &st, err);
	scoped_fd fd = -1;

	if (found == -1)
		return -1;
	fd = openat(w->dir, w->name, TO_READ | (S_ISLNK(st.st_mode) ? 0 : O_NOFOLLOW));
	if (fd == -1 || fstat(fd, &st) == -1)
		return cannot_open(errno, err);
	if (check_owner(w->done, fd, &st, err) == -1)
		return -1;
	return fd_release(&fd);
}

int trusted_open(const char *path, struct error *err)
{
	struct way w uninitialized;
	int fd;

	if (geteuid() != 0) {
		fd = open(path, TO_READ);
		return fd != -1 ? fd : cannot_open(errno, err);
	}
	fd = set_out(&w, path, strlen(path), err) == 0 ? find_file(&w, err) : -1;
	fd_close(&w.dir);
	return fd;
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
	struct way w uninitialized;
	int fd = -1;

	if (*path != '/')
		return error_set(err, 0, "'%s' is not an absolute path", path);
	if (set_out(&w, path, strlen(path), err) == 0 && walk_to_last(&w, err) == 0)
		fd = trusted_enter(w.dir, w.name, mode, path, err);
	else if (err->sys != 0)
		error_set(err, err->sys, "cannot open '%s'", path);
	fd_close(&w.dir);
	return fd;
}

int trusted_way(const char *path, struct error *err)
{
	struct way w uninitialized;
	struct stat last = {0};
	struct stat dir;
	const char *slash = strrchr(path, '/');
	size_t len = slash != NULL ? (size_t)(slash - path) + 1 : 0;
	int got = set_out(&w, len > 0 ? path : ".", len > 0 ? len : 1, err);
	scoped_fd fd = got == 0 ? open_end(&w, &last, err) : -1;

	if (fd == -1 || fstat(w.dir, &dir) == -1)
		got = -1;
	else if (trusted_is_shared(w.dir, &dir)) /* sticky: its owner can turn the link */
		got = check_owner(w.done, fd, &last, err);
	fd_close(&w.dir);
	return got;
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
