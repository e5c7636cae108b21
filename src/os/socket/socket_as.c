/* SPDX-License-Identifier: MIT */
#include "os/socket/socket_as.h"

#include "base/scope.h"
#include "os/socket/socket_unix.h"
#include "os/vfork.h"

#include <errno.h>
#include <sys/stat.h>

/* A file system may keep it waiting. */
#define PATIENCE (1 * SECOND)

struct binding {
	int fd;
	int probe;
	const char *path;
	struct sockaddr_un address;
	socklen_t size;
	int error;
	struct stat made;
};

/* A datagram socket asks without leaving a connection behind (socket_unix.c). */
static bool is_stale(const struct binding *b)
{
	struct stat st;

	return lstat(b->path, &st) == 0 && S_ISSOCK(st.st_mode) &&
		connect(b->probe, (const struct sockaddr *)&b->address,
			b->size) == -1 &&
		errno == ECONNREFUSED;
}

/* In a child that has the user's ids: system calls and nothing else. */
static void bind_it(void *argument)
{
	struct binding *b = argument;
	const struct sockaddr *address = (const struct sockaddr *)&b->address;
	int got = bind(b->fd, address, b->size);

	if (got == -1 && errno == EADDRINUSE) {
		if (is_stale(b) && unlink(b->path) == 0)
			got = bind(b->fd, address, b->size);
		else
			errno = EADDRINUSE;
	}
	if (got == 0)
		got = lstat(b->path, &b->made);
	b->error = got == 0 ? 0 : errno;
}

int socket_unix_open_as(
	const char *path, uid_t uid, gid_t gid, struct socket_file *made)
{
	scoped_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	scoped_fd probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct binding b = {
		.fd = fd,
		.probe = probe,
		.path = path,
		.error = EIO,
	};

	if (fd == -1 || probe == -1 ||
		socket_unix_address(path, &b.address, &b.size) == -1 ||
		vfork_run_as(bind_it, &b, PATIENCE, uid, gid) == -1)
		return -1;
	if (b.error != 0) {
		errno = b.error;
		return -1;
	}
	*made = (struct socket_file){b.made.st_dev, b.made.st_ino};
	return fd_release(&fd);
}
