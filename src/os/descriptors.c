/* SPDX-License-Identifier: MIT */
#include "os/descriptors.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/privilege.h"
#include "os/process.h"
#include "os/trycall.h"
#include "os/vfork.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

static int mark_cloexec(unsigned fd)
{
	int flags = fcntl((int)fd, F_GETFD);

	if (flags == -1)
		return errno == EBADF ? 0 : -1; /* not open: nothing to mark */
	if (flags & FD_CLOEXEC)
		return 0;
	return fcntl((int)fd, F_SETFD, flags | FD_CLOEXEC);
}

static int close_one(unsigned fd)
{
	(void)close((int)fd);
	return 0;
}

static int leave_open(unsigned fd UNUSED)
{
	return 0;
}

struct range {
	unsigned first;
	unsigned last;
	int dir; /* the list itself: not acted on */
	int (*act)(unsigned fd);
	long count; /* -1: `act` failed */
};

static bool act_on(void *context, int fd)
{
	struct range *r = context;

	if ((unsigned)fd < r->first || (unsigned)fd > r->last || fd == r->dir)
		return false;
	r->count = r->act((unsigned)fd) == -1 ? -1 : r->count + 1;
	return r->count == -1;
}

/* How many there are in that range; -1: `act` failed, or they cannot be listed. */
static long each_by_proc(unsigned first, unsigned last, int (*act)(unsigned fd))
{
	scoped_fd dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct range r = {first, last, dir, act, 0};

	return process_each_in(dir, act_on, &r) == -1 ? -1 : r.count;
}

int descriptors_cloexec_by_proc(unsigned first, unsigned last)
{
	return each_by_proc(first, last, mark_cloexec) == -1 ? -1 : 0;
}

int descriptors_cloexec(unsigned first, unsigned last)
{
	if (trycall(SYS_close_range, first, last, CLOSE_RANGE_CLOEXEC) == 0)
		return 0;
	return descriptors_cloexec_by_proc(first, last);
}

int descriptors_close(unsigned first, unsigned last)
{
	if (trycall(SYS_close_range, first, last, 0U) == 0)
		return 0;
	return each_by_proc(first, last, close_one) == -1 ? -1 : 0;
}

void descriptors_allow_many(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

long descriptors_count(void)
{
	struct stat st;

	/* since Linux 6.2 the size is their number, and 0 before (proc_fd_getattr() of fs/proc/fd.c) */
	if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
		return (long)st.st_size;
	return each_by_proc(0, UINT_MAX, leave_open);
}

DIR *directory_list(int at, const char *name)
{
	scoped_fd fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *list = fd != -1 ? fdopendir(fd) : NULL;

	if (list != NULL)
		(void)fd_release(&fd);
	return list;
}

int access_in(int dir, const char *file, int mode)
{
	return (int)syscall(SYS_faccessat, dir, file, mode);
}

bool descriptors_same(int a, int b)
{
	struct stat x;
	struct stat y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
		x.st_ino == y.st_ino;
}

int descriptors_again(int fd, int flags)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC);
}

uint64_t descriptors_place(int fd)
{
	char link[40];
	char path[PATH_MAX];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path));
	return len > 0 ? text_hash(TEXT_HASH, path, (size_t)len) : 0;
}

/* ---- files in memory ---- */

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

int memfd_make(const char *name)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);

	return fd != -1 || errno != EINVAL ? fd : memfd_create(name, flags);
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t got = write(fd, data, len);

		if (got == -1 && errno == EINTR)
			continue;
		if (got <= 0) {
			errno = got == 0 ? ENOSPC : errno;
			return -1;
		}
		data += got;
		len -= (size_t)got;
	}
	return 0;
}

int sealed_make(const char *name, const void *data, size_t len, struct error *err)
{
	scoped_fd fd = memfd_make(name);

	if (fd == -1 || write_all(fd, data, len) == -1 || fcntl(fd, F_ADD_SEALS, SEALS) == -1)
		return error_set(err, errno, "cannot write the state down");
	return fd_release(&fd);
}

int sealed_map(int fd, const void **data, size_t *len, struct error *err)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *map;

	if (seals == -1 || (seals & SEALS) != SEALS || fstat(fd, &st) == -1 || st.st_size <= 0)
		return error_set(err, 0, "it is no state of an nclust");
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return error_set(err, errno, "cannot read the state");
	*data = map;
	*len = (size_t)st.st_size;
	return 0;
}

int lockfd_make(const char *name)
{
	struct error err;

	return sealed_make(name, NULL, 0, &err);
}

bool lockfd_is_one(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals != -1 && (seals & SEALS) == SEALS;
}

bool lockfd_take(int fd)
{
	return flock(fd, LOCK_EX | LOCK_NB) == 0;
}

void lockfd_drop(int fd)
{
	(void)flock(fd, LOCK_UN);
}

/* ---- pty ---- */

#define MODE 0620 /* as grantpt(3) sets it */

int pty_open(const struct winsize *size, uid_t uid, int *slave)
{
	scoped_fd master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	scoped_fd end = -1;
	struct termios modes;

	if (master == -1 || unlockpt(master) == -1)
		return -1;
	end = ioctl(master, TIOCGPTPEER, O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (end == -1 || tcgetattr(end, &modes) == -1)
		return -1;
	cfmakeraw(&modes);
	if (tcsetattr(end, TCSANOW, &modes) == -1 || ioctl(end, TIOCSWINSZ, size) == -1 ||
		fchmod(end, MODE) == -1 || fchown(end, uid, (gid_t)-1) == -1)
		return -1;
	*slave = fd_release(&end);
	return fd_release(&master);
}

struct look {
	int terminal;
	struct winsize size;
};

static int read_size(void *argument)
{
	struct look *l = argument;
	struct winsize size; /* on the child's stack */

	if (ioctl(l->terminal, TIOCGWINSZ, &size) == -1)
		return -1;
	l->size = size;
	return 0;
}

struct winsize pty_size_of(int terminal)
{
	struct look l = {.terminal = terminal};

	(void)vfork_call_on(terminal, read_size, &l);
	return l.size;
}

/* ---- eventset ---- */

static bool submit_poll(const struct eventset *s)
{
	struct iocb wait = {
		.aio_lio_opcode = IOCB_CMD_POLL,
		.aio_fildes = (uint32_t)s->set,
		.aio_buf = POLLIN,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)s->wake,
	};
	struct iocb *list = &wait;

	return syscall(SYS_io_submit, s->context, 1L, &list) == 1;
}

int eventset_open(struct eventset *s)
{
	*s = (struct eventset){.set = epoll_create1(EPOLL_CLOEXEC), .wake = -1};
	if (s->set == -1)
		return -1;
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake != -1 && privilege_has(CAP_SETUID) &&
		syscall(SYS_io_setup, 1L, &s->context) == 0) {
		s->armed = submit_poll(s);
		if (s->armed)
			return 0;
		(void)syscall(SYS_io_destroy, s->context);
		s->context = 0;
	}
	fd_close(&s->wake);
	s->wake = s->set;
	return 0;
}

void eventset_close(struct eventset *s)
{
	if (s->wake != s->set)
		fd_close(&s->wake);
	fd_close(&s->set);
	s->context = 0;
}

void eventset_arm(struct eventset *s)
{
	if (s->context == 0 || s->armed)
		return;
	s->armed = submit_poll(s);
	if (!s->armed) /* the kernel is short of memory: try in the next turn */
		(void)eventfd_write(s->wake, 1);
}

void eventset_take(struct eventset *s)
{
	struct timespec now = {0};
	struct io_event event;
	eventfd_t count;

	if (s->context == 0)
		return;
	(void)eventfd_read(s->wake, &count);
	if (syscall(SYS_io_getevents, s->context, 0L, 1L, &event, &now) == 1)
		s->armed = false;
}
