/* SPDX-License-Identifier: MIT */
#include "os/place/open_for.h"

#include "base/scope.h"
#include "base/trusted.h"
#include "os/trycall.h"
#include "os/vfork.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };

static int open_without_links(const char *path)
{
	struct open_how how = {
		.flags = FLAGS,
		.resolve = RESOLVE_NO_SYMLINKS,
	};
	int fd = (int)trycall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	/* an emulation, or a filter that does not know the call */
	if (fd == -1 && (errno == ENOSYS || errno == EPERM))
		fd = open(path, FLAGS | O_NOFOLLOW);
	return fd;
}

static int open_for(long uid, const char *path)
{
	scoped_fd fd = -1;
	struct error untrusted;
	struct stat st;

	if (geteuid() != 0 || uid <= 0)
		return open(path, FLAGS);
	fd = open_without_links(path);
	if (fd != -1 || errno != ELOOP)
		return fd_release(&fd);
	fd = trusted_open(path, &untrusted);
	if (fd != -1)
		return fd_release(&fd);
	fd = open(path, FLAGS);
	if (fd == -1 || fstat(fd, &st) == -1)
		return -1;
	if ((long)st.st_uid == uid)
		return fd_release(&fd);
	errno = ELOOP;
	return -1;
}

/* ---- reading ---- */

struct reading {
	long uid;
	const char *path;
	char *to;
	size_t most;
	size_t used;
};

static int read_all(void *argument)
{
	struct reading *r = argument;
	scoped_fd fd = open_for(r->uid, r->path);
	char bytes[16 * 1024] uninitialized; /* on the child's stack (vfork.h) */
	struct stat st;
	ssize_t got;

	if (fd == -1 || fstat(fd, &st) == -1)
		return -1;
	errno = EFBIG;
	if (!S_ISREG(st.st_mode))
		return -1;
	while ((got = read(fd, bytes, sizeof(bytes))) > 0) {
		errno = EFBIG;
		if ((size_t)got > r->most - r->used)
			return -1;
		memcpy(r->to + r->used, bytes, (size_t)got);
		r->used += (size_t)got;
	}
	return (int)got;
}

/* Read in a child: the file may be on a server that does not answer.  The child may hang
 * for ever, so it keeps no descriptor of ours. */
static int read_in_child(struct reading *r)
{
	const struct vfork_call call = {read_all, r, NULL, -1, -1, false};
	int got = vfork_make_call(&call, VFORK_FILES, vfork_patience(VFORK_FILES));

	if (!vfork_left())
		return got;
	errno = ETIMEDOUT;
	return -1;
}

char *read_for(long uid, const char *path, size_t most, bool patient)
{
	struct reading r = {.uid = uid, .path = path, .most = most};
	scoped_str text = malloc(most + 1);

	r.to = text;
	if (text == NULL ||
		(patient || !vfork_is_shared() ? read_all(&r) : read_in_child(&r)) == -1)
		return NULL;
	text[r.used] = '\0';
	return str_release(&text);
}
