/* SPDX-License-Identifier: MIT */
#include "os/place/rundir_place.h"

#include "base/scope.h"
#include "base/text.h"
#include "base/trusted.h"
#include "os/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the list ---- */

static int put_path(char *path, size_t size, const char *base, const char *rest, struct error *err)
{
	int n = snprintf(path, size, "%s%s", base, rest);

	if (n < 0 || (size_t)n >= size)
		return error_set(
			err, ENAMETOOLONG, "cannot use runtime directory '%s%s'", base, rest);
	if (path[0] != '/')
		return error_set(err, 0, "runtime directory '%s' is not an absolute path", path);
	return 1;
}

static const char *given_place(const char *wanted)
{
	const char *path = wanted ? wanted : secure_getenv("NCLUST_RUNTIME_DIR");

	return path && path[0] != '\0' ? path : NULL;
}

/* A directory of another user, as `su` leaves it in the environment, is of no use. */
static bool is_ours(const char *path)
{
	struct stat st;

	return path && stat(path, &st) == 0 && st.st_uid == geteuid();
}

/* Below an nclust: the directory of the nclust that has started us. */
static int put_starter(char *path, size_t size)
{
	const char *told = secure_getenv("NCLUST_SOCKET");

	if (!told || told[0] != '/' || text_copy(path, size, told) >= size)
		return 0;
	for (int i = 0; i < 2; i++) { /* cut NAME/control off */
		char *slash = strrchr(path, '/');

		if (slash == path)
			return 0;
		*slash = '\0';
	}
	return 1;
}

static void put_shared(char text[40])
{
	snprintf(text, 40, "/tmp/nclust-%u", (unsigned)geteuid());
}

enum { OF_STARTER, OF_ROOT, OF_SESSION, OF_USER, SHARED, ROOTS, PLACES };

static int put_place(unsigned which, bool seek, char *path, size_t size, struct error *err)
{
	bool root = geteuid() == 0;
	const char *session;
	char text[40];

	switch (which) {
	case OF_STARTER:
		return seek ? put_starter(path, size) : 0;
	case OF_ROOT:
		return root ? put_path(path, size, "/run/nclust", "", err) : 0;
	case OF_SESSION:
		session = secure_getenv("XDG_RUNTIME_DIR");
		return !root && is_ours(session) ? put_path(path, size, session, "/nclust", err)
						 : 0;
	case OF_USER:
		snprintf(text, sizeof(text), "/run/user/%u", (unsigned)geteuid());
		return !root && is_ours(text) ? put_path(path, size, text, "/nclust", err) : 0;
	case ROOTS: /* its control-group */
		return seek && !root ? put_path(path, size, "/run/nclust", "", err) : 0;
	default:
		put_shared(text);
		return put_path(path, size, text, "", err);
	}
}

int rundir_place(
	const char *wanted, bool seek, unsigned n, char *path, size_t size, struct error *err)
{
	scoped_str whole = wanted != NULL && *wanted != '\0' ? cwd_whole(wanted) : NULL;
	const char *only = given_place(whole != NULL ? whole : wanted);

	if (only)
		return n == 0 ? put_path(path, size, only, "", err) : 0;
	for (unsigned which = 0; which < PLACES; which++) {
		int got = put_place(which, seek, path, size, err);

		if (got == -1 || (got == 1 && n-- == 0))
			return got;
	}
	return 0;
}

/* ---- one of them ---- */

/* Check a directory below /tmp: another user may have made it before us. */
static int check_shared(int fd, const char *path, mode_t mode, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return error_set(err, errno, "cannot look at '%s'", path);
	if (st.st_uid != geteuid())
		return error_set(
			err, 0, "'%s' belongs to user %u, not to us", path, (unsigned)st.st_uid);
	if ((st.st_mode & 0777 & ~mode) != 0)
		return error_set(err, 0, "'%s' is not safe: its mode is %04o, not %04o", path,
			(unsigned)(st.st_mode & 07777), (unsigned)mode);
	return 0;
}

int rundir_open_place(const char *path, bool make, struct error *err)
{
	char text[40];
	mode_t mode = 0755;
	bool shared;
	int fd;

	put_shared(text);
	shared = strcmp(path, text) == 0;
	if (shared)
		mode = geteuid() == 0 ? 0711 : 0700;
	fd = trusted_directory(path, make ? mode : 0, err);
	if (fd != -1 && shared && check_shared(fd, path, mode, err) == -1)
		fd_close(&fd);
	return fd;
}

/* ---- which one ---- */

/* Open a place in which a new instance can be made. */
static int open_usable(const char *path, bool make, struct error *err)
{
	scoped_fd fd = rundir_open_place(path, make, err);

	if (fd == -1)
		return -1;
	if (access_in(fd, ".", W_OK | X_OK) == -1)
		return error_set(err, errno, "cannot write to '%s'", path);
	return fd_release(&fd);
}

/* The directory exists but is not safe: an error, instead of a try at the next place. */
static bool is_refused(const char *path, const struct error *err)
{
	struct stat st;

	return (err->sys == 0 || err->sys == ENOTDIR) && lstat(path, &st) == 0;
}

/* The place that has an instance of that name, or else the first one, if that can be
 * used as it is; -1: neither. */
static int find_named(const char *wanted, const char *name, char *path, size_t size)
{
	scoped_fd first = -1;
	struct error ignored;
	struct stat st;

	for (unsigned n = 0; rundir_place(wanted, false, n, path, size, &ignored) == 1; n++) {
		scoped_fd fd = open_usable(path, false, &ignored);

		if (fd != -1 && fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			return fd_release(&fd);
		if (n == 0)
			first = fd_release(&fd);
	}
	if (first != -1)
		(void)rundir_place(wanted, false, 0, path, size, &ignored);
	return fd_release(&first);
}

int rundir_choose(const char *wanted, const char *name, char *path, size_t size, bool *none,
	struct error *err)
{
	int fd = find_named(wanted, name, path, size);
	int got;

	*none = false;
	for (unsigned n = 0; fd == -1; n++) {
		got = rundir_place(wanted, false, n, path, size, err);
		*none = got == 0 && given_place(wanted) == NULL;
		if (got != 1)
			return -1;
		fd = open_usable(path, true, err);
		if (fd == -1 && is_refused(path, err))
			return -1;
	}
	return fd;
}
