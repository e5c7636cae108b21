/* SPDX-License-Identifier: MIT */
#include "os/socket/socket_unix.h"

#include "base/scope.h"
#include "os/socket/socket_as.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/time.h>
#include <unistd.h>

#define CONNECT_PATIENCE 10 /* seconds */

int socket_unix_address(const char *path, struct sockaddr_un *address, socklen_t *size)
{
	size_t len = strlen(path);

	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	if (len == 0 || len >= sizeof(address->sun_path)) {
		errno = len == 0 ? EINVAL : ENAMETOOLONG;
		return -1;
	}
	memcpy(address->sun_path, path, len);
	*size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
	if (path[0] == '@') {
		address->sun_path[0] = '\0';
		(*size)--; /* every byte counts in an abstract name */
	}
	return 0;
}

/* An address for a name in a directory, short enough for any path. */
static int address_at(int dirfd, const char *name, struct sockaddr_un *address, socklen_t *size)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, name);
	return socket_unix_address(path, address, size);
}

int socket_unix_parent(const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX] = ".";
	size_t len = slash != NULL ? (size_t)(slash - path) : 0;
	int fd;

	*name = slash != NULL ? slash + 1 : path;
	if (len >= sizeof(dir) || **name == '\0') {
		errno = **name == '\0' ? EISDIR : ENAMETOOLONG;
		return -1;
	}
	if (slash == path)
		len = 1;
	if (len > 0) {
		memcpy(dir, path, len);
		dir[len] = '\0';
	}
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1 && errno == EACCES)
		fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd;
}

/* Connect to the socket of a file that is open. */
static int connect_file(int fd, int file)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	snprintf(to.sun_path, sizeof(to.sun_path), "/proc/self/fd/%d", file);
	return connect(fd, (const struct sockaddr *)&to, sizeof(to));
}

/*
 * Is no process bound to this file?  Asked with a datagram socket, because that
 * leaves no connection in a living server's queue: a stream socket answers
 * EPROTOTYPE, also one that does not listen yet; only a file without a socket
 * answers ECONNREFUSED.  False and errno.
 */
static bool is_dead(int file)
{
	scoped_fd probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int got = connect_file(probe, file);

	if (got == -1 && errno == ECONNREFUSED)
		return true;
	if (got == 0 || errno == EPROTOTYPE || errno == EPERM)
		errno = EADDRINUSE; /* EACCES and its like: unknown */
	return false;
}

int socket_unix_remove_stale(int dir, const char *name)
{
	scoped_fd file = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (file == -1 || fstat(file, &st) == -1)
		return -1;
	errno = ENOTSOCK;
	return S_ISSOCK(st.st_mode) && is_dead(file) ? unlinkat(dir, name, 0) : -1;
}

int socket_unix_spare(char to[NAME_MAX + 1], const char *name, const struct socket_file *made)
{
	char number[16] = "";
	int len;

	if (made->number != 0)
		snprintf(number, sizeof(number), ".%u", made->number);
	len = snprintf(to, NAME_MAX + 1, ".%s%s.nclust", name, number);
	return len >= 0 && len <= NAME_MAX ? 0 : -1;
}

/* Bind by the path where it fits, so that getsockname(2) returns it. */
static int bind_path(
	int fd, int dir, const char *name, const struct socket_plan *plan, struct socket_file *made)
{
	struct sockaddr_un address;
	socklen_t size;
	struct stat st;

	if (socket_unix_address(plan->path, &address, &size) == -1 &&
		address_at(dir, name, &address, &size) == -1)
		return -1;
	if (socket_birth(fd, (const struct sockaddr *)&address, size, dir, name, plan->mode,
		    plan->owner, plan->group) == -1)
		return -1;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return -1;
	*made = (struct socket_file){.dev = st.st_dev, .ino = st.st_ino};
	return 0;
}

static int cannot_listen(const struct socket_plan *plan, int error, struct error *err)
{
	error_set(err, error, "cannot listen on '%s'", plan->text);
	if (error == EPERM && (plan->owner != -1 || plan->group != -1))
		error_hint(err, "changing the socket's owner or group requires root");
	return -1;
}

void socket_unix_add_spare(int dir, const char *name, const struct socket_file *made)
{
	char spare[NAME_MAX + 1];

	for (int i = 0; i < 2 && socket_unix_spare(spare, name, made) == 0; i++)
		if (linkat(dir, name, dir, spare, 0) == 0 || errno != EEXIST ||
			socket_unix_remove_stale(dir, spare) == -1)
			return;
}

static int open_file(
	int fd, const struct socket_plan *plan, struct socket_file *made, struct error *err)
{
	const char *name;
	scoped_fd dir = socket_unix_parent(plan->path, &name);
	int stale;
	int saved;

	if (dir == -1 && (errno == EISDIR || errno == ENAMETOOLONG))
		return error_set(err, errno, "cannot listen on '%s'", plan->path);
	if (dir == -1)
		return error_set(err, errno, "cannot open the directory of '%s'", plan->path);
	stale = socket_unix_remove_stale(dir, name);
	if (stale == -1 && errno == ENOTSOCK)
		return error_set(err, 0,
			"cannot listen on '%s': the path exists and is not a socket", plan->text);
	if (stale == -1 && errno != ENOENT)
		return error_set(err, errno, "cannot listen on '%s'", plan->text);
	if (bind_path(fd, dir, name, plan, made) == -1)
		return cannot_listen(plan, errno, err);
	if (plan->type == SOCK_DGRAM || socket_listen(fd, plan->backlog) == 0) {
		socket_unix_add_spare(dir, name, made);
		return 0;
	}
	saved = errno;
	(void)unlinkat(dir, name, 0);
	made->ino = 0;
	return cannot_listen(plan, saved, err);
}

struct opening {
	int fd;
	const struct socket_plan *plan;
	struct socket_file *made;
	struct error *err;
};

static int open_it(void *argument)
{
	const struct opening *o = argument;

	return open_file(o->fd, o->plan, o->made, o->err);
}

/* Open in a child: other users may be able to read the directory, and so to hold its lock. */
static int open_aside(
	int fd, const struct socket_plan *plan, struct socket_file *made, struct error *err)
{
	struct opening opening = {fd, plan, made, err};
	int error;

	*err = (struct error){0};
	if (vfork_call_in(fd, open_it, &opening) == 0)
		return 0;
	error = errno;
	if (err->text[0] != '\0')
		return -1;
	(void)cannot_listen(plan, error, err);
	return error == ETIMEDOUT ? error_hint(err,
					    "its directory is on a slow disk, or another "
					    "process holds it; try again")
				  : -1;
}

static int open_abstract(int fd, const struct socket_plan *plan, struct error *err)
{
	struct sockaddr_un address;
	socklen_t size;

	if (socket_unix_address(plan->path, &address, &size) == -1 ||
		bind(fd, (const struct sockaddr *)&address, size) == -1 ||
		(plan->type != SOCK_DGRAM && socket_listen(fd, plan->backlog) == -1))
		return cannot_listen(plan, errno, err);
	return 0;
}

int socket_unix_open(const struct socket_plan *plan, struct socket_file *made, struct error *err)
{
	int type = plan->type | SOCK_CLOEXEC | (plan->nonblock ? SOCK_NONBLOCK : 0);
	scoped_fd fd = socket(AF_UNIX, type, 0);
	int done;

	if (fd == -1)
		return error_set(err, errno, "cannot listen on '%s'", plan->text);
	if ((plan->rcvbuf != -1 && socket_set(fd, SOL_SOCKET, SO_RCVBUF, plan->rcvbuf) == -1) ||
		(plan->sndbuf != -1 && socket_set(fd, SOL_SOCKET, SO_SNDBUF, plan->sndbuf) == -1))
		return error_set(err, errno, "cannot set the buffers of '%s'", plan->text);
	done = plan->path[0] == '@' ? open_abstract(fd, plan, err)
				    : open_aside(fd, plan, made, err);
	return done == -1 ? -1 : fd_release(&fd);
}

/* ---- names of files that exist ---- */

static bool is_it(const struct stat *st, const struct socket_file *made)
{
	return S_ISSOCK(st->st_mode) && st->st_dev == made->dev && st->st_ino == made->ino;
}

/* What to do with a name.  `st`: what has it; NULL and errno: nothing, or it is unknown. */
struct naming;
typedef int naming_act(const struct naming *n, int dir, const char *name, const struct stat *st);

struct naming {
	naming_act *act;
	const char *path;
	const struct socket_file *made;
	const struct vfork_user *user;
	struct socket_file *found;
	int fd; /* of `act`; or -1 */
};

static int act_on_name(void *argument)
{
	const struct naming *n = argument;
	const char *name;
	scoped_fd dir = socket_unix_parent(n->path, &name);
	struct stat st;

	if (dir == -1)
		return -1;
	return n->act(n, dir, name, fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? &st : NULL);
}

static int watch_names(
	const struct naming *n, int dir, const char *name, const struct stat *st UNUSED)
{
	scoped_fd file = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat now;
	char at[40];

	snprintf(at, sizeof(at), "/proc/self/fd/%d", file);
	return file != -1 && fstat(file, &now) == 0 && is_it(&now, n->made)
		? inotify_add_watch(n->fd, at, IN_ATTRIB)
		: -1;
}

/* With the rights of the user whose file it is: a worker may change its directories at any time, so
 * that the path leads somewhere else by now. */
static int act_as_owner(naming_act *act, const char *path, const struct socket_file *made, int fd)
{
	const struct vfork_user owner = {.uid = made->uid, .gid = made->gid};
	struct naming n = {.act = act, .path = path, .made = made, .fd = fd};

	return socket_unix_act(&owner, fd, act_on_name, &n);
}

static int give_spare(const struct naming *n, int dir, const char *name, const struct stat *st)
{
	char spare[NAME_MAX + 1];
	struct stat at;

	if (st == NULL || fstat(dir, &at) == -1 || socket_unix_spare(spare, name, n->found) == -1)
		return -1;
	if (!S_ISSOCK(st->st_mode) || (n->user->uid != 0 && st->st_uid != n->user->uid) ||
		(n->found->ino != 0 && !is_it(st, n->found))) {
		errno = EEXIST;
		return -1;
	}
	(void)unlinkat(dir, spare, 0); /* left by an earlier process of that number */
	n->found->gid = socket_unix_group(n->user, &at);
	n->found->dev = st->st_dev;
	n->found->ino = st->st_ino;
	return linkat(dir, name, dir, spare, 0);
}

int socket_spare_name(const char *path, const struct vfork_user *user, struct socket_file *found)
{
	struct naming n = {.act = give_spare, .path = path, .user = user, .found = found, .fd = -1};

	found->uid = user->uid;
	return socket_unix_act(user, -1, act_on_name, &n);
}

/* Link the file by its descriptor, so that the name leads to this file and no other.  Replaces no
 * file. */
static int link_spare(int dir, const char *name, const struct socket_file *made)
{
	char spare[NAME_MAX + 1];
	scoped_fd file = socket_unix_spare(spare, name, made) == 0
		? openat(dir, spare, O_PATH | O_NOFOLLOW | O_CLOEXEC)
		: -1;
	struct stat st;
	char at[40];

	snprintf(at, sizeof(at), "/proc/self/fd/%d", file);
	if (file != -1 && fstat(file, &st) == 0 && is_it(&st, made) && !is_dead(file) &&
		linkat(AT_FDCWD, at, dir, name, AT_SYMLINK_FOLLOW) == 0)
		return 1;
	errno = ENOENT;
	return -1;
}

static int keep_name(const struct naming *n, int dir, const char *name, const struct stat *st)
{
	if (st == NULL)
		return errno == ENOENT ? link_spare(dir, name, n->made) : -1;
	errno = EEXIST;
	return is_it(st, n->made) ? 0 : -1;
}

int socket_keep_name(const char *path, const struct socket_file *made)
{
	return made->ino == 0 ? 0 : act_as_owner(keep_name, path, made, -1);
}

void socket_watch_names(const char *path, const struct socket_file *made, int inotify)
{
	/* without, it is looked at when a worker starts or ends */
	if (made->ino != 0)
		(void)act_as_owner(watch_names, path, made, inotify);
}

static int take_name(const struct naming *n, int dir, const char *name, const struct stat *st)
{
	return st != NULL ? is_it(st, n->made) && unlinkat(dir, name, 0) == 0 : -1;
}

int socket_take_name(const char *path, const struct socket_file *made)
{
	return act_as_owner(take_name, path, made, -1);
}

static int is_replaced(
	const struct naming *n, int dir UNUSED, const char *name UNUSED, const struct stat *st)
{
	return st != NULL && !is_it(st, n->made);
}

bool socket_is_replaced(const char *path, const struct socket_file *made)
{
	return made->ino != 0 && act_as_owner(is_replaced, path, made, -1) == 1;
}

/* A worker's own socket may have its spare name alone, because another copy has bound the path. */
static int connect_name(const struct naming *n, int dir, const char *name, const struct stat *st)
{
	char spare[NAME_MAX + 1];
	bool spared = n->made->number != 0 && (st == NULL || !is_it(st, n->made)) &&
		socket_unix_spare(spare, name, n->made) == 0;
	scoped_fd file = openat(dir, spared ? spare : name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat now;

	if (file == -1 || fstat(file, &now) == -1)
		return -1;
	errno = ESTALE;
	return is_it(&now, n->made) ? connect_file(n->fd, file) : -1;
}

int socket_connect_name(int fd, const char *path, const struct socket_file *made)
{
	return act_as_owner(connect_name, path, made, fd);
}

/* ---- sockets in directories of ours ---- */

/* Bind first, and remove an old file only when bind(2) fails with EADDRINUSE: any file but a
 * directory, as the parent directory is ours. */
static int birth_at(int fd, const struct sockaddr_un *address, socklen_t size, int dirfd,
	const char *name, mode_t mode, long uid, long gid)
{
	const struct sockaddr *plain = (const struct sockaddr *)address;

	if (socket_birth(fd, plain, size, dirfd, name, (int)mode, uid, gid) == 0)
		return 0;
	if (errno != EADDRINUSE || (unlinkat(dirfd, name, 0) == -1 && errno != ENOENT))
		return -1;
	return socket_birth(fd, plain, size, dirfd, name, (int)mode, uid, gid);
}

int socket_open_at(
	int dirfd, const char *name, int type, mode_t mode, long uid, long gid, struct error *err)
{
	scoped_fd fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;
	socklen_t size;

	if (fd == -1 || (type == SOCK_DGRAM && socket_set(fd, SOL_SOCKET, SO_PASSCRED, 1) == -1) ||
		address_at(dirfd, name, &address, &size) == -1 ||
		birth_at(fd, &address, size, dirfd, name, mode, uid, gid) == -1) {
		error_set(err, errno, "cannot make socket '%s'", name);
		/* the path goes through /proc, to the directory's descriptor */
		if (err->sys == ENOENT && access("/proc/self/fd", F_OK) == -1)
			error_hint(err, "mount /proc: nclust needs it");
		return -1;
	}
	if (type != SOCK_DGRAM && socket_listen(fd, -1) == -1) {
		error_set(err, errno, "cannot listen on '%s'", name);
		(void)unlinkat(dirfd, name, 0);
		return -1;
	}
	return fd_release(&fd);
}

int socket_open_nowhere(struct error *err)
{
	const struct sockaddr_un any = {.sun_family = AF_UNIX};
	scoped_fd fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/* the address is the family alone: unix(7), "Autobind feature" */
	if (fd == -1 || socket_set(fd, SOL_SOCKET, SO_PASSCRED, 1) == -1 ||
		bind(fd, (const struct sockaddr *)&any, sizeof(sa_family_t)) == -1)
		return error_set(err, errno, "cannot make a socket");
	return fd_release(&fd);
}

int socket_own_name(int fd, char *text, size_t size)
{
	struct sockaddr_un own = {.sun_family = AF_UNSPEC};
	socklen_t used = sizeof(own);
	const size_t before = offsetof(struct sockaddr_un, sun_path) + 1;

	if (getsockname(fd, (struct sockaddr *)&own, &used) == -1 || own.sun_family != AF_UNIX ||
		used <= before || own.sun_path[0] != '\0')
		return -1;
	snprintf(text, size, "@%.*s", (int)(used - before), own.sun_path + 1);
	return 0;
}

int socket_connect_self(int fd, struct error *err)
{
	scoped_fd to = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un own;
	socklen_t size = sizeof(own);

	if (to == -1 || getsockname(fd, (struct sockaddr *)&own, &size) == -1 ||
		connect(to, (const struct sockaddr *)&own, size) == -1)
		return error_set(err, errno, "cannot connect to a notify socket");
	return fd_release(&to);
}

int socket_connect_at(int dirfd, const char *name, int type, struct error *err)
{
	scoped_fd fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	scoped_fd file = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	/* SO_SNDTIMEO bounds connect(2) as well: the backlog of a stopped server
	 * fills up, and later clients would wait for ever */
	const struct timeval patience = {.tv_sec = CONNECT_PATIENCE};
	struct sockaddr_un address;
	socklen_t size;
	char path[40];

	if (fd == -1 || file == -1 ||
		(type == SOCK_SEQPACKET && socket_set(fd, SOL_SOCKET, SO_PASSCRED, 1) == -1) ||
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == -1)
		return error_set(err, errno, "cannot connect to '%s'", name);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	if (socket_unix_address(path, &address, &size) == -1 ||
		connect(fd, (const struct sockaddr *)&address, size) == -1)
		return error_set(err, errno, "cannot connect to '%s'", name);
	return fd_release(&fd);
}

int socket_connect_datagrams(const char *path)
{
	struct sockaddr_un to;
	socklen_t size;
	scoped_fd fd = -1;

	if (socket_unix_address(path, &to, &size) == -1)
		return -1;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1 || connect(fd, (const struct sockaddr *)&to, size) == -1)
		return -1;
	return fd_release(&fd);
}
