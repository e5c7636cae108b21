/* SPDX-License-Identifier: MIT */
#include "os/socket/socket_unix.h"

#include "base/scope.h"
#include "os/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

/* The time that one removal, and all removals of a second together, may wait for
 * unlink(2).  A file that stays is replaced by the next bind. */
#define REMOVING_MOST (50 * MSEC)

/*
 * What a child with the user's ids does: system calls and nothing else.  The
 * directory is looked up once and held.
 */
struct user_call {
	void (*act)(struct user_call *d);
	const char *path;
	const struct vfork_user *user;
	int fd; /* our descriptor that the child keeps; or -1 */
	int backlog;
	struct sockaddr_un address;
	socklen_t size;
	struct socket_file file;
	int error;
};

/* The child may hang in a file system, so it keeps no port and no pipe of ours. */
static void act_alone(void *argument)
{
	struct user_call *d = argument;

	if (vfork_leave_table(d->fd, d->fd) == -1)
		d->error = errno;
	else
		d->act(d);
}

/* Run it in a child.  -1 and errno; ETIMEDOUT also if that user may not make nclust wait any more. */
static int run_as_user(struct user_call *d, nsec_t patience)
{
	nsec_t begun = clock_now();

	errno = ETIMEDOUT;
	if (patience == 0)
		return -1;
	d->error = 0;
	if (vfork_run_as(act_alone, d, patience, d->user) == -1)
		d->error = errno;
	if (vfork_left()) {
		vfork_was_late(d->user->uid, clock_now() - begun);
		d->error = ETIMEDOUT;
	}
	errno = d->error;
	return d->error == 0 ? 0 : -1;
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
	if (socket_unix_remove_stale(dir, name))
		return bind(d->fd, address, d->size);
	errno = EADDRINUSE;
	return -1;
}

/* The group by which the user may remove the file again: the directory's, if the
 * user is in that group. */
static gid_t group_for(const struct vfork_user *user, const struct stat *dir)
{
	for (size_t i = 0; i < user->group_count; i++)
		if (user->groups[i] == dir->st_gid)
			return dir->st_gid;
	return user->gid;
}

static void bind_name(struct user_call *d)
{
	const struct sockaddr *address = (const struct sockaddr *)&d->address;

	if (bind(d->fd, address, d->size) == -1)
		d->error = errno;
}

static void bind_path(struct user_call *d)
{
	const char *name;
	scoped_fd dir = socket_unix_parent(d->path, &name);
	struct stat at;
	struct stat st;

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
	socket_unix_add_spare(dir, name, &d->file);
}

int socket_unix_open_as(const char *path, const struct vfork_user *user, struct socket_file *made)
{
	scoped_fd fd = socket_born_to(user->uid, AF_UNIX, SOCK_STREAM, 0);
	struct user_call d = {
		.act = *path == '@' ? bind_name : bind_path,
		.path = path,
		.user = user,
		.fd = fd,
	};

	if (fd == -1 || socket_unix_address(path, &d.address, &d.size) == -1 ||
		run_as_user(&d, vfork_patience(user->uid)) == -1)
		return -1;
	*made = d.file;
	return fd_release(&fd);
}

/* ---- listening ---- */

static void listen_on(struct user_call *d)
{
	if (listen(d->fd, d->backlog < 0 ? INT_MAX : d->backlog) == -1)
		d->error = errno;
}

int socket_unix_listen_as(int fd, int backlog, const struct vfork_user *user)
{
	struct user_call d = {
		.act = listen_on,
		.user = user,
		.fd = fd,
		.backlog = backlog,
	};

	return run_as_user(&d, vfork_patience(user->uid));
}

/* ---- removing ---- */

static void remove_own_name(const struct user_call *d, int dir, const char *name)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode) &&
		st.st_dev == d->file.dev && st.st_ino == d->file.ino)
		(void)unlinkat(dir, name, 0);
}

static void remove_it(struct user_call *d)
{
	const char *name;
	scoped_fd dir = socket_unix_parent(d->path, &name);
	char spare[NAME_MAX + 1];

	if (dir == -1)
		return;
	/* processes that a worker has left may still have the socket */
	if (d->file.uid == 0 && d->file.gid != 0)
		(void)socket_unix_remove_stale(dir, name);
	else
		remove_own_name(d, dir, name);
	if (socket_unix_spare(spare, name, &d->file) == 0)
		remove_own_name(d, dir, spare);
}

static int remove_own(void *argument)
{
	remove_it(argument);
	return 0;
}

static int remove_as(struct user_call *d)
{
	static struct {
		nsec_t since;
		nsec_t slept;
	} removing;
	nsec_t patience = vfork_patience(d->user->uid);
	nsec_t slept = vfork_slept();
	nsec_t now = clock_now();
	int got;

	if (now - removing.since >= SECOND) {
		removing.since = now;
		removing.slept = 0;
	}
	errno = ETIMEDOUT;
	if (removing.slept >= REMOVING_MOST)
		return -1;
	got = run_as_user(d, nsec_min(patience, REMOVING_MOST));
	removing.slept += vfork_slept() - slept;
	return got;
}

int socket_unlink(const char *path, const struct socket_file *made)
{
	const struct vfork_user user = {.uid = made->uid, .gid = made->gid};
	struct user_call d = {
		.act = remove_it,
		.path = path,
		.user = &user,
		.fd = -1,
		.file = *made,
	};

	if (made->ino == 0)
		return 0; /* no file was made */
	if ((made->uid == 0 || made->uid == geteuid() ? vfork_call_in(-1, remove_own, &d)
						      : remove_as(&d)) == 0)
		return 0;
	return errno == ETIMEDOUT ? -1 : 0;
}
