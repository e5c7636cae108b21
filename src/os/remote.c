/* SPDX-License-Identifier: MIT */
#include "os/remote.h"

#include "base/scope.h"
#include "os/vfork.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* linux/pidfd.h, 6.9 */
#endif

#define EPOLL_PATIENCE (200 * MSEC)

/* ---- its descriptors ---- */

/* The process that a thread is of. */
static pid_t process_of(pid_t tid)
{
	char path[40];
	char line[64];
	pid_t found = -1;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	file = fopen(path, "re");
	if (file == NULL)
		return -1;
	while (found == -1 && fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, "Tgid:", 5) == 0)
			found = (pid_t)strtol(line + 5, NULL, 10);
	(void)fclose(file);
	return found;
}

int remote_fd(pid_t tid, int fd)
{
	scoped_fd pidfd = (int)syscall(SYS_pidfd_open, tid, PIDFD_THREAD);

	/* before 6.9 a process has one, a thread of it has not */
	if (pidfd == -1 && errno == EINVAL)
		pidfd = (int)syscall(SYS_pidfd_open, tid, 0U);
	if (pidfd == -1 && (errno == EINVAL || errno == ENOENT))
		pidfd = (int)syscall(SYS_pidfd_open, process_of(tid), 0U);
	if (pidfd == -1)
		return -1;
	return (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0U);
}

static DIR *open_fds(pid_t tid)
{
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)tid);
	return opendir(path);
}

int remote_each_fd(pid_t tid, unsigned most,
	void (*look)(void *context, int fd, const char *target), void *context)
{
	DIR *dir = open_fds(tid);
	const struct dirent *entry;

	if (dir == NULL)
		return -1;
	while (most > 0 && (entry = readdir(dir)) != NULL) {
		char target[64];
		ssize_t len;

		if (*entry->d_name == '.')
			continue;
		most--;
		len = readlinkat(
			dirfd(dir), entry->d_name, target, sizeof(target) - 1);
		if (len <= 0)
			continue;
		target[len] = '\0';
		look(context, (int)strtol(entry->d_name, NULL, 10), target);
	}
	(void)closedir(dir);
	return 0;
}

uint64_t remote_socket_inode(const char *target)
{
	return strncmp(target, "socket:[", 8) == 0
		? strtoull(target + 8, NULL, 10)
		: 0;
}

uint64_t remote_own_inode(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

static FILE *open_info(pid_t tid, int fd)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)tid, fd);
	return fopen(path, "re");
}

int remote_fd_flags(pid_t tid, int fd)
{
	FILE *file = open_info(tid, fd);
	char line[80];
	long flags = -1;

	if (file == NULL)
		return -1;
	while (flags == -1 && fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, "flags:", 6) == 0)
			flags = strtol(line + 6, NULL, 8);
	(void)fclose(file);
	return (int)flags;
}

size_t remote_epoll_items(
	pid_t tid, int epoll, struct remote_epoll_item *items, size_t most)
{
	FILE *file = open_info(tid, epoll);
	char line[160];
	size_t count = 0;

	if (file == NULL)
		return 0;
	while (count < most && fgets(line, sizeof(line), file) != NULL) {
		struct remote_epoll_item *item = &items[count];

		if (sscanf(line, "tfd: %d events: %" SCNx32 " data: %" SCNx64,
			    &item->fd, &item->events, &item->data) == 3)
			count++;
	}
	(void)fclose(file);
	return count;
}

/* ---- epoll ---- */

struct addition {
	int epoll;
	int ours;
	const struct remote_epoll_item *item;
	int error;
};

/* In a table of its own, as it overwrites a number. */
static void add_item(void *argument)
{
	struct addition *a = argument;
	struct epoll_event event = {
		.events = a->item->events,
		.data.u64 = a->item->data,
	};
	int epoll = a->epoll;

	if (epoll == a->item->fd)
		epoll = fcntl(epoll, F_DUPFD_CLOEXEC, a->item->fd + 1);
	if (epoll == -1 ||
		(a->ours != a->item->fd &&
			dup3(a->ours, a->item->fd, O_CLOEXEC) == -1) ||
		epoll_ctl(epoll, EPOLL_CTL_ADD, a->item->fd, &event) == -1)
		a->error = errno;
}

int remote_epoll_add(int epoll, int ours, const struct remote_epoll_item *item)
{
	struct addition a = {.epoll = epoll, .ours = ours, .item = item};

	if (item->fd < 0 || vfork_run_apart(add_item, &a, EPOLL_PATIENCE) == -1)
		return -1;
	errno = a.error;
	return a.error == 0 ? 0 : -1;
}

/* ---- its memory ---- */

struct reading {
	pid_t tid;
	struct iovec ours;
	struct iovec theirs;
	ssize_t got;
	int error;
};

static void read_memory(void *argument)
{
	struct reading *r = argument;

	r->got = process_vm_readv(r->tid, &r->ours, 1, &r->theirs, 1, 0);
	r->error = errno;
}

int remote_read(pid_t tid, uint64_t at, void *to, size_t size, nsec_t patience)
{
	struct reading r = {
		.tid = tid,
		.ours = {to, size},
		.theirs = {(void *)(uintptr_t)at, size},
		.got = -1,
	};

	if (patience <= 0)
		read_memory(&r);
	else if (vfork_run(read_memory, &r, patience) == -1)
		return -1;
	if (r.got == (ssize_t)size)
		return 0;
	errno = r.got == -1 ? r.error : EFAULT;
	return -1;
}

/* ---- what it does ---- */

int remote_accepts(pid_t tid)
{
	char path[40];
	char line[128];
	unsigned long fd;
	FILE *file;
	long call = -1;

	(void)snprintf(path, sizeof(path), "/proc/%d/syscall", (int)tid);
	file = fopen(path, "re");
	if (file == NULL)
		return -1;
	if (fgets(line, sizeof(line), file) == NULL ||
		sscanf(line, "%ld %lx", &call, &fd) != 2)
		call = -1;
	(void)fclose(file);
	return call == SYS_accept || call == SYS_accept4 ? (int)fd : -1;
}

/* ---- its rights ---- */

static bool is_in_our_namespace(pid_t tid)
{
	char path[40];
	struct stat own;
	struct stat its;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)tid);
	return stat("/proc/self/ns/user", &own) == 0 && stat(path, &its) == 0 &&
		own.st_ino == its.st_ino && own.st_dev == its.st_dev;
}

bool remote_may(pid_t tid, int capability)
{
	char path[40];
	char line[128];
	uint64_t set = 0;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	while (fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, "CapEff:", 7) == 0)
			set = strtoull(line + 7, NULL, 16);
	(void)fclose(file);
	return (set >> capability & 1) != 0 && is_in_our_namespace(tid);
}

int remote_protocol(pid_t tid, int fd, char *to, size_t size)
{
	char path[64];
	ssize_t len;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)tid, fd);
	len = getxattr(path, "system.sockprotoname", to, size - 1);
	if (len == -1)
		return -1;
	to[len] = '\0';
	return 0;
}
