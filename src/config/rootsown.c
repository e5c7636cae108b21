/* SPDX-License-Identifier: MIT */
#include "config/rootsown.h"

#include "base/cwd.h"
#include "base/scope.h"
#include "base/text.h"

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
#include <unistd.h>

enum {
	/* O_NONBLOCK: a FIFO must not keep us waiting for its writer */
	TO_READ = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
	LINKS_MOST = 40, /* as the kernel has it */
	NOBODY = 65534,
};

struct way {
	int dir;             /* where we are, O_PATH */
	char done[PATH_MAX]; /* the same in words, for messages; "": / */
	char room[PATH_MAX]; /* at its end is what is left of the way, … */
	char *rest;          /* … from here on */
	int links;
};

static int cannot_open(int error, struct error *err)
{
	return error_set(err, error, "cannot open");
}

/* Has the owner of this file no uid here?  Then not even root may do what only an
 * owner may, which is tried. */
static bool is_strangers(int fd)
{
	char path[40];
	scoped_fd again = -1;

	if (prctl(PR_CAPBSET_READ, CAP_FOWNER) != 1)
		return false;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, TO_READ | O_NOATIME);
	return again == -1 && errno == EPERM;
}

/* In a user namespace all who are not in it have this uid: whoever made the
 * namespace is master of it anyway, and / mostly belongs to one of these.  It may
 * have a user of that uid as well. */
static bool is_outside(int fd, uid_t uid)
{
	FILE *map = uid == NOBODY ? fopen("/proc/self/uid_map", "re") : NULL;
	unsigned long inside;
	unsigned long count = UINT32_MAX; /* there is no namespace */
	bool found = map == NULL;

	while (!found && fscanf(map, "%lu %*u %lu", &inside, &count) == 2)
		found = uid >= inside && uid - inside < count;
	if (map != NULL)
		(void)fclose(map);
	return !found || (count < UINT32_MAX && is_strangers(fd));
}

static int check_owner(const char *path, int fd, const struct stat *st, struct error *err)
{
	if (st->st_uid == 0 || is_outside(fd, st->st_uid))
		return 0;
	return error_set(err, 0, "'%s' belongs to user %u, refused for root; try chown root", path,
		(unsigned)st->st_uid);
}

/* What the mode shows as the group's may be others' rights then (acl(5)). */
static bool has_list(int fd)
{
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return getxattr(path, "system.posix_acl_access", NULL, 0) != -1 ||
		(errno != ENODATA && errno != EOPNOTSUPP);
}

bool rootsown_is_shared(int fd, const struct stat *st)
{
	return (st->st_mode & S_IWOTH) != 0 ||
		((st->st_mode & S_IWGRP) != 0 && (st->st_gid != 0 || has_list(fd)));
}

static int check_directory(const char *path, int fd, const struct stat *st, struct error *err)
{
	if (!rootsown_is_shared(fd, st) || (st->st_mode & S_ISVTX) != 0)
		return 0;
	return error_set(err, 0,
		"'%s' is writable by others than its owner, refused for root; "
		"try chmod go-w",
		*path != '\0' ? path : "/");
}

static int enter(struct way *w, int dir, struct error *err)
{
	struct stat st;

	if (w->dir != -1)
		(void)close(w->dir);
	w->dir = dir;
	if (dir == -1 || fstat(dir, &st) == -1)
		return cannot_open(errno, err);
	if (check_owner(*w->done != '\0' ? w->done : "/", dir, &st, err) == -1)
		return -1;
	return check_directory(w->done, dir, &st, err);
}

static int begin(struct way *w, struct error *err)
{
	*w->done = '\0';
	return enter(w, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), err);
}

/* Put a part before what is left of the way. */
static int put_before(struct way *w, const char *part, size_t len, struct error *err)
{
	if (len + 1 > (size_t)(w->rest - w->room))
		return cannot_open(ENAMETOOLONG, err);
	*--w->rest = '/';
	w->rest -= len;
	(void)memcpy(w->rest, part, len);
	return 0;
}

static int follow(struct way *w, int link, struct error *err)
{
	char target[PATH_MAX] untouched;
	ssize_t len = readlinkat(link, "", target, sizeof(target));

	if (len <= 0 || ++w->links > LINKS_MOST)
		return cannot_open(len == -1 ? errno : ELOOP, err);
	if (put_before(w, target, (size_t)len, err) == -1)
		return -1;
	return *target == '/' ? begin(w, err) : 0;
}

/* A descriptor of somebody's, /proc/self/fd/N: what it names is no path. */
static bool is_magic(int link)
{
	struct statfs fs;

	return fstatfs(link, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

static int finish(
	const struct way *w, const char *path, const char *name, int flags, struct error *err)
{
	scoped_fd fd = openat(w->dir, name, TO_READ | flags);
	struct stat st;

	if (fd == -1 || fstat(fd, &st) == -1)
		return cannot_open(errno, err);
	if (check_owner(path, fd, &st, err) == -1)
		return -1;
	return fd_release(&fd);
}

/* One name on the way.  1: go on; 0: *found is the file. */
static int step(struct way *w, char *name, bool last, int *found, struct error *err)
{
	scoped_fd fd = openat(w->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	size_t len = strlen(w->done);
	struct stat st;
	bool magic;

	if (fd == -1 || fstat(fd, &st) == -1)
		return cannot_open(errno, err);
	if (len + 1 + strlen(name) >= sizeof(w->done))
		return cannot_open(ENAMETOOLONG, err);
	(void)snprintf(w->done + len, sizeof(w->done) - len, "/%s", name);
	if (check_owner(w->done, fd, &st, err) == -1)
		return -1;
	magic = S_ISLNK(st.st_mode) && last && is_magic(fd);
	if (S_ISLNK(st.st_mode) && !magic) {
		w->done[len] = '\0';
		return follow(w, fd, err) == -1 ? -1 : 1;
	}
	if (S_ISDIR(st.st_mode) && !last)
		return enter(w, fd_release(&fd), err) == -1 ? -1 : 1;
	if (!last)
		return cannot_open(ENOTDIR, err);
	*found = finish(w, w->done, name, magic ? 0 : O_NOFOLLOW, err);
	return *found == -1 ? -1 : 0;
}

static int walk(struct way *w, struct error *err)
{
	char name[NAME_MAX + 1];
	int found = -1;
	int got = begin(w, err) == -1 ? -1 : 1;

	while (got == 1) {
		const char *at = w->rest + strspn(w->rest, "/");
		size_t len = strcspn(at, "/");

		if (len > NAME_MAX)
			return cannot_open(ENAMETOOLONG, err);
		(void)memcpy(name, len > 0 ? at : ".", len > 0 ? len : 1);
		name[len > 0 ? len : 1] = '\0';
		w->rest += at + len - w->rest;
		w->rest += strspn(w->rest, "/");
		got = step(w, name, *w->rest == '\0', &found, err);
	}
	return found;
}

int rootsown_open(const char *path, struct error *err)
{
	struct way w untouched;
	size_t len = strlen(path);
	int fd;

	if (geteuid() != 0) {
		fd = open(path, TO_READ);
		return fd != -1 ? fd : cannot_open(errno, err);
	}
	if (len == 0 || len >= sizeof(w.room))
		return cannot_open(len > 0 ? ENAMETOOLONG : ENOENT, err);
	w.dir = -1;
	w.links = 0;
	w.rest = w.room + sizeof(w.room) - (len + 1);
	(void)memcpy(w.rest, path, len + 1);
	if (*path != '/') {
		scoped_str here = cwd_name();

		if (here == NULL)
			return cannot_open(errno, err);
		if (put_before(&w, here, strlen(here), err) == -1)
			return -1;
	}
	fd = walk(&w, err);
	if (w.dir != -1)
		(void)close(w.dir);
	return fd;
}
