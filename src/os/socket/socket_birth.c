/* SPDX-License-Identifier: MIT */
#include "os/socket/socket_unix.h"

#include "base/scope.h"
#include "os/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

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

	if (borrow_user(uid, &before)) {
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

	if (mode == -1)
		return foreign ? bind_as(fd, address, size, uid, gid) : bind(fd, address, size);
	/* a socket's own mode is 0777: this umask alone decides, and a mode that the
	 * caller set by fchmod(2) can only take bits away */
	before = umask((mode_t)(0777 & ~mode));
	done = foreign ? bind_as(fd, address, size, uid, gid) : bind(fd, address, size);
	saved = errno;
	(void)umask(before);
	errno = saved;
	return done;
}

static mode_t look_umask(void)
{
	mode_t now = umask(077);

	(void)umask(now);
	return now;
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

	if (mode == -1)
		mode = (int)(0777 & ~look_umask());
	if (bind_with_mode(fd, address, size, mode & 0700, (long)geteuid(), (long)getegid()) == -1)
		return -1;
	if (change_owner(dirfd, name, mode, uid, gid) == 0)
		return 0;
	saved = errno;
	(void)unlinkat(dirfd, name, 0);
	errno = saved;
	return -1;
}

/* May nclust set any filesystem ids? */
static bool may_borrow(void)
{
	struct capset caps;
	uint64_t needed = 1ULL << CAP_SETUID | 1ULL << CAP_SETGID;

	return capset_get(&caps) == 0 && (caps.effective & needed) == needed;
}

int socket_birth(int fd, const struct sockaddr *address, socklen_t size, int dirfd,
	const char *name, int mode, long uid, long gid)
{
	struct stat dir;

	if (uid == -1)
		uid = (long)geteuid();
	if (gid == -1)
		gid = (long)getegid();
	if (uid == (long)geteuid() && gid == (long)getegid())
		return bind_with_mode(fd, address, size, mode, uid, gid);
	/* in a setgid directory the file would get the directory's group */
	if (may_borrow() && fstat(dirfd, &dir) == 0 && !(dir.st_mode & S_ISGID))
		return bind_with_mode(fd, address, size, mode, uid, gid);
	return bind_and_give(fd, address, size, dirfd, name, mode, uid, gid);
}
