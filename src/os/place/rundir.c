/* SPDX-License-Identifier: MIT */
#include "os/place/rundir.h"

#include "base/scope.h"
#include "base/text.h"
#include "base/trusted.h"
#include "os/clock.h"
#include "os/descriptors.h"
#include "os/place/rundir_place.h"
#include "os/vfork.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

/* How long a second start waits for the first to be gone. */
#define LOCK_PATIENCE (1 * SECOND)
/* Size of the place's path, so that a name fits behind it. */
#define PLACE_SIZE (sizeof(((struct rundir *)NULL)->path) - 66)

static const char what_to_set[] =
	"set 'runtime-directory' or NCLUST_RUNTIME_DIR to a directory of yours";

static long read_holder(int lock)
{
	char text[24];
	ssize_t n = pread(lock, text, sizeof(text) - 1, 0);
	long pid;

	if (n <= 0)
		return 0;
	text[n] = '\0';
	pid = strtol(text, NULL, 10);
	return pid > 0 ? pid : 0;
}

/* Does the name still lead to the open file? */
static bool is_still(int dirfd, const char *name, int fd)
{
	struct stat st;
	struct stat now;

	return fstat(fd, &st) == 0 && fstatat(dirfd, name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
		now.st_dev == st.st_dev && now.st_ino == st.st_ino;
}

int rundir_open_file(int dirfd, const char *name, int flags, struct stat *st, struct error *err)
{
	scoped_fd fd =
		openat(dirfd, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);

	if (fd == -1 || fstat(fd, st) == -1)
		return error_set(err, errno, "cannot open it");
	if (!S_ISREG(st->st_mode) || st->st_uid != geteuid() || st->st_nlink > 1 ||
		(st->st_mode & 077) != 0)
		return error_set(err, 0, "it is not a plain file of ours");
	return fd_release(&fd);
}

/* 1: locked; 0: another process has the lock, or it was just removed; -1 and `err`. */
static int try_lock(struct rundir *r, long *holder, struct error *err)
{
	struct stat st;
	scoped_fd fd = rundir_open_file(r->dir, "lock", O_RDWR | O_CREAT, &st, err);

	if (fd == -1) /* ENOENT: NAME/ was removed */
		return err->sys == ENOENT ? 0 : error_wrap(err, "'%s/lock'", r->path);
	if (flock(fd, LOCK_EX | LOCK_NB) == -1) {
		if (errno != EWOULDBLOCK)
			return error_set(err, errno, "cannot lock '%s/lock'", r->path);
		*holder = read_holder(fd);
		return 0;
	}
	if (!is_still(r->dir, "lock", fd))
		return 0; /* the lock's holder removed the file while we waited */
	if (ftruncate(fd, 0) == -1 || dprintf(fd, "%ld\n", (long)getpid()) < 0)
		return error_set(err, errno, "cannot write '%s/lock'", r->path);
	r->lock = fd_release(&fd);
	return 1;
}

static int enter_instance(struct rundir *r, int base, const char *name, struct error *err)
{
	struct stat st;

	r->dir = trusted_enter(base, name, 0711, r->path, err);
	if (r->dir == -1)
		return -1;
	if (fstat(r->dir, &st) == -1)
		return error_set(err, errno, "cannot look at '%s'", r->path);
	if (st.st_uid == geteuid())
		return 0;
	return error_set(
		err, 0, "'%s' is not ours: it belongs to uid %u", r->path, (unsigned)st.st_uid);
}

static int enter_notify(struct rundir *r, struct error *err)
{
	char path[sizeof(r->path) + 8];

	snprintf(path, sizeof(path), "%s/notify", r->path);
	r->notify_dir = trusted_enter(r->dir, "notify", 0711, path, err);
	return r->notify_dir != -1 ? 0 : -1;
}

static int take_lock(struct rundir *r, int base, const char *name, struct error *err)
{
	const struct timespec pause = {.tv_nsec = 10 * MSEC};
	nsec_t deadline = nsec_add(clock_now(), LOCK_PATIENCE);
	long holder = 0;

	for (;;) {
		int got;

		/* open it anew each time: the lock's holder removes it at its end */
		if (enter_instance(r, base, name, err) == -1) {
			if (err->sys != ENOENT)
				return -1;
			got = 0;
		} else {
			got = try_lock(r, &holder, err);
		}
		if (got != 0)
			return got == 1 ? 0 : -1;
		fd_close(&r->dir);
		if (clock_now() >= deadline)
			break;
		(void)nanosleep(&pause, NULL);
	}
	if (holder > 0)
		error_set(err, 0, "instance '%s' is already running (pid %ld)", name, holder);
	else
		error_set(err, 0, "instance '%s' is already running", name);
	error_hint(err, "nclust stop %s, or give this one another name by --name", name);
	return error_status(err, EX_TEMPFAIL);
}

/* Remove the sockets in notify/ that belong to no worker any more. */
void rundir_empty_notify(const struct rundir *r,
	bool (*is_used)(const char *name, const void *context), const void *context)
{
	struct dirent *entry;
	DIR *dir = directory_list(r->notify_dir, ".");

	if (!dir)
		return;
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.' &&
			(is_used == NULL || !is_used(entry->d_name, context)))
			(void)unlinkat(r->notify_dir, entry->d_name, 0);
	(void)closedir(dir);
}

void rundir_leave(struct rundir *r)
{
	fd_close(&r->notify_dir);
	fd_close(&r->dir);
	fd_close(&r->lock);
}

bool rundir_has_state(const struct rundir *r)
{
	struct stat st;

	return fstatat(r->dir, "state", &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

static void put_name(struct rundir *r, const char *name)
{
	size_t used = strlen(r->path);

	snprintf(r->path + used, sizeof(r->path) - used, "/%s", name);
}

int rundir_open(struct rundir *r, const char *wanted, const char *name, struct error *err)
{
	scoped_fd base = -1;
	bool none;

	r->dir = r->notify_dir = r->lock = -1;
	if (!text_is_name(name))
		return error_set(err, 0, "'%s' is not a name for an instance", name);
	base = rundir_choose(wanted, name, r->path, PLACE_SIZE, &none, err);
	if (base == -1) {
		r->path[0] = '\0';
		error_hint(err, "%s", what_to_set);
		return none ? 1 : -1;
	}
	put_name(r, name);
	if (take_lock(r, base, name, err) == -1 || enter_notify(r, err) == -1) {
		rundir_leave(r);
		return -1;
	}
	/* living workers of an earlier nclust may use theirs (supervisor/orphans/adopt.h) */
	if (!rundir_has_state(r))
		rundir_empty_notify(r, NULL, NULL);
	(void)unlinkat(r->dir, "ended", 0);
	return 0;
}

/* Keep the lock that we hold, if its name still leads to it; else take a new lock. */
static int renew_lock(struct rundir *r, struct rundir *fresh, struct error *err)
{
	long holder = 0;
	int got;

	if (is_still(fresh->dir, "lock", r->lock)) {
		fresh->lock = fd_release(&r->lock);
		return 0;
	}
	got = try_lock(fresh, &holder, err);
	if (got == 0)
		return error_set(
			err, 0, "the name was taken by another instance (pid %ld)", holder);
	return got == 1 ? 0 : -1;
}

int rundir_renew(struct rundir *r, const char *wanted, struct error *err)
{
	struct rundir fresh = {.dir = -1, .notify_dir = -1, .lock = -1};
	const char *name = strrchr(r->path, '/') + 1;
	scoped_fd base = -1;
	bool none;

	text_copy(fresh.path, sizeof(fresh.path), r->path);
	fresh.path[name - 1 - r->path] = '\0';
	base = rundir_open_place(fresh.path, true, err);
	/* the place was a session's, which has ended */
	if (base == -1)
		base = rundir_choose(wanted, name, fresh.path, PLACE_SIZE, &none, err);
	if (base == -1)
		return -1;
	put_name(&fresh, name);
	if (enter_instance(&fresh, base, name, err) == -1 || enter_notify(&fresh, err) == -1 ||
		renew_lock(r, &fresh, err) == -1) {
		rundir_leave(&fresh);
		return -1;
	}
	rundir_leave(r);
	*r = fresh;
	return 0;
}

int rundir_close(struct rundir *r)
{
	static const char *const files[] = {"keeper", "estate", "estate.new", "state", "state.new",
		"control",
		/* the lock goes last, while we hold it: see try_lock() */
		"lock"};
	char *slash = strrchr(r->path, '/');
	scoped_fd base = -1;
	struct vfork_syscall removal;
	struct error err;
	int done = 0;

	if (r->dir == -1 || !slash)
		return 0;
	/* was the lock removed, and did another instance take the place? */
	if (!is_still(r->dir, "lock", r->lock)) {
		rundir_leave(r);
		return 0;
	}
	rundir_empty_notify(r, NULL, NULL);
	(void)unlinkat(r->dir, "notify", AT_REMOVEDIR);
	for (size_t i = 0; i < COUNT_OF(files); i++)
		(void)unlinkat(r->dir, files[i], 0);
	*slash = '\0';
	base = rundir_open_place(r->path, false, &err);
	removal = (struct vfork_syscall){
		SYS_unlinkat, {base, (long)(intptr_t)(slash + 1), AT_REMOVEDIR}};
	/* other users can read that directory, but not what is below it */
	if (base != -1 && is_still(base, slash + 1, r->dir))
		done = vfork_call_in(base, vfork_syscall, &removal);
	done = done == -1 && errno == ETIMEDOUT ? -1 : 0;
	*slash = '/';
	rundir_leave(r);
	return done;
}

/* Keep the first failure other than ENOENT: it is reported if nothing is found. */
static void keep_refusal(struct error *refusal, const struct error *err)
{
	if (refusal->text[0] != '\0' || err->sys == ENOENT)
		return;
	*refusal = *err;
	(void)error_status(refusal, EX_NOPERM);
}

int rundir_find(const char *wanted, const char *name, struct error *err)
{
	struct error refusal = {0};
	char path[PATH_MAX];
	char whole[PATH_MAX + 80];
	int got;

	if (!text_is_name(name))
		return error_set(err, 0, "'%s' is not a name for an instance", name);
	for (unsigned n = 0; (got = rundir_place(wanted, true, n, path, sizeof(path), err)) == 1;
		n++) {
		scoped_fd base = rundir_open_place(path, false, err);
		int fd = -1;

		snprintf(whole, sizeof(whole), "%s/%s", path, name);
		if (base != -1)
			fd = trusted_enter(base, name, 0, whole, err);
		if (fd != -1)
			return fd;
		keep_refusal(&refusal, err);
	}
	if (got == -1)
		return -1;
	if (refusal.text[0] != '\0') {
		*err = refusal;
		return -1;
	}
	error_set(err, 0, "no instance '%s' is running", name);
	err->sys = ENOENT;
	return error_status(err, EX_UNAVAILABLE);
}

static bool has_file(int base, const char *name, const char *file)
{
	scoped_fd dir = -1;
	struct error err;
	struct stat st;

	if (!text_is_name(name))
		return false;
	dir = trusted_enter(base, name, 0, name, &err);
	return dir != -1 && fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		(strcmp(file, "control") == 0 ? S_ISSOCK(st.st_mode) : S_ISREG(st.st_mode));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Add a copy of the name, unless the list has it; false: out of memory. */
static bool add_name(char ***names, long *count, const char *name)
{
	char *copy;

	if (array_find(its, *names, (size_t)*count, strcmp(*its, name) == 0) != NULL)
		return true;
	copy = strdup(name);
	if (copy == NULL || !array_grow(*names, *count)) {
		free(copy);
		return false;
	}
	(*names)[(*count)++] = copy;
	return true;
}

static int list_place(
	const char *path, const char *file, char ***names, long *count, struct error *err)
{
	scoped_fd base = rundir_open_place(path, false, err);
	struct dirent *entry;
	int got = 0;
	DIR *dir;

	if (base == -1)
		return -1;
	dir = directory_list(base, ".");
	if (!dir)
		return error_set(err, errno, "cannot read '%s'", path);
	while (got == 0 && (entry = readdir(dir)) != NULL)
		if (has_file(base, entry->d_name, file) && !add_name(names, count, entry->d_name))
			got = error_set(err, ENOMEM, "cannot list '%s'", path);
	(void)closedir(dir);
	return got;
}

long rundir_list(const char *wanted, const char *file, char ***names, struct error *err)
{
	struct error refusal = {0};
	char path[PATH_MAX];
	long count = 0;
	int got;

	*names = NULL;
	for (unsigned n = 0; (got = rundir_place(wanted, true, n, path, sizeof(path), err)) == 1;
		n++)
		if (list_place(path, file, names, &count, err) == -1)
			keep_refusal(&refusal, err);
	if (got == -1)
		return -1;
	if (count == 0 && refusal.text[0] != '\0') {
		free(*names);
		*names = NULL;
		*err = refusal;
		return -1;
	}
	if (count > 1)
		qsort(*names, (size_t)count, sizeof(**names), by_name);
	return count;
}

/* ---- files that are replaced as a whole ---- */

/* Open the directory of an absolute path's last component; *name points to that component. */
static int open_parent(const char *path, const char **name, struct error *err)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	size_t len;

	if (path[0] != '/' || slash[1] == '\0')
		return error_set(err, 0, "pid file '%s' is not the absolute path of a file", path);
	len = (size_t)(slash - path);
	if (len >= sizeof(dir))
		return error_set(err, ENAMETOOLONG, "cannot write pid file '%s'", path);
	memcpy(dir, path, len);
	dir[len] = '\0';
	*name = slash + 1;
	return trusted_directory(len == 0 ? "/" : dir, 0, err);
}

int rundir_replace(int dirfd, const char *temporary, const char *name, mode_t mode,
	const void *data, size_t size)
{
	scoped_fd fd = -1;
	ssize_t done;
	int saved;

	/* a file that a killed nclust left; no other process can have made it */
	(void)unlinkat(dirfd, temporary, 0);
	fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	done = fd != -1 ? write(fd, data, size) : -1;
	if (done == (ssize_t)size && renameat(dirfd, temporary, dirfd, name) == 0)
		return 0;
	saved = done >= 0 && done < (ssize_t)size ? ENOSPC : errno;
	(void)unlinkat(dirfd, temporary, 0);
	errno = saved;
	return -1;
}

struct pidfile {
	int dir;
	const char *name;
	const char *temporary;
	const char *text;
	bool odd; /* the path leads to no plain file */
};

static int write_it(void *argument)
{
	struct pidfile *p = argument;
	struct stat st;

	p->odd = fstatat(p->dir, p->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode);
	return p->odd
		? -1
		: rundir_replace(p->dir, p->temporary, p->name, 0644, p->text, strlen(p->text));
}

int rundir_write_pidfile(const char *path, pid_t pid, struct error *err)
{
	const char *name = "";
	char temporary[NAME_MAX + 1];
	char text[24];
	scoped_fd dir = open_parent(path, &name, err);
	struct pidfile p = {dir, name, temporary, text, false};

	if (dir == -1)
		return error_wrap(err, "cannot write pid file '%s'", path);
	snprintf(text, sizeof(text), "%ld\n", (long)pid);
	if (snprintf(temporary, sizeof(temporary), ".%s.%ld", name, (long)getpid()) >=
		(int)sizeof(temporary))
		return error_set(err, ENAMETOOLONG, "cannot write pid file '%s'", path);
	if (vfork_call_in(dir, write_it, &p) == 0)
		return 0;
	if (p.odd)
		return error_set(err, 0,
			"cannot write pid file '%s': it exists and is not a plain file", path);
	error_set(err, errno, "cannot write pid file '%s'", path);
	if (err->sys == EACCES)
		error_hint(err, "choose a directory of this user's");
	return -1;
}

int rundir_remove_pidfile(const char *path)
{
	struct vfork_syscall removal = {SYS_unlinkat, {AT_FDCWD, (long)(intptr_t)path, 0}};

	return vfork_call_in(-1, vfork_syscall, &removal) == -1 && errno == ETIMEDOUT ? -1 : 0;
}
