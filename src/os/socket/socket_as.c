/* SPDX-License-Identifier: MIT */
#include "os/socket/socket_as.h"

#include "base/scope.h"
#include "os/privilege.h"
#include "os/socket/socket_unix.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <unistd.h>

/*
 * The work of a child that has the user's ids, at one path.  The child makes system calls only,
 * because it runs in nclust's memory; it opens the directory once, since the path may lead
 * elsewhere a moment later.
 */
struct user_call {
	const char *path;
	const struct vfork_user *user;
	int fd;
	int backlog;
	struct sockaddr_un address;
	socklen_t size;
	struct socket_file file;
};

int socket_unix_act(
	const struct vfork_user *user, int keep, int (*act)(void *argument), void *argument)
{
	const struct vfork_call call = {act, argument, user, keep, keep, false};
	int got;

	if (user->uid == 0 || user->uid == geteuid())
		return vfork_call_in(keep, act, argument);
	got = vfork_make_call(&call, user->uid, vfork_patience(user->uid));
	if (!vfork_left())
		return got;
	errno = ETIMEDOUT;
	return -1;
}

/* ---- making ---- */

/* Bind by the path, so that getsockname(2) returns it. */
static int bind_in(const struct user_call *d, int dir, const char *name)
{
	const struct sockaddr *address = (const struct sockaddr *)&d->address;

	if (bind(d->fd, address, d->size) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -1;
	if (socket_unix_remove_stale(dir, name) == 0)
		return bind(d->fd, address, d->size);
	errno = EADDRINUSE;
	return -1;
}

gid_t socket_unix_group(const struct vfork_user *user, const struct stat *dir)
{
	return array_has(user->groups, user->group_count, dir->st_gid) ? dir->st_gid : user->gid;
}

static void remove_own_name(const struct user_call *d, int dir, const char *name)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode) &&
		st.st_dev == d->file.dev && st.st_ino == d->file.ino)
		(void)unlinkat(dir, name, 0);
}

static int listen_at_path(void *user_call)
{
	struct user_call *d = user_call;
	const char *name;
	scoped_fd dir = -1;
	struct stat at;
	struct stat st;
	int saved;

	if (*d->path == '@')
		return bind(d->fd, (const struct sockaddr *)&d->address, d->size) == 0
			? socket_listen(d->fd, d->backlog)
			: -1;
	dir = socket_unix_parent(d->path, &name);
	if (dir == -1 || fstat(dir, &at) == -1 || bind_in(d, dir, name) == -1 ||
		fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return -1;
	d->file = (struct socket_file){
		.dev = st.st_dev,
		.ino = st.st_ino,
		.uid = d->user->uid,
		.gid = socket_unix_group(d->user, &at),
	};
	if (socket_listen(d->fd, d->backlog) == 0) {
		socket_unix_add_spare(dir, name, &d->file);
		return 0;
	}
	saved = errno;
	remove_own_name(d, dir, name);
	errno = saved;
	return -1;
}

int socket_unix_listen_as(
	const char *path, int backlog, const struct vfork_user *user, struct socket_file *made)
{
	scoped_fd fd = socket_born_to(user->uid, AF_UNIX, SOCK_STREAM, 0);
	struct user_call d = {.path = path, .user = user, .fd = fd, .backlog = backlog};

	if (fd == -1 || socket_unix_address(path, &d.address, &d.size) == -1 ||
		socket_unix_act(user, fd, listen_at_path, &d) == -1)
		return -1;
	*made = d.file;
	return fd_release(&fd);
}

/* ---- removing ---- */

static int remove_it(void *user_call)
{
	const struct user_call *d = user_call;
	const char *name;
	scoped_fd dir = socket_unix_parent(d->path, &name);
	char spare[NAME_MAX + 1];

	if (dir == -1)
		return 0;
	/* processes that a worker has left may still have the socket */
	if (d->file.number != 0)
		(void)socket_unix_remove_stale(dir, name);
	else
		remove_own_name(d, dir, name);
	if (socket_unix_spare(spare, name, &d->file) == 0)
		remove_own_name(d, dir, spare);
	return 0;
}

int socket_unlink(const char *path, const struct socket_file *made)
{
	const struct vfork_user user = {.uid = made->uid, .gid = made->gid};
	struct user_call d = {.path = path, .file = *made};

	if (made->ino == 0)
		return 0; /* no file was made */
	/* a file that stays is replaced by the next bind */
	return socket_unix_act(&user, -1, remove_it, &d) == -1 && errno == ETIMEDOUT ? -1 : 0;
}

/* ---- socket birth ---- */

/* setfsuid(2) reports no failure: a second call tells which id is set. */
static bool borrow_user(long uid, uid_t *before)
{
	*before = (uid_t)setfsuid((uid_t)uid);
	return (uid_t)setfsuid((uid_t)-1) == (uid_t)uid;
}

int socket_born_to(uid_t uid, int family, int type, int protocol)
{
	uid_t before;
	int fd = -1;
	int saved = EPERM;

	if (borrow_user((long)uid, &before)) {
		fd = socket(family, type | SOCK_CLOEXEC, protocol);
		saved = errno;
	}
	(void)setfsuid(before); /* back to our own id: always allowed */
	errno = saved;
	return fd;
}

static bool borrow_group(long gid, gid_t *before)
{
	*before = (gid_t)setfsgid((gid_t)gid);
	return (gid_t)setfsgid((gid_t)-1) == (gid_t)gid;
}

/*
 * Leaving fsuid 0 drops the capabilities over files, and the directory need not
 * be the new owner's: make them effective again.  Returning to 0 restores them by
 * itself.
 */
static int bind_as(int fd, const struct sockaddr *address, socklen_t size, long uid, long gid)
{
	struct capset caps;
	uid_t user = geteuid();
	gid_t group = getegid();
	int done = -1;
	int saved = EPERM;

	if (capset_get(&caps) == -1)
		return -1;
	if (borrow_group(gid, &group) && borrow_user(uid, &user) && capset_put(&caps) == 0) {
		done = bind(fd, address, size);
		saved = errno;
	}
	(void)setfsuid(user); /* back to our own id: always allowed */
	(void)setfsgid(group);
	if (capset_put(&caps) == -1)
		return -1;
	errno = saved;
	return done;
}

/* Bind with exactly this mode, whatever the umask. */
static int bind_with_mode(
	int fd, const struct sockaddr *address, socklen_t size, int mode, long uid, long gid)
{
	bool foreign = uid != (long)geteuid() || gid != (long)getegid();
	mode_t before;
	int done;
	int saved;

	/* a socket's own mode is 0777: this umask alone decides, and a mode that the
	 * caller set by fchmod(2) can only take bits away */
	before = umask((mode_t)(0777 & ~mode));
	done = foreign ? bind_as(fd, address, size, uid, gid) : bind(fd, address, size);
	saved = errno;
	(void)umask(before);
	errno = saved;
	return done;
}

/* Whom the umask leaves any right may connect, which takes the right to write: 022 is meant for
 * files, and would leave out a proxy in front. */
static int mode_by_umask(void)
{
	mode_t now = umask(077);
	int mode = 0;

	(void)umask(now);
	for (int class = 0; class <= 6; class += 3)
		if ((now >> class & 7) != 7)
			mode |= 6 << class;
	return mode;
}

/*
 * Change the owner of the file that was just bound, by descriptor.  First check
 * that it is ours: a socket, our uid, the mode that it was created with.
 */
static int change_owner(int dirfd, const char *name, int mode, long uid, long gid)
{
	scoped_fd file = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char path[40];
	struct stat st;

	if (file == -1 || fstat(file, &st) == -1)
		return -1;
	if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid() || st.st_nlink != 1 ||
		(st.st_mode & 077) != 0) {
		errno = ESTALE; /* another file has the name by now */
		return -1;
	}
	if (fchownat(file, "", (uid_t)uid, (gid_t)gid, AT_EMPTY_PATH) == -1)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	return chmod(path, (mode_t)mode);
}

static int bind_and_give(int fd, const struct sockaddr *address, socklen_t size, int dirfd,
	const char *name, int mode, long uid, long gid)
{
	int saved;

	if (bind_with_mode(fd, address, size, mode & 0700, (long)geteuid(), (long)getegid()) == -1)
		return -1;
	if (change_owner(dirfd, name, mode, uid, gid) == 0)
		return 0;
	saved = errno;
	(void)unlinkat(dirfd, name, 0);
	errno = saved;
	return -1;
}

int socket_birth(int fd, const struct sockaddr *address, socklen_t size, int dirfd,
	const char *name, int mode, long uid, long gid)
{
	const uint64_t needed = 1ULL << CAP_SETUID | 1ULL << CAP_SETGID;
	struct capset caps;
	struct stat dir;

	if (mode == -1)
		mode = mode_by_umask();
	if (uid == -1)
		uid = (long)geteuid();
	if (gid == -1)
		gid = (long)getegid();
	if (uid == (long)geteuid() && gid == (long)getegid())
		return bind_with_mode(fd, address, size, mode, uid, gid);
	/* may nclust set any filesystem ids?  In a setgid directory the file would get the
	 * directory's group. */
	if (capset_get(&caps) == 0 && (caps.effective & needed) == needed &&
		fstat(dirfd, &dir) == 0 && !(dir.st_mode & S_ISGID))
		return bind_with_mode(fd, address, size, mode, uid, gid);
	return bind_and_give(fd, address, size, dirfd, name, mode, uid, gid);
}
