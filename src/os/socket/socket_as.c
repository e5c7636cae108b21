/* SPDX-License-Identifier: MIT */
#include "os/socket/socket_as.h"

#include "base/scope.h"
#include "os/socket/socket_unix.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file system may keep it waiting. */
#define PATIENCE (1 * SECOND)

/*
 * Deeds of a child that has the user's ids: system calls and nothing else.  The
 * directory is looked up once and held.
 */
struct deed {
	const char *path;
	const struct vfork_user *user;
	int fd;
	struct sockaddr_un address;
	socklen_t size;
	struct socket_file file;
	int error;
};

/* ---- making ---- */

static bool remove_stale(int dir, const char *name)
{
	scoped_fd file = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int why;

	return file != -1 && fstat(file, &st) == 0 && S_ISSOCK(st.st_mode) &&
		socket_unix_is_dead(file, &why) && unlinkat(dir, name, 0) == 0;
}

/* By its path, so that getsockname(2) tells that. */
static int bind_in(const struct deed *d, int dir, const char *name)
{
	const struct sockaddr *address = (const struct sockaddr *)&d->address;

	if (bind(d->fd, address, d->size) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -1;
	if (remove_stale(dir, name))
		return bind(d->fd, address, d->size);
	errno = EADDRINUSE;
	return -1;
}

/* The group by which the user may remove the file again: the directory's, if
 * that is one of its own. */
static gid_t group_for(const struct vfork_user *user, const struct stat *dir)
{
	for (size_t i = 0; i < user->group_count; i++)
		if (user->groups[i] == dir->st_gid)
			return dir->st_gid;
	return user->gid;
}

static void bind_it(void *argument)
{
	struct deed *d = argument;
	const char *name;
	scoped_fd dir = socket_unix_parent(d->path, &name);
	struct stat at;
	struct stat st;

	d->error = 0;
	if (dir == -1 || fstat(dir, &at) == -1 || bind_in(d, dir, name) == -1 ||
		fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1) {
		d->error = errno;
		return;
	}
	d->file = (struct socket_file){
		.dev = st.st_dev,
		.ino = st.st_ino,
		.uid = d->user->uid,
		.gid = group_for(d->user, &at),
	};
}

int socket_unix_open_as(const char *path, const struct vfork_user *user,
	struct socket_file *made)
{
	scoped_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct deed d = {.path = path, .user = user, .fd = fd};

	if (fd == -1 || socket_unix_address(path, &d.address, &d.size) == -1 ||
		vfork_run_as(bind_it, &d, PATIENCE, user) == -1)
		return -1;
	if (d.error != 0) {
		errno = d.error;
		return -1;
	}
	*made = d.file;
	return fd_release(&fd);
}

/* ---- removing ---- */

static void remove_it(void *argument)
{
	const struct deed *d = argument;
	const char *name;
	scoped_fd dir = socket_unix_parent(d->path, &name);
	struct stat st;

	if (dir != -1 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		S_ISSOCK(st.st_mode) && st.st_dev == d->file.dev &&
		st.st_ino == d->file.ino)
		(void)unlinkat(dir, name, 0);
}

void socket_unlink(const char *path, const struct socket_file *made)
{
	const struct vfork_user user = {.uid = made->uid, .gid = made->gid};
	struct deed d = {.path = path, .file = *made};

	if (made->ino == 0)
		return; /* nothing of ours can be there */
	if (made->uid == 0 || made->uid == geteuid())
		remove_it(&d);
	else
		(void)vfork_run_as(remove_it, &d, PATIENCE, &user);
}
