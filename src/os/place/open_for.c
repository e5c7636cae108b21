/* SPDX-License-Identifier: MIT */
#include "os/place/open_for.h"

#include "base/scope.h"
#include "os/clock.h"
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

int open_for(long uid, const char *path)
{
	scoped_fd fd = -1;
	struct stat st;

	if (geteuid() != 0 || uid <= 0)
		return open(path, FLAGS);
	fd = open_without_links(path);
	if (fd != -1 || errno != ELOOP)
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
	int error;
};

static int read_all(struct reading *r)
{
	scoped_fd fd = open_for(r->uid, r->path);
	char bytes[16 * 1024] uninitialized; /* on the child's stack (vfork.h) */
	struct stat st;
	ssize_t got;

	if (fd == -1 || fstat(fd, &st) == -1)
		return errno;
	if (!S_ISREG(st.st_mode))
		return EFBIG;
	while ((got = read(fd, bytes, sizeof(bytes))) > 0) {
		if ((size_t)got > r->most - r->used)
			return EFBIG;
		memcpy(r->to + r->used, bytes, (size_t)got);
		r->used += (size_t)got;
	}
	return got == -1 ? errno : 0;
}

/* The child may hang for ever, so it keeps no descriptor of ours. */
static void read_alone(void *argument)
{
	struct reading *r = argument;

	r->error = vfork_leave_table(-1, -1) == -1 ? errno : read_all(r);
}

/* Read in a child: the file may be on a server that does not answer. */
static int read_forkjob(struct reading *r)
{
	nsec_t patience = vfork_patience(VFORK_FILES);
	nsec_t begun = clock_now();

	if (!vfork_is_shared())
		return read_all(r);
	if (patience == 0)
		return ETIMEDOUT;
	if (vfork_run_alone(read_alone, r, patience) == -1)
		r->error = errno;
	if (vfork_left()) {
		vfork_was_late(VFORK_FILES, clock_now() - begun);
		r->error = ETIMEDOUT;
	}
	return r->error;
}

char *read_for(long uid, const char *path, size_t most, bool patient)
{
	struct reading r = {.uid = uid, .path = path, .most = most};
	scoped_str text = malloc(most + 1);
	int error = ENOMEM;
	char *less;

	r.to = text;
	if (text != NULL)
		error = patient ? read_all(&r) : read_forkjob(&r);
	if (error != 0) {
		errno = error;
		return NULL;
	}
	text[r.used] = '\0';
	less = realloc(text, r.used + 1);
	if (less != NULL)
		text = less;
	return str_release(&text);
}
